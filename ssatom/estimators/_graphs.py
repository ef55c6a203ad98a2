"""Graphs of crystals, each made once in a process: folds and grids meet the same ones again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ssatom.embeddings.cache import MemoryCache
from ssatom.exceptions import StructureError, attempt
from ssatom.graph import CrystalGraphConverter, CrystalGraphs, GraphConfig, GraphRemarks
from ssatom.structures import StructureArrays, structure_key

MAX_BYTES = 256 * 2**20
"""Bound of the process-wide cache of graphs."""

_PER_SITE = ("numbers", "neighbor_counts")
_PER_EDGE = ("neighbors", "distances", "edge_weights")
_FIELDS = ("numbers", "site_counts", "neighbor_counts", *_PER_EDGE)  # of CrystalGraphs, in order

_ARRAY_OVERHEAD = 120  # bytes of an array besides its numbers

_Parts = tuple[np.ndarray, ...]  # of one graph, in the order of the fields of CrystalGraphs


class _Graph(NamedTuple):
    """One graph as it is kept, with what is odd about it."""

    parts: _Parts
    remarks: tuple[str, ...]


def _size(graph: _Graph) -> int:
    return sum(part.nbytes + _ARRAY_OVERHEAD for part in graph.parts)


_CACHE: MemoryCache[_Graph] = MemoryCache(MAX_BYTES, _size)


def convert(
    rows: Sequence[StructureArrays], indices: Sequence[int], config: GraphConfig
) -> tuple[CrystalGraphs, dict[int, StructureError]]:
    """Graphs of structures, from the cache where they are known.

    Parameters
    ----------
    rows : sequence of StructureArrays
        The structures.
    indices : sequence of int
        Their places in the caller's list, for messages.
    config : GraphConfig
        Settings of the graphs.

    Returns
    -------
    graphs : CrystalGraphs
        One graph for each row that is not bad.
    errors : dict of int to StructureError
        Why there is none, by position in `rows`.
    """
    converter = CrystalGraphConverter(config)
    keys = [(structure_key(row), config) for row in rows]
    found = {key: graph for key in keys if (graph := _CACHE.get(key)) is not None}
    errors: dict[int, StructureError] = {}
    new: dict[tuple, StructureArrays] = {}
    candidates, remarks = [], []
    for i, (key, row) in enumerate(zip(keys, rows, strict=True)):
        if key in found or key in new:
            continue
        pairs = attempt(converter.candidates, row, row=indices[i])
        if isinstance(pairs, StructureError):
            errors[i] = pairs
            continue
        candidates.append(pairs)
        remarks.append(converter.remarks(row, pairs))
        new[key] = row
    if new:
        graphs = converter.assemble(list(new.values()), candidates)
        for key, graph in zip(new, map(_Graph, _split(graphs), remarks), strict=True):
            _CACHE.put(key, graph)
            found[key] = graph
    good = [i for i in range(len(keys)) if i not in errors]
    told = GraphRemarks()
    for i in good:
        told.note(indices[i], found[keys[i]].remarks)
    told.warn()
    return _join([found[keys[i]].parts for i in good]), errors


def _split(graphs: CrystalGraphs) -> list[_Parts]:
    site_ends = np.cumsum(graphs.site_counts, dtype=np.int64)
    edge_ends = np.cumsum(graphs.neighbor_counts, dtype=np.int64)[site_ends - 1]
    parts = []
    site, edge = 0, 0
    for i, (site_end, edge_end) in enumerate(zip(site_ends, edge_ends, strict=True)):
        ranges = {"site_counts": slice(i, i + 1)}
        ranges |= dict.fromkeys(_PER_SITE, slice(site, site_end))
        ranges |= dict.fromkeys(_PER_EDGE, slice(edge, edge_end))
        parts.append(tuple(getattr(graphs, name)[ranges[name]].copy() for name in _FIELDS))
        site, edge = int(site_end), int(edge_end)
    return parts


def _join(parts: Sequence[_Parts]) -> CrystalGraphs:
    if not parts:
        return CrystalGraphConverter().assemble([], [])
    return CrystalGraphs(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
