"""What all estimators share: training of the members, and their outputs."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ssatom.devices import edge_precision, resolve_device, use_one_thread_in_fork
from ssatom.estimators._checks import check_parameters
from ssatom.estimators._data import Crystals, read_rows, read_training_data
from ssatom.estimators._divergence import judge, warn_of_failed
from ssatom.estimators._docs import shared_docs
from ssatom.estimators._module import Objective, PropertyModule, predict
from ssatom.estimators._nodes import NodeFeatures
from ssatom.estimators._state import packed, unpacked
from ssatom.exceptions import StructureError, unwrap
from ssatom.graph import GaussianDistanceBasis
from ssatom.negnn import NEGNN, NEGNNConfig
from ssatom.repeatable import DrawFrom
from ssatom.splits import hold_back
from ssatom.training import BatchLoader, TrainingConfig, best_epoch, train

_STEPS, _SMALL_BATCH = 8, 8  # steps of an epoch at least, in batches of at least so many


class CrystalEstimator(BaseEstimator):
    """Base of the estimators.

    A subclass stores its arguments in ``__init__``, gives the node features, and converts targets
    to those of the network and its outputs to predictions.
    """

    n_conv: int
    hidden_dim: int
    n_hidden: int
    dropout: float
    learning_rate: float
    gradient_clip: float | None
    batch_size: int
    max_epochs: int
    patience: int | None
    validation_fraction: float
    time_budget: float | None
    n_members: int
    level: str
    precision: str
    device: str
    random_state: Any
    progress_bar: bool

    def _store(self, arguments: dict[str, Any]) -> None:
        """Keep the arguments of ``__init__``, given as its ``locals()``."""
        self.__dict__.update({name: x for name, x in arguments.items() if name != "self"})

    @abstractmethod
    def _node_features(self) -> NodeFeatures:
        """Node features by the parameters; refuses those that are not allowed."""

    @abstractmethod
    def _fitted_node_features(self) -> NodeFeatures:
        """Node features as in fitting, if their encoder was not trained."""

    @abstractmethod
    def _encode(
        self, y: Any, sample_weight: Any
    ) -> tuple[np.ndarray, np.ndarray, Objective, dict[str, Any]]:
        """Targets of the network, weights, what is learned, and attributes that tell of them."""

    def __getstate__(self) -> dict[str, Any]:
        return packed(super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(unpacked(state))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.non_deterministic = self.random_state is None
        return tags

    # Training

    @shared_docs
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on structures, or on sites.

        Parameters
        ----------
        {X}
        y : array-like, shape (n_rows,) or (n_rows, n_targets)
            Targets of a regressor; for a classifier the class of each row, a whole number, string
            or bool, of which at least two are different.
        {sample_weight}

        Returns
        -------
        self

        Raises
        ------
        {StructureError}
        ParameterError
            If a parameter is not allowed, lengths differ, there are fewer than four structures,
            `y` is missing or not finite somewhere, constant, or of one class only where weights
            are above 0, a weight is negative, or the loss is never finite.
        {WeightsError}

        Warns
        -----
        {TrainingWarning, GraphWarning}
        """
        check_parameters(self.get_params(deep=False))
        targets, weights, objective, of_targets = self._encode(y, sample_weight)
        use_one_thread_in_fork()
        features = self._node_features()
        data, keys, sample = read_training_data(X, targets, weights, self.level, features)
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=self.n_members)
        classes = data.targets_of_each() if objective.stratified else None
        started = time.monotonic()
        members, histories, best_epochs, verdicts = [], [], [], []
        for member, seed in enumerate(seeds.tolist()):
            module = self._new_module(seed, features, objective)
            if sample is not None:
                module.network.standardise(sample, features.widths)
            folds = hold_back(keys, self.validation_fraction, seed, classes)
            loaders = self._loaders(data, folds, seed)
            history = train(module, *loaders, self._training_config(started, member, seed))
            best = best_epoch(history, "training", self.learning_rate)
            module.cpu().eval().requires_grad_(False)
            members.append(module)
            best_epochs.append(int(best["epoch"]))
            histories.append(history.assign(member=member))
            verdicts.append(judge(module, history, data, folds, len(loaders[0])))
        self.history_: pd.DataFrame = pd.concat(histories, ignore_index=True)
        self.best_epochs_: list[int] = best_epochs
        self.__dict__.update(features.fitted)  # only now: a refused fit changes nothing
        self.__dict__.update(of_targets)
        self.__dict__.pop("target_names_", None)  # those of a loaded model's targets
        self.n_structures_ = len(data)
        self.level_ = self.level
        self.graph_config_ = features.graph_config
        self.precision_ = str(members[0].edge_dtype).removeprefix("torch.")
        self.seconds_ = time.monotonic() - started
        self._tuned_encoders = [m.encoder for m in members if m.encoder and features.trained]
        self.networks_: list[NEGNN] = [module.network for module in members]
        warn_of_failed(verdicts, self.learning_rate, self.gradient_clip)
        return self

    def _new_module(
        self, seed: int, features: NodeFeatures, objective: Objective
    ) -> PropertyModule:
        """An untrained member, with an encoder where node features are not fixed."""
        config = NEGNNConfig(
            node_dim=features.node_dim,
            edge_dim=features.graph_config.edge_dim,
            hidden_dim=self.hidden_dim,
            n_conv=self.n_conv,
            n_hidden=self.n_hidden,
            n_outputs=objective.n_outputs,
            dropout=self.dropout,
        )
        with DrawFrom(seed):
            network = NEGNN(config)
        given = features.embed is not None and not features.trained
        return PropertyModule(
            network,
            None if given else features.make_encoder(),
            GaussianDistanceBasis(features.graph_config),
            objective,
            self.get_params(deep=False),
            edge_precision(self.precision, resolve_device(self.device)),
        )

    def _loaders(
        self, data: Crystals, folds: tuple[np.ndarray, np.ndarray], seed: int
    ) -> tuple[BatchLoader, BatchLoader]:
        """Batches for training and for validation."""

        def loader(crystals: np.ndarray, size: int, shuffle: bool) -> BatchLoader:
            # Equal batches: a last one of a few crystals would be mostly noise.
            equal = math.ceil(len(crystals) / math.ceil(len(crystals) / size))
            return BatchLoader(data.batch, crystals, equal, shuffle=shuffle, seed=seed)

        # A few crystals in one step an epoch would learn next to nothing.
        largest = min(self.batch_size, max(_SMALL_BATCH, len(folds[0]) // _STEPS))
        return loader(folds[0], largest, True), loader(folds[1], self.batch_size, False)

    def _training_config(self, started: float, member: int, seed: int) -> TrainingConfig:
        budget = None
        if self.time_budget is not None:  # an equal share of what is left
            left = self.time_budget - (time.monotonic() - started)
            budget = max(left, 0.001) / (self.n_members - member)
        return TrainingConfig(
            max_epochs=self.max_epochs,
            patience=self.patience,
            time_budget=budget,
            gradient_clip=self.gradient_clip,
            device=resolve_device(self.device),
            random_state=seed,
            progress_bar=self.progress_bar,
            label=f"member {member + 1}/{self.n_members}" if self.n_members > 1 else "",
        )

    def plot_history(self) -> Any:
        """Loss of each epoch in training and validation.

        Returns
        -------
        Figure
            As from `ssatom.plots.plot_history`.
        """
        from ssatom.plots import plot_history

        check_is_fitted(self, "networks_")
        return plot_history(self.history_)

    # Prediction

    def _outputs(self, X: Any) -> Iterator[np.ndarray | StructureError]:
        """Outputs of each row, shape (n_members, n_outputs), or its error."""
        check_is_fitted(self, "networks_")
        check_parameters(self.get_params(deep=False))
        rows = read_rows(X, self.level_)  # refuses a wrong container at once
        use_one_thread_in_fork()
        encoders = self._tuned_encoders
        if encoders:
            features = NodeFeatures(self.graph_config_, (), lambda: encoders[0], trained=True)
        else:
            features = replace(self._fitted_node_features(), graph_config=self.graph_config_)
            encoders = [] if features.embed else [features.make_encoder()]
        device = resolve_device(self.device)
        return predict(rows, self.networks_, encoders, features, self.batch_size, device)

    def _all(self, X: Any, convert: Callable[[np.ndarray], Any]) -> Any:
        """What `convert` makes of the outputs of all rows, or the first error."""
        collected = [unwrap(row) for row in self._outputs(X)]
        shape = (-1, len(self.networks_), self.networks_[0].config.n_outputs)
        return convert(np.array(collected, dtype=np.float64).reshape(shape))

    def _each(self, X: Any, convert: Callable[[np.ndarray], Any]) -> Iterator[Any | StructureError]:
        """What `convert` makes of the outputs of each row alone, or its error."""
        return (
            row if isinstance(row, StructureError) else convert(row.astype(np.float64)[None])
            for row in self._outputs(X)
        )
