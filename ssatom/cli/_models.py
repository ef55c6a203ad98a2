"""The models that `ssatom fit` offers, and which of them it tries on how many crystals."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor

from ssatom.devices import resolve_device
from ssatom.embeddings import parse_layers, resolve_weights
from ssatom.estimators import CGCNNClassifier, CGCNNRegressor, NEGNNClassifier, NEGNNRegressor
from ssatom.estimators._checks import check_parameters
from ssatom.evaluation.choice import FEWEST, Candidate, Choice, choose_model, n_folds_of
from ssatom.evaluation.recommended import (
    GROUPS,
    GROUPS_OF_CLASSES,
    LAYERS,
    kernel_ridge_pipeline,
    logistic_pipeline,
)
from ssatom.exceptions import ParameterError
from ssatom.graph import GraphConfig
from ssatom.progress import make_bar
from ssatom.validation import one_of

AUTO, KERNEL, LOGISTIC, NETWORK, RAW = "auto", "kernel-ridge", "logistic", "negnn", "cgcnn"
MEAN, COMMONEST = "mean", "commonest class"
_MODELS = (AUTO, KERNEL, LOGISTIC, NETWORK, RAW)
_CLASSES = {NETWORK: (NEGNNRegressor, NEGNNClassifier), RAW: (CGCNNRegressor, CGCNNClassifier)}

NETWORK_FROM = 500
"""Crystals to train on from which NEGNN is tried; with fewer, the others were always better."""

KERNEL_UP_TO = 5_000
"""Crystals to train on up to which kernel ridge is tried; its time grows with their cube."""

LOGISTIC_UP_TO = 20_000
"""Crystals to train on up to which logistic regression is tried; all features are in memory."""


class Fitted(NamedTuple):
    """A fitted model, how cross-validation chose it (None: it was asked for), and the time."""

    name: str
    model: Any
    choice: Choice | None
    seconds: dict[str, float]


@dataclass(frozen=True)
class Models:
    """Options of `ssatom fit` that decide on the model.

    `of_networks` are parameters that only networks have; None stands for the network's default.
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
            raise ParameterError("--model kernel-ridge is for numbers; classes take logistic")
        if self.name == LOGISTIC and not self.classify:
            raise ParameterError("--model logistic is for classes; numbers take kernel-ridge")
        if self.name in (KERNEL, LOGISTIC) and self.of_networks.get("n_members", 1) > 1:
            raise ParameterError(f"--members is for networks; {self.name} is a single model")
        if self.name == RAW:
            for option in ("layers", "weights"):
                if getattr(self, option) is not None:
                    raise ParameterError(f"--{option} is not for cgcnn, which has no encoder")
        else:
            encoder = resolve_weights(self.weights, self.random_state)
            parse_layers(self.layers or LAYERS, encoder.n_layers)
        if self.name not in (KERNEL, LOGISTIC):
            check_parameters(self.network().get_params(deep=False))

    @property
    def graph_config(self) -> GraphConfig:
        """Settings of the graphs that the models use."""
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

    def on_features(self, y: np.ndarray, n_crystals: int) -> Candidate:
        """Kernel ridge, or logistic regression for classes, to be fitted to `n_crystals`."""
        shared: dict[str, Any] = {
            "layers": self.layers or LAYERS,
            "weights": self.weights,
            "electrons": self.electrons,
            "device": self.device,
            "random_state": self.random_state,
        }
        if self.classify:
            cv = int(np.clip(_largest_class(y) * n_crystals // len(y), 2, 5))
            return Candidate(logistic_pipeline(cv=cv, **shared), GROUPS_OF_CLASSES)
        n_targets = (*y.shape, 1)[1]
        return Candidate(kernel_ridge_pipeline(n_targets, cv=min(10, n_crystals), **shared), GROUPS)

    def train(self, structures: Sequence[Any], y: np.ndarray, keys: Sequence[Hashable]) -> Fitted:
        """The model, chosen if need be, fitted to these crystals."""
        started = time.perf_counter()
        choice, name = None, self.name
        shown = self.of_networks["progress_bar"]
        with make_bar(bar_format="{desc}", show=shown) as bar:
            if name == AUTO:
                choice = self._choose(structures, y, keys, bar.set_description_str)
                name = choice.best
            begun = time.perf_counter()
            bar.set_description_str(f"fit: {name}")
            if name in (KERNEL, LOGISTIC):
                model = self.on_features(y, len(set(keys))).fit(structures, y, keys)
        if name in (MEAN, COMMONEST):
            model = self.of_nothing.fit(structures, y, keys)
        elif name not in (KERNEL, LOGISTIC):  # networks have a bar of their own
            model = Candidate(self.network()).fit(structures, y, keys)
        seconds = {"choosing": begun - started, "training": time.perf_counter() - begun}
        return Fitted(name, model, choice, seconds)

    @property
    def of_nothing(self) -> Candidate:
        """The baseline that uses no structure: the mean, or the shares of the classes."""
        return Candidate(DummyClassifier() if self.classify else DummyRegressor())

    def _choose(
        self,
        structures: Sequence[Any],
        y: np.ndarray,
        keys: Sequence[Hashable],
        tell: Callable[[str], Any],
    ) -> Choice:
        n, n_crystals = len(y), len(set(keys))
        name, limit, nothing = KERNEL, KERNEL_UP_TO, MEAN
        if self.classify:
            name, limit, nothing = LOGISTIC, LOGISTIC_UP_TO, COMMONEST
        n_folds = n_folds_of(n)
        if n_crystals < FEWEST or (self.classify and _largest_class(y) < n_folds):
            return Choice(name, n, 0, 0)
        first = self.on_features(y, n_crystals - -(-n_crystals // n_folds))
        few = f"not tried below {NETWORK_FROM:,} crystals, where {name} is better and faster"
        many = f"not tried above {limit:,} crystals, for its time and memory"
        alone = self.network(n_members=1, progress_bar=False)
        candidates = {
            name: Candidate(first.model, first.groups, many if n > limit else ""),
            NETWORK: Candidate(alone, skipped=few if n < NETWORK_FROM else ""),
            nothing: self.of_nothing,
        }
        return choose_model(
            *(candidates, structures, y, keys),
            classify=self.classify,
            random_state=self.random_state,
            tell=lambda what: tell(f"choose: {what}"),
        )


def _largest_class(y: np.ndarray) -> int:
    return int(np.unique(y, return_counts=True)[1].max())
