"""The engine: structures to hidden states, in chunks, computing only what is not cached."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain, count, islice
from typing import Any, NamedTuple, cast

import numpy as np

from ssatom.devices import resolve_device, use_one_thread_in_fork
from ssatom.embeddings.cache import CACHE, CachedRow, DiskCache, disk_cache
from ssatom.embeddings.graphs import CachedGraph, cached_graph, clear_graphs, join_graphs
from ssatom.embeddings.pooling import Pooling, pool, pooling_key
from ssatom.embeddings.states import SiteStates, site_states
from ssatom.exceptions import ParameterError, StructureError, WeightsError, attempt
from ssatom.graph import CrystalGraphConverter, CrystalGraphs, GraphRemarks, NeighborPairs
from ssatom.kernels import run
from ssatom.parallel import n_workers, on_workers
from ssatom.structures import SEEN, StructureArrays, StructureLike, iter_arrays, structure_key
from ssatom.weights import PretrainedEncoder

_CHUNK = 512  # rows looked up, searched and written to disk together
_SHARE = 128  # rows that a worker computes at a time
_VERSION = 2  # raise it where the same weights come to give other rows, for the caches on disk
_MAX_EDGES = 32_000  # of one forward pass; more need memory and are no faster


class _Searched(NamedTuple):
    """A structure with its neighbours, of which the graph is still to be made."""

    arrays: StructureArrays
    pairs: NeighborPairs
    remarks: tuple[str, ...]
    n_edges: int


_New = _Searched | CachedGraph


def batches(n_edges: Sequence[int], batch_size: int, max_edges: int) -> Iterator[range]:
    """Places of graphs in batches that are bounded in graphs and, if they are several, in edges."""
    start = total = 0
    for stop, n in enumerate(n_edges):
        if stop > start and (stop - start == batch_size or total + n > max_edges):
            yield range(start, stop)
            start, total = stop, 0
        total += n
    if start < len(n_edges):
        yield range(start, len(n_edges))


def embed(
    structures: Iterable[StructureLike | StructureError],
    weights: PretrainedEncoder,
    *,
    pooling: tuple[Pooling, ...] | None = None,
    batch_size: int = 64,
    device: str = "auto",
    memory: Any = None,
    indices: Sequence[int] | None = None,
    remarks: GraphRemarks | None = None,
) -> Iterator[np.ndarray | StructureError]:
    """Hidden states of all layers, one item a row.

    Parameters
    ----------
    structures : iterable of Structure, Atoms or path
        May be a generator; it is read in chunks.
    weights : PretrainedEncoder
        The encoder.
    pooling : tuple of str or callable, default=None
        Poolings over the sites; None for the sites themselves. The caches keep no result of a
        function, only the states of the sites that it was given.
    batch_size : int, default=64
        Largest number of structures in one forward pass.
    device : str, default="auto"
        "auto", "cpu" or "cuda".
    memory : path, joblib.Memory or None, default=None
        Where to keep rows on disk.
    indices : sequence of int, default=None
        The rows' places in the caller's list, for messages; None counts from 0.
    remarks : GraphRemarks, default=None
        Where to note what is odd about the graphs; None warns of it.

    Yields
    ------
    ndarray of float32, shape (n_sites, n_columns) or (n_pooling, n_columns)
        Columns as `PretrainedEncoder.columns` counts them. Read-only, since the cache shares it;
        or the StructureError of a row that is bad.

    Warns
    -----
    GraphWarning
        After the last row, of crystals with unusual graphs, such as isolated atoms.

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
    return engine.run(rows, iter(indices) if indices is not None else count(), remarks)


def clear_cache() -> None:
    """Forget all embeddings, graphs and arrays of structures kept in this process.

    Examples
    --------
    >>> from ssatom.embeddings import clear_cache
    >>> clear_cache()
    """
    CACHE.clear()
    clear_graphs()
    SEEN.clear()
    site_states.cache_clear()


@lru_cache(maxsize=2)
def _engine_of_worker(
    weights: bytes, pooling: tuple[str, ...] | None, batch_size: int, device: str
) -> _Engine:
    """The engine of a worker, which loads the weights once."""
    return _Engine(pickle.loads(weights), pooling, batch_size, device, None)  # noqa: S301  # ours


def _share_of_a_chunk(settings: tuple, rows: list, places: list[int]) -> list:
    return _engine_of_worker(*settings)._chunk(rows, places)


class _Engine:
    def __init__(
        self,
        weights: PretrainedEncoder,
        pooling: tuple[Pooling, ...] | None,
        batch_size: int,
        device: str,
        disk: DiskCache | None,
    ) -> None:
        # A function may change under its name, so its results are not cached: the states of the
        # sites are, and all poolings are done after.
        names = tuple(one for one in pooling or () if isinstance(one, str))
        self.cached_pooling = names if names and len(names) == len(pooling or ()) else None
        self.late_pooling = pooling if self.cached_pooling is None else None
        self.batch_size = batch_size
        self.device = device
        self.disk = disk
        self.n_columns = weights.n_columns
        made_by = f"{weights.sha256} {weights.encoder.config} {weights.graph_config} {_VERSION}"
        kind = pooling_key(self.cached_pooling or ("sites",))
        self.prefix = hashlib.sha256(made_by.encode()).digest()[:16] + kind
        self.converter = CrystalGraphConverter(weights.graph_config)
        self.weights = weights

    @cached_property
    def states(self) -> SiteStates:
        """Made when something is computed, which takes long beside looking up a few rows."""
        return site_states(self.weights, self.device)

    def run(
        self,
        rows: Iterator[StructureArrays | StructureError],
        indices: Iterator[int],
        remarks: GraphRemarks | None,
    ) -> Iterator[np.ndarray | StructureError]:
        told = remarks or GraphRemarks()
        while chunk := list(islice(rows, _CHUNK * n_workers())):
            places = list(islice(indices, len(chunk)))
            rows_of_chunk = self._chunk(chunk, places)
            for place, source, row in zip(places, chunk, rows_of_chunk, strict=True):
                if isinstance(row, StructureError):
                    yield row
                    continue
                if row.remarks:
                    told.note(place, row.remarks, cast(StructureArrays, source))
                if self.late_pooling is None:
                    yield row.states
                else:
                    yield self._pooled(row.states, cast(StructureArrays, source), place)
        if remarks is None:
            told.warn()

    def _pooled(self, states: np.ndarray, arrays: StructureArrays, place: int) -> np.ndarray:
        assert self.late_pooling is not None
        count = np.array([len(states)])
        try:
            return pool(states, arrays.numbers, count, self.late_pooling)[0]
        except Exception as error:  # of a user's function
            error.add_note(f"ssatom pooled the sites of structures[{place}]")
            raise

    def _chunk(
        self, rows: list[StructureArrays | StructureError], places: list[int]
    ) -> list[CachedRow | StructureError]:
        prefix = self.prefix
        keys = [b"" if isinstance(r, StructureError) else prefix + structure_key(r) for r in rows]
        known = self._look_up(keys)
        unknown = [i for i, key in enumerate(keys) if key not in known]
        if not unknown:
            return [known[key] for key in keys]
        if len(unknown) > _SHARE and n_workers() > 1:
            computed, errors = self._by_workers(rows, places, keys, unknown)
        else:
            computed, errors = self._here(rows, places, keys, unknown)
        for key, found in computed.items():
            found.states.setflags(write=False)
            CACHE.put(key, found)
        if self.disk is not None and computed:
            self.disk.put(computed)
        known |= computed
        return [errors[i] if i in errors else known[key] for i, key in enumerate(keys)]

    def _here(
        self, rows: list, places: list[int], keys: list[bytes], unknown: list[int]
    ) -> tuple[dict[bytes, CachedRow], dict[int, StructureError]]:
        """Results by key, and errors by place in the chunk."""
        new: dict[bytes, _New] = {}
        errors: dict[int, StructureError] = {}
        for i in unknown:
            key, row = keys[i], rows[i]
            if isinstance(row, StructureError):
                errors[i] = row
            elif key not in new:
                fresh = attempt(self._neighbors, row, row=places[i])
                if isinstance(fresh, StructureError):  # each row has an error of its own
                    errors[i] = fresh
                else:
                    new[key] = fresh
        return dict(self._compute(new)), errors

    def _by_workers(
        self, rows: list, places: list[int], keys: list[bytes], unknown: list[int]
    ) -> tuple[dict[bytes, CachedRow], dict[int, StructureError]]:
        """As `_here`, computed by the workers of joblib's context."""
        settings = (pickle.dumps(self.weights), self.cached_pooling, self.batch_size, self.device)
        shares = [unknown[i : i + _SHARE] for i in range(0, len(unknown), _SHARE)]
        calls = (
            (settings, [rows[i] for i in share], [places[i] for i in share]) for share in shares
        )
        results = chain.from_iterable(on_workers(_share_of_a_chunk, calls))
        found = dict(zip(unknown, results, strict=True))
        errors = {i: row for i, row in found.items() if isinstance(row, StructureError)}
        computed = {keys[i]: row for i, row in found.items() if isinstance(row, CachedRow)}
        return computed, errors

    def _neighbors(self, arrays: StructureArrays) -> _New:
        if (graph := cached_graph(arrays, self.converter.config)) is not None:
            return graph
        pairs, remarks = self.converter.neighbors(arrays)
        n_edges = self.converter.expected_edges(arrays, pairs)
        return _Searched(arrays, pairs, remarks, n_edges)

    def _look_up(self, keys: list[bytes]) -> dict[bytes, CachedRow]:
        wanted = dict.fromkeys(keys)
        wanted.pop(b"", None)  # of errors
        known = {key: found for key in wanted if (found := CACHE.get(key)) is not None}
        if self.disk is not None and len(known) < len(wanted):
            missing = [key for key in wanted if key not in known]
            for key, found in self.disk.get(missing, self.n_columns).items():
                CACHE.put(key, found)
                known[key] = found
        return known

    def _compute(self, new: dict[bytes, _New]) -> Iterator[tuple[bytes, CachedRow]]:
        kinds: list[tuple[type, Callable[[list[Any]], CrystalGraphs]]] = [
            (CachedGraph, join_graphs),
            (_Searched, self._assemble),
        ]
        for kind, graphs_of in kinds:
            keys = [key for key, row in new.items() if isinstance(row, kind)]
            n_edges = [new[key].n_edges for key in keys]
            parts = list(batches(n_edges, self.batch_size, _MAX_EDGES))
            given = [[new[keys[place]] for place in part] for part in parts]
            for places, rows in zip(parts, self._compute_parts(graphs_of, given), strict=True):
                for place, row in zip(places, rows, strict=True):
                    yield keys[place], CachedRow(row, new[keys[place]].remarks)

    def _compute_parts(
        self, graphs_of: Callable[[list[Any]], CrystalGraphs], parts: list[list[_New]]
    ) -> list[list[np.ndarray]]:
        """Rows of batches; on a CPU each thread takes whole batches."""
        found: list[list[np.ndarray]] = [[] for _ in parts]

        def work(start: int, stop: int) -> None:
            for i in range(start, stop):
                graphs = graphs_of(parts[i])
                blocks = self.states.blocks(graphs)
                with np.errstate(all="ignore"):  # deviations take squares
                    total = sum(np.einsum("ij,ij->", block, block) for block in blocks)
                if not np.isfinite(total):
                    raise WeightsError(
                        f"the weights {self.weights.name!r} give numbers that are not finite; use "
                        "other weights, or train them again"
                    )
                found[i] = list(self._split(blocks, graphs))

        one_by_one = [(i, i + 1) for i in range(len(parts))]
        run(work, one_by_one if self.device == "cpu" else [(0, len(parts))])
        return found

    def _assemble(self, rows: Sequence[_Searched]) -> CrystalGraphs:
        return self.converter.assemble([r.arrays for r in rows], [r.pairs for r in rows])

    def _split(self, blocks: list[np.ndarray], graphs: CrystalGraphs) -> Iterator[np.ndarray]:
        """Rows of each structure, whose blocks are put side by side only now, when they are few."""
        counts, poolings = graphs.site_counts, self.cached_pooling
        if poolings is None:
            for end, count in zip(np.cumsum(counts), counts, strict=True):
                yield np.concatenate([block[end - count : end] for block in blocks], axis=1)
            return
        pooled = [pool(block, graphs.numbers, counts, poolings) for block in blocks]
        yield from np.concatenate(pooled, axis=2)
