"""Rows of structures or sites, and their crystals with graphs, node features and targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssatom.embeddings.graphs import convert
from ssatom.estimators._nodes import NodeFeatures
from ssatom.exceptions import ParameterError, StructureError, unwrap
from ssatom.graph import CrystalGraphs, GraphBatch, GraphRemarks
from ssatom.structures import (
    StructureArrays,
    iter_arrays,
    iter_sites,
    structure_arrays,
    structure_key,
)

_MIN_STRUCTURES = 4  # fewer can neither be trained on nor held back
_SAMPLED = 1000  # crystals whose node features settle shift and scale


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
    targets: Tensor | None
    weights: Tensor | None

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


def _rows_of(counts: np.ndarray, crystals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows, sorted by crystal, of some crystals, and to which of these each belongs."""
    owner = np.repeat(np.arange(len(crystals)), counts[crystals])
    before = _offsets(counts[crystals])
    return (_offsets(counts)[crystals] - before[:-1])[owner] + np.arange(before[-1]), owner


@dataclass
class Crystals:
    """Crystals, and rows (crystals themselves or some of their sites) sorted by crystal.

    `order` has the positions of the rows in the list that was given, shape (n_rows,), and
    `row_counts` the number of rows of each crystal. `nodes` are the node features, shape (n_sites,
    node_dim), where they are fixed; `targets` are scaled, or classes; `weights` have the mean 1.
    """

    graphs: CrystalGraphs
    order: np.ndarray
    row_counts: np.ndarray
    sites: np.ndarray | None
    nodes: np.ndarray | None
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.graphs)

    def batch(self, crystals: np.ndarray) -> Batch:
        """Some of the crystals, by number, with all their rows."""
        rows, owner = _rows_of(self.row_counts, crystals)
        first_sites = _offsets(self.graphs.site_counts[crystals])[:-1]
        sites = None if self.sites is None else first_sites[owner] + self.sites[rows]
        arrays = (
            None if self.nodes is None else self.nodes_of(crystals),
            sites,
            None if self.targets is None else self.targets[rows],
            None if self.weights is None else self.weights[rows],
        )
        tensors = [None if array is None else torch.from_numpy(array) for array in arrays]
        graphs = self.graphs.select(crystals).to_batch()
        return Batch(graphs, torch.from_numpy(first_sites), *tensors)

    def nodes_of(self, crystals: np.ndarray) -> np.ndarray:
        """Node features of some crystals, where they are fixed."""
        assert self.nodes is not None
        return self.nodes[self.graphs.sites_of(crystals)]

    def places_of(self, crystals: np.ndarray) -> np.ndarray:
        """Positions, in the list that was given, of the rows of some crystals."""
        return self.order[_rows_of(self.row_counts, crystals)[0]]

    def targets_of(self, crystals: np.ndarray) -> tuple[Tensor, Tensor]:
        """Targets and weights of some crystals."""
        assert self.targets is not None
        assert self.weights is not None
        rows, _ = _rows_of(self.row_counts, crystals)
        return torch.from_numpy(self.targets[rows]), torch.from_numpy(self.weights[rows])

    def targets_of_each(self) -> list[np.ndarray]:
        """Targets of each crystal's rows."""
        assert self.targets is not None
        return np.split(self.targets, _offsets(self.row_counts)[1:-1])


def read_crystals(
    rows: Sequence[Row], places: Sequence[int], features: NodeFeatures, remarks: GraphRemarks
) -> tuple[Crystals, dict[int, StructureError]]:
    """Crystals of some rows, and why there are none, by position in `rows`.

    `places` are the rows' places in the user's list, for messages.
    """
    groups = group_by_crystal(rows)
    arrays = [rows[group[0]].arrays for group in groups]
    first = [places[group[0]] for group in groups]
    graphs, failed = convert(arrays, first, features.graph_config, remarks)
    errors = {i: error for group, error in failed.items() for i in groups[group]}
    usable = [i for i in range(len(groups)) if i not in failed]
    order = np.array([i for k in usable for i in groups[k]], dtype=np.int64)
    counts = np.array([len(groups[k]) for k in usable], dtype=np.int64)
    sites = None
    if rows and rows[0].site is not None:
        sites = np.array([rows[i].site for i in order], dtype=np.int64)
    nodes = None
    if features.embed is not None and not features.trained:
        nodes, end = np.empty((graphs.n_sites, features.node_dim), dtype=np.float32), 0
        given = [arrays[i] for i in usable], [first[i] for i in usable]
        for of_one in features.embed(*given, remarks):
            nodes[end : end + len(of_one)] = of_one
            end += len(of_one)
    return Crystals(graphs, order, counts, sites, nodes), errors


def read_training_data(
    X: Any, targets: np.ndarray, weights: np.ndarray, level: str, features: NodeFeatures
) -> tuple[Crystals, list[bytes], Tensor | None]:
    """Data to train on, the crystals' keys, and node features from which to take shift and scale.

    Raises StructureError at the first bad row, and ParameterError if lengths differ or there are
    too few structures.
    """
    rows = _read_all(X, level, len(targets))
    kept = np.flatnonzero(weights)  # a weight of 0 leaves its row out
    remarks = GraphRemarks()
    data, errors = read_crystals([rows[i] for i in kept], kept.tolist(), features, remarks)
    for error in errors.values():
        raise error
    if len(data) < _MIN_STRUCTURES:
        raise ParameterError(
            f"{len(data)} different structures are too few to train on and to hold some back; "
            f"give at least {_MIN_STRUCTURES}, and 20 or more to learn anything"
        )
    order = kept[data.order]
    data.targets = targets[order]
    data.weights = (weights[order] / weights[order].mean()).astype(np.float32)
    first = order[_offsets(data.row_counts)[:-1]].tolist()  # a row of each crystal
    sampled = np.arange(0, len(data), 1 + (len(data) - 1) // _SAMPLED)
    sample = None
    if data.nodes is not None:
        sample = data.nodes_of(sampled)
    elif features.embed is not None:
        some = [first[i] for i in sampled]
        sample = np.concatenate(list(features.embed([rows[i].arrays for i in some], some, remarks)))
    remarks.warn()
    keys = [structure_key(rows[i].arrays) for i in first]
    return data, keys, None if sample is None else torch.from_numpy(sample)


def _read_all(X: Any, level: str, n_targets: int) -> list[Row]:
    def check(n_rows: int) -> None:
        if n_rows != n_targets:
            raise ParameterError(
                f"X has {n_rows} {level}s and y has {n_targets} rows; give one target for each "
                f"{level}"
            )

    # The container is checked before its length: a Structure has a length too.
    source = read_rows(X, level)
    if hasattr(X, "__len__"):
        check(len(X))
    rows = [unwrap(row) for row in source]
    check(len(rows))
    return rows
