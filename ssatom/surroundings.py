"""Neighbourhood of a site: radial distributions, coordination and bond angles."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from ssatom.graph import GraphConfig, find_neighbors
from ssatom.structures import StructureArrays

_TAIL = 1e-6
_SHELL = (1.1, 1.4)  # in nearest distances: up to the first a neighbour counts in full
_ANGLE_SEARCH = 6.0  # Å
_COSINES = np.linspace(-1, 1, 11)
_COSINE_WIDTH = 0.15


def smear(distances: np.ndarray, grid: np.ndarray, width: float) -> np.ndarray:
    """Gaussians exp(-(d − r)² / 2σ²) of distances d on a grid of r, shape (n, n_r), all in Å.

    Their farthest tails are cut off.
    """
    smeared = np.exp(-(((distances[:, None] - grid) / width) ** 2) / 2)
    # A scaler would enlarge the farthest tails of Gaussians to the size of true features.
    smeared[smeared < _TAIL] = 0.0
    return smeared


def radial_distributions(
    arrays: StructureArrays, table: np.ndarray, grid: np.ndarray, width: float
) -> np.ndarray:
    """Radial distribution around each site, weighted by the elements of each pair.

    Σ_j w_i w_j exp(-(d_ij − r)² / 2σ²) on a `grid` of r and with a `width` σ, both in Å, shape
    (n_sites, n_weights, n_r); `table` has the weights of the elements, shape (101, n_weights).

    Six neighbours at 3 Å, and twelve at 4.24 Å:

    >>> import numpy as np
    >>> from ssatom.structures import StructureArrays
    >>> from ssatom.surroundings import radial_distributions
    >>> polonium = StructureArrays(3.0 * np.eye(3), np.array([84]), np.zeros((1, 3)))
    >>> grid = np.array([2.0, 3.0, 18**0.5])
    >>> radial_distributions(polonium, np.ones((101, 1)), grid, 0.1).round(2)
    array([[[ 0.,  6., 12.]]])
    """
    # Beyond three widths from the last grid point a neighbour counts next to nothing.
    found = find_neighbors(arrays, GraphConfig("smooth", cutoff=float(grid[-1]) + 3 * width))
    n_sites = len(arrays.numbers)
    smeared = smear(found.distances, grid, width)
    weights = table[arrays.numbers]
    starts = np.searchsorted(found.centers, np.arange(n_sites + 1))
    edges = np.arange(len(found.centers))
    sums = [
        csr_matrix((column, edges, starts), shape=(n_sites, len(edges))) @ smeared
        for column in weights[found.neighbors].T
    ]
    return weights[:, :, None] * np.stack(sums, axis=1)


def bond_angles(arrays: StructureArrays) -> np.ndarray:
    """Coordination number and angles in the nearest shell of each site, shape (n_sites, 12).

    Neighbours count in full up to 1.1 times the nearest distance and fade out until 1.4 times. The
    coordination number comes first; then, for cosines from −1 to 1 in steps of 0.2, the share of
    pairs of neighbours whose angle is near, under a Gaussian of width 0.15. Zeros stand where a
    site has fewer than two neighbours.
    """
    found = find_neighbors(arrays, GraphConfig("smooth", cutoff=_ANGLE_SEARCH, directions=True))
    n_sites = len(arrays.numbers)
    starts = np.searchsorted(found.centers, np.arange(n_sites + 1))
    nearest = np.full(n_sites, np.inf)
    occupied = starts[1:] > starts[:-1]
    nearest[occupied] = found.distances[starts[:-1][occupied]]
    inner, outer = _SHELL
    faded = (found.distances / nearest[found.centers] - inner) / (outer - inner)
    weights = (np.cos(np.pi * faded.clip(0, 1)) + 1) / 2
    kept = weights > 0
    centers, counts = found.centers[kept], np.bincount(found.centers[kept], minlength=n_sites)
    # Shells side by side, padded to the largest.
    place = np.arange(len(centers)) - np.repeat(np.cumsum(counts) - counts, counts)
    shells = np.zeros((n_sites, counts.max(initial=0), 4))
    assert found.directions is not None
    shells[centers, place, :3] = found.directions[kept]
    shells[centers, place, 3] = weights[kept]
    return np.concatenate(
        [shells[:, :, 3].sum(axis=1, keepdims=True), _angle_shares(shells)], axis=1
    )


def _angle_shares(shells: np.ndarray) -> np.ndarray:
    """Shares of pairs by their cosine, shape (n_sites, 11)."""
    one, other = np.triu_indices(shells.shape[1], k=1)
    cosines = np.einsum("npx,npx->np", shells[:, one, :3], shells[:, other, :3])
    weights = shells[:, one, 3] * shells[:, other, 3]
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    shares = np.empty((len(shells), len(_COSINES)))
    for i, cosine in enumerate(_COSINES):
        near = np.exp(-(((cosines - cosine) / _COSINE_WIDTH) ** 2) / 2)
        shares[:, i] = (near * weights).sum(axis=1)
    return shares / total
