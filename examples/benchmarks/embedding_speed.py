"""Speed, as ratios taken in one run on one machine, so that anyone can repeat them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matminer.featurizers.structure import OrbitalFieldMatrix
from pymatgen.core import Structure
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from ssatom.evaluation._benchmark_networks import prediction_speed, training_speed

import ssatom
from ssatom.corpora import load_example_crystals, read_structures
from ssatom.embeddings import clear_cache, graph_embeddings, resolve_weights
from ssatom.featurizers import GraphEmbeddingFeaturizer
from ssatom.pretraining import MaskedPretrainer

_LAYERS = ["0", "1", "2", "3", "4", "5", "01", "012", "0123", "01234", "012345"]
_SCORE = "neg_mean_absolute_error"
_N_OFM = 100  # rows for the orbital field matrix, which takes a third of a second each


def _seconds(call: Callable[[], Any], repeats: int = 1) -> float:
    """Shortest time of several calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def _cold_embedding(structures: Sequence[Structure], repeats: int = 1) -> float:
    def embed() -> None:
        clear_cache()
        graph_embeddings(structures, layers="012")

    return _seconds(embed, repeats)


def _embedding(structures: Sequence[Structure]) -> dict[str, float]:
    """Embeddings against a bare 8 Å neighbour search by pymatgen, on the same structures."""
    graph_embeddings(structures[:200])  # libraries load, memory is there
    ours, search = [], []
    for _ in range(3):  # in turn, so that a busy moment of the machine hits both
        search.append(_seconds(lambda: [s.get_neighbor_list(8.0) for s in structures]))
        ours.append(_cold_embedding(structures))
    per_structure = 1000 / len(structures)
    return {
        "embedding_ms_per_structure": min(ours) * per_structure,
        "neighbor_search_ms_per_structure": min(search) * per_structure,
        "embedding_over_neighbor_search": min(ours) / min(search),
    }


def _orbital_field_matrix(structures: Sequence[Structure]) -> dict[str, float]:
    """matminer's orbital field matrix, which uses one core, against our embeddings."""
    few = list(structures[:: max(1, len(structures) // _N_OFM)])[:_N_OFM]
    as_it_is = _cold_embedding(structures, repeats=2) / len(structures)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours = _cold_embedding(structures, repeats=2) / len(structures)
    finally:
        torch.set_num_threads(threads)
    matrix = OrbitalFieldMatrix()
    ofm = _seconds(lambda: [matrix.featurize(s) for s in few]) / len(few)
    return {
        "ofm_ms_per_structure": ofm * 1000,
        "embedding_one_core_ms_per_structure": ours * 1000,
        "ofm_over_embedding": ofm / as_it_is,
        "ofm_over_embedding_one_core": ofm / ours,
    }


def _single(structures: Sequence[Structure]) -> dict[str, float]:
    """One structure at a time in a warm process; the median."""
    few = list(structures[:200])
    times = [_cold_embedding([s]) for s in few]
    return {"single_structure_ms": float(np.median(times)) * 1000}


def _grid_search(structures: Sequence[Structure]) -> dict[str, float]:
    """A search over layer settings against one transform: what is computed again?"""
    few = list(structures[:1000])
    y = np.array([np.log(s.volume / len(s)) for s in few])
    transform = _cold_embedding(few)
    pipeline = make_pipeline(
        GraphEmbeddingFeaturizer(), StandardScaler(), KernelRidge(kernel="laplacian")
    )
    grid = {"graphembeddingfeaturizer__layers": _LAYERS}
    clear_cache()
    timed = _TimedFeaturizing()
    with timed:
        GridSearchCV(pipeline, grid, cv=5, refit=False, scoring=_SCORE).fit(few, y)
    return {
        "grid_search_featurizing_s": timed.seconds,
        "one_transform_s": transform,
        "grid_search_over_transform": timed.seconds / transform,
    }


class _TimedFeaturizing:
    """Adds up the time spent in `GraphEmbeddingFeaturizer.transform` while it is entered."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> _TimedFeaturizing:
        self.original = original = GraphEmbeddingFeaturizer.transform

        def transform(featurizer: GraphEmbeddingFeaturizer, structures: Any) -> Any:
            start = time.perf_counter()
            try:
                return original(featurizer, structures)
            finally:
                self.seconds += time.perf_counter() - start

        GraphEmbeddingFeaturizer.transform = transform  # type: ignore[assignment, method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        GraphEmbeddingFeaturizer.transform = self.original  # type: ignore[method-assign]


def _pretraining(structures: Sequence[Structure]) -> dict[str, float | str]:
    """Structures a second of a training epoch, the first one left out as a warm-up."""
    pretrainer = MaskedPretrainer(max_epochs=1, progress_bar=False)
    pretrainer.fit(structures)
    warm = pretrainer.seconds_
    n_epochs = 4
    pretrainer = MaskedPretrainer(max_epochs=1 + n_epochs, progress_bar=False).fit(structures)
    return {
        "pretraining_structures_per_s": len(structures) * n_epochs / (pretrainer.seconds_ - warm),
        "pretraining_precision": pretrainer.precision_,
    }


def run_benchmark(
    data: str | Path | None = None, corpus: str | Path | None = None, n_structures: int = 2000
) -> dict[str, Any]:
    """Time the package against known routines on the same structures.

    Parameters
    ----------
    data : path, default=None
        Structures to featurize, anything `read_structures` takes; None for the examples.
    corpus : path, default=None
        Structures to pretrain on; None for those of `data`.
    n_structures : int, default=2000
        Rows used of each; the example crystals are repeated with strained cells as needed.

    Returns
    -------
    dict
        Times, ratios, and what they were taken on. Where torch_geometric is not installed, the
        ratios to it are None and ``torch_geometric`` says so.

    Examples
    --------
    >>> from ssatom.evaluation import run_benchmark
    >>> results = run_benchmark(n_structures=8)
    >>> results["n_structures"]
    8
    """
    structures = _first(data, n_structures)
    results: dict[str, Any] = {
        "ssatom": ssatom.__version__,
        "weights": resolve_weights().name,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "data": "example crystals" if data is None else Path(data).name,
        "n_structures": len(structures),
        "sites_per_structure": float(np.mean([len(s) for s in structures])),
    }
    for measure in (_embedding, _orbital_field_matrix, _single, _grid_search):
        results |= measure(structures)
    clear_cache()
    results |= prediction_speed(structures) | training_speed(structures)
    return results | _pretraining(structures if corpus is None else _first(corpus, n_structures))


def _first(path: str | Path | None, n_structures: int) -> list[Structure]:
    if path is not None:
        records = read_structures(path, errors="keep")
        usable = (r.structure for r in records if isinstance(r.structure, Structure))
        return list(islice(usable, n_structures))
    examples = list(load_example_crystals()["structure"])
    repeats = -(-n_structures // len(examples))
    strained = (s.copy().apply_strain(0.002 * i) for i in range(repeats) for s in examples)
    return list(islice(strained, n_structures))
