"""Pairs of sites within a radius, in cells of any shape."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ssatom.exceptions import ParameterError

_NO_BOUND = 2**50


class Pairs(NamedTuple):
    """Pairs of sites within a radius, sorted by centre as asked for, distance and neighbour.

    Attributes
    ----------
    centers, neighbors : ndarray of int64, shape (n_pairs,)
        Site indices.
    distances : ndarray of float64, shape (n_pairs,)
        Å.
    vectors : ndarray of float64, shape (n_pairs, 3), or None
        From centre to neighbour, Å, where they were asked for.
    """

    centers: np.ndarray
    neighbors: np.ndarray
    distances: np.ndarray
    vectors: np.ndarray | None = None


def _cell(lattice: np.ndarray) -> np.ndarray:
    # A copy: numba would compile the loops once more for arrays that are read-only.
    cell = np.array(lattice, dtype=np.float64, order="C")
    if cell.shape != (3, 3):
        raise ParameterError(f"lattice has the shape {cell.shape}, not (3, 3)")
    return cell


def _no_volume(cell: np.ndarray) -> ParameterError:
    return ParameterError(f"lattice={cell.tolist()} must be three vectors that span a volume")


def _check_radius(radius: float) -> None:
    if not 0 < radius < math.inf:
        raise ParameterError(f"radius={radius!r} must be a positive number")


def expected_pairs(n_sites: int, lattice: np.ndarray, radius: float) -> float:
    """About how many pairs `find_pairs` finds, without a search.

    It is exact on average for sites anywhere in the cell. Sites that crowd in a part of it, as in a
    slab or a molecule, have more. Raises ParameterError if the lattice spans no volume or the
    radius is not positive.
    """
    _check_radius(radius)
    cell = _cell(lattice)
    _, a, b, c = _measures(cell)
    if not a * b * c > 0:
        raise _no_volume(cell)
    spheres = 4 / 3 * math.pi * radius**3 / (a * b * c)
    # Images of a site itself lie on lines and planes, which a sphere meets more often.
    own = math.pi * radius**2 / (a * b) + 2 * radius / a
    return float(n_sites * (n_sites * spheres + own))


def shortest_vector(lattice: np.ndarray) -> float:
    """Length of a shortest vector of a lattice: the distance of a site to its nearest image, Å."""
    return _measures(_cell(lattice))[0]


def _measures(cell: np.ndarray) -> tuple[float, float, float, float]:
    """Length of a shortest vector, and edges of a brick that fills space as the cell does.

    Where numba is not there, the vectors given must be short.
    """
    try:
        from ssatom.kernels._lattice_loops import measures
    except ImportError:
        shortest = float(np.linalg.norm(cell, axis=1).min())
        return shortest, *np.abs(np.diag(np.linalg.qr(cell.T)[1])).tolist()
    return measures(cell)


def find_pairs(
    frac_coords: np.ndarray,
    lattice: np.ndarray,
    radius: float,
    *,
    centers: np.ndarray | None = None,
    vectors: bool = False,
    max_pairs: int | None = None,
) -> Pairs:
    """All pairs of sites within a radius, images in other cells included.

    A site is no neighbour of itself, but its images are. Distances are computed in float64, the
    same in both directions, and a neighbour on the surface of the sphere is in: its squared
    distance may exceed the radius's by 1e-8 Å². The time grows with the number of sites and of
    pairs, whatever the shape of the cell (Fincke & Pohst, Math. Comp. 44, 463 (1985),
    10.1090/S0025-5718-1985-0777278-8). Raises ParameterError if there are more than `max_pairs`, a
    number is not finite, or the lattice spans no volume.

    Parameters
    ----------
    frac_coords : ndarray, shape (n_sites, 3)
        Fractional coordinates, within the cell or not.
    lattice : ndarray, shape (3, 3)
        Lattice vectors, one a row, Å.
    radius : float
        Å.
    centers : ndarray of int, shape (n_centers,), default=None
        Sites whose neighbours are searched; None for all.
    vectors : bool, default=False
        Whether to tell the vectors from centre to neighbour.
    max_pairs : int, default=None
        Number of pairs beyond which the search gives up; None for no bound.

    Returns
    -------
    Pairs
    """
    from ssatom.kernels import _search_loops as loops

    _check_radius(radius)
    cell = _cell(lattice)
    frac = np.array(frac_coords, dtype=np.float64, order="C").reshape(-1, 3)  # as in _cell
    chosen = np.arange(len(frac)) if centers is None else np.asarray(centers, dtype=np.int64)
    most = _NO_BOUND if max_pairs is None else int(max_pairs)
    status, counts, neighbors, distances, flat = loops.search(
        frac, cell, float(radius), chosen, vectors, most
    )
    if status == loops.NO_VOLUME:
        raise _no_volume(cell)
    if status == loops.NOT_FINITE:
        site = int(np.flatnonzero(~np.isfinite(frac).all(axis=1))[0])
        raise ParameterError(f"site {site} is at {frac[site].tolist()}, which is not finite")
    if status == loops.TOO_MANY:
        raise ParameterError(
            f"more than max_pairs={most} pairs of {len(frac)} sites are within {radius:g} Å; "
            "give a smaller radius"
        )
    found = np.repeat(chosen, counts), neighbors, distances
    return Pairs(*found, flat.reshape(-1, 3) if vectors else None)
