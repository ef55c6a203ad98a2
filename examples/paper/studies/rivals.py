"""Descriptors that need no learning, as rivals under the same protocol."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from matminer.featurizers.composition import ElementProperty
from pymatgen.core import Composition, Element, Structure

from ssatom.elements import MAX_ATOMIC_NUMBER
from ssatom.exceptions import ParameterError, StructureError
from ssatom.featurizers import CrystalFeaturizer
from ssatom.structures import (
    StructureArrays,
    iter_sites,
    iter_structures,
    overlap_error,
    structure_arrays,
)

BOHR = 0.529177210903
"""Å."""

SYMBOLS = [Element.from_Z(z).symbol for z in range(1, MAX_ATOMIC_NUMBER + 1)]
"""Hydrogen to fermium."""

_LEVELS = ("structure", "site")
_MIN_DISTANCE = 0.3  # Å


class Descriptor(CrystalFeaturizer):
    """Base: one structure at a time, a bad one as its error."""

    def implementors(self) -> list[str]:
        """Who wrote this featurizer.

        Returns
        -------
        list of str
            Names.
        """
        return ["The ssatom developers"]

    def _check_parameters(self) -> None:
        """Refuse parameters that are not allowed."""

    @abstractmethod
    def _row(self, structure: Structure, where: str) -> np.ndarray:
        """Features of one structure."""

    def _features(self, rows: Any) -> Iterator[np.ndarray | StructureError]:
        self._check_parameters()
        for i, item in enumerate(iter_structures(rows)):
            if isinstance(item, StructureError):
                yield item
            else:
                yield _attempt(self._row, item, f"structures[{i}]")


class LevelDescriptor(Descriptor):
    """Base of those that describe structures, or single sites if `level` says so."""

    level: str

    def _check_parameters(self) -> None:
        if self.level not in _LEVELS:
            raise ParameterError(f"level={self.level!r} is unknown; allowed: 'structure', 'site'")

    @abstractmethod
    def _row(self, structure: Structure, where: str, site: int | None = None) -> np.ndarray:
        """Features of one structure, or of one of its sites."""

    def _features(self, rows: Any) -> Iterator[np.ndarray | StructureError]:
        self._check_parameters()
        if self.level == "structure":
            yield from super()._features(rows)
            return
        for i, item in enumerate(iter_sites(rows)):
            if isinstance(item, StructureError):
                yield item
            else:
                structure, site = item
                yield _attempt(self._row, structure, f"sites[{i}]", site)


def _attempt(row: Callable[..., np.ndarray], *arguments: Any) -> np.ndarray | StructureError:
    """Features as float32, or why there are none."""
    try:
        return row(*arguments).astype(np.float32)
    except StructureError as error:
        return error.with_traceback(None)


def neighbor_pairs(
    structure: Structure, cutoff: float, where: str, site: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sites, their neighbours within `cutoff` and the distances, Å; of all sites or one."""
    chosen = None if site is None else [structure[site]]
    pairs = structure.get_neighbor_list(cutoff, sites=chosen, exclude_self=False)
    centers, neighbors, _, distances = pairs
    if site is not None:
        centers = np.full(len(neighbors), site)
    # pymatgen would not know a site for itself where only one is asked for.
    others = (centers != neighbors) | (distances > 1e-8)
    centers, neighbors, distances = centers[others], neighbors[others], distances[others]
    if len(distances) and distances.min() < _MIN_DISTANCE:
        k = int(distances.argmin())
        numbers = structure_arrays(structure, where).numbers
        i, j = int(centers[k]), int(neighbors[k])
        raise overlap_error(where, numbers, i, j, float(distances[k]))
    return centers, neighbors, distances


class MatrixFeaturizer(Descriptor):
    """Base: the eigenvalues of a matrix over sites, by magnitude, padded with zeros."""

    max_sites: int
    _prefix: str

    def feature_labels(self) -> list[str]:
        """Names of the features: the eigenvalues' places.

        Returns
        -------
        list of str
            Such as "sine_000".
        """
        return [f"{self._prefix}_{i:03d}" for i in range(self.max_sites)]

    def citations(self) -> list[str]:
        """What to cite.

        Returns
        -------
        list of str
            BibTeX.
        """
        return [
            "@article{Faber2015, title = {Crystal structure representations for machine learning "
            "models of formation energies}, author = {Faber, Felix and Lindmaa, Alexander and von "
            "Lilienfeld, O. Anatole and Armiento, Rickard}, journal = {Int. J. Quantum Chem.}, "
            "volume = {115}, pages = {1094}, year = {2015}, doi = {10.1002/qua.24917}}"
        ]

    def _check_parameters(self) -> None:
        if not isinstance(self.max_sites, int | np.integer) or self.max_sites < 1:
            raise ParameterError(f"max_sites={self.max_sites!r} must be a whole number from 1 on")

    @abstractmethod
    def _matrix(self, structure: Structure, arrays: StructureArrays, where: str) -> np.ndarray:
        """Symmetric, shape (n_sites, n_sites)."""

    def _row(self, structure: Structure, where: str) -> np.ndarray:
        arrays = structure_arrays(structure, where)
        if len(arrays.numbers) > self.max_sites:
            raise StructureError(
                f"{where} ({structure.reduced_formula}): {len(arrays.numbers)} sites, and "
                f"max_sites={self.max_sites}; raise it, or leave this row out"
            )
        values = np.linalg.eigvalsh(self._matrix(structure, arrays, where))
        padded = np.zeros(self.max_sites)
        padded[: len(values)] = values[np.argsort(-np.abs(values))]
        return padded


class SineMatrixFeaturizer(MatrixFeaturizer):
    """Eigenvalues of the sine matrix, largest first by absolute value, padded with zeros.

    The matrix is matminer's: 0.5 Z^2.4 on the diagonal, elsewhere Z_i Z_j over a distance that
    repeats with the lattice [1]_. matminer gives the eigenvalues in no fixed order; here they
    are sorted.

    Parameters
    ----------
    max_sites : int, default=200
        Number of eigenvalues; larger structures are refused.
    errors : {"raise", "nan"}, default="raise"
        Raise at the first bad row, or give it NaN and warn once of all.

    References
    ----------
    .. [1] Faber et al., Int. J. Quantum Chem. 115, 1094 (2015), 10.1002/qua.24917

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.evaluation import SineMatrixFeaturizer
    >>> salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> SineMatrixFeaturizer(max_sites=4).fit_transform([salt]).round()
    array([[7514.,  448.,    0.,    0.]], dtype=float32)
    """

    _prefix = "sine"

    def __init__(self, max_sites: int = 200, *, errors: str = "raise") -> None:
        self.max_sites = max_sites
        self.errors = errors

    def _matrix(self, structure: Structure, arrays: StructureArrays, where: str) -> np.ndarray:
        return _sine_matrix(arrays, where)


def _sine_matrix(arrays: StructureArrays, where: str) -> np.ndarray:
    frac, numbers = arrays.frac_coords, arrays.numbers.astype(float)
    sines = np.sin(np.pi * (frac[:, None] - frac[None])) ** 2
    distances = np.linalg.norm(sines @ arrays.lattice, axis=2) / BOHR
    np.fill_diagonal(distances, 1.0)
    if (distances < 1e-8).any():
        i, j = (int(x) for x in np.argwhere(distances < 1e-8)[0])
        raise overlap_error(where, arrays.numbers, i, j, 0.0)
    matrix = np.outer(numbers, numbers) / distances
    np.fill_diagonal(matrix, 0.5 * numbers**2.4)
    return matrix


class ElementFractionFeaturizer(LevelDescriptor):
    """Share of each element, hydrogen to fermium, among the sites.

    Parameters
    ----------
    level : {"structure", "site"}, default="structure"
        Rows to transform are structures, or pairs of structure and site index; the element of
        the site has a share of 1.
    errors : {"raise", "nan"}, default="raise"
        Raise at the first bad row, or give it NaN and warn once of all.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.evaluation import ElementFractionFeaturizer
    >>> salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> features = ElementFractionFeaturizer().fit_transform([salt])
    >>> features.shape, features[0, 16]
    ((1, 100), np.float32(0.5))
    >>> ElementFractionFeaturizer("site").fit_transform([(salt, 1)])[0, 16]
    np.float32(1.0)
    """

    def __init__(self, level: str = "structure", *, errors: str = "raise") -> None:
        self.level = level
        self.errors = errors

    def feature_labels(self) -> list[str]:
        """Names of the features.

        Returns
        -------
        list of str
            Such as "fraction_Cl".
        """
        return [f"fraction_{symbol}" for symbol in SYMBOLS]

    def citations(self) -> list[str]:
        """What to cite: nothing.

        Returns
        -------
        list of str
            Empty.
        """
        return []

    def _row(self, structure: Structure, where: str, site: int | None = None) -> np.ndarray:
        return element_fractions(structure_arrays(structure, where).numbers, site)


def element_fractions(numbers: np.ndarray, site: int | None = None) -> np.ndarray:
    """Share of each of `SYMBOLS` among atomic numbers, of all sites or one."""
    if site is not None:
        numbers = numbers[site : site + 1]
    return np.bincount(numbers - 1, minlength=MAX_ATOMIC_NUMBER) / len(numbers)


class MagpieFeaturizer(Descriptor):
    """Magpie's statistics over elemental properties of the composition [1]_, by matminer.

    Minimum, maximum, range, mean, mean deviation and mode of 22 properties; values that the
    table lacks are replaced by the mean over elements.

    Parameters
    ----------
    errors : {"raise", "nan"}, default="raise"
        Raise at the first bad row, or give it NaN and warn once of all.

    References
    ----------
    .. [1] Ward et al., npj Comput. Mater. 2, 16028 (2016), 10.1038/npjcompumats.2016.28

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.evaluation import MagpieFeaturizer
    >>> salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> MagpieFeaturizer().fit_transform([salt]).shape
    (1, 132)
    """

    def __init__(self, *, errors: str = "raise") -> None:
        self.errors = errors

    def feature_labels(self) -> list[str]:
        """Names of the features, matminer's.

        Returns
        -------
        list of str
            Such as "MagpieData minimum Number".
        """
        return list(magpie().feature_labels())

    def citations(self) -> list[str]:
        """What to cite.

        Returns
        -------
        list of str
            BibTeX, from matminer.
        """
        return magpie().citations()

    def implementors(self) -> list[str]:
        """Who wrote the featurizer that this one wraps, and this one.

        Returns
        -------
        list of str
            Names.
        """
        return [*magpie().implementors(), "The ssatom developers"]

    def _row(self, structure: Structure, where: str) -> np.ndarray:
        numbers = structure_arrays(structure, where).numbers
        return _magpie_row(tuple(np.bincount(numbers).tolist()))


@lru_cache
def magpie() -> ElementProperty:
    """matminer's featurizer, made once."""
    return ElementProperty.from_preset("magpie", impute_nan=True)


@lru_cache(4096)
def _magpie_row(counts: tuple[int, ...]) -> np.ndarray:
    amounts = {Element.from_Z(z): n for z, n in enumerate(counts) if n}
    return np.array(magpie().featurize(Composition(amounts)), dtype=np.float64)
