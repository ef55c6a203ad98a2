"""Energies and states of a crystal's valence electrons in the tight-binding model."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import spglib

from ssatom.electrons.atoms import AtomTable, atom_table
from ssatom.electrons.hoppings import REACH, hopping_blocks
from ssatom.exceptions import StructureError
from ssatom.graph import pairs_within, refuse_overlap
from ssatom.structures import StructureArrays, reduced_formula
from ssatom.warn import quiet_spglib

_TOLERANCE = 1e-3  # Å, of translations to copies of a site
MAX_ORBITALS = 6000
"""Most orbitals of a structure, whose matrix takes 300 MB; about 1,000 sites."""

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
    """The primitive cell, its axes reduced, and for each site of the crystal its site in that cell.

    The orientation is kept. Raises StructureError above `MAX_ORBITALS`.
    """
    table, numbers = atom_table(), arrays.numbers
    if (n_orbitals := int(table.n_orbitals[numbers].sum())) > MAX_ORBITALS:
        raise StructureError(
            f"its {len(numbers):,} sites have {n_orbitals:,} orbitals; allowed are "
            f"{MAX_ORBITALS:,}, since time grows with their cube; leave this row out",
            formula=reduced_formula(numbers),
        )
    lattice, copy_of = _without_copies(arrays)
    _, first, copy_of = np.unique(copy_of, return_index=True, return_inverse=True)
    quiet_spglib()
    reduced = spglib.niggli_reduce(lattice)
    lattice = lattice if reduced is None else reduced
    coords = arrays.frac_coords[first] @ arrays.lattice @ np.linalg.inv(lattice)
    return StructureArrays(np.ascontiguousarray(lattice), arrays.numbers[first], coords), copy_of


def _without_copies(arrays: StructureArrays) -> tuple[np.ndarray, np.ndarray]:
    """Lattice of all translations, and for each site the first that it is a copy of.

    spglib would find them among all symmetries, which takes longer than the bands.
    """
    numbers, coords = arrays.numbers, arrays.frac_coords
    elements, counts = np.unique(numbers, return_counts=True)
    sites = np.arange(len(numbers))
    whole = arrays.lattice, sites
    if np.gcd.reduce(counts) == 1:
        return whole
    rare = np.flatnonzero(numbers == elements[counts.argmin()])

    def copies(of: np.ndarray, shift: np.ndarray) -> np.ndarray | None:
        steps = coords[of][:, None] + shift - coords[of]
        near = np.linalg.norm((steps - np.rint(steps)) @ arrays.lattice, axis=2) < _TOLERANCE
        near &= numbers[of][:, None] == numbers[of]
        return near.argmax(axis=1) if near.any(axis=1).all() else None

    shifts, copy_of, n = [], sites, 1
    for shift in coords[rare[1:]] - coords[rare[0]]:
        if copies(rare, shift) is not None and (found := copies(sites, shift)) is not None:
            shifts.append(shift)
            copy_of = np.minimum(copy_of, found)
            n += 1
    if n == 1:
        return whole
    basis = _basis(np.rint(n * np.concatenate([np.eye(3), shifts])).astype(int))
    if abs(np.prod(np.diag(basis))) != n**2 or len(np.unique(copy_of)) * n != len(numbers):
        return whole  # near the tolerance, where some translations are found and others are not
    return basis / n @ arrays.lattice, copy_of


def _basis(rows: np.ndarray) -> np.ndarray:
    """Triangular basis of all sums of integer vectors, shape (3, 3), by Euclid's algorithm."""
    basis = []
    for column in range(3):
        while np.count_nonzero(rows[:, column]) > 1:
            sizes = np.where(rows[:, column], np.abs(rows[:, column]), np.iinfo(int).max)
            least = sizes.argmin()
            times = rows[:, column] // rows[least, column]
            times[least] = 0
            rows = rows - times[:, None] * rows[least]
        last = int(np.flatnonzero(rows[:, column])[0])
        basis.append(rows[last])
        rows = np.delete(rows, last, axis=0)
    return np.array(basis)


def compute_bands(cell: StructureArrays) -> Bands:
    """Diagonalize the model at the corners of half the reciprocal cell, where it is real.

    Raises StructureError if two atoms overlap.
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
    pairs = pairs_within(cell, 2 * REACH[1] * table.radii[numbers].max(), vectors=True)
    assert pairs.vectors is not None
    in_radii = refuse_overlap(numbers, pairs)
    near = in_radii < REACH[1]
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
