"""Matrices of the Coulomb interaction between nuclei of a crystal, by their eigenvalues."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Structure
from scipy.special import erfc

from ssatom.evaluation.descriptors import BOHR, MatrixFeaturizer, neighbor_pairs
from ssatom.exceptions import ParameterError
from ssatom.structures import StructureArrays

_ACCURACY = 1e-10  # of the Ewald sums; float32 has seven digits


class EwaldSumMatrixFeaturizer(MatrixFeaturizer):
    """Eigenvalues of the Ewald sum matrix, largest first by magnitude, padded with zeros.

    Element i, j is the Coulomb energy per cell between the nuclei of sites i and j and all their
    images [1]_, in Hartree. On the diagonal is that of a site with its own images, so the diagonal
    and what is above it add up to the energy of the cell.

    Parameters
    ----------
    max_sites : int, default=200
        Number of eigenvalues; larger structures are refused.
    errors : {"raise", "nan"}, default="raise"
        Raise at the first bad row, or give it NaN and warn once of all.

    Notes
    -----
    Nuclei alone would have an infinite energy: a uniform background neutralizes them. Its share
    is in each element, and each site's own Gaussian is taken off the diagonal alone, so that no
    element depends on how the sum is split between real and reciprocal space. The values are
    those of DScribe's ``EwaldSumMatrix`` [2]_ and of pymatgen's sums, in Hartree.

    References
    ----------
    .. [1] Faber et al., Int. J. Quantum Chem. 115, 1094 (2015), 10.1002/qua.24917
    .. [2] Himanen et al., Comput. Phys. Commun. 247, 106949 (2020), 10.1016/j.cpc.2019.106949

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.evaluation import EwaldSumMatrixFeaturizer
    >>> salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> EwaldSumMatrixFeaturizer(max_sites=4).fit_transform([salt]).round(1)
    array([[-569.2,  -34.7,    0. ,    0. ]], dtype=float32)
    """

    _prefix = "ewald"

    def __init__(self, max_sites: int = 200, *, errors: str = "raise") -> None:
        self.max_sites = max_sites
        self.errors = errors

    def _matrix(self, structure: Structure, arrays: StructureArrays, where: str) -> np.ndarray:
        lattice, numbers, frac_coords = arrays
        n_sites, volume = len(numbers), abs(np.linalg.det(lattice))
        # Inverse width of the Gaussians, 1/Å: about as many terms in either sum.
        alpha = np.sqrt(np.pi) * (n_sites / volume**2) ** (1 / 6)
        reach = np.sqrt(-np.log(_ACCURACY))
        centers, neighbors, distances = neighbor_pairs(structure, reach / alpha, where)
        matrix = _sum_over_images(centers, neighbors, erfc(alpha * distances) / distances, n_sites)
        matrix += _reciprocal_sum(lattice, frac_coords, alpha, 2 * alpha * reach)
        matrix -= np.pi / (volume * alpha**2)  # the background
        own = matrix.diagonal() / 2 - alpha / np.sqrt(np.pi)
        np.fill_diagonal(matrix, own)
        return matrix * np.outer(numbers, numbers) * BOHR


def _sum_over_images(
    centers: np.ndarray, neighbors: np.ndarray, values: np.ndarray, n_sites: int
) -> np.ndarray:
    """Sums of values of pairs by site and neighbour, shape (n_sites, n_sites)."""
    sums = np.bincount(centers * n_sites + neighbors, values, minlength=n_sites**2)
    return sums.reshape(n_sites, n_sites)


def _reciprocal_sum(
    lattice: np.ndarray, frac_coords: np.ndarray, alpha: float, cutoff: float
) -> np.ndarray:
    """Potential of Gaussians at sites at each other, 1/Å; all wave vectors but zero to `cutoff`."""
    limits = np.floor(cutoff * np.linalg.norm(lattice, axis=1) / (2 * np.pi)).astype(int)
    steps = np.meshgrid(*(np.arange(-limit, limit + 1) for limit in limits))
    indices = np.stack(steps, axis=-1).reshape(-1, 3)
    squares = ((2 * np.pi * indices @ np.linalg.inv(lattice).T) ** 2).sum(axis=1)
    inside = (squares <= cutoff**2) & indices.any(axis=1)
    indices, squares = indices[inside], squares[inside]
    waves = np.exp(2j * np.pi * indices @ frac_coords.T)
    weights = np.exp(-squares / (4 * alpha**2)) / squares
    sums = ((waves.conj().T * weights) @ waves).real
    return 4 * np.pi / abs(np.linalg.det(lattice)) * sums


class CoulombMatrixFeaturizer(MatrixFeaturizer):
    """Eigenvalues of a Coulomb matrix over neighbouring cells, largest first by magnitude.

    The Coulomb matrix of molecules, extended to crystals by taking in neighbouring cells [1]_:
    element i, j is Z_i Z_j Σ φ(d) over the images of site j around site i, its own ones too, and
    the diagonal has 0.5 Z^2.4 besides; in Hartree, padded with zeros.

    Parameters
    ----------
    max_sites : int, default=200
        Number of eigenvalues; larger structures are refused.
    cutoff : float, default=10.0
        Images farther than this are left out, Å.
    screening : float, default=2.0
        Length λ over which the interaction decays, Å.
    errors : {"raise", "nan"}, default="raise"
        Raise at the first bad row, or give it NaN and warn once of all.

    Notes
    -----
    The bare Coulomb interaction has no finite sum over images. φ(d) = exp(-d/λ)/d, less its value
    at the cutoff, so that no image enters with a jump. The reference has rows for the atoms of a
    number of cells; here images are summed, which leaves one row for each site, does not depend
    on where the cell starts, and gives larger cells the eigenvalues of the smaller among theirs.

    References
    ----------
    .. [1] Faber et al., Int. J. Quantum Chem. 115, 1094 (2015), 10.1002/qua.24917

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.evaluation import CoulombMatrixFeaturizer
    >>> salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> CoulombMatrixFeaturizer(max_sites=4).fit_transform([salt]).round()
    array([[8048.,  492.,    0.,    0.]], dtype=float32)
    """

    _prefix = "coulomb"

    def __init__(
        self,
        max_sites: int = 200,
        *,
        cutoff: float = 10.0,
        screening: float = 2.0,
        errors: str = "raise",
    ) -> None:
        self.max_sites = max_sites
        self.cutoff = cutoff
        self.screening = screening
        self.errors = errors

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("cutoff", "screening"):
            if not getattr(self, name) > 0:
                raise ParameterError(f"{name}={getattr(self, name)!r} must be positive, in Å")

    def _matrix(self, structure: Structure, arrays: StructureArrays, where: str) -> np.ndarray:
        numbers = arrays.numbers.astype(float)
        centers, neighbors, distances = neighbor_pairs(structure, self.cutoff, where)
        weights = self._interaction(distances) - self._interaction(np.array(self.cutoff))
        sums = _sum_over_images(centers, neighbors, weights, len(numbers))
        return sums * np.outer(numbers, numbers) + np.diag(0.5 * numbers**2.4)

    def _interaction(self, distances: np.ndarray) -> np.ndarray:
        """Screened, between unit charges, Hartree."""
        return np.exp(-distances / self.screening) * BOHR / distances
