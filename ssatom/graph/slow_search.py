"""The neighbour search where compiled loops do not work: pymatgen's, several times slower."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Lattice

from ssatom.exceptions import ParameterError
from ssatom.kernels import Pairs

_SAME_POINT = 1e-8  # Å; a site's distance to itself, never to another
_BLOCK = 1_000_000  # sites times centres that are searched together


def reduced(lattice: np.ndarray) -> np.ndarray:
    """Short vectors that span the same lattice, by pymatgen."""
    return np.array(Lattice(lattice).get_lll_reduced_lattice().matrix)


def find_pairs(
    frac_coords: np.ndarray,
    lattice: np.ndarray,
    radius: float,
    *,
    centers: np.ndarray | None = None,
    vectors: bool = True,  # noqa: ARG001
    max_pairs: int | None = None,
) -> Pairs:
    """The same pairs as `ssatom.kernels.find_pairs`, with vectors in any case."""
    chosen = np.arange(len(frac_coords)) if centers is None else np.asarray(centers)
    # Skewed cells take pymatgen's search gigabytes. Within the cell: it spans all cells between
    # sites.
    cell = reduced(lattice)
    points = (frac_coords @ lattice @ np.linalg.inv(cell)) % 1 @ cell
    step = max(1, _BLOCK // max(1, len(points)))
    parts, total = [], 0
    for start in range(0, len(chosen), step):
        parts.append(_find(points, chosen[start : start + step], cell, radius))
        total += len(parts[-1].distances)
        if max_pairs is not None and total > max_pairs:
            raise ParameterError(f"more than max_pairs={max_pairs} are within {radius:g} Å")
    none = np.empty(0, dtype=np.int64)
    empty = Pairs(none, none, np.empty(0), np.empty((0, 3)))
    return Pairs(*map(np.concatenate, zip(empty, *parts, strict=True)))  # type: ignore[arg-type]


def _find(points: np.ndarray, chosen: np.ndarray, lattice: np.ndarray, radius: float) -> Pairs:
    from pymatgen.optimization.neighbors import find_points_in_spheres

    found, neighbors, images, distances = find_points_in_spheres(
        points, points[chosen], r=radius, pbc=np.ones(3, dtype=np.int64), lattice=lattice,
        tol=_SAME_POINT,
    )  # fmt: skip
    centers = chosen[found]
    others = np.flatnonzero((distances > _SAME_POINT) | (centers != neighbors))
    order = others[np.lexsort((distances[others], centers[others]))]
    centers, neighbors = centers[order], neighbors[order]
    vectors = points[neighbors] - points[centers] + images[order] @ lattice
    return Pairs(centers, neighbors, distances[order], vectors)
