"""Descriptors that need no training, computed for one structure or one site at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms
from matminer.featurizers.composition import ElementProperty
from matminer.featurizers.structure import SineCoulombMatrix
from pymatgen.core import Element, Structure

from ssatom import OrbitalFieldMatrixTransformer, StructureError
from ssatom.elements import MAX_ATOMIC_NUMBER, property_table
from ssatom.structures import structure_arrays
from ssatom.surroundings import radial_distributions
from studies.force_fields import chgnet, sevennet

BOHR = 0.529177210903
"""Å."""

MAX_SITES = 200
"""Eigenvalues of a matrix over sites; larger structures have no such features."""

RADII = 1.0 + 0.2 * np.arange(26)
"""Grid of the radial distribution, 1 to 6 Å."""

WIDTH = 0.2
"""Standard deviation of its Gaussians, Å."""

SYMBOLS = [Element.from_Z(z).symbol for z in range(1, MAX_ATOMIC_NUMBER + 1)]
"""Hydrogen to fermium."""

_MIN_DISTANCE = 0.3  # Å

Describe = Callable[[Structure, int | None], np.ndarray]
"""Features of a structure, or of one of its sites; raises a StructureError where it has none."""


@dataclass(frozen=True)
class Rival:
    """A descriptor that the embeddings are compared with.

    Attributes
    ----------
    label : str
        Name in the tables.
    level : str
        "structure" or "site".
    describe : callable
        From a structure and a site (None for the whole structure) to a vector.
    description : str
        One line for the table's legend.
    slow : bool
        Takes more than a tenth of a second a row; quick runs leave it out.
    needs : str or None
        Package that it needs beside those of ssatom.
    """

    label: str
    level: str
    describe: Describe
    description: str
    slow: bool = False
    needs: str | None = None


def features_of(rival: Rival, rows: list[Any]) -> list[np.ndarray | None]:
    """Features of each row in float32; None where the descriptor does not exist."""
    found: list[np.ndarray | None] = []
    for row in rows:
        structure, site = (row, None) if rival.level == "structure" else row
        try:
            found.append(rival.describe(structure, site).astype(np.float32))
        except StructureError:
            found.append(None)
    return found


def orbital_field_matrix(structure: Structure, site: int | None) -> np.ndarray:
    """Mean over sites, or that of one site; 1056 numbers."""
    if site is None:
        return OrbitalFieldMatrixTransformer().transform([structure])[0]
    return OrbitalFieldMatrixTransformer("site").transform([(structure, site)])[0]


def sine_matrix(structure: Structure, _site: int | None) -> np.ndarray:
    """Eigenvalues of matminer's sine matrix."""
    _check_size(structure)
    [matrix] = SineCoulombMatrix(flatten=False).featurize(structure)
    return _by_magnitude(np.linalg.eigvalsh(matrix))


def ewald_sum_matrix(structure: Structure, _site: int | None) -> np.ndarray:
    """Eigenvalues of DScribe's Ewald sum matrix, Hartree."""
    _check_size(structure)
    values = _dscribe("EwaldSumMatrix").create(_atoms(structure), accuracy=1e-10)
    return _by_magnitude(values * BOHR)


def coulomb_matrix(structure: Structure, _site: int | None) -> np.ndarray:
    """Eigenvalues of DScribe's Coulomb matrix of the atoms in the cell, without images."""
    _check_size(structure)
    return _by_magnitude(_dscribe("CoulombMatrix").create(_atoms(structure)))


def magpie_statistics(structure: Structure, _site: int | None) -> np.ndarray:
    """Minimum, maximum, range, mean, deviation and mode of 22 elemental properties."""
    return np.array(_magpie().featurize(structure.composition.element_composition))


def element_fractions(structure: Structure, site: int | None) -> np.ndarray:
    """Share of each element among the sites; 1 for the element of one site."""
    numbers = structure_arrays(structure).numbers
    numbers = numbers if site is None else numbers[[site]]
    return np.bincount(numbers - 1, minlength=MAX_ATOMIC_NUMBER) / len(numbers)


def radial_distribution(structure: Structure, site: int | None) -> np.ndarray:
    """Element fractions, and the radial distribution weighted by elemental properties.

    The mean over sites i of Σ_j w_i w_j exp(-(d_ij − r)² / 2σ²), for w = 1 and for each of four
    elemental properties in units of its spread over the elements.
    """
    _check_distances(structure)
    of_sites = radial_distributions(structure_arrays(structure), property_table(), RADII, WIDTH)
    radial = of_sites.mean(axis=0) if site is None else of_sites[site]
    return np.concatenate([radial.ravel(), element_fractions(structure, site)])


def soap(structure: Structure, site: int | None) -> np.ndarray:
    """Smooth overlap of atomic positions, averaged over sites or that of one site."""
    average = "inner" if site is None else "off"
    centers = None if site is None else [site]
    return np.ravel(_soap(average).create(_atoms(structure), centers=centers))


def _check_size(structure: Structure) -> None:
    _check_distances(structure)
    if len(structure) > MAX_SITES:
        raise StructureError(
            f"{structure.reduced_formula}: {len(structure)} sites; at most {MAX_SITES} are allowed"
        )


def _check_distances(structure: Structure) -> None:
    if not structure.is_valid(tol=_MIN_DISTANCE):
        raise StructureError(
            f"{structure.reduced_formula}: two sites are closer than {_MIN_DISTANCE} Å"
        )


def _by_magnitude(values: np.ndarray) -> np.ndarray:
    """Eigenvalues, largest absolute value first, padded with zeros."""
    padded = np.zeros(MAX_SITES)
    padded[: len(values)] = values[np.argsort(-np.abs(values))]
    return padded


def _atoms(structure: Structure) -> Atoms:
    lattice, numbers, frac_coords = structure_arrays(structure)
    return Atoms(numbers, cell=lattice, scaled_positions=frac_coords, pbc=True)


@lru_cache
def _magpie() -> ElementProperty:
    return ElementProperty.from_preset("magpie", impute_nan=True)


@lru_cache
def _dscribe(name: str) -> Any:
    import dscribe.descriptors

    kind = getattr(dscribe.descriptors, name)
    return kind(n_atoms_max=MAX_SITES, permutation="eigenspectrum")


@lru_cache
def _soap(average: str) -> Any:
    """DScribe's SOAP of one density, to which species contribute by their atomic number.

    The number of features does not grow with the number of elements.
    """
    from dscribe.descriptors import SOAP

    weights = {symbol: float(z) for z, symbol in enumerate(SYMBOLS, start=1)}
    return SOAP(
        species=SYMBOLS,
        r_cut=5.0,
        n_max=6,
        l_max=4,
        periodic=True,
        average=average,
        compression={"mode": "mu2", "species_weighting": weights},
    )


def _force_fields(level: str) -> list[Rival]:
    """Embeddings that were trained on labels."""
    of_labels = {
        "CHGNet": (chgnet, "CHGNet 0.3.0, trained on energies, forces, stresses and moments"),
        "SevenNet-0": (sevennet, "SevenNet-0, trained on energies, forces and stresses"),
    }
    packages = {"CHGNet": "chgnet", "SevenNet-0": "sevenn"}
    return [
        Rival(label, level, describe, text, slow=True, needs=packages[label])
        for label, (describe, text) in of_labels.items()
    ]


STRUCTURE_RIVALS = (
    Rival(
        "OFM",
        "structure",
        orbital_field_matrix,
        "orbital field matrix, mean over sites, 1056 numbers as in the paper",
        slow=True,
    ),
    Rival("SM", "structure", sine_matrix, "eigenvalues of the sine matrix"),
    Rival(
        "ESM",
        "structure",
        ewald_sum_matrix,
        "eigenvalues of the Ewald sum matrix",
        needs="dscribe",
    ),
    Rival(
        "CM",
        "structure",
        coulomb_matrix,
        "eigenvalues of the Coulomb matrix of the atoms in the cell, without images",
        needs="dscribe",
    ),
    Rival("Magpie", "structure", magpie_statistics, "Magpie statistics of the composition"),
    Rival(
        "EF+RD",
        "structure",
        radial_distribution,
        "element fractions and an element-weighted radial distribution to 6 Å",
    ),
    Rival("EF", "structure", element_fractions, "element fractions alone"),
    Rival(
        "SOAP",
        "structure",
        soap,
        "smooth overlap of atomic positions, averaged; one channel, species weighted by number",
        needs="dscribe",
    ),
    *_force_fields("structure"),
)
"""Descriptors of whole crystals."""

SITE_RIVALS = (
    Rival("OFM", "site", orbital_field_matrix, "orbital field matrix of the site", slow=True),
    Rival(
        "EF+RD",
        "site",
        radial_distribution,
        "element of the site and its element-weighted radial distribution to 6 Å",
    ),
    Rival("EF", "site", element_fractions, "element of the site alone"),
    Rival(
        "SOAP",
        "site",
        soap,
        "smooth overlap of atomic positions around the site, species weighted by number",
        needs="dscribe",
    ),
    *_force_fields("site"),
)
"""Descriptors of single sites."""
