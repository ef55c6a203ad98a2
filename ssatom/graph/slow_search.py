"""The neighbour search where compiled loops do not work: pymatgen's, several times slower."""

from __future__ import annotations

import numpy as np

from ssatom.kernels import Pairs
from ssatom.structures import StructureArrays

_SAME_POINT = 1e-8  # Å; a site's distance to itself, never to another


def search(arrays: StructureArrays, radius: float, centers: np.ndarray | None = None) -> Pairs:
    """The same pairs as `ssatom.kernels.find_pairs`, vectors included.

    Parameters
    ----------
    arrays : StructureArrays
        The structure.
    radius : float
        Å.
    centers : ndarray of int, shape (n_centers,), default=None
        Sites whose neighbours are searched, ascending; None for all.

    Returns
    -------
    Pairs
        Sorted by centre, then by distance.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.graph.slow_search import search
    >>> from ssatom.structures import StructureArrays
    >>> polonium = StructureArrays(3.35 * np.eye(3), np.array([84]), np.zeros((1, 3)))
    >>> search(polonium, 3.4).distances
    array([3.35, 3.35, 3.35, 3.35, 3.35, 3.35])
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    # Within the cell: the search spans all cells from site to site.
    points = (arrays.frac_coords % 1) @ arrays.lattice
    chosen = np.arange(len(points)) if centers is None else centers
    found, neighbors, images, distances = find_points_in_spheres(
        points, points[chosen], r=radius, pbc=np.ones(3, dtype=np.int64), lattice=arrays.lattice,
        tol=_SAME_POINT,
    )  # fmt: skip
    centers = chosen[found]
    others = np.flatnonzero((distances > _SAME_POINT) | (centers != neighbors))
    order = others[np.lexsort((distances[others], centers[others]))]
    centers, neighbors = centers[order], neighbors[order]
    vectors = points[neighbors] - points[centers] + images[order] @ arrays.lattice
    return Pairs(centers, neighbors, distances[order], vectors)
