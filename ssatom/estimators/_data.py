"""Rows of structures or sites as graphs, and batches of them with their targets."""

from __future__ import annotations

from collections import Counter
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

_MIN_HELD = 4  # of 16 or more; the best epoch of one or two held back would be one of luck


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
    for pair in pairs:
        if isinstance(pair, StructureError):
            yield pair
            continue
        structure, site = pair
        if arrays is None or structure is not last or not kept:
            last, arrays = structure, structure_arrays(structure)
        yield Row(arrays, site)


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


def split(
    keys: Sequence[bytes],
    fraction: float,
    seed: int,
    classes: Sequence[np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Random crystals for training, and for validation.

    All copies of a crystal go with it; where only a few are different, copies are taken for
    different. At least one crystal is held back and two are left. With `classes`, those of each
    crystal's rows, crystals are sorted by the first of them and taken at equal steps, so that each
    class is held back in its proportion, and the last crystal of a class is left in training.
    """
    _, first, crystal = np.unique(
        np.array(keys, dtype=object), return_index=True, return_inverse=True
    )
    if len(first) <= _MIN_HELD:
        first = crystal = np.arange(len(keys))
    rows = np.sort(first)  # in the order in which they came
    n = len(rows)
    rng = np.random.default_rng(seed)
    order = rows[rng.permutation(n)]
    n_held = min(max(1, min(_MIN_HELD, n // 4), round(fraction * n)), n - 2)
    if classes is None:
        chosen = order[((np.arange(n_held) + 0.5) * n / n_held).astype(int)]
    else:
        order = order[np.argsort([classes[i][0] for i in order], kind="stable")]
        at_steps = ((np.arange(n_held) + rng.random()) * n / n_held).astype(int)
        candidates = np.concatenate([order[at_steps], np.delete(order, at_steps)])
        chosen = _without_last_ones(candidates, crystal, classes)[:n_held]
    held = np.isin(crystal, crystal[chosen])
    return np.flatnonzero(~held), np.flatnonzero(held)


def _without_last_ones(
    candidates: np.ndarray, crystal: np.ndarray, classes: Sequence[np.ndarray]
) -> np.ndarray:
    """The candidates that can all be taken, and none of a class be left; the first if none can."""
    seen: dict[int, set] = {}  # classes of each crystal, of all its copies
    for of, rows in zip(crystal.tolist(), classes, strict=True):
        seen.setdefault(of, set()).update(rows.tolist())
    left = Counter(name for names in seen.values() for name in names)
    taken = []
    for i in candidates.tolist():
        names = seen[int(crystal[i])]
        if all(left[name] > 1 for name in names):
            left.subtract(names)
            taken.append(i)
    return np.array(taken or candidates[:1])
