"""The models that `ssatom fit` offers, and which of them it tries on how many crystals."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.dummy import DummyRegressor

from ssatom.devices import resolve_device
from ssatom.embeddings import parse_layers, resolve_weights
from ssatom.estimators import (
    CGCNNClassifier,
    CGCNNRegressor,
    NEGNNClassifier,
    NEGNNRegressor,
)
from ssatom.estimators._checks import check_parameters
from ssatom.evaluation.choice import FEWEST, Candidate, Choice, choose_model, n_folds_of
from ssatom.evaluation.recommended import GROUPS, LAYERS, kernel_ridge_pipeline
from ssatom.exceptions import ParameterError
from ssatom.graph import GraphConfig
from ssatom.progress import make_bar
from ssatom.validation import one_of

AUTO, KERNEL, NETWORK, RAW, MEAN = "auto", "kernel-ridge", "negnn", "cgcnn", "mean"
_MODELS = (AUTO, KERNEL, NETWORK, RAW)
_CLASSES = {
    NETWORK: (NEGNNRegressor, NEGNNClassifier),
    RAW: (CGCNNRegressor, CGCNNClassifier),
}

NETWORK_FROM = 500
"""Crystals to train on from which NEGNN is tried; with fewer, kernel ridge was always better."""

KERNEL_UP_TO = 5_000
"""Crystals to train on up to which kernel ridge is tried; its time grows with their cube."""


class Fitted(NamedTuple):
    """A fitted model, how cross-validation chose it (None: it was asked for), and the time."""

    name: str
    model: Any
    choice: Choice | None
    seconds: dict[str, float]


@dataclass(frozen=True)
class Models:
    """What stands on the command line of models.

    `of_networks` are parameters of the networks alone; None is their default.
    """

    name: str
    classify: bool
    layers: str | None
    weights: str | None
    electrons: bool
    device: str
    random_state: int
    of_networks: dict[str, Any]

    def check(self) -> None:
        """Refuse at once what fitting would refuse."""
        one_of("--model", self.name, _MODELS)
        resolve_device(self.device)
        if self.name == KERNEL and self.classify:
            raise ParameterError("--model kernel-ridge is for numbers; classes take negnn or cgcnn")
        if self.name == KERNEL and self.of_networks.get("n_members", 1) > 1:
            raise ParameterError("--members is for networks; kernel-ridge is a single model")
        if self.name == RAW:
            for option in ("layers", "weights"):
                if getattr(self, option) is not None:
                    raise ParameterError(f"--{option} is not for cgcnn, which has no encoder")
        else:
            encoder = resolve_weights(self.weights, self.random_state)
            parse_layers(self.layers or LAYERS, encoder.n_layers)
        if self.name != KERNEL:
            check_parameters(self.network().get_params(deep=False))

    @property
    def chooses(self) -> bool:
        """Whether cross-validation is to choose: classes are for networks alone."""
        return self.name == AUTO and not self.classify

    @property
    def graph_config(self) -> GraphConfig:
        """Graphs of crystals that all models will need."""
        if self.name == RAW:
            return GraphConfig()
        return resolve_weights(self.weights, self.random_state).graph_config

    def network(self, **changes: Any) -> Any:
        """The network, not fitted."""
        given = {"device": self.device, "random_state": self.random_state, **self.of_networks}
        if self.name != RAW:
            given |= {"layers": self.layers, "weights": self.weights}
        given = {name: value for name, value in (given | changes).items() if value is not None}
        return _CLASSES[RAW if self.name == RAW else NETWORK][self.classify](**given)

    def kernel_ridge(self, n_targets: int, n_crystals: int) -> Candidate:
        """Kernel ridge for so many different crystals."""
        pipeline = kernel_ridge_pipeline(
            n_targets,
            layers=self.layers or LAYERS,
            weights=self.weights,
            electrons=self.electrons,
            cv=min(10, n_crystals),
            device=self.device,
            random_state=self.random_state,
        )
        return Candidate(pipeline, GROUPS)

    def train(
        self,
        structures: Sequence[Any],
        y: np.ndarray,
        keys: Sequence[Hashable],
    ) -> Fitted:
        """The model, chosen if need be, fitted to these crystals."""
        n_targets, n_crystals = (*y.shape, 1)[1], len(set(keys))
        started = time.perf_counter()
        choice = None
        name = NETWORK if self.name == AUTO else self.name
        if self.chooses:
            choice = self._choose(structures, y, keys, n_targets)
            name = choice.chosen
        chosen = time.perf_counter()
        if name == KERNEL:
            candidate = self.kernel_ridge(n_targets, n_crystals)
        else:
            candidate = Candidate(DummyRegressor() if name == MEAN else self.network())
        model = candidate.fit(structures, y, keys)
        seconds = {"choosing": chosen - started, "training": time.perf_counter() - chosen}
        return Fitted(name, model, choice, seconds)

    def _choose(
        self,
        structures: Sequence[Any],
        y: np.ndarray,
        keys: Sequence[Hashable],
        n_targets: int,
    ) -> Choice:
        n, n_crystals = len(y), len(set(keys))
        if n_crystals < FEWEST:
            return Choice(KERNEL, n, 0, 0)
        in_fold = n_crystals - -(-n_crystals // n_folds_of(n))
        kernel = self.kernel_ridge(n_targets, in_fold)
        few = f"not tried below {NETWORK_FROM:,} crystals, where kernel ridge is better and faster"
        many = f"not tried above {KERNEL_UP_TO:,} crystals; its time grows with their cube"
        alone = self.network(n_members=1, progress_bar=False)
        candidates = {
            KERNEL: Candidate(kernel.model, GROUPS, many if n > KERNEL_UP_TO else ""),
            NETWORK: Candidate(alone, skipped=few if n < NETWORK_FROM else ""),
            MEAN: Candidate(DummyRegressor()),
        }
        shown = self.of_networks["progress_bar"]
        with make_bar(desc="choose", bar_format="{desc}", show=shown) as bar:
            return choose_model(
                *(candidates, structures, y, keys),
                random_state=self.random_state,
                tell=lambda what: bar.set_description_str(f"choose: {what}"),
            )
