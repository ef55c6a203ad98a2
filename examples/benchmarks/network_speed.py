"""Speed of the networks: predictions, and an epoch of training against PyTorch Geometric."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from pymatgen.core import Structure
from ssatom.evaluation._plain_cgcnn import PlainCGCNN, PlainTraining, plain_graphs

from ssatom.elements import atomic_features
from ssatom.estimators import CGCNNRegressor, NEGNNRegressor
from ssatom.estimators._data import split
from ssatom.estimators._module import PropertyModule
from ssatom.graph import CrystalGraphConverter
from ssatom.structures import structure_key

_ROUNDS = 3
_WARM_EPOCH = 1  # of epochs counted from 0; memory and threads are there by then
_N_FIT = 200  # structures to fit on; how many does not change the rate of predictions

Numbers = dict[str, Any]


def _log_volumes(structures: Sequence[Structure]) -> np.ndarray:
    """Something to learn that every structure has."""
    return np.log([structure.volume / len(structure) for structure in structures])


def prediction_speed(structures: Sequence[Structure]) -> Numbers:
    """Structures a second of a fitted NEGNN, read from a generator, none of them seen before."""
    few = structures[:_N_FIT]
    model = NEGNNRegressor(max_epochs=1, random_state=0).fit(few, _log_volumes(few))
    seconds = []
    for round_ in range(_ROUNDS):
        # Other cells each time: neither graphs nor embeddings can come from a cache.
        new = [s.copy().apply_strain(1e-4 * (1 + round_)) for s in structures]
        start = time.perf_counter()
        for _ in model.iter_predict(s for s in new):
            pass
        seconds.append(time.perf_counter() - start)
    return {"prediction_structures_per_s": len(structures) / min(seconds)}


class EpochTimes:
    """Notes when epochs of the estimators start while it is entered."""

    def __enter__(self) -> EpochTimes:
        self.starts: list[float] = []
        self.original = original = PropertyModule.on_train_epoch_start

        def noted(module: PropertyModule) -> None:
            self.starts.append(time.perf_counter())
            original(module)

        PropertyModule.on_train_epoch_start = noted  # type: ignore[assignment, method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        PropertyModule.on_train_epoch_start = self.original  # type: ignore[method-assign]

    def seconds(self, epoch: int) -> float:
        """From the start of an epoch to that of the next: validation and all else included."""
        return self.starts[epoch + 1] - self.starts[epoch]


def _our_epoch(structures: Sequence[Structure], y: np.ndarray, precision: str) -> float:
    """Seconds of a warm epoch of CGCNNRegressor, as `fit` runs it."""
    model = CGCNNRegressor(
        max_epochs=_WARM_EPOCH + 2, patience=None, precision=precision, device="cpu", random_state=0
    )
    with EpochTimes() as times:
        model.fit(structures, y)
    return times.seconds(_WARM_EPOCH)


def _plain_training(structures: Sequence[Structure], y: np.ndarray) -> PlainTraining:
    """A plain CGCNN of the same sizes, on the same graphs, with as many held back at random."""
    model = CGCNNRegressor()
    keys = [structure_key(structure) for structure in structures]
    train, held = split(keys, model.validation_fraction, seed=0)
    graphs = CrystalGraphConverter().convert(structures)
    data = plain_graphs(graphs, ((y - y.mean()) / y.std()).astype(np.float32))
    network = PlainCGCNN(
        atomic_features().shape[1],
        data[0].edge_attr.shape[1],
        model.hidden_dim,
        model.n_conv,
        model.n_hidden,
    )
    return PlainTraining(
        network, [data[i] for i in train], [data[i] for i in held], model.batch_size
    )


def training_speed(structures: Sequence[Structure]) -> Numbers:
    """An epoch of CGCNN, in two precisions of the edges, against a plain one, on the CPU."""
    y = _log_volumes(structures)
    runs: dict[str, Callable[[], float]] = {
        "training_epoch_s": lambda: _our_epoch(structures, y, "auto"),
        "training_epoch_float32_s": lambda: _our_epoch(structures, y, "float32"),
    }
    has_geometric = find_spec("torch_geometric") is not None
    if has_geometric:
        plain = _plain_training(structures, y)
        plain.epoch()  # warm, as ours are
        runs["torch_geometric_epoch_s"] = lambda: _seconds(plain.epoch)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(_ROUNDS):  # in turn, so that a busy moment of the machine hits all
        for name, run in runs.items():
            times[name].append(run())
    best: Numbers = {name: min(values) for name, values in times.items()}
    return best | _ratios(best)


def _ratios(seconds: Numbers) -> Numbers:
    plain = seconds.get("torch_geometric_epoch_s")
    if plain is None:
        return {
            "torch_geometric": "not installed: no ratio; pip install torch_geometric",
            "torch_geometric_epoch_s": None,
            "torch_geometric_over_training": None,
            "torch_geometric_over_training_float32": None,
        }
    from torch_geometric import __version__

    return {
        "torch_geometric": __version__,
        "torch_geometric_over_training": plain / seconds["training_epoch_s"],
        "torch_geometric_over_training_float32": plain / seconds["training_epoch_float32_s"],
    }


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
