"""Energies and states of a crystal's valence electrons in the tight-binding model."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import spglib

from ssatom.electrons.atoms import AtomTable, atom_table
from ssatom.electrons.hoppings import REACH, hopping_blocks
from ssatom.kernels import find_pairs
from ssatom.structures import StructureArrays
from ssatom.warn import ignore_for_good

_TOLERANCE = 1e-3  # Å, of the search for the primitive cell
_LENGTH = 12.0  # Å; along axes whose planes are farther apart, bands count as flat


class Bands(NamedTuple):
    """States at all wave vectors.

    Attributes
    ----------
    numbers : ndarray of int, shape (n_sites,)
        Atomic numbers of the sites.
    energies : ndarray, shape (n_vectors, n_orbitals)
        eV, ascending at each wave vector.
    weights : ndarray, shape (n_vectors, n_orbitals, n_orbitals)
        Share of each orbital, on the last axis, in each state.
    site_of, shell_of : ndarray of int, shape (n_orbitals,)
        Site, and 0, 1 or 2 for s, p or d, of each orbital.
    n_electrons : float
        In the cell.
    """

    numbers: np.ndarray
    energies: np.ndarray
    weights: np.ndarray
    site_of: np.ndarray
    shell_of: np.ndarray
    n_electrons: float


def primitive(arrays: StructureArrays) -> tuple[StructureArrays, np.ndarray]:
    """The primitive cell, its axes reduced, and for each site the one that it is a copy of.

    Parameters
    ----------
    arrays : StructureArrays
        A structure.

    Returns
    -------
    cell : StructureArrays
        In the same orientation.
    copy_of : ndarray of int, shape (n_sites,)
        Sites of `cell`.
    """
    ignore_for_good("Set OLD_ERROR_HANDLING to false")  # of spglib, whatever is called
    cell = arrays.lattice, arrays.frac_coords, arrays.numbers
    found = spglib.get_symmetry_dataset(cell, symprec=_TOLERANCE)  # type: ignore[arg-type]
    if found is None:
        lattice, copy_of = arrays.lattice, np.arange(len(arrays.numbers))
    else:
        lattice, copy_of = found.primitive_lattice, np.asarray(found.mapping_to_primitive)
    _, first, copy_of = np.unique(copy_of, return_index=True, return_inverse=True)
    reduced = spglib.niggli_reduce(lattice)
    lattice = lattice if reduced is None else reduced
    coords = arrays.frac_coords[first] @ arrays.lattice @ np.linalg.inv(lattice)
    return StructureArrays(np.ascontiguousarray(lattice), arrays.numbers[first], coords), copy_of


def compute_bands(cell: StructureArrays) -> Bands:
    """Diagonalize the model at the corners of half the reciprocal cell, where it is real.

    Parameters
    ----------
    cell : StructureArrays
        A primitive cell.

    Returns
    -------
    Bands
    """
    table = atom_table()
    counts = table.n_orbitals[cell.numbers]
    site_of = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    shell_of = np.searchsorted([0, 3], np.arange(len(site_of)) - starts[site_of])
    levels = table.levels[cell.numbers[site_of], shell_of]
    places, values, images = _elements(cell, table, starts)
    n = len(levels)
    energies, weights = [], []
    for vector in _wave_vectors(cell.lattice):
        signs = 1.0 - 2.0 * (images @ vector % 2)
        flat = np.bincount(places, values * signs, minlength=n * n)
        matrix = flat.reshape(n, n) + np.diag(levels)
        found, states = np.linalg.eigh(matrix)
        energies.append(found)
        weights.append(np.square(states).T)
    total = float(table.n_electrons[cell.numbers].sum())
    return Bands(cell.numbers, np.array(energies), np.array(weights), site_of, shell_of, total)


def _wave_vectors(lattice: np.ndarray) -> np.ndarray:
    """Wave vectors as 0 or 1 along each reciprocal axis, in halves of it."""
    spacings = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    return np.array(list(product(*[(0, 1) if s < _LENGTH else (0,) for s in spacings])))


def _elements(
    cell: StructureArrays, table: AtomTable, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places in the flat matrix, values and cells of all matrix elements between atoms."""
    numbers = cell.numbers
    radii = table.radii[numbers]
    pairs = find_pairs(cell.frac_coords, cell.lattice, 2 * REACH[1] * radii.max(), vectors=True)
    assert pairs.vectors is not None
    near = pairs.distances < REACH[1] * (radii[pairs.centers] + radii[pairs.neighbors])
    i, j, vectors = pairs.centers[near], pairs.neighbors[near], pairs.vectors[near]
    blocks = hopping_blocks(numbers[i], numbers[j], vectors, table)
    steps = vectors @ np.linalg.inv(cell.lattice) - cell.frac_coords[j] + cell.frac_coords[i]
    orbitals = np.arange(9)
    exists = orbitals < table.n_orbitals[numbers][:, None]
    kept = exists[i][:, :, None] & exists[j][:, None, :]
    n = table.n_orbitals[numbers].sum()
    rows = (starts[i][:, None] + orbitals)[:, :, None] * n
    places = rows + (starts[j][:, None] + orbitals)[:, None, :]
    images = np.repeat(np.rint(steps).astype(int), kept.sum(axis=(1, 2)), axis=0)
    return places[kept], blocks[kept], images
