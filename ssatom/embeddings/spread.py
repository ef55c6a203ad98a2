"""Columns that are nearly constant, which a scaler cannot divide by."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ssatom.embeddings.pooling import POOLINGS, pool
from ssatom.embeddings.states import SiteStates
from ssatom.graph import CrystalGraphs
from ssatom.weights import PretrainedEncoder

MAX_REACH = 30.0
"""Largest range of a column, in units of the range of its middle 80 %."""

MAX_REACH_OF_MIN = 6.0
"""The same for a minimum over sites, which is near zero in most crystals and not in a few."""

_MIN_STRUCTURES = 100  # fewer tell constant columns alone
_MAX_STRUCTURES = 5000  # judged, drawn at random; more tell nothing new
_BATCH = 64


def near_constant_columns(
    weights: PretrainedEncoder, graphs: CrystalGraphs
) -> dict[str, list[int]]:
    """Columns that are nearly constant over some thousands of ordinary crystals, by pooling.

    A column that differs from zero in few crystals, such as the minimum over sites of a unit after
    ReLU, has next to no standard deviation over most small data sets, so that a scaler makes one
    unusual crystal thousands of standard deviations large. Columns are counted as
    `PretrainedEncoder.columns` does; the pooling "sites" stands for the sites themselves. A sum
    over sites grows with the cell and is not judged. Of more crystals, 5,000 are drawn at random.
    """
    if len(graphs) > _MAX_STRUCTURES:
        drawn = np.random.default_rng(0).choice(len(graphs), _MAX_STRUCTURES, replace=False)
        graphs = graphs.select(np.sort(drawn))
    poolings = tuple(name for name in POOLINGS if name != "sum")
    blocks = list(_states(weights, graphs, poolings))
    by_pooling = {"sites": np.concatenate([sites for sites, _ in blocks])}
    pooled = np.concatenate([rows for _, rows in blocks])
    by_pooling |= {name: pooled[:, i] for i, name in enumerate(poolings)}
    many = len(graphs) >= _MIN_STRUCTURES
    found = {
        name: _near_constant(rows, many, MAX_REACH_OF_MIN if name == "min" else MAX_REACH)
        for name, rows in by_pooling.items()
    }
    return {name: columns for name, columns in found.items() if columns}


def _states(
    weights: PretrainedEncoder, graphs: CrystalGraphs, poolings: tuple[str, ...]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    compute = SiteStates(weights)
    for start in range(0, len(graphs), _BATCH):
        part = graphs.select(np.arange(start, min(start + _BATCH, len(graphs))))
        sites = compute(part)
        yield sites, pool(sites, part.numbers, part.site_counts, poolings)


def _near_constant(rows: np.ndarray, many: bool, most: float) -> list[int]:
    reach = rows.max(axis=0) - rows.min(axis=0)
    middle = reach
    if many:
        low, high = np.quantile(rows, [0.1, 0.9], axis=0)
        middle = high - low
    return np.flatnonzero((reach == 0) | (reach > most * middle)).tolist()
