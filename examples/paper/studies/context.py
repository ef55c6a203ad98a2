"""What every study is given: data, features and evaluations, each computed once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ssatom.embeddings import embed, resolve_weights
from ssatom.evaluation import (
    Dataset,
    EvaluationResult,
    KernelRidgeCV,
    evaluate_columns,
    load_dataset,
)
from ssatom.exceptions import StructureError
from ssatom.featurizers import GraphEmbeddingFeaturizer, SelfSupervisedSiteFeaturizer
from ssatom.reproduction.features import (
    DESCRIPTORS,
    SITE_DESCRIPTORS,
    available,
    descriptor_features,
)
from ssatom.weights import DEFAULT_WEIGHTS, PretrainedEncoder, random_weights

STRUCTURES = "structures"

POOLINGS = {
    "": ("mean",),
    "-ions": ("mean", "anion", "cation"),
    "-extremes": ("mean", "std", "min", "max"),
}
"""Poolings by what follows the layers in the name of features of crystals."""

_EMBEDDING = re.compile(rf"(random-)?(?:NE(\d+)|GE(\d+)({'|'.join(POOLINGS)}))")

QUICK_ALPHAS = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1)
QUICK_GAMMAS = (1e-6, 1e-4, 1e-3, 1e-2)


@dataclass
class Context:
    """Where a run of studies reads and writes, and how thorough it is.

    Attributes
    ----------
    data : Path
        Folder of the data.
    output : Path
        Folder of the results.
    weights : str
        Name or folder of the weights.
    quick : bool
        One seed, a coarse grid, no slow descriptor.
    n_jobs : int or None
        Processes.
    progress_bar : bool
        Show progress.
    """

    data: Path
    output: Path
    weights: str = DEFAULT_WEIGHTS
    quick: bool = False
    n_jobs: int | None = -1
    progress_bar: bool = True
    _datasets: dict[tuple[str, str | None], Dataset] = field(default_factory=dict, repr=False)
    _features: dict[tuple[str, int, str], np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def n_seeds(self) -> int:
        """Splits of each kind."""
        return 1 if self.quick else 5

    @cached_property
    def encoder(self) -> PretrainedEncoder:
        """The weights, loaded."""
        return resolve_weights(self.weights)

    @property
    def single_layers(self) -> tuple[str, ...]:
        """Layers of the weights, one by one."""
        return tuple(map(str, range(self.encoder.n_layers)))

    @property
    def joined_layers(self) -> tuple[str, ...]:
        """ "01", "012" and so on, to all layers."""
        return tuple(accumulate(self.single_layers))[1:]

    @cached_property
    def descriptors(self) -> list[str]:
        """Descriptors of crystals that this run takes."""
        return available(DESCRIPTORS, self.quick)

    @cached_property
    def site_descriptors(self) -> list[str]:
        """Descriptors of sites that this run takes."""
        return available(SITE_DESCRIPTORS, self.quick)

    @property
    def splits_folder(self) -> Path:
        """Where the result files of evaluations are."""
        return self.output / ("splits-quick" if self.quick else "splits")

    def dataset(self, name: str, target: str | None = None) -> Dataset:
        """One of the data files, without rows that have no graph, such as overlapping atoms."""
        key = (name, target)
        if key not in self._datasets:
            dataset = load_dataset(name, self.data, target)
            rows = embed(dataset.structures, self.encoder, pooling=("mean",))
            good = [not isinstance(row, StructureError) for row in rows]
            self._datasets[key] = dataset.select(good)
        return self._datasets[key]

    def datasets(self, name: str, targets: Sequence[str]) -> dict[str, Dataset]:
        """A data file by target, on the rows where all of these targets are known."""
        sets = {target: self.dataset(name, target) for target in targets}
        shared = set.intersection(*(set(dataset.ids) for dataset in sets.values()))
        return {t: d.select([i in shared for i in d.ids]) for t, d in sets.items()}

    def common(self, dataset: Dataset, names: Sequence[str]) -> Dataset:
        """The rows for which all of these features exist, so that all are compared on the same."""
        features = {name: self.features(dataset, name) for name in names}
        good = np.all([np.isfinite(X).all(axis=1) for X in features.values()], axis=0)
        if good.all():
            return dataset
        chosen = dataset.select(good)
        for name, X in features.items():
            self._features[_key(chosen, name)] = X[good]
        return chosen

    def features(self, dataset: Dataset, name: str) -> np.ndarray:
        """Features by name: "NE01", "GE012", "random-GE012", "OFM", or several joined by " + ".

        "NE" are embeddings of sites, "GE" means of them over a crystal, or what `POOLINGS` has for
        the end of the name; digits are layers.

        Raises
        ------
        ParameterError
            If the name is unknown.
        """
        key = _key(dataset, name)
        if key not in self._features:
            self._features[key] = self._compute(dataset, name)
        return self._features[key]

    def _compute(self, dataset: Dataset, name: str) -> np.ndarray:
        if " + " in name:
            return np.hstack([self.features(dataset, part) for part in name.split(" + ")])
        if match := _EMBEDDING.fullmatch(name):
            random, of_sites, of_crystals, pooling = match.groups()
            weights = random_weights(0, like=self.encoder) if random else self.encoder
            featurizer: Any = SelfSupervisedSiteFeaturizer(of_sites, weights)
            if of_crystals:
                featurizer = GraphEmbeddingFeaturizer(
                    of_crystals, weights, pooling=POOLINGS[pooling]
                )
            return featurizer.fit_transform(dataset.rows)
        cache = self.output / "cache"
        return descriptor_features(name, dataset, cache, self.n_jobs, self.progress_bar)

    def evaluate(
        self,
        features: str,
        targets: Mapping[str, Dataset],
        *,
        model: BaseEstimator | None = None,
        model_name: str | None = None,
        splits: Sequence[str] = ("random", "grouped"),
        n_seeds: int | None = None,
        keep_predictions: bool = False,
    ) -> dict[str, EvaluationResult]:
        """Evaluate features, by name, on labels of the same rows; resumes from result files.

        "structures" are the structures themselves, for models that take them.
        """
        dataset = next(iter(targets.values()))
        X: Any = dataset.rows if features == STRUCTURES else self.features(dataset, features)
        model = self.kernel_ridge() if model is None else model
        stem = features if model_name is None else f"{model_name}-{features}"
        file = f"{stem}-{self._digest(X, dataset, model)}.json"  # others stay beside it
        folder = self.splits_folder / dataset.name
        return evaluate_columns(
            X,
            {target: data.y for target, data in targets.items()},
            groups=dataset.groups,
            parts=dataset.parts if "official" in splits else None,
            model=model,
            n_seeds=n_seeds or self.n_seeds,
            splits=splits,
            name=stem,
            data=dict(targets),
            weights=self._made_by(features),
            result_files={target: folder / target / file for target in targets},
            keep_predictions=keep_predictions,
            n_jobs=self.n_jobs,
            progress_bar=self.progress_bar,
        )

    def kernel_ridge(self) -> KernelRidgeCV:
        """The paper's model: Table I's grid, ten folds, searched from coarse to fine."""
        if self.quick:
            return KernelRidgeCV(gammas=QUICK_GAMMAS, alphas=QUICK_ALPHAS, search="coarse-to-fine")
        return KernelRidgeCV(search="coarse-to-fine")

    def _digest(self, X: Any, dataset: Dataset, model: BaseEstimator) -> str:
        """What tells evaluations of one name apart: features or structures, and the model."""
        params = repr(sorted(model.get_params().items()))
        content = X
        if not isinstance(X, np.ndarray):
            # Networks without embeddings are the same whatever the weights of this run.
            embedded = any(name.split("__")[-1] == "weights" for name in model.get_params())
            sha256 = self.encoder.sha256 if embedded else ""
            content = np.array([sha256, *dataset.ids])
        return hashlib.sha256(content.tobytes() + params.encode()).hexdigest()[:8]

    def _made_by(self, features: str) -> Any:
        kinds = [_EMBEDDING.fullmatch(part) for part in features.split(" + ")]
        if not any(kinds):
            return None
        if any(kind and kind.group(1) for kind in kinds):
            return random_weights(0, like=self.encoder)
        return self.encoder


def _key(dataset: Dataset, name: str) -> tuple[str, int, str]:
    return dataset.sha256, len(dataset), name
