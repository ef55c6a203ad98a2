"""What electrons do in a crystal, as numbers of its sites and of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ssatom.blas import one_blas_thread
from ssatom.electrons.atoms import atom_table
from ssatom.electrons.bands import Bands, compute_bands, primitive
from ssatom.electrons.oxidation import COMPOSITION_NAMES, composition_columns
from ssatom.structures import StructureArrays, structure_arrays

_KT = 0.1  # eV, of the occupation
_WIDTH = 0.5  # eV, of levels, where their density is meant
_SMALL = 1.0  # eV², a variance below which skew and tail of a band count less
_STEPS = (0.05, 0.2, 0.6, 1.5)  # electrons per site taken out and put in
_MOMENTS = ("centre", "width", "skew", "tail")

SITE_NAMES = (
    "charge", "s_electrons", "p_electrons", "d_electrons", "filled_energy", "empty_energy",
    "fermi_density", "band_energy",
    *(f"{shell}_{moment}" for shell in "spd" for moment in _MOMENTS),
)  # fmt: skip
"""Names of the columns of sites."""

CRYSTAL_NAMES = (
    "gap", "band_step", "direct_gap", "odd_electrons", "fermi_energy", "valence_edge",
    "conduction_edge", "energy_per_electron", "spectrum_width", "valence_width",
    *(f"remove_{step}" for step in _STEPS),
    *(f"add_{step}" for step in _STEPS),
    *(f"{edge}_{what}" for edge in ("valence", "conduction")
      for what in ("s", "p", "d", "charge", "localization")),
)  # fmt: skip
"""Names of the columns of crystals."""


class ElectronicDescriptors(NamedTuple):
    """Descriptors of several structures.

    Attributes
    ----------
    sites : list of ndarray, each of shape (n_sites, n_site_names)
        By structure.
    crystals : ndarray, shape (n_structures, n_crystal_names)
        One row a structure.
    compositions : ndarray, shape (n_structures, n_composition_names)
        One row a structure.
    site_names, crystal_names, composition_names : tuple of str
        Of the columns.
    """

    sites: list[np.ndarray]
    crystals: np.ndarray
    compositions: np.ndarray
    site_names: tuple[str, ...] = SITE_NAMES
    crystal_names: tuple[str, ...] = CRYSTAL_NAMES
    composition_names: tuple[str, ...] = COMPOSITION_NAMES


def electronic_descriptors(structures: Sequence[Any]) -> ElectronicDescriptors:
    """Charges, densities of states and gaps of a universal tight-binding model [1]_.

    Orbitals s and p, and d of transition metals and the f block, have the energies of free atoms,
    and hop between atoms nearer than 1.5 sums of covalent radii. Electrons do not repel each other.
    No number is fitted to labels but two, which were chosen by the error of PBE band gaps of 1,000
    crystals outside all sets that the package is evaluated on: the distances at which hoppings fall
    (the better of two pairs), and that energies of d levels are not scaled (better than by 1.3).

    Every other cell or orientation of a crystal has the same values. A structure of 10 sites takes
    about 2 ms on one core, one of 200 sites that repeat nothing about 2 s; time grows with the cube
    of the primitive cell. Bands are computed at the corners of half the reciprocal cell alone. A
    supercell whose atoms are displaced by more than 0.001 Å has a reciprocal cell of its own, and
    values at the band edges then jump.

    Parameters
    ----------
    structures : sequence of Structure or StructureArrays
        Ordered crystals of the elements H to Fm.

    Returns
    -------
    ElectronicDescriptors
        Of sites: the charge, electrons by shell, mean energy of filled and of empty states, the
        density of states at the Fermi energy, the band energy; and of the local density of states
        of each shell, its mean, width, skew and tail. Zeros stand for shells that an atom does not
        have. Of crystals: gaps, edges, the energies at which electrons are removed and added, and
        shares of shells at both edges. Of compositions: what oxidation states tell. Energies in eV.

    Raises
    ------
    StructureError
        If a structure is disordered or two atoms overlap.

    References
    ----------
    .. [1] Harrison, Elementary Electronic Structure (1999), 10.1142/4121

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.electrons import electronic_descriptors
    >>> salt = Structure.from_spacegroup(
    ...     "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ... )
    >>> found = electronic_descriptors([salt])
    >>> bool(found.crystals[0, 0] > 3), found.sites[0].shape
    (True, (8, 20))
    """
    sites, crystals, compositions = [], [], []
    with one_blas_thread():
        for structure in structures:
            known = isinstance(structure, StructureArrays)
            arrays = structure if known else structure_arrays(structure)
            cell, copy_of = primitive(arrays)
            of_sites, of_crystal = _describe(compute_bands(cell))
            sites.append(of_sites[copy_of])
            crystals.append(of_crystal)
            compositions.append(composition_columns(arrays.numbers))
    return ElectronicDescriptors(
        sites,
        np.array(crystals).reshape(-1, len(CRYSTAL_NAMES)),
        np.array(compositions).reshape(-1, len(COMPOSITION_NAMES)),
    )


def _describe(bands: Bands) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the sites, and of the crystal."""
    n_vectors, n_orbitals = bands.energies.shape
    order = np.argsort(bands.energies, axis=None, kind="stable")
    energies = bands.energies.ravel()[order]
    weights = bands.weights.reshape(-1, n_orbitals)[order]
    fermi = _fermi_energy(energies, bands.n_electrons, 2 / n_vectors)
    filled = 2 / n_vectors * _occupation(energies, fermi)
    # Lorentzian: its slow tail leaves insulators with a number that a scaler can divide by.
    density = _WIDTH / np.pi / ((energies - fermi) ** 2 + _WIDTH**2)
    at_fermi = 2 / n_vectors * density @ weights
    sites = _site_columns(bands, energies, weights, filled, at_fermi)
    total, n_sites = bands.n_electrons, len(bands.numbers)
    n_filled = int(total // 2)
    odd = total % 2
    ends = np.array([[energies[0]], [energies[-1]]])  # where no band is filled, or empty
    below, above = bands.energies[:, :n_filled], bands.energies[:, n_filled:]
    top = below[:, -1] if n_filled else ends[0]
    bottom = above[:, 0] if n_filled < n_orbitals else ends[1]
    valence, conduction = top.max(), bottom.min()
    energy = filled @ energies
    counted = 2 / n_vectors * (np.arange(len(energies)) + 0.5)
    steps = n_sites * np.array(_STEPS)
    crystal = [
        max(conduction - valence, 0) * (1 - odd), conduction - valence, (bottom - top).min(), odd,
        fermi, valence, conduction, energy / total, energies[-1] - energies[0],
        valence - energies[0],
        *(fermi - np.interp(total - steps, counted, energies)),
        *(np.interp(total + steps, counted, energies) - fermi),
    ]  # fmt: skip
    for near in (valence - energies, energies - conduction):
        share = np.where(near >= -1e-6, np.exp(-np.maximum(near, 0) / _WIDTH), 0) @ weights
        share /= share.sum()
        crystal += list(np.bincount(bands.shell_of, share, 3))
        of_sites = np.bincount(bands.site_of, share, n_sites)
        # The localization does not grow with the cell: 0 where all sites share alike.
        crystal += [of_sites @ sites[:, 0], np.log(n_sites * of_sites @ of_sites)]
    return sites, np.array(crystal)


def _occupation(energies: np.ndarray, fermi: float) -> np.ndarray:
    return 0.5 - 0.5 * np.tanh((energies - fermi) / (2 * _KT))


def _fermi_energy(energies: np.ndarray, n_electrons: float, degeneracy: float) -> float:
    """Energy at which the states hold all electrons, by bisection."""
    low, high = energies[0] - 5, energies[-1] + 5
    for _ in range(45):  # to 1e-11 eV
        middle = (low + high) / 2
        if degeneracy * _occupation(energies, middle).sum() > n_electrons:
            high = middle
        else:
            low = middle
    return float((low + high) / 2)


def _site_columns(
    bands: Bands,
    energies: np.ndarray,
    weights: np.ndarray,
    filled: np.ndarray,
    at_fermi: np.ndarray,
) -> np.ndarray:
    """The columns of all sites, shape (n_sites, n_site_names)."""
    n_sites, n_vectors = len(bands.numbers), len(bands.energies)
    shells = 3 * bands.site_of + bands.shell_of

    def by_shell(values: np.ndarray) -> np.ndarray:
        return np.bincount(shells, values, 3 * n_sites).reshape(n_sites, 3)

    electrons = by_shell(filled @ weights)
    held = electrons.sum(axis=1)
    empty = 2 / n_vectors - filled
    energy = by_shell((filled * energies) @ weights).sum(axis=1)
    room = by_shell(empty @ weights).sum(axis=1)
    above = by_shell((empty * energies) @ weights).sum(axis=1)
    columns = [
        atom_table().n_electrons[bands.numbers] - held, *electrons.T,
        energy / np.maximum(held, 1e-3), above / np.maximum(room, 1e-3),
        by_shell(at_fermi).sum(axis=1), energy,
    ]  # fmt: skip
    sizes = np.maximum(by_shell(np.ones(len(shells))), 1)
    centre = by_shell(energies @ weights / n_vectors) / sizes
    # Powers of deviations: differences of raw moments would leave rounding where bands are flat.
    deviations = energies[:, None] - centre.ravel()[shells]
    power = weights / n_vectors
    moments = []
    for _ in range(2, 5):
        power = power * deviations
        moments.append(power)
    second, third, fourth = (by_shell((part * deviations).sum(axis=0)) / sizes for part in moments)
    shapes = [
        centre, np.sqrt(second), third / (second + _SMALL), np.sqrt(fourth / (second + _SMALL)),
    ]  # fmt: skip
    return np.column_stack([*columns, np.stack(shapes, axis=2).reshape(n_sites, 12)])
