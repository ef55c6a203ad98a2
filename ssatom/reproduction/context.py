"""What every study is given: data, features and evaluations, each computed once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ssatom.embeddings import graph_embeddings, resolve_weights, site_embeddings
from ssatom.evaluation import (
    Dataset,
    EvaluationResult,
    KernelRidgeCV,
    evaluate_columns,
    load_dataset,
)
from ssatom.reproduction.features import DESCRIPTORS, SITE_DESCRIPTORS, descriptor_features
from ssatom.weights import DEFAULT_WEIGHTS, PretrainedEncoder

RANDOM = "random"
"""Prefix of embeddings with random weights, as in "random-NE01"."""

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
    def splits_folder(self) -> Path:
        """Where the result files of evaluations are."""
        return self.output / ("splits-quick" if self.quick else "splits")

    def dataset(self, name: str, target: str | None = None) -> Dataset:
        """One of the data files, without rows that embeddings cannot take."""
        key = (name, target)
        if key not in self._datasets:
            self._datasets[key] = load_dataset(name, self.data, target)
        return self._datasets[key]

    def features(self, dataset: Dataset, name: str) -> np.ndarray:
        """Features by name: "NE01", "GE012", "random-GE012", "OFM", or several joined by "+".

        "NE" are embeddings of sites, "GE" means of them over a crystal, digits are layers; "EF+RD"
        is one name.
        """
        key = (dataset.sha256, len(dataset), name)
        if key not in self._features:
            self._features[key] = self._compute(dataset, name)
        return self._features[key]

    def _compute(self, dataset: Dataset, name: str) -> np.ndarray:
        known = DESCRIPTORS if dataset.sites is None else SITE_DESCRIPTORS
        if name in known:
            cache = self.output / "cache"
            return descriptor_features(name, dataset, cache, self.n_jobs, self.progress_bar)
        if "+" in name:
            return np.hstack([self.features(dataset, part) for part in name.split("+")])
        kind, layers = name.split("-")[-1][:2], name.split("-")[-1][2:]
        weights = RANDOM if name.startswith(f"{RANDOM}-") else self.weights
        if kind == "GE":
            return graph_embeddings(dataset.structures, layers, weights)
        by_structure = dict(
            zip(
                map(id, dataset.structures),
                site_embeddings(dataset.structures, layers, weights),
                strict=True,
            )
        )
        pairs = zip(dataset.structures, dataset.sites, strict=True)
        return np.array([by_structure[id(structure)][site] for structure, site in pairs])

    def evaluate(
        self,
        features: str,
        targets: Mapping[str, Dataset],
        *,
        model: BaseEstimator | None = None,
        model_name: str | None = None,
        splits: Sequence[str] = ("random", "grouped"),
        keep_predictions: bool = False,
    ) -> dict[str, EvaluationResult]:
        """Evaluate features, by name, on labels of the same rows; resumes from result files."""
        dataset = next(iter(targets.values()))
        X = self.features(dataset, features)
        stem = features if model_name is None else f"{model_name}-{features}"
        folder = self.splits_folder / dataset.name
        return evaluate_columns(
            X,
            {target: data.y for target, data in targets.items()},
            groups=dataset.groups,
            model=self.kernel_ridge() if model is None else model,
            n_seeds=self.n_seeds,
            splits=splits,
            name=stem,
            data=dict(targets),
            weights=self._made_by(features),
            result_files={target: folder / target / f"{stem}.json" for target in targets},
            keep_predictions=keep_predictions,
            n_jobs=self.n_jobs,
            progress_bar=self.progress_bar,
        )

    def kernel_ridge(self) -> KernelRidgeCV:
        """The paper's model: Table I's grid, ten folds, searched from coarse to fine."""
        if self.quick:
            return KernelRidgeCV(gammas=QUICK_GAMMAS, alphas=QUICK_ALPHAS, search="coarse-to-fine")
        return KernelRidgeCV(search="coarse-to-fine")

    def _made_by(self, features: str) -> Any:
        if features.startswith(f"{RANDOM}-"):
            return RANDOM
        learned = any(part[:2] in ("NE", "GE") for part in features.split("+"))
        return self.encoder if learned else None


def default_jobs() -> int:
    """As many processes as there are cores."""
    return os.cpu_count() or 1
