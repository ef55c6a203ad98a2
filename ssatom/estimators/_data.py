"""Rows of structures or sites as graphs, and batches of them with their targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ssatom.embeddings.graphs import convert
from ssatom.estimators._nodes import NodeFeatures
from ssatom.exceptions import ParameterError, StructureError
from ssatom.graph import CrystalGraphs, GraphBatch
from ssatom.structures import (
    StructureArrays,
    iter_arrays,
    iter_sites,
    structure_arrays,
    structure_key,
)

MIN_STRUCTURES = 4
"""Fewer can neither be trained on nor held back."""

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


def _rows_of(counts: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the chosen crystals, and to which of them each belongs.

    The rows, such as sites, are sorted by crystal; `counts` are their numbers.
    """
    owner = np.repeat(np.arange(len(chosen)), counts[chosen])
    before = _offsets(counts[chosen])
    return (_offsets(counts)[chosen] - before[:-1])[owner] + np.arange(before[-1]), owner


@dataclass
class TrainingData:
    """Crystals, their node features if these are fixed, and rows of targets sorted by crystal.

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
        Node features.
    """

    graphs: CrystalGraphs
    keys: list[bytes]
    row_counts: np.ndarray
    sites: np.ndarray | None
    targets: np.ndarray
    weights: np.ndarray
    nodes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.graphs)

    def batch(self, chosen: np.ndarray) -> Batch:
        """The crystals at `chosen`, with all their rows."""
        rows, owner = _rows_of(self.row_counts, chosen)
        return make_batch(
            self.graphs.select(chosen),
            None if self.nodes is None else torch.from_numpy(self.nodes_of(chosen)),
            None if self.sites is None else self.sites[rows],
            owner,
            torch.from_numpy(self.targets[rows]),
            torch.from_numpy(self.weights[rows]),
        )

    def nodes_of(self, chosen: np.ndarray) -> np.ndarray:
        """Node features of the crystals at `chosen`, where they are fixed."""
        assert self.nodes is not None
        return self.nodes[_rows_of(self.graphs.site_counts, chosen)[0]]

    def targets_of(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """Targets and weights of the crystals at `chosen`."""
        rows, _ = _rows_of(self.row_counts, chosen)
        return torch.from_numpy(self.targets[rows]), torch.from_numpy(self.weights[rows])

    def targets_of_crystals(self) -> list[np.ndarray]:
        """Each crystal's own rows of targets."""
        return np.split(self.targets, _offsets(self.row_counts)[1:-1])


def read_training_data(
    X: Any, targets: np.ndarray, weights: np.ndarray, level: str, features: NodeFeatures
) -> tuple[TrainingData, Tensor | None]:
    """Data to train on, and node features from which to take shift and scale.

    Raises
    ------
    StructureError
        At the first bad row.
    ParameterError
        If lengths differ, or there are too few structures.
    """
    rows = _read_all(X, level, len(targets))
    kept = np.flatnonzero(weights)  # a weight of 0 leaves its row out
    groups = group_by_crystal([rows[i] for i in kept])
    if len(groups) < MIN_STRUCTURES:
        raise ParameterError(
            f"{len(groups)} different structures are too few to train on and to hold some back; "
            f"give at least {MIN_STRUCTURES}, and 20 or more to learn anything"
        )
    first = [int(kept[group[0]]) for group in groups]
    arrays = [rows[i].arrays for i in first]
    graphs, errors = convert(arrays, first, features.graph_config)
    for error in errors.values():
        raise error
    order = kept[np.concatenate(groups)]
    data = TrainingData(
        graphs,
        [structure_key(crystal) for crystal in arrays],
        np.array([len(group) for group in groups]),
        None if level == "structure" else np.array([rows[i].site for i in order], dtype=np.int64),
        targets[order],
        (weights[order] / weights[order].mean()).astype(np.float32),
    )
    if features.embed is None:
        return data, None
    sampled = np.arange(0, len(arrays), 1 + (len(arrays) - 1) // _SAMPLED)
    if features.trained:
        nodes = features.embed([arrays[i] for i in sampled], [first[i] for i in sampled])
        return data, torch.from_numpy(np.concatenate(list(nodes)))
    data.nodes = np.empty((graphs.n_sites, features.node_dim), dtype=np.float32)
    end = 0
    for nodes_of_one in features.embed(arrays, first):
        data.nodes[end : end + len(nodes_of_one)] = nodes_of_one
        end += len(nodes_of_one)
    return data, torch.from_numpy(data.nodes_of(sampled))


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
    rows: list[Row] = []
    for row in source:
        if isinstance(row, StructureError):
            raise row
        rows.append(row)
    check(len(rows))
    return rows


def make_batch(
    graphs: CrystalGraphs,
    nodes: Tensor | None,
    sites: np.ndarray | None,
    owner: np.ndarray,
    targets: Tensor | None = None,
    weights: Tensor | None = None,
) -> Batch:
    """All of `graphs` as a batch.

    `sites` are the sites of the rows within their crystals, None for whole crystals, and `owner`
    the crystals of the rows.
    """
    first_sites = _offsets(graphs.site_counts)[:-1]
    chosen = None if sites is None else torch.from_numpy(first_sites[owner] + sites)
    return Batch(graphs.to_batch(), torch.from_numpy(first_sites), nodes, chosen, targets, weights)
