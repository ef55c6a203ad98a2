"""Rows of structures or sites as graphs, and batches of them with their targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssatom.exceptions import StructureError
from ssatom.graph import CrystalGraphs, GraphBatch
from ssatom.structures import (
    StructureArrays,
    iter_arrays,
    iter_sites,
    structure_arrays,
    structure_key,
)


class Row(NamedTuple):
    """What is predicted for: a crystal, or one of its sites."""

    arrays: StructureArrays
    site: int | None


class Batch(NamedTuple):
    """Some crystals with what is known of them."""

    graphs: GraphBatch
    first_sites: Tensor
    nodes: Tensor | None
    sites: Tensor | None
    targets: Tensor | None = None
    weights: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The batch with every tensor on `device`."""
        moved = {name: x.to(device) for name, x in self._asdict().items() if x is not None}
        return self._replace(**moved)


def read_rows(X: Any, level: str) -> Iterator[Row | StructureError]:
    """Rows of structures, or of pairs of structure and site index; refuses a wrong container."""
    if level == "structure":
        return (
            row if isinstance(row, StructureError) else Row(row, None) for row in iter_arrays(X)
        )
    return _site_rows(iter_sites(X), kept=hasattr(X, "__len__"))


def _site_rows(pairs: Iterator, kept: bool) -> Iterator[Row | StructureError]:
    """Rows of pairs; `kept` says that no structure changes while they are read."""
    last, arrays = None, None  # sites of one crystal usually follow each other
    for i, pair in enumerate(pairs):
        if isinstance(pair, StructureError):
            yield pair
            continue
        structure, site = pair
        try:
            if arrays is None or structure is not last or not kept:
                last, arrays = None, structure_arrays(structure, f"sites[{i}]")
                last = structure
            yield Row(arrays, site)
        except StructureError as error:
            yield error.with_traceback(None)


def group_by_crystal(rows: Sequence[Row]) -> list[list[int]]:
    """Positions in `rows` of each crystal's sites; a row of a whole crystal is a group itself."""
    groups: dict[Any, list[int]] = {}
    for i, row in enumerate(rows):
        key = i if row.site is None else structure_key(row.arrays)
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


class _Runs:
    """Runs of rows one after the other, such as the sites of crystals."""

    def __init__(self, counts: np.ndarray) -> None:
        self.counts = np.asarray(counts, dtype=np.int64)
        self.starts = _offsets(self.counts)[:-1]

    def positions(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the chosen runs, and to which of them each belongs."""
        counts = self.counts[chosen]
        owner = np.repeat(np.arange(len(chosen)), counts)
        before = _offsets(counts)
        return (self.starts[chosen] - before[:-1])[owner] + np.arange(before[-1]), owner


@dataclass
class TrainingData:
    """Crystals, their node vectors if these are fixed, and rows of targets crystal by crystal.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.
    keys : list of bytes
        Their content hashes, by which copies of one crystal are known.
    row_counts : ndarray of int, shape (n_structures,)
        Rows of targets of each crystal: 1, or its number of sites that have a target.
    sites : ndarray of int64 or None, shape (n_rows,)
        Site within its crystal.
    targets : ndarray, shape (n_rows, n_outputs) or (n_rows,)
        Scaled targets, or classes.
    weights : ndarray of float32, shape (n_rows,)
        With mean 1.
    nodes : ndarray of float32 or None, shape (n_sites, node_dim)
        Node vectors.
    """

    graphs: CrystalGraphs
    keys: list[bytes]
    row_counts: np.ndarray
    sites: np.ndarray | None
    targets: np.ndarray
    weights: np.ndarray
    nodes: np.ndarray | None = None

    def __post_init__(self) -> None:
        self._site_runs = _Runs(self.graphs.site_counts)
        self._row_runs = _Runs(self.row_counts)

    def __len__(self) -> int:
        return len(self.graphs)

    def batch(self, chosen: np.ndarray) -> Batch:
        """The crystals at `chosen`, with all their rows."""
        site_positions, _ = self._site_runs.positions(chosen)
        rows, owner = self._row_runs.positions(chosen)
        nodes = None if self.nodes is None else torch.from_numpy(self.nodes[site_positions])
        sites = None if self.sites is None else self.sites[rows]
        return make_batch(
            self.graphs.select(chosen),
            nodes,
            sites,
            owner,
            torch.from_numpy(self.targets[rows]),
            torch.from_numpy(self.weights[rows]),
        )

    def targets_of(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """Targets and weights of the crystals at `chosen`."""
        rows, _ = self._row_runs.positions(chosen)
        return torch.from_numpy(self.targets[rows]), torch.from_numpy(self.weights[rows])

    def targets_of_crystals(self) -> list[np.ndarray]:
        """Each crystal's own rows of targets."""
        return np.split(self.targets, self._row_runs.starts[1:])


def make_batch(
    graphs: CrystalGraphs,
    nodes: Tensor | None,
    sites: np.ndarray | None,
    owner: np.ndarray,
    targets: Tensor | None = None,
    weights: Tensor | None = None,
) -> Batch:
    """All of `graphs` as a batch.

    Parameters
    ----------
    graphs : CrystalGraphs
        The crystals.
    nodes : Tensor or None
        Node vectors of all their sites.
    sites : ndarray of int or None, shape (n_rows,)
        Site of each row within its crystal.
    owner : ndarray of int, shape (n_rows,)
        Crystal of each row.
    targets, weights : Tensor, default=None
        Of each row.
    """
    first_sites = _offsets(graphs.site_counts)[:-1]
    chosen = None if sites is None else torch.from_numpy(first_sites[owner] + sites)
    return Batch(graphs.to_batch(), torch.from_numpy(first_sites), nodes, chosen, targets, weights)
