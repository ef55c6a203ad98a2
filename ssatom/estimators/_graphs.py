"""Graphs of crystals, each made once in a process: folds and grids meet the same ones again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np

from ssatom.exceptions import StructureError
from ssatom.graph import CrystalGraphConverter, CrystalGraphs, GraphConfig, IsolatedSites
from ssatom.structures import StructureArrays, structure_key

MAX_BYTES = 256 * 2**20
"""Bound of the process-wide cache of graphs."""

_PER_SITE = ("numbers", "neighbor_counts")
_PER_EDGE = ("neighbors", "distances", "edge_weights")
_FIELDS = ("numbers", "site_counts", "neighbor_counts", *_PER_EDGE)  # of CrystalGraphs, in order

_ARRAY_OVERHEAD = 120  # bytes of an array besides its numbers

_Parts = tuple[np.ndarray, ...]  # of one graph, in the order of the fields of CrystalGraphs


class _GraphCache:
    """Parts of graphs by key; the ones longest unused go first when the bound is reached."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._graphs: OrderedDict[tuple, _Parts] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple) -> _Parts | None:
        with self._lock:
            if key in self._graphs:
                self._graphs.move_to_end(key)
            return self._graphs.get(key)

    def put(self, key: tuple, parts: _Parts) -> None:
        with self._lock:
            if key in self._graphs:
                return
            self._graphs[key] = parts
            self.n_bytes += _size(parts)
            while self.n_bytes > self.max_bytes:
                self.n_bytes -= _size(self._graphs.popitem(last=False)[1])


def _size(parts: _Parts) -> int:
    return sum(part.nbytes + _ARRAY_OVERHEAD for part in parts)


_CACHE = _GraphCache(MAX_BYTES)


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
    found: dict[tuple, _Parts] = {k: p for k in keys if (p := _CACHE.get(k)) is not None}
    errors: dict[int, StructureError] = {}
    new, candidates = {}, []
    isolated = IsolatedSites(config.cutoff)
    for i, (key, row) in enumerate(zip(keys, rows, strict=True)):
        if key in found or key in new:
            continue
        try:
            candidates.append(converter.candidates(row, indices[i]))
        except StructureError as error:
            errors[i] = error.with_traceback(None)
            continue
        isolated.note(indices[i], candidates[-1], len(row.numbers))
        new[key] = row
    isolated.warn()
    if new:
        graphs = converter.assemble(list(new.values()), candidates)
        for key, parts in zip(new, _split(graphs), strict=True):
            _CACHE.put(key, parts)
            found[key] = parts
    good = [found[key] for i, key in enumerate(keys) if i not in errors]
    return _join(good), errors


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
