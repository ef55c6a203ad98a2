"""The engine: rows of structures to hidden states, in chunks, with what is cached left out."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any

import numpy as np
import torch

from ssatom.devices import resolve_device, use_one_thread_in_fork
from ssatom.embeddings.cache import CACHE, DiskCache, disk_cache
from ssatom.embeddings.pooling import pool, pooling_key
from ssatom.exceptions import ParameterError, StructureError
from ssatom.graph import (
    CrystalGraphConverter,
    CrystalGraphs,
    GaussianDistanceBasis,
    IsolatedSites,
)
from ssatom.structures import StructureArrays, StructureLike, iter_arrays, structure_key
from ssatom.weights import PretrainedEncoder

_CHUNK = 512  # rows looked up, searched and written to disk together
_VERSION = 1  # raise it where the same weights come to give other rows, for the caches on disk
_MAX_EDGES = 8_000  # of one forward pass: their gates stay in the processor's cache


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
    ndarray of float32, shape (n_sites, n_layers, width) or (n_pooling, n_layers, width)
        Read-only, since the cache shares it; or the StructureError of a row that is bad.

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
    (2, 6, 64)
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
        self.row_shape = (weights.n_layers, weights.hidden_dim)
        made_by = f"{weights.sha256} {weights.graph_config} {_VERSION}".encode()
        self.prefix = hashlib.sha256(made_by).digest()[:16] + pooling_key(pooling or ("sites",))
        self.converter = CrystalGraphConverter(weights.graph_config)
        self.basis = GaussianDistanceBasis(weights.graph_config).to(device)
        self.encoder = weights.encoder
        if device != "cpu":  # the loaded weights are shared and stay where they are
            self.encoder = copy.deepcopy(weights.encoder).to(device)
        self.features = weights.element_features.to(device)

    def run(
        self, rows: Iterator[StructureArrays | StructureError], indices: Iterator[int]
    ) -> Iterator[np.ndarray | StructureError]:
        isolated = IsolatedSites(self.converter.config.cutoff)
        while chunk := list(islice(rows, _CHUNK)):
            yield from self._chunk(chunk, list(islice(indices, len(chunk))), isolated)
        isolated.warn()

    def _chunk(
        self,
        rows: list[StructureArrays | StructureError],
        indices: list[int],
        isolated: IsolatedSites,
    ) -> list[np.ndarray | StructureError]:
        keys = [b"" if isinstance(r, StructureError) else self._key(r) for r in rows]
        known = self._look_up(keys)
        new: dict[bytes, tuple[StructureArrays, Any]] = {}
        results: list[np.ndarray | StructureError | None] = []
        for key, row, i in zip(keys, rows, indices, strict=True):
            results.append(row if isinstance(row, StructureError) else known.get(key))
            if isinstance(row, StructureError) or key in known or key in new:
                continue
            try:
                new[key] = (row, self.converter.candidates(row, i))
            except StructureError as error:
                results[-1] = error.with_traceback(None)
            else:
                isolated.note(i, new[key][1], len(row.numbers))
        computed = dict(self._compute(new))
        for key, array in computed.items():
            CACHE.put(key, array)
        if self.disk is not None and computed:
            self.disk.put(computed)
        return [
            computed[key] if found is None else found
            for key, found in zip(keys, results, strict=True)
        ]

    def _key(self, arrays: StructureArrays) -> bytes:
        return self.prefix + structure_key(arrays)

    def _look_up(self, keys: list[bytes]) -> dict[bytes, np.ndarray]:
        wanted = dict.fromkeys(key for key in keys if key)
        known = {key: found for key in wanted if (found := CACHE.get(key)) is not None}
        missing = [key for key in wanted if key not in known]
        if self.disk is not None and missing:
            for key, array in self.disk.get(missing, self.row_shape).items():
                CACHE.put(key, array)
                known[key] = array
        return known

    def _compute(
        self, new: dict[bytes, tuple[StructureArrays, Any]]
    ) -> Iterator[tuple[bytes, np.ndarray]]:
        for keys in self._batches(new):
            arrays, candidates = zip(*(new[key] for key in keys), strict=True)
            graphs = self.converter.assemble(arrays, candidates)
            hidden = self._forward(graphs)
            yield from zip(keys, self._split(hidden, graphs), strict=True)

    def _batches(self, new: dict[bytes, tuple[StructureArrays, Any]]) -> Iterator[list[bytes]]:
        """Keys in batches that are bounded in structures and, roughly, in edges."""
        batch: list[bytes] = []
        n_edges = 0
        for key, (arrays, candidates) in new.items():
            n_new = self.converter.expected_edges(arrays, candidates)
            if batch and (len(batch) == self.batch_size or n_edges + n_new > _MAX_EDGES):
                yield batch
                batch, n_edges = [], 0
            batch.append(key)
            n_edges += n_new
        if batch:
            yield batch

    @torch.inference_mode()
    def _forward(self, graphs: CrystalGraphs) -> np.ndarray:
        """Hidden states, shape (n_sites, n_layers, width)."""
        batch = graphs.to_batch().to(self.device)
        edges = (batch.edge_index, self.basis(batch.distances), batch.edge_weight)
        states = self.encoder(self.features[batch.numbers], *edges)
        states = self.encoder.append_radial(states, *edges)
        return torch.stack(states, dim=1).cpu().numpy()

    def _split(self, hidden: np.ndarray, graphs: CrystalGraphs) -> Iterator[np.ndarray]:
        if self.pooling is None:
            for end, count in zip(np.cumsum(graphs.site_counts), graphs.site_counts, strict=True):
                yield hidden[end - count : end].copy()
            return
        yield from pool(hidden, graphs.numbers, graphs.site_counts, self.pooling)
