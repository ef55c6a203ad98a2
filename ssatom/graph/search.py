"""The search for pairs of sites, whose cost is bounded before it starts."""

from __future__ import annotations

import numpy as np

from ssatom.elements import covalent_radii
from ssatom.exceptions import ParameterError, StructureError
from ssatom.graph import slow_search
from ssatom.kernels import Pairs, expected_pairs, find_pairs, loops_work, shortest_vector
from ssatom.limits import MAX_PAIRS
from ssatom.structures import StructureArrays, overlap_error, reduced_formula

MIN_DISTANCE = 0.3
"""Atoms nearer than this overlap, in Å and in units of the sum of both covalent radii.

No bond is that short: the shortest, of H2 and of ions under pressure, are twice as long.
"""


def pairs_within(
    arrays: StructureArrays,
    radius: float,
    *,
    centers: np.ndarray | None = None,
    vectors: bool = False,
) -> Pairs:
    """Pairs of sites within a radius (Å), of any crystal, in bounded time and memory.

    Neighbours of the sites `centers`, ascending, or of all; with the vectors from centre to
    neighbour if asked for. Where there are too many to search because atoms overlap, some that
    overlap are given. Raises StructureError if there are more than `ssatom.limits.MAX_PAIRS`
    without that.
    """
    n_sites = len(arrays.numbers)
    # A cell of short vectors, which the compiled loops find as they begin.
    lattice = arrays.lattice if loops_work() else slow_search.reduced(arrays.lattice)
    if (shortest := shortest_vector(lattice)) < MIN_DISTANCE:
        first = np.zeros(1, dtype=np.int64)
        return Pairs(first, first, np.array([shortest]), np.zeros((1, 3)))
    share = 1.0 if centers is None else len(centers) / max(n_sites, 1)
    expected = share * expected_pairs(n_sites, lattice, radius)
    if expected <= MAX_PAIRS:
        try:
            return _find(arrays, radius, centers, vectors, MAX_PAIRS)
        except ParameterError:  # sites crowd in a part of the cell
            expected = 0.0
    if len((found := _overlapping(arrays)).distances):
        return found
    about = f"about {expected:,.0f}" if expected else f"more than {MAX_PAIRS:,}"
    raise StructureError(
        f"its {n_sites:,} sites have {about} pairs within {radius:.3g} Å, and at most "
        f"{MAX_PAIRS:,} are searched; give a smaller cell, or correct the lattice, whose unit is Å",
        formula=reduced_formula(arrays.numbers),
    )


def refuse_overlap(numbers: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Distances of pairs in units of the sum of both covalent radii.

    Raises StructureError if one of them, or of the distances in Å, is below `MIN_DISTANCE`.
    """
    radii = covalent_radii(numbers)
    in_radii = pairs.distances / (radii[pairs.centers] + radii[pairs.neighbors])
    gaps = np.minimum(pairs.distances, in_radii)
    if gaps.min(initial=np.inf) < MIN_DISTANCE:
        k = int(gaps.argmin())
        ends = int(pairs.centers[k]), int(pairs.neighbors[k])
        raise overlap_error(numbers, *ends, float(pairs.distances[k]))
    return in_radii


def _find(
    arrays: StructureArrays, radius: float, centers: np.ndarray | None, vectors: bool, most: int
) -> Pairs:
    find = find_pairs if loops_work() else slow_search.find_pairs
    return find(
        arrays.frac_coords, arrays.lattice, radius, centers=centers, vectors=vectors, max_pairs=most
    )


def _overlapping(arrays: StructureArrays) -> Pairs:
    """Pairs that overlap: all, or those of a part of the sites where they are countless."""
    low, high = 0, len(arrays.numbers)
    most = 20 * high  # more than a few sites have together
    while True:
        try:
            found = _find(arrays, MIN_DISTANCE, np.arange(low, high), True, most)
        except ParameterError:  # so they overlap in the first half or in the second
            middle = (low + high) // 2
            first = _overlaps(arrays, low, middle, most)
            low, high = (low, middle) if first else (middle, high)
        else:
            return found


def _overlaps(arrays: StructureArrays, low: int, high: int, most: int) -> bool:
    try:
        return bool(len(_find(arrays, MIN_DISTANCE, np.arange(low, high), False, most).distances))
    except ParameterError:
        return True
