"""Speed of the networks: predictions, pretraining, and training against PyTorch Geometric."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from pymatgen.core import Structure
from sklearn.model_selection import train_test_split

from plain_cgcnn import PlainCGCNN, PlainTraining, plain_graphs
from ssatom import CGCNNRegressor, CrystalGraphConverter, MaskedPretrainer, NEGNNRegressor
from ssatom.elements import atomic_features

_ROUNDS = 3
_EPOCHS = 4  # timed, after a first one that allocates memory
_N_FIT = 200  # structures to fit on; their number does not change the rate of predictions

Numbers = dict[str, Any]


def _log_volumes(structures: Sequence[Structure]) -> np.ndarray:
    """A target that every structure has."""
    return np.log([structure.volume / len(structure) for structure in structures])


def prediction_speed(structures: Sequence[Structure]) -> Numbers:
    """Structures a second of a fitted NEGNN, read from a generator, none of them seen before."""
    few = structures[:_N_FIT]
    model = NEGNNRegressor(max_epochs=1, random_state=0).fit(few, _log_volumes(few))
    seconds = []
    for round_ in range(_ROUNDS):
        # New cells each time, so that neither graphs nor embeddings come from a cache.
        new = [s.copy().apply_strain(1e-4 * (1 + round_)) for s in structures]
        start = time.perf_counter()
        for _ in model.iter_predict(s for s in new):
            pass
        seconds.append(time.perf_counter() - start)
    return {"prediction_structures_per_s": len(structures) / min(seconds)}


def _fit_seconds(
    structures: Sequence[Structure], y: np.ndarray, precision: str, n_epochs: int
) -> float:
    """Seconds of a fit of CGCNNRegressor."""
    model = CGCNNRegressor(
        max_epochs=n_epochs, patience=None, precision=precision, device="cpu", random_state=0
    )
    return model.fit(structures, y).seconds_


def _plain_training(structures: Sequence[Structure], y: np.ndarray) -> PlainTraining:
    """A plain CGCNN of the same sizes, on the same graphs, with as many validation structures."""
    model = CGCNNRegressor()
    train, validation = train_test_split(
        range(len(structures)), test_size=model.validation_fraction, random_state=0
    )
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
        network, [data[i] for i in train], [data[i] for i in validation], model.batch_size
    )


def training_speed(structures: Sequence[Structure]) -> Numbers:
    """An epoch of CGCNN, in two precisions of the edges, against a plain one, on the CPU.

    Ours is the difference between fits of five epochs and of one, shared between four.
    """
    y = _log_volumes(structures)
    runs: dict[tuple[str, int], Callable[[], float]] = {
        (name, n_epochs): partial(_fit_seconds, structures, y, precision, n_epochs)
        for name, precision in (
            ("training_epoch_s", "auto"),
            ("training_epoch_float32_s", "float32"),
        )
        for n_epochs in (1, 1 + _EPOCHS)
    }
    if find_spec("torch_geometric") is not None:
        plain = _plain_training(structures, y)
        plain.epoch()  # the first epoch is not timed, as for ours
        runs["torch_geometric_epoch_s", 1] = lambda: _seconds(plain.epoch)
    times: dict[tuple[str, int], list[float]] = {run: [] for run in runs}
    for _ in range(_ROUNDS):  # in turn, so that other load on the machine slows all
        for run, timed in runs.items():
            times[run].append(timed())
    shortest = {run: min(seconds) for run, seconds in times.items()}
    epochs = {name: seconds for (name, n), seconds in shortest.items() if n == 1}
    for name in ("training_epoch_s", "training_epoch_float32_s"):
        epochs[name] = (shortest[name, 1 + _EPOCHS] - shortest[name, 1]) / _EPOCHS
    return epochs | _ratios(epochs)


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


def pretraining_speed(structures: Sequence[Structure]) -> Numbers:
    """Structures per second of pretraining, without the first epoch."""
    first = MaskedPretrainer(max_epochs=1, progress_bar=False).fit(structures)
    more = MaskedPretrainer(max_epochs=1 + _EPOCHS, progress_bar=False).fit(structures)
    seconds = more.seconds_ - first.seconds_
    return {
        "pretraining_structures_per_s": len(structures) * _EPOCHS / seconds,
        "pretraining_precision": more.recipe_["precision"],
    }


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
