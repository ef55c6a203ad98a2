"""Graphs of crystals, each made once in a process: embeddings, folds and grids share them."""

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
_PER_EDGE = ("neighbors", "distances", "edge_weights", "directions")
_FIELDS = ("numbers", "site_counts", "neighbor_counts", *_PER_EDGE)  # of CrystalGraphs, in order

_ARRAY_OVERHEAD = 120  # bytes of an array besides its numbers

_Parts = tuple[np.ndarray | None, ...]  # of one graph, in the order of the fields of CrystalGraphs


class CachedGraph(NamedTuple):
    """One graph as it is kept, with what is odd about it."""

    parts: _Parts
    remarks: tuple[str, ...]

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        neighbors = self.parts[_FIELDS.index("neighbors")]
        assert neighbors is not None
        return len(neighbors)


def _size(graph: CachedGraph) -> int:
    return sum(part.nbytes + _ARRAY_OVERHEAD for part in graph.parts if part is not None)


_CACHE: MemoryCache[CachedGraph] = MemoryCache(MAX_BYTES, _size)


def cached_graph(row: StructureArrays, config: GraphConfig) -> CachedGraph | None:
    """The graph of a structure, if it was made before."""
    return _CACHE.get((structure_key(row), config))


def clear_graphs() -> None:
    """Forget all graphs kept in this process."""
    _CACHE.clear()


def find_graphs(
    rows: Sequence[StructureArrays],
    indices: Sequence[int],
    config: GraphConfig,
    remarks: GraphRemarks | None = None,
) -> list[CachedGraph | StructureError]:
    """A graph for each structure, from the cache where it is known, or why there is none.

    `indices` are the places of the structures in the caller's list, for messages. What is odd about
    graphs is noted in `remarks`; a GraphWarning tells it where they are None.
    """
    converter = CrystalGraphConverter(config)
    keys = [(structure_key(row), config) for row in rows]
    found: dict[tuple, CachedGraph] = {k: g for k in keys if (g := _CACHE.get(k)) is not None}
    errors: dict[int, StructureError] = {}
    new: dict[tuple, StructureArrays] = {}
    pairs, of_new = [], []
    for i, (key, row) in enumerate(zip(keys, rows, strict=True)):
        if key in found or key in new:
            continue
        own = attempt(converter.neighbors, row, row=indices[i])
        if isinstance(own, StructureError):
            errors[i] = own
            continue
        pairs.append(own[0])
        of_new.append(own[1])
        new[key] = row
    if new:
        graphs = converter.assemble(list(new.values()), pairs)
        for key, graph in zip(new, map(CachedGraph, _split(graphs), of_new), strict=True):
            _CACHE.put(key, graph)
            found[key] = graph
    results = [errors[i] if i in errors else found[key] for i, key in enumerate(keys)]
    told = remarks or GraphRemarks()
    for index, row, result in zip(indices, rows, results, strict=True):
        if isinstance(result, CachedGraph):
            told.note(index, result.remarks, row)
    if remarks is None:
        told.warn()
    return results


def convert(
    rows: Sequence[StructureArrays],
    indices: Sequence[int],
    config: GraphConfig,
    remarks: GraphRemarks | None = None,
) -> tuple[CrystalGraphs, dict[int, StructureError]]:
    """As `find_graphs`, the graphs in one, and the errors by position in `rows`."""
    results = find_graphs(rows, indices, config, remarks)
    errors = {i: row for i, row in enumerate(results) if isinstance(row, StructureError)}
    return join_graphs([row for row in results if isinstance(row, CachedGraph)]), errors


def _split(graphs: CrystalGraphs) -> list[_Parts]:
    site_ends = np.cumsum(graphs.site_counts, dtype=np.int64)
    edge_ends = np.cumsum(graphs.neighbor_counts, dtype=np.int64)[site_ends - 1]
    parts = []
    site, edge = 0, 0
    for i, (site_end, edge_end) in enumerate(zip(site_ends, edge_ends, strict=True)):
        ranges = {"site_counts": slice(i, i + 1)}
        ranges |= dict.fromkeys(_PER_SITE, slice(site, site_end))
        ranges |= dict.fromkeys(_PER_EDGE, slice(edge, edge_end))
        arrays = ((name, getattr(graphs, name)) for name in _FIELDS)
        parts.append(tuple(None if a is None else a[ranges[name]].copy() for name, a in arrays))
        site, edge = int(site_end), int(edge_end)
    return parts


def join_graphs(graphs: Sequence[CachedGraph]) -> CrystalGraphs:
    """Several graphs in one."""
    if not graphs:
        return CrystalGraphConverter().assemble([], [])
    columns = zip(*(graph.parts for graph in graphs), strict=True)
    joined = (None if c[0] is None else np.concatenate(c) for c in columns)  # type: ignore[arg-type]
    return CrystalGraphs(*joined)  # type: ignore[arg-type]
