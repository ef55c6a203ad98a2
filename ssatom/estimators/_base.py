"""What all estimators share: reading rows, training members, predicting."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ssatom.devices import edge_precision, resolve_device, use_one_thread_in_fork
from ssatom.embeddings.graphs import convert
from ssatom.estimators._data import Row, TrainingData, group_by_crystal, read_rows
from ssatom.estimators._divergence import tell_of_diverged, worse_than_mean
from ssatom.estimators._module import Optimisation, PropertyModule, RowFunction
from ssatom.estimators._nodes import NodePlan
from ssatom.estimators._parameters import check_parameters
from ssatom.estimators._predict import Predictor
from ssatom.exceptions import ParameterError, StructureError
from ssatom.graph import GaussianDistanceBasis
from ssatom.negnn import NEGNN, NEGNNConfig
from ssatom.repeatable import DrawFrom
from ssatom.splits import hold_back
from ssatom.structures import structure_key
from ssatom.training import VALIDATION_LOSS, BatchLoader, TrainingConfig, train

MIN_STRUCTURES = 4
"""Fewer can neither be trained on nor held back."""

_STEPS, _SMALL_BATCH = 8, 8  # steps of an epoch at least, in batches of at least so many
_STATISTICS = 1000  # crystals whose node vectors settle shift and scale


class CrystalEstimator(BaseEstimator):
    """Base of the estimators.

    A subclass stores its arguments in ``__init__``, says where node vectors come from and turns
    targets into what the network learns, and its outputs into what people asked for.
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
    def _node_plan(self) -> NodePlan:
        """Where node vectors come from; refuses parameters that are not allowed."""

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

    def _fit(
        self,
        X: Any,
        targets: np.ndarray,
        weights: np.ndarray,
        n_outputs: int,
        loss: RowFunction,
        metric: tuple[str, RowFunction],
        *,
        stratify: bool = False,
    ) -> None:
        use_one_thread_in_fork()
        plan = self._node_plan()
        data, sample = self._training_data(X, targets, weights, plan)
        device = resolve_device(self.device)
        settings = self._optimisation(edge_precision(self.precision, device))
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=self.n_members)
        classes = data.targets_of_crystals() if stratify else None
        started = time.monotonic()
        networks, sources, histories, worse = [], [], [], []
        for member, seed in enumerate(seeds.tolist()):
            with DrawFrom(seed):
                network = NEGNN(self._network_config(plan, n_outputs))
            if sample is not None:
                network.standardise(sample, plan.widths)
            source = None if data.nodes is not None else plan.make_source()
            basis = GaussianDistanceBasis(plan.graph_config)
            module = PropertyModule(network, source, basis, loss, metric, settings)
            rows = hold_back(data.keys, self.validation_fraction, seed, classes)
            budget = self._budget(started, self.n_members - member)
            history, times = self._train(module, data, rows, device, seed, budget)
            histories.append(history)
            worse.append(times)
            networks.append(network.cpu().eval().requires_grad_(False))
            if plan.trained and source is not None:
                sources.append(source.cpu().eval().requires_grad_(False))
        self.history_: pd.DataFrame = pd.concat(
            [history.assign(member=i) for i, history in enumerate(histories)], ignore_index=True
        )
        self.best_epochs_ = [_best_epoch(history) for history in histories]
        for name, value in plan.fitted.items():  # only now: a refused fit changes nothing
            setattr(self, name, value)
        self.__dict__.pop("target_names_", None)  # those of a loaded model's targets
        self.n_structures_ = len(data)
        self.level_ = self.level
        self.graph_config_ = plan.graph_config
        self.precision_ = str(settings.edge_dtype).removeprefix("torch.")
        self.seconds_ = time.monotonic() - started
        self._tuned_sources = sources
        self.networks_: list[NEGNN] = networks
        tell_of_diverged(worse, self.learning_rate, self.gradient_clip)

    def _train(
        self,
        module: PropertyModule,
        data: TrainingData,
        rows: tuple[np.ndarray, np.ndarray],
        device: str,
        seed: int,
        time_budget: float | None,
    ) -> tuple[pd.DataFrame, float | None]:
        """History, and how many times worse than the mean the network is, if it is."""
        # A few crystals in one step an epoch would learn next to nothing.
        batch_size = min(self.batch_size, max(_SMALL_BATCH, len(rows[0]) // _STEPS))
        train_loader, validation_loader = (
            BatchLoader(
                data.batch,
                chosen,
                # Equal batches: a last one of a few crystals would be mostly noise.
                -(-len(chosen) // -(-len(chosen) // size)),
                shuffle=shuffle,
                seed=seed,
            )
            for chosen, size, shuffle in zip(
                rows, (batch_size, self.batch_size), (True, False), strict=True
            )
        )
        config = TrainingConfig(
            max_epochs=self.max_epochs,
            patience=self.patience,
            time_budget=time_budget,
            gradient_clip=self.gradient_clip,
            device=device,
            random_state=seed,
            progress_bar=self.progress_bar,
        )
        history = train(module, train_loader, validation_loader, config)
        if not np.isfinite(history[VALIDATION_LOSS].min()):
            raise ParameterError(
                f"training diverged at learning_rate={self.learning_rate!r}: the validation loss "
                "was never finite; give a lower learning_rate or a gradient_clip"
            )
        return history, worse_than_mean(history, module, data, rows, len(train_loader))

    def _training_data(
        self, X: Any, targets: np.ndarray, weights: np.ndarray, plan: NodePlan
    ) -> tuple[TrainingData, torch.Tensor | None]:
        """Data to train on, and node vectors from which to take shift and scale."""
        rows = self._read(X, len(targets))
        kept = np.flatnonzero(weights)  # a weight of 0 leaves its row out
        groups = group_by_crystal([rows[i] for i in kept])
        self._refuse_few(len(groups))
        first = [int(kept[group[0]]) for group in groups]
        arrays = [rows[i].arrays for i in first]
        graphs, errors = convert(arrays, first, plan.graph_config)
        for error in errors.values():
            raise error
        order = kept[np.concatenate(groups)]
        sites = [rows[i].site for i in order]
        data = TrainingData(
            graphs,
            [structure_key(crystal) for crystal in arrays],
            np.array([len(group) for group in groups]),
            None if self.level == "structure" else np.array(sites, dtype=np.int64),
            targets[order],
            (weights[order] / weights[order].mean()).astype(np.float32),
        )
        if plan.vectors is None:
            return data, None
        step = 1 + (len(arrays) - 1) // _STATISTICS
        if plan.trained:
            sampled = list(plan.vectors(arrays[::step], first[::step]))
            return data, torch.from_numpy(np.concatenate(sampled))
        data.nodes = np.empty((graphs.n_sites, plan.node_dim), dtype=np.float32)
        end = 0
        for vectors in plan.vectors(arrays, first):
            data.nodes[end : end + len(vectors)] = vectors
            end += len(vectors)
        return data, data.batch(np.arange(0, len(arrays), step)).nodes

    def _read(self, X: Any, n_targets: int) -> list[Row]:
        # The container is looked at before its length: a Structure has a length too.
        source = read_rows(X, self.level)
        if hasattr(X, "__len__") and len(X) != n_targets:
            self._refuse_lengths(len(X), n_targets)
        rows: list[Row] = []
        for row in source:
            if isinstance(row, StructureError):
                raise row
            rows.append(row)
        if len(rows) != n_targets:
            self._refuse_lengths(len(rows), n_targets)
        return rows

    def _refuse_lengths(self, n_rows: int, n_targets: int) -> None:
        raise ParameterError(
            f"X has {n_rows} {self.level}s and y has {n_targets} rows; give one target for each "
            f"{self.level}"
        )

    def _refuse_few(self, n_structures: int) -> None:
        if n_structures < MIN_STRUCTURES:
            raise ParameterError(
                f"{n_structures} different structures are too few to train on and to hold some "
                f"back; give at least {MIN_STRUCTURES}, and 20 or more to learn anything"
            )

    def _network_config(self, plan: NodePlan, n_outputs: int) -> NEGNNConfig:
        return NEGNNConfig(
            node_dim=plan.node_dim,
            edge_dim=plan.graph_config.edge_dim,
            hidden_dim=self.hidden_dim,
            n_conv=self.n_conv,
            n_hidden=self.n_hidden,
            n_outputs=n_outputs,
            dropout=self.dropout,
        )

    def _optimisation(self, edge_dtype: torch.dtype) -> Optimisation:
        tuned = getattr(self, "encoder_learning_rate", None)
        return Optimisation(
            learning_rate=self.learning_rate,
            encoder_learning_rate=0.1 * self.learning_rate if tuned is None else tuned,
            schedule=self.learning_rate_schedule,
            weight_decay=self.weight_decay,
            max_epochs=self.max_epochs,
            patience=self.patience,
            edge_dtype=edge_dtype,
        )

    def _budget(self, started: float, n_left: int) -> float | None:
        if self.time_budget is None:
            return None
        left = self.time_budget - (time.monotonic() - started)
        return max(left, 0.001) / n_left

    def _check_parameters(self) -> None:
        check_parameters(self.get_params(deep=False))

    # Prediction

    def _outputs(self, X: Any) -> Iterator[np.ndarray | StructureError]:
        """Outputs of each row, shape (n_members, n_outputs), or its error."""
        check_is_fitted(self, "networks_")
        self._check_parameters()
        rows = read_rows(X, self.level_)  # refuses a wrong container at once
        use_one_thread_in_fork()
        sources, vectors = self._tuned_sources, None
        if not sources:
            plan = self._fitted_plan()
            vectors = plan.vectors
            sources = [] if vectors else [plan.make_source()]
        predictor = Predictor(
            self.networks_,
            sources,
            vectors,
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

    @abstractmethod
    def _fitted_plan(self) -> NodePlan:
        """Where node vectors came from in fitting, if what makes them was not trained."""


def _best_epoch(history: pd.DataFrame) -> int:
    return int(history["epoch"].iloc[int(history[VALIDATION_LOSS].argmin(skipna=True))])
