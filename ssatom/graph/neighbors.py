"""Neighbours of every site: a compiled search, then a choice that symmetry cannot change."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pymatgen.optimization.neighbors import find_points_in_spheres

from ssatom.graph.config import GraphConfig
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
    """

    centers: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray


def _search(points: np.ndarray, centers: np.ndarray, lattice: np.ndarray, radius: float):
    found = find_points_in_spheres(
        points, points[centers], r=radius, pbc=_PERIODIC, lattice=lattice, tol=_SAME_POINT
    )
    found_centers = centers[found[0]]
    others = (found[3] > _SAME_POINT) | (found_centers != found[1])  # all but the site itself
    return Candidates(found_centers[others], found[1][others], found[3][others])


def find_candidates(arrays: StructureArrays, config: GraphConfig) -> Candidates:
    """Neighbours of every site out to the cutoff, or as far as the nearest ones reach."""
    if config.neighbors == "smooth":
        points = arrays.frac_coords @ arrays.lattice
        found = _search(points, np.arange(len(points)), arrays.lattice, config.cutoff)
    else:
        found = _search_far_enough(arrays, config)
    # One key for both is sorted several times faster than two; distances never reach the stride.
    stride = 2 * config.cutoff + 1
    order = np.argsort(found.centers * stride + found.distances)
    return Candidates(*(column[order] for column in found))


def _search_far_enough(arrays: StructureArrays, config: GraphConfig) -> Candidates:
    """A small sphere serves most crystals; sites that find too few there search to the cutoff."""
    n_sites = len(arrays.numbers)
    points = arrays.frac_coords @ arrays.lattice
    everyone = np.arange(n_sites)
    farthest = config.cutoff + config.shell_tolerance + _ROUNDING
    volume_per_site = abs(np.linalg.det(arrays.lattice)) / n_sites
    radius = _FIRST_RADIUS * (3 * (config.max_neighbors + 1) * volume_per_site / (4 * np.pi)) ** (
        1 / 3
    )
    if radius >= farthest:
        return _search(points, everyone, arrays.lattice, farthest)
    found = _search(points, everyone, arrays.lattice, radius)
    # The last shell is complete only if it ends well inside the sphere.
    inside = found.centers[found.distances <= radius - 2 * config.shell_tolerance]
    few = np.bincount(inside, minlength=n_sites) < config.max_neighbors
    if not few.any():
        return found
    kept = ~few[found.centers]
    again = _search(points, everyone[few], arrays.lattice, farthest)
    return Candidates(*(np.concatenate([a[kept], b]) for a, b in zip(found, again, strict=True)))


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
    weights = (np.cos(np.pi / config.cutoff * candidates.distances) + 1) / 2
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
    centers, neighbors, distances = candidates
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
    picked = Candidates(centers[chosen], neighbors[chosen], distances[chosen])
    return np.bincount(picked.centers, minlength=n_sites).astype(np.int32), picked, weights
