"""Neighbours of every site: a compiled search, then a choice that symmetry cannot change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from pymatgen.optimization.neighbors import find_points_in_spheres

from ssatom.graph.config import GraphConfig
from ssatom.graph.envelope import envelope
from ssatom.structures import StructureArrays

_PERIODIC = np.ones(3, dtype=np.int64)
_SAME_POINT = 1e-8  # Å; a site's distance to itself, never to another
_ROUNDING = 1e-5  # Å; keeps a neighbour that lies on the cutoff in, whatever the rounding
_FIRST_RADIUS = 1.45  # of the sphere that holds all places at the mean density


class Candidates(NamedTuple):
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

    def take(self, chosen: np.ndarray) -> Candidates:
        """Those at an index array or mask."""
        directions = None if self.directions is None else self.directions[chosen]
        return Candidates(
            self.centers[chosen], self.neighbors[chosen], self.distances[chosen], directions
        )

    @staticmethod
    def concatenate(parts: Sequence[Candidates]) -> Candidates:
        """Several, one after the other; either all have directions or none."""
        centers, neighbors, distances, directions = zip(*parts, strict=True)
        return Candidates(
            np.concatenate(centers),
            np.concatenate(neighbors),
            np.concatenate(distances),
            None if directions[0] is None else np.concatenate(directions),
        )


def _search(
    points: np.ndarray,
    centers: np.ndarray,
    lattice: np.ndarray,
    radius: float,
    directions: bool,
) -> Candidates:
    found = find_points_in_spheres(
        points, points[centers], r=radius, pbc=_PERIODIC, lattice=lattice, tol=_SAME_POINT
    )
    found_centers = centers[found[0]]
    others = (found[3] > _SAME_POINT) | (found_centers != found[1])  # all but the site itself
    candidates = Candidates(found_centers[others], found[1][others], found[3][others])
    if not directions:
        return candidates
    vectors = points[candidates.neighbors] - points[candidates.centers]
    vectors += found[2][others] @ lattice
    with np.errstate(invalid="ignore"):  # atoms in one place are refused later
        return candidates._replace(directions=vectors / candidates.distances[:, None])


def _points(arrays: StructureArrays) -> np.ndarray:
    """Cartesian coordinates within the cell: the search spans all cells from site to site."""
    return (arrays.frac_coords % 1) @ arrays.lattice


def find_candidates(
    arrays: StructureArrays, config: GraphConfig, directions: bool = False
) -> Candidates:
    """Neighbours of every site out to the cutoff, or as far as the nearest ones reach.

    Parameters
    ----------
    arrays : StructureArrays
        The structure.
    config : GraphConfig
        Settings of the graphs.
    directions : bool, default=False
        Whether to tell directions beside distances.

    Returns
    -------
    Candidates
        All neighbours of which `choose` may choose.
    """
    if config.neighbors == "smooth":
        points = _points(arrays)
        everyone = np.arange(len(points))
        found = _search(points, everyone, arrays.lattice, config.cutoff, directions)
    else:
        found = _search_far_enough(arrays, config, directions)
    # One key for both is sorted several times faster than two; distances never reach the stride.
    stride = 2 * config.cutoff + 1
    return found.take(np.argsort(found.centers * stride + found.distances))


def _search_far_enough(
    arrays: StructureArrays, config: GraphConfig, directions: bool
) -> Candidates:
    """A small sphere serves most crystals; sites that find too few there search to the cutoff."""
    n_sites = len(arrays.numbers)
    points = _points(arrays)
    everyone = np.arange(n_sites)
    farthest = config.cutoff + config.shell_tolerance + _ROUNDING
    volume_per_site = abs(np.linalg.det(arrays.lattice)) / n_sites
    radius = _FIRST_RADIUS * (3 * (config.max_neighbors + 1) * volume_per_site / (4 * np.pi)) ** (
        1 / 3
    )
    if radius >= farthest:
        return _search(points, everyone, arrays.lattice, farthest, directions)
    found = _search(points, everyone, arrays.lattice, radius, directions)
    # The last shell is complete only if it ends well inside the sphere.
    inside = found.centers[found.distances <= radius - 2 * config.shell_tolerance]
    few = np.bincount(inside, minlength=n_sites) < config.max_neighbors
    if not few.any():
        return found
    kept = ~few[found.centers]
    again = _search(points, everyone[few], arrays.lattice, farthest, directions)
    return Candidates.concatenate([found.take(kept), again])


def expected_edges(candidates: Candidates, n_sites: int, config: GraphConfig) -> int:
    """About how many of the candidates `choose` will keep, without choosing."""
    if config.neighbors == "smooth":
        return len(candidates.distances)
    return n_sites * (config.max_neighbors + 2)


def choose(
    candidates: Candidates, n_sites: int, config: GraphConfig
) -> tuple[np.ndarray, Candidates, np.ndarray]:
    """The neighbours of the kind that is asked for, with the weight of each.

    Returns
    -------
    counts : ndarray of int32, shape (n_sites,)
        Edges into each site.
    chosen : Candidates
        Sorted by centre, then by distance.
    weights : ndarray of float32, shape (n_edges,)
        Factor of each message.
    """
    if config.neighbors == "nearest":
        return choose_nearest(candidates, n_sites, config)
    counts = np.bincount(candidates.centers, minlength=n_sites).astype(np.int32)
    weights = envelope(torch.from_numpy(candidates.distances), config.cutoff).numpy()
    return counts, candidates, weights.astype(np.float32)


def choose_nearest(
    candidates: Candidates, n_sites: int, config: GraphConfig
) -> tuple[np.ndarray, Candidates, np.ndarray]:
    """The nearest neighbours; the last shell shares the places that are left.

    An arbitrary cut through a shell of equal distances would depend on the order of sites and
    on rounding, so that one crystal had many graphs.

    Returns
    -------
    counts : ndarray of int32, shape (n_sites,)
        Edges into each site.
    chosen : Candidates
        Sorted by centre, then by distance.
    weights : ndarray of float32, shape (n_edges,)
        1, or the share of a place in the last shell.
    """
    centers, distances = candidates.centers, candidates.distances
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
    picked = candidates.take(chosen)
    return np.bincount(picked.centers, minlength=n_sites).astype(np.int32), picked, weights
