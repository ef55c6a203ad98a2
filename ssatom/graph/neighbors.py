"""Neighbours of every site: a compiled search, then a choice that symmetry cannot change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ssatom.graph.basis import envelope
from ssatom.graph.config import GraphConfig
from ssatom.graph.search import pairs_within
from ssatom.kernels import Pairs
from ssatom.structures import StructureArrays

_ROUNDING = 1e-5  # Å; keeps a neighbour that lies on the cutoff in, whatever the rounding
_FIRST_RADIUS = 1.45  # of the sphere that holds all places at the mean density


class NeighborPairs(NamedTuple):
    """All neighbours of each site out to a radius that contains every one that may be chosen.

    Sorted by centre, then by distance.

    Attributes
    ----------
    centers, neighbors : ndarray of int, shape (n_pairs,)
        Site indices.
    distances : ndarray of float64, shape (n_pairs,)
        Å.
    directions : ndarray of float64, shape (n_pairs, 3), or None
        Unit vectors from centre to neighbour, where they were asked for.
    """

    centers: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray
    directions: np.ndarray | None = None

    def take(self, chosen: np.ndarray) -> NeighborPairs:
        """Those at an index array or mask."""
        directions = None if self.directions is None else self.directions[chosen]
        return NeighborPairs(
            self.centers[chosen], self.neighbors[chosen], self.distances[chosen], directions
        )

    @staticmethod
    def concatenate(parts: Sequence[NeighborPairs]) -> NeighborPairs:
        """Several, one after the other; either all have directions or none."""
        centers, neighbors, distances, directions = zip(*parts, strict=True)
        return NeighborPairs(
            np.concatenate(centers),
            np.concatenate(neighbors),
            np.concatenate(distances),
            None if directions[0] is None else np.concatenate(directions),
        )


def _search(
    arrays: StructureArrays, radius: float, directions: bool, centers: np.ndarray | None = None
) -> NeighborPairs:
    """Neighbours of some sites, or of all."""
    found = pairs_within(arrays, radius, centers=centers, vectors=directions)
    return _with_directions(found, directions)


def _with_directions(found: Pairs, directions: bool) -> NeighborPairs:
    if not directions:
        return NeighborPairs(*found[:3])
    assert found.vectors is not None
    with np.errstate(invalid="ignore"):  # atoms in one place are refused later
        for column in found.vectors.T:  # which takes a third of the time of all three at once
            column /= found.distances
    return NeighborPairs(*found[:3], found.vectors)


def find_neighbors(arrays: StructureArrays, config: GraphConfig) -> NeighborPairs:
    """Neighbours of every site out to the cutoff, or as far as the nearest ones reach.

    They are all of which `choose` may choose.
    """
    if config.neighbors == "smooth":
        return _search(arrays, config.cutoff, config.directions)
    n_sites = len(arrays.numbers)
    farthest = config.cutoff + config.shell_tolerance + _ROUNDING
    # A small sphere serves most crystals; sites that find too few there search to the cutoff.
    volume_per_site = abs(np.linalg.det(arrays.lattice)) / n_sites
    sphere = (config.max_neighbors + 1) * volume_per_site
    radius = min(_FIRST_RADIUS * (3 * sphere / (4 * np.pi)) ** (1 / 3), farthest)
    found = _search(arrays, radius, config.directions)
    if radius == farthest:
        return found
    # The last shell is complete only if it ends well inside the sphere.
    inside = found.centers[found.distances <= radius - 2 * config.shell_tolerance]
    few = np.bincount(inside, minlength=n_sites) < config.max_neighbors
    if not few.any():
        return found
    again = _search(arrays, farthest, config.directions, np.flatnonzero(few))
    joined = NeighborPairs.concatenate([found.take(~few[found.centers]), again])
    return joined.take(np.argsort(joined.centers, kind="stable"))


def expected_edges(pairs: NeighborPairs, n_sites: int, config: GraphConfig) -> int:
    """About how many of the pairs `choose` will keep, without choosing."""
    if config.neighbors == "smooth":
        return len(pairs.distances)
    return n_sites * (config.max_neighbors + 2)


def choose(
    pairs: NeighborPairs, n_sites: int, config: GraphConfig
) -> tuple[np.ndarray, NeighborPairs, np.ndarray]:
    """Edges into each site, the neighbours of the kind that is asked for, and their weights."""
    if config.neighbors == "nearest":
        return choose_nearest(pairs, n_sites, config)
    counts = np.bincount(pairs.centers, minlength=n_sites).astype(np.int32)
    weights = envelope(torch.from_numpy(pairs.distances), config.cutoff).numpy()
    return counts, pairs, weights.astype(np.float32)


def choose_nearest(
    pairs: NeighborPairs, n_sites: int, config: GraphConfig
) -> tuple[np.ndarray, NeighborPairs, np.ndarray]:
    """The nearest neighbours, as from `choose`; the last shell shares the places that are left.

    An arbitrary cut through a shell of equal distances would depend on the order of sites and
    on rounding, so that one crystal had many graphs.
    """
    centers, distances = pairs.centers, pairs.distances
    within = distances <= config.cutoff + _ROUNDING
    counts = np.bincount(centers[within], minlength=n_sites)
    starts = np.searchsorted(centers, np.arange(n_sites))
    crowded = counts >= config.max_neighbors
    last = np.full(n_sites, np.inf)  # distance of the last neighbour that has a place
    last[crowded] = distances[starts[crowded] + config.max_neighbors - 1]
    gap = distances - last[centers]
    full = within & (gap < -config.shell_tolerance)
    shell = np.abs(gap) <= config.shell_tolerance
    places = config.max_neighbors - np.bincount(centers[full], minlength=n_sites)
    members = np.bincount(centers[shell], minlength=n_sites)
    chosen = full | shell
    share = (places / np.maximum(members, 1))[centers]
    weights = np.where(shell, share, 1.0)[chosen].astype(np.float32)
    picked = pairs.take(chosen)
    return np.bincount(picked.centers, minlength=n_sites).astype(np.int32), picked, weights
