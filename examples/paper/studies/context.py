"""What every study is given: data, features and evaluations, each computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from ssatom import (
    ElectronicFeaturizer,
    GraphEmbeddingFeaturizer,
    KernelRidgeCV,
    SelfSupervisedSiteFeaturizer,
    StructureError,
)
from ssatom.embeddings import embed, resolve_weights
from ssatom.evaluation import EvaluationResult, evaluate_columns
from ssatom.weights import DEFAULT_WEIGHTS, PretrainedEncoder, random_weights
from studies.datasets import Dataset, load_dataset
from studies.earlier import earlier_results
from studies.features import Electrons, Features, JoinedFeatures, available, rival_features
from studies.rivals import SITE_RIVALS, STRUCTURE_RIVALS, Rival

STRUCTURES = "structures"
"""In place of features, for models that take the structures themselves."""

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
        One seed, a coarse grid and no slow descriptor.
    n_jobs : int or None
        Processes.
    progress_bar : bool
        Show progress.
    earlier : Path or None
        Folder of earlier reports, from which results without the weights are taken.
    """

    data: Path
    output: Path
    weights: str = DEFAULT_WEIGHTS
    quick: bool = False
    n_jobs: int | None = -1
    progress_bar: bool = True
    earlier: Path | None = None
    _datasets: dict[tuple[str, str | None], Dataset] = field(default_factory=dict, repr=False)
    _features: dict[tuple[str, int, Features], Any] = field(default_factory=dict, repr=False)

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
    def rivals(self) -> list[Rival]:
        """Descriptors of crystals that this run computes."""
        return available(STRUCTURE_RIVALS, self.quick)

    @cached_property
    def site_rivals(self) -> list[Rival]:
        """Descriptors of sites that this run computes."""
        return available(SITE_RIVALS, self.quick)

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

    def common(self, dataset: Dataset, rivals: Sequence[Rival]) -> Dataset:
        """The rows for which all of these descriptors exist, so that all see the same rows."""
        targets, model = {dataset.target: dataset}, self.kernel_ridge()
        computed = [r for r in rivals if not self._found_earlier(r.label, targets, model)]
        features = {rival: self.features(dataset, rival) for rival in computed}
        good = np.all([np.isfinite(X).all(axis=1) for X in features.values()], axis=0)
        if good.all():
            return dataset
        kept = dataset.select(good)
        for rival, X in features.items():
            self._features[_key(kept, rival)] = X[good]
        return kept

    def features(self, dataset: Dataset, features: Features) -> Any:
        """The matrix of a feature set, shape (n_rows, n_features).

        Those of this package are DataFrames, by whose names `KernelRidgeCV` finds blocks.
        """
        key = _key(dataset, features)
        if key not in self._features:
            self._features[key] = self._compute(dataset, features)
        return self._features[key]

    def _compute(self, dataset: Dataset, features: Features) -> Any:
        if isinstance(features, JoinedFeatures):
            return pd.concat([self._named(dataset, one) for one in features.members], axis=1)
        if isinstance(features, Rival):
            cache = self.output / "cache"
            return rival_features(features, dataset, cache, self.n_jobs, self.progress_bar)
        if isinstance(features, Electrons):
            featurizer: Any = ElectronicFeaturizer(features.pooling)
            return featurizer.set_output(transform="pandas").fit_transform(dataset.structures)
        layers, weights = features.layers, self._weights_of(features)
        if features.level == "site":
            featurizer, rows = SelfSupervisedSiteFeaturizer(layers, weights), dataset.rows
        else:
            featurizer = GraphEmbeddingFeaturizer(layers, weights, pooling=features.pooling)
            rows = dataset.structures
        return featurizer.set_output(transform="pandas").fit_transform(rows)

    def _named(self, dataset: Dataset, features: Features) -> pd.DataFrame:
        """Features as a DataFrame whose column names no other feature set has."""
        X = self.features(dataset, features)
        if isinstance(X, np.ndarray):
            return pd.DataFrame(X, columns=[f"{features.label}_{i}" for i in range(X.shape[1])])
        of_crystals = dataset.sites is not None and getattr(features, "level", "") != "site"
        return X.add_prefix("crystal_") if of_crystals else X

    def evaluate(
        self,
        features: Features | str,
        targets: Mapping[str, Dataset],
        *,
        model: BaseEstimator | None = None,
        model_name: str | None = None,
        splits: Sequence[str] = ("random", "grouped"),
        n_seeds: int | None = None,
        keep_predictions: bool = False,
    ) -> dict[str, EvaluationResult]:
        """Evaluate a feature set on labels of the same rows; resumes from result files.

        Parameters
        ----------
        features : FeatureSet, Rival, JoinedFeatures or "structures"
            `STRUCTURES` gives the model the structures themselves.
        targets : mapping of str to Dataset
            Labels by name, on the same rows.
        model : estimator, default=None
            None is kernel ridge.
        model_name : str, default=None
            Of a model that is not kernel ridge; part of the files' names.
        splits : sequence of str, default=("random", "grouped")
            Kinds of splits.
        n_seeds : int, default=None
            Splits of each kind; None is the run's.
        keep_predictions : bool, default=False
            Keep predictions of the test rows.

        Returns
        -------
        dict of EvaluationResult
            By target.
        """
        dataset = next(iter(targets.values()))
        label = features if isinstance(features, str) else features.label
        model = self.kernel_ridge() if model is None else model
        if isinstance(features, Rival) or (features == STRUCTURES and not _is_embedded(model)):
            known = self._found_earlier(model_name or label, targets, model)
            if known is not None:
                return known
        X = dataset.rows if isinstance(features, str) else self.features(dataset, features)
        stem = label if model_name is None else f"{model_name}-{label}"
        # Results of other features or models of the same name stay beside it.
        file = f"{stem}-{self._digest(X, dataset, model)}.json"
        folder = self.splits_folder / dataset.name
        return evaluate_columns(
            X,
            {target: data.y for target, data in targets.items()},
            groups=dataset.groups,
            folds=dataset.folds if "official" in splits else None,
            model=model,
            n_seeds=n_seeds or self.n_seeds,
            splits=splits,
            name=stem,
            data={target: data.provenance() for target, data in targets.items()},
            weights=None if isinstance(features, str) else self._weights_of(features),
            result_files={target: folder / target / file for target in targets},
            keep_predictions=keep_predictions,
            n_jobs=self.n_jobs,
            progress_bar=self.progress_bar,
        )

    def kernel_ridge(self) -> KernelRidgeCV:
        """The paper's model: Table I's grid, ten folds, searched from coarse to fine."""
        return KernelRidgeCV(("laplacian", "rbf"), blocks=None, **self._grid())

    def weighted_kernel_ridge(self) -> KernelRidgeCV:
        """Our model: Matérn kernels, and a weight for each block of columns."""
        return KernelRidgeCV(("matern12", "matern32"), blocks="auto", **self._grid())

    def _grid(self) -> dict[str, Any]:
        coarse = {"gammas": QUICK_GAMMAS, "alphas": QUICK_ALPHAS} if self.quick else {}
        return {"search": "coarse-to-fine", **coarse}

    def _found_earlier(
        self, label: str, targets: Mapping[str, Dataset], model: BaseEstimator
    ) -> dict[str, EvaluationResult] | None:
        """Results of a rival or a network on the same labels, from an earlier report."""
        if self.earlier is None:
            return None
        return earlier_results(self.earlier, label, targets, model)

    def _digest(self, X: Any, dataset: Dataset, model: BaseEstimator) -> str:
        """What distinguishes evaluations of one name: features or structures, and the model."""
        params = model.get_params()
        of_model = repr(sorted(p for p in params.items() if not p[0].endswith("progress_bar")))
        content = X.to_numpy() if isinstance(X, pd.DataFrame) else X
        if not isinstance(content, np.ndarray):
            sha256 = self.encoder.sha256 if _is_embedded(model) else ""
            content = np.array([sha256, *dataset.ids])
        return hashlib.sha256(content.tobytes() + of_model.encode()).hexdigest()[:8]

    def _weights_of(self, features: Features) -> PretrainedEncoder | None:
        """The weights behind features; None for rivals."""
        if isinstance(features, JoinedFeatures):
            found = [self._weights_of(member) for member in features.members]
            return next((weights for weights in found if weights is not None), None)
        if isinstance(features, Rival | Electrons):
            return None
        random = features.weights == "random"
        return random_weights(0, like=self.encoder) if random else self.encoder


def _is_embedded(model: BaseEstimator) -> bool:
    """Whether a model has weights; networks without are the same whatever the weights of a run."""
    return any(name.split("__")[-1] == "weights" for name in model.get_params())


def _key(dataset: Dataset, features: Features) -> tuple[str, int, Features]:
    return dataset.sha256, len(dataset), features
