"""What all estimators share: training of the members, and their outputs."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ssatom.devices import edge_precision, resolve_device, use_one_thread_in_fork
from ssatom.estimators._data import TrainingData, read_rows, read_training_data
from ssatom.estimators._divergence import judge, warn_of_failed
from ssatom.estimators._module import Objective, Optimisation, PropertyModule
from ssatom.estimators._nodes import NodeFeatures
from ssatom.estimators._parameters import check_parameters
from ssatom.estimators._predict import Predictor
from ssatom.exceptions import ParameterError, StructureError
from ssatom.graph import GaussianDistanceBasis
from ssatom.negnn import NEGNN, NEGNNConfig
from ssatom.repeatable import DrawFrom
from ssatom.splits import hold_back
from ssatom.training import VALIDATION_LOSS, BatchLoader, TrainingConfig, train

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
    learning_rate_schedule: str
    weight_decay: float
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
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    @abstractmethod
    def _node_features(self) -> NodeFeatures:
        """Node features by the parameters; refuses those that are not allowed."""

    @abstractmethod
    def _fitted_node_features(self) -> NodeFeatures:
        """Node features as in fitting, if their encoder was not trained."""

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.non_deterministic = self.random_state is None
        return tags

    # Training

    def _fit(self, X: Any, targets: np.ndarray, weights: np.ndarray, objective: Objective) -> None:
        """Train all members and set the attributes of a fitted estimator."""
        use_one_thread_in_fork()
        features = self._node_features()
        data, sample = read_training_data(X, targets, weights, self.level, features)
        settings = self._optimisation()
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=self.n_members)
        classes = data.targets_of_crystals() if objective.stratified else None
        started = time.monotonic()
        members, histories, verdicts = [], [], []
        for member, seed in enumerate(seeds.tolist()):
            with DrawFrom(seed):
                network = NEGNN(self._network_config(features, objective.n_outputs))
            if sample is not None:
                network.standardise(sample, features.widths)
            encoder = features.make_encoder() if data.nodes is None else None
            basis = GaussianDistanceBasis(features.graph_config)
            module = PropertyModule(network, encoder, basis, objective, settings)
            folds = hold_back(data.keys, self.validation_fraction, seed, classes)
            loaders = self._loaders(data, folds, seed)
            history = self._train(module, loaders, seed, self._budget(started, member))
            histories.append(history.assign(member=member))
            module.cpu().eval().requires_grad_(False)
            verdicts.append(judge(module, history, data, folds, len(loaders[0])))
            members.append(module)
        self.history_: pd.DataFrame = pd.concat(histories, ignore_index=True)
        self.best_epochs_ = [_best_epoch(history) for history in histories]
        for name, value in features.fitted.items():  # only now: a refused fit changes nothing
            setattr(self, name, value)
        self.__dict__.pop("target_names_", None)  # those of a loaded model's targets
        self.n_structures_ = len(data)
        self.level_ = self.level
        self.graph_config_ = features.graph_config
        self.precision_ = str(settings.edge_dtype).removeprefix("torch.")
        self.seconds_ = time.monotonic() - started
        self._tuned_encoders = [m.encoder for m in members if m.encoder and features.trained]
        self.networks_: list[NEGNN] = [module.network for module in members]
        warn_of_failed(verdicts, self.learning_rate, self.gradient_clip)

    def _loaders(
        self, data: TrainingData, folds: tuple[np.ndarray, np.ndarray], seed: int
    ) -> tuple[BatchLoader, BatchLoader]:
        """Batches for training and for validation."""
        # A few crystals in one step an epoch would learn next to nothing.
        largest = min(self.batch_size, max(_SMALL_BATCH, len(folds[0]) // _STEPS))
        loaders = []
        for chosen, size, shuffle in zip(
            folds, (largest, self.batch_size), (True, False), strict=True
        ):
            # Equal batches: a last one of a few crystals would be mostly noise.
            equal = math.ceil(len(chosen) / math.ceil(len(chosen) / size))
            loaders.append(BatchLoader(data.batch, chosen, equal, shuffle=shuffle, seed=seed))
        return loaders[0], loaders[1]

    def _train(
        self,
        module: PropertyModule,
        loaders: tuple[BatchLoader, BatchLoader],
        seed: int,
        time_budget: float | None,
    ) -> pd.DataFrame:
        """Train one member; its history."""
        config = TrainingConfig(
            max_epochs=self.max_epochs,
            patience=self.patience,
            time_budget=time_budget,
            gradient_clip=self.gradient_clip,
            device=resolve_device(self.device),
            random_state=seed,
            progress_bar=self.progress_bar,
        )
        history = train(module, *loaders, config)
        if not np.isfinite(history[VALIDATION_LOSS].min()):
            raise ParameterError(
                f"training diverged at learning_rate={self.learning_rate!r}: the validation loss "
                "was never finite; give a lower learning_rate or a gradient_clip"
            )
        return history

    def _network_config(self, features: NodeFeatures, n_outputs: int) -> NEGNNConfig:
        return NEGNNConfig(
            node_dim=features.node_dim,
            edge_dim=features.graph_config.edge_dim,
            hidden_dim=self.hidden_dim,
            n_conv=self.n_conv,
            n_hidden=self.n_hidden,
            n_outputs=n_outputs,
            dropout=self.dropout,
        )

    def _optimisation(self) -> Optimisation:
        rate = self.learning_rate
        return Optimisation(
            learning_rate=rate,
            encoder_learning_rate=getattr(self, "encoder_learning_rate", None) or 0.1 * rate,
            schedule=self.learning_rate_schedule,
            weight_decay=self.weight_decay,
            max_epochs=self.max_epochs,
            patience=self.patience,
            edge_dtype=edge_precision(self.precision, resolve_device(self.device)),
        )

    def _budget(self, started: float, member: int) -> float | None:
        """Seconds for the next member, an equal share of what is left."""
        if self.time_budget is None:
            return None
        left = self.time_budget - (time.monotonic() - started)
        return max(left, 0.001) / (self.n_members - member)

    def _check_parameters(self) -> None:
        check_parameters(self.get_params(deep=False))

    # Prediction

    def _outputs(self, X: Any) -> Iterator[np.ndarray | StructureError]:
        """Outputs of each row, shape (n_members, n_outputs), or its error."""
        check_is_fitted(self, "networks_")
        self._check_parameters()
        rows = read_rows(X, self.level_)  # refuses a wrong container at once
        use_one_thread_in_fork()
        encoders, embed = self._tuned_encoders, None
        if not encoders:
            features = self._fitted_node_features()
            embed = features.embed
            encoders = [] if embed else [features.make_encoder()]
        predictor = Predictor(
            self.networks_,
            encoders,
            embed,
            self.graph_config_,
            self.batch_size,
            resolve_device(self.device),
        )
        return predictor.run(rows)

    def _all_outputs(self, X: Any) -> np.ndarray:
        """Outputs of all rows, shape (n_rows, n_members, n_outputs), or the first error."""
        collected = []
        for row in self._outputs(X):
            if isinstance(row, StructureError):
                raise row
            collected.append(row)
        shape = (len(self.networks_), self.networks_[0].config.n_outputs)
        return np.array(collected, dtype=np.float64).reshape(-1, *shape)


def _best_epoch(history: pd.DataFrame) -> int:
    return int(history["epoch"].iloc[int(history[VALIDATION_LOSS].argmin(skipna=True))])
