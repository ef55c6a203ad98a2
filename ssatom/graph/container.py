"""Many graphs in a few flat arrays: cheap to slice, to keep on disk and to hand to torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class GraphBatch(NamedTuple):
    """One batch of graphs as tensors, edges sorted by their centre.

    Attributes
    ----------
    numbers : Tensor of int64, shape (n_sites,)
        Atomic numbers.
    edge_index : Tensor of int64, shape (2, n_edges)
        Neighbour (row 0, the source of the message) and centre (row 1, its target).
    distances : Tensor of float32, shape (n_edges,)
        Å.
    edge_weight : Tensor of float32, shape (n_edges,)
        Share of a neighbour's place, or the envelope at its distance; 0 to 1.
    structure_index : Tensor of int64, shape (n_sites,)
        Structure in the batch to which each site belongs.
    n_structures : int
        Number of structures.
    directions : Tensor of float32, shape (n_edges, 3), or None
        Unit vectors from centre to neighbour; None where `GraphConfig.directions` is False.
    """

    numbers: Tensor
    edge_index: Tensor
    distances: Tensor
    edge_weight: Tensor
    structure_index: Tensor
    n_structures: int
    directions: Tensor | None = None

    def __repr__(self) -> str:
        sizes = f"{self.n_structures} structures, {len(self.numbers)} sites"
        return f"<GraphBatch: {sizes}, {len(self.distances)} edges, {self.numbers.device}>"

    def to(self, device: torch.device | str) -> GraphBatch:
        """The batch with every tensor on `device`."""
        tensors = {k: x.to(device) for k, x in self._asdict().items() if isinstance(x, Tensor)}
        return self._replace(**tensors)  # type: ignore[arg-type]


def _offsets(counts: np.ndarray) -> np.ndarray:
    """Where each run starts, and the end: shape (n + 1,)."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _runs(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Positions of several runs, one after the other."""
    before = _offsets(counts)
    return np.repeat(starts - before[:-1], counts) + np.arange(before[-1])


@dataclass(frozen=True, eq=False)
class CrystalGraphs:
    """A collection of crystal graphs in flat arrays.

    Sites follow each other structure by structure, edges site by site. Neighbours are counted
    within their own structure, so that graphs can be picked and joined without renumbering.

    Parameters
    ----------
    numbers : ndarray of uint8, shape (n_sites,)
        Atomic numbers.
    site_counts : ndarray of int32, shape (n_structures,)
        Sites of each structure.
    neighbor_counts : ndarray of int32, shape (n_sites,)
        Edges into each site.
    neighbors : ndarray of int32, shape (n_edges,)
        Site index of each neighbour within its structure.
    distances : ndarray of float32, shape (n_edges,)
        Å.
    edge_weights : ndarray of float32, shape (n_edges,)
        Share of a neighbour's place, or the envelope at its distance; 0 to 1.
    directions : ndarray of float32, shape (n_edges, 3), default=None
        Unit vectors from centre to neighbour; None where `GraphConfig.directions` is False.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.graph import CrystalGraphConverter
    >>> nacl = Structure.from_spacegroup(
    ...     "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> graphs = CrystalGraphConverter().convert([nacl, nacl.get_primitive_structure()])
    >>> len(graphs), graphs.site_counts
    (2, array([8, 2], dtype=int32))
    """

    numbers: np.ndarray
    site_counts: np.ndarray
    neighbor_counts: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray
    edge_weights: np.ndarray
    directions: np.ndarray | None = None

    def __repr__(self) -> str:
        sizes = f"{len(self)} structures, {len(self.numbers)} sites, {len(self.distances)} edges"
        return f"<CrystalGraphs: {sizes}>"

    def __len__(self) -> int:
        return len(self.site_counts)

    @property
    def n_sites(self) -> int:
        """Number of sites in all structures."""
        return len(self.numbers)

    @property
    def n_edges(self) -> int:
        """Number of edges in all structures."""
        return len(self.neighbors)

    @property
    def edge_counts(self) -> np.ndarray:
        """Edges of each structure, shape (n_structures,)."""
        return np.diff(self._edge_offsets[self._site_offsets])

    @cached_property
    def _site_offsets(self) -> np.ndarray:
        return _offsets(self.site_counts)

    @cached_property
    def _edge_offsets(self) -> np.ndarray:
        """Where the edges of each site start, shape (n_sites + 1,)."""
        return _offsets(self.neighbor_counts)

    def sites_of(self, indices: np.ndarray) -> np.ndarray:
        """Positions of the sites of the structures at `indices`, in that order."""
        return _runs(self._site_offsets[indices], self.site_counts[indices])

    def select(self, indices: Sequence[int] | np.ndarray) -> CrystalGraphs:
        """The graphs at `indices`, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        starts = self._site_offsets[indices]
        sites = self.sites_of(indices)
        first = self._edge_offsets[starts]
        last = self._edge_offsets[starts + self.site_counts[indices]]
        edges = _runs(first, last - first)
        return CrystalGraphs(
            numbers=self.numbers[sites],
            site_counts=self.site_counts[indices],
            neighbor_counts=self.neighbor_counts[sites],
            neighbors=self.neighbors[edges],
            distances=self.distances[edges],
            edge_weights=self.edge_weights[edges],
            directions=None if self.directions is None else self.directions[edges],
        )

    @staticmethod
    def concatenate(parts: Sequence[CrystalGraphs]) -> CrystalGraphs:
        """All graphs of several collections as one."""
        columns = [[getattr(part, f.name) for part in parts] for f in fields(CrystalGraphs)]
        return CrystalGraphs(*(None if c[0] is None else np.concatenate(c) for c in columns))  # type: ignore[arg-type]

    def to_batch(self) -> GraphBatch:
        """All graphs as tensors, sites and edges numbered through."""
        site_counts = self.site_counts.astype(np.int64)
        structure_index = np.repeat(np.arange(len(self)), site_counts)
        centers = np.repeat(np.arange(self.n_sites), self.neighbor_counts)
        directions = self.directions
        sources = self.neighbors + self._site_offsets[:-1][structure_index][centers]
        return GraphBatch(
            numbers=torch.from_numpy(self.numbers.astype(np.int64)),
            edge_index=torch.from_numpy(np.stack([sources, centers])),
            distances=torch.from_numpy(np.array(self.distances)),
            edge_weight=torch.from_numpy(np.array(self.edge_weights)),
            structure_index=torch.from_numpy(structure_index),
            n_structures=len(self),
            directions=None if directions is None else torch.from_numpy(directions.astype("f4")),
        )

    def save(self, folder: str | Path, *, append: bool = False) -> None:
        """Write one raw file an array into `folder`, or append to what is there.

        Parameters
        ----------
        folder : path
            Created if need be.
        append : bool, default=False
            Add to the graphs already in `folder`, so that a corpus larger than memory can be
            written part by part.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, dtype in _DTYPES.items():
            path = folder / f"{name}.bin"
            if (array := getattr(self, name)) is None:
                path.unlink(missing_ok=True)  # of graphs that were here before
                continue
            with open(path, "ab" if append else "wb") as file:
                file.write(np.ascontiguousarray(array, dtype=dtype).tobytes())

    @classmethod
    def load(cls, folder: str | Path) -> CrystalGraphs:
        """Open what `save` wrote; arrays stay on disk until they are used."""
        paths = {name: Path(folder) / f"{name}.bin" for name in _DTYPES}
        arrays = {name: _open(path, _DTYPES[name]) for name, path in paths.items() if path.exists()}
        if "directions" in arrays:
            arrays["directions"] = arrays["directions"].reshape(-1, 3)
        return cls(**arrays)


_DTYPES: dict[str, np.dtype] = {
    "numbers": np.dtype("u1"),
    "site_counts": np.dtype("<i4"),
    "neighbor_counts": np.dtype("<i4"),
    "neighbors": np.dtype("<i4"),
    "distances": np.dtype("<f4"),
    "edge_weights": np.dtype("<f4"),
    "directions": np.dtype("<f4"),
}


def _open(path: Path, dtype: np.dtype) -> np.ndarray:
    # An empty file cannot be mapped.
    return np.memmap(path, dtype, mode="r") if path.stat().st_size else np.empty(0, dtype)
