"""The engine: rows of structures to hidden states, in chunks, with what is cached left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any

import numpy as np

from ssatom.devices import resolve_device, use_one_thread_in_fork
from ssatom.embeddings.cache import CACHE, CachedRow, DiskCache, disk_cache
from ssatom.embeddings.pooling import pool, pooling_key
from ssatom.embeddings.states import SiteStates
from ssatom.exceptions import ParameterError, StructureError, attempt
from ssatom.graph import Candidates, CrystalGraphConverter, CrystalGraphs, GraphRemarks
from ssatom.structures import StructureArrays, StructureLike, iter_arrays, structure_key
from ssatom.weights import PretrainedEncoder

_CHUNK = 512  # rows looked up, searched and written to disk together
_VERSION = 2  # raise it where the same weights come to give other rows, for the caches on disk
_MAX_EDGES = 8_000  # of one forward pass: their gates stay in the processor's cache

_New = tuple[StructureArrays, Candidates, tuple[str, ...]]
"""A structure that is to be embedded, its neighbours, and what is odd about its graph."""


def embed(
    structures: Iterable[StructureLike | StructureError],
    weights: PretrainedEncoder,
    *,
    pooling: tuple[str, ...] | None = None,
    batch_size: int = 64,
    device: str = "auto",
    memory: Any = None,
    indices: Sequence[int] | None = None,
) -> Iterator[np.ndarray | StructureError]:
    """Hidden states of all layers, one item a row.

    Parameters
    ----------
    structures : iterable of Structure, Atoms or path
        May be a generator; it is read in chunks.
    weights : PretrainedEncoder
        The encoder.
    pooling : tuple of str, default=None
        Poolings over the sites; None for the sites themselves.
    batch_size : int, default=64
        Structures of one forward pass at most.
    device : str, default="auto"
        "auto", "cpu" or "cuda".
    memory : path, joblib.Memory or None, default=None
        Where to keep rows on disk.
    indices : sequence of int, default=None
        The rows' places in the caller's list, for messages; None counts from 0.

    Yields
    ------
    ndarray of float32, shape (n_sites, n_columns) or (n_pooling, n_columns)
        Columns as `PretrainedEncoder.columns` counts them. Read-only, since the cache shares it;
        or the StructureError of a row that is bad.

    Warns
    -----
    GraphWarning
        Once all is computed, of crystals whose graphs are odd, such as isolated atoms.

    Raises
    ------
    StructureError
        At once, if `structures` is no container of structures.
    ParameterError
        If `batch_size` is under 1.

    Examples
    --------
    >>> from ssatom import load_example_crystals
    >>> from ssatom.embeddings import embed, resolve_weights
    >>> salt = load_example_crystals().set_index("name").loc["halite", "structure"]
    >>> next(embed([salt], resolve_weights("random"), pooling=("mean", "std"))).shape
    (2, 384)
    """
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise ParameterError(f"batch_size={batch_size!r} must be an int from 1 on")
    rows = iter_arrays(structures)  # refuses a wrong container before anything is computed
    use_one_thread_in_fork()
    engine = _Engine(weights, pooling, int(batch_size), resolve_device(device), disk_cache(memory))
    return engine.run(rows, iter(indices) if indices is not None else count())


class _Engine:
    def __init__(
        self,
        weights: PretrainedEncoder,
        pooling: tuple[str, ...] | None,
        batch_size: int,
        device: str,
        disk: DiskCache | None,
    ) -> None:
        self.pooling = pooling
        self.batch_size = batch_size
        self.device = device
        self.disk = disk
        self.n_columns = weights.n_columns
        made_by = f"{weights.sha256} {weights.graph_config} {_VERSION}".encode()
        self.prefix = hashlib.sha256(made_by).digest()[:16] + pooling_key(pooling or ("sites",))
        self.converter = CrystalGraphConverter(weights.graph_config)
        self.states = SiteStates(weights, device)

    def run(
        self, rows: Iterator[StructureArrays | StructureError], indices: Iterator[int]
    ) -> Iterator[np.ndarray | StructureError]:
        remarks = GraphRemarks()
        while chunk := list(islice(rows, _CHUNK)):
            places = list(islice(indices, len(chunk)))
            for place, row in zip(places, self._chunk(chunk, places), strict=True):
                if isinstance(row, StructureError):
                    yield row
                else:
                    remarks.note(place, row.remarks)
                    yield row.states
        remarks.warn()

    def _chunk(
        self, rows: list[StructureArrays | StructureError], places: list[int]
    ) -> list[CachedRow | StructureError]:
        keys = [b"" if isinstance(r, StructureError) else self._key(r) for r in rows]
        known = self._look_up(keys)
        new: dict[bytes, _New] = {}
        errors: dict[int, StructureError] = {}
        for i, (key, row) in enumerate(zip(keys, rows, strict=True)):
            if isinstance(row, StructureError):
                errors[i] = row
            elif key not in known and key not in new:
                fresh = attempt(self._neighbors, row, row=places[i])
                if isinstance(fresh, StructureError):  # each row has an error of its own
                    errors[i] = fresh
                else:
                    new[key] = fresh
        computed = dict(self._compute(new))
        for key, found in computed.items():
            found.states.setflags(write=False)
            CACHE.put(key, found)
        if self.disk is not None and computed:
            self.disk.put(computed)
        known |= computed
        return [errors[i] if i in errors else known[key] for i, key in enumerate(keys)]

    def _neighbors(self, arrays: StructureArrays) -> _New:
        candidates = self.converter.candidates(arrays)
        return arrays, candidates, self.converter.remarks(arrays, candidates)

    def _key(self, arrays: StructureArrays) -> bytes:
        return self.prefix + structure_key(arrays)

    def _look_up(self, keys: list[bytes]) -> dict[bytes, CachedRow]:
        wanted = dict.fromkeys(key for key in keys if key)
        known = {key: found for key in wanted if (found := CACHE.get(key)) is not None}
        missing = [key for key in wanted if key not in known]
        if self.disk is not None and missing:
            for key, found in self.disk.get(missing, self.n_columns).items():
                CACHE.put(key, found)
                known[key] = found
        return known

    def _compute(self, new: dict[bytes, _New]) -> Iterator[tuple[bytes, CachedRow]]:
        for keys in self._batches(new):
            arrays, candidates, remarks = zip(*(new[key] for key in keys), strict=True)
            graphs = self.converter.assemble(arrays, candidates)
            rows = self._split(self.states(graphs), graphs)
            yield from zip(keys, map(CachedRow, rows, remarks), strict=True)

    def _batches(self, new: dict[bytes, _New]) -> Iterator[list[bytes]]:
        """Keys in batches that are bounded in structures and, roughly, in edges."""
        batch: list[bytes] = []
        n_edges = 0
        for key, (arrays, candidates, _) in new.items():
            n_new = self.converter.expected_edges(arrays, candidates)
            if batch and (len(batch) == self.batch_size or n_edges + n_new > _MAX_EDGES):
                yield batch
                batch, n_edges = [], 0
            batch.append(key)
            n_edges += n_new
        if batch:
            yield batch

    def _split(self, states: np.ndarray, graphs: CrystalGraphs) -> Iterator[np.ndarray]:
        if self.pooling is None:
            for end, count in zip(np.cumsum(graphs.site_counts), graphs.site_counts, strict=True):
                yield states[end - count : end].copy()
            return
        yield from pool(states, graphs.numbers, graphs.site_counts, self.pooling)
