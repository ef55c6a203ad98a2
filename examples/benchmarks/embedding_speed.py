"""Speed of embeddings: against a neighbour search, the orbital field matrix and a grid search."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from matminer.featurizers.structure import OrbitalFieldMatrix
from pymatgen.core import Structure
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssatom import GraphEmbeddingFeaturizer, graph_embeddings
from ssatom.embeddings import clear_cache

_LAYERS = ["0", "1", "2", "3", "4", "5", "01", "012", "0123", "01234", "012345"]
_SCORE = "neg_mean_absolute_error"
_N_OFM = 100  # rows for the orbital field matrix, which takes a third of a second each


def shortest_time(call: Callable[[], Any], repeats: int = 1) -> float:
    """Shortest time of several calls, s."""
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

    return shortest_time(embed, repeats)


def embedding_speed(structures: Sequence[Structure]) -> dict[str, float]:
    """Embeddings against a bare 8 Å neighbour search by pymatgen, on the same structures."""
    graph_embeddings(structures[:200])  # loads the libraries and the weights
    ours, search = [], []
    for _ in range(3):  # in turn, so that other load on the machine slows both
        search.append(shortest_time(lambda: [s.get_neighbor_list(8.0) for s in structures]))
        ours.append(_cold_embedding(structures))
    per_structure = 1000 / len(structures)
    return {
        "embedding_ms_per_structure": min(ours) * per_structure,
        "neighbor_search_ms_per_structure": min(search) * per_structure,
        "embedding_over_neighbor_search": min(ours) / min(search),
    }


def ofm_speed(structures: Sequence[Structure]) -> dict[str, float]:
    """matminer's orbital field matrix, which uses one core, against our embeddings."""
    few = list(structures[:: max(1, len(structures) // _N_OFM)])[:_N_OFM]
    all_cores = _cold_embedding(structures, repeats=2) / len(structures)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours = _cold_embedding(structures, repeats=2) / len(structures)
    finally:
        torch.set_num_threads(threads)
    matrix = OrbitalFieldMatrix()
    ofm = shortest_time(lambda: [matrix.featurize(s) for s in few]) / len(few)
    return {
        "ofm_ms_per_structure": ofm * 1000,
        "embedding_one_core_ms_per_structure": ours * 1000,
        "ofm_over_embedding": ofm / all_cores,
        "ofm_over_embedding_one_core": ofm / ours,
    }


def single_speed(structures: Sequence[Structure]) -> dict[str, float]:
    """One new structure at a time, with weights that are loaded and prepared; the median."""
    first, *few = structures[:201]
    clear_cache()
    graph_embeddings([first], "012")
    times = [shortest_time(lambda s=s: graph_embeddings([s], "012")) for s in few]
    return {"single_structure_ms": float(np.median(times)) * 1000}


def grid_search_speed(structures: Sequence[Structure]) -> dict[str, float]:
    """Featurizing of a search over layer settings, against one transform."""
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
    """Adds up the time spent in `GraphEmbeddingFeaturizer.transform` within a with block."""

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


MEASUREMENTS: tuple[Callable[[Sequence[Structure]], dict[str, float]], ...] = (
    embedding_speed,
    ofm_speed,
    single_speed,
    grid_search_speed,
)
