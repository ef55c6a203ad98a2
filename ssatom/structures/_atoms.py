"""ASE's Atoms as structures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Structure

from ssatom.exceptions import StructureError
from ssatom.structures._arrays import (
    NO_SITES,
    StructureArrays,
    checked,
    is_full,
    lattice_problem,
    plain_structure,
)

if TYPE_CHECKING:
    from ase import Atoms


def structure_from_atoms(atoms: Atoms) -> Structure:
    """Pymatgen structure of ASE atoms, periodic in all directions.

    Parameters
    ----------
    atoms : Atoms
        Its cell must have a volume. Along an axis with `pbc` False, at least 8 Å must lie between
        the atoms and their next images: a molecule or a slab in such a box of vacuum is a
        periodic crystal here, in which no bond crosses the open side. Further per-atom arrays
        become site properties.

    Returns
    -------
    Structure
        Sites in the order of the atoms.

    Raises
    ------
    StructureError
        If there are no atoms, the cell has no volume or too little vacuum along an open axis, an
        atom is no element, or occupancies say that it does not fill its site.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from ssatom.structures import structure_from_atoms
    >>> water = molecule("H2O")
    >>> water.center(vacuum=10.0)
    >>> structure_from_atoms(water).reduced_formula
    'H2O'
    """
    if not len(atoms):
        raise StructureError(NO_SITES)
    wrong = (atoms.numbers < 1) | (atoms.numbers > 118)
    if wrong.any():
        number = int(atoms.numbers[wrong.argmax()])
        what = f"has the atomic number {number}" if number else "holds the dummy species X"
        raise StructureError(
            f"site {wrong.argmax()} {what}, which is no element; replace it with an element, or "
            "remove the site if it is a vacancy or a ghost atom"
        )
    cell = np.array(atoms.cell.array)
    if problem := lattice_problem(cell, len(atoms)):
        if np.isfinite(cell).all():
            problem += (
                f". These are ASE Atoms with pbc={atoms.pbc.tolist()}: put a molecule or slab into "
                "a box, for instance with atoms.center(vacuum=10.0)"
            )
    else:
        problem = _partial_occupancy(atoms)
    if problem:
        raise StructureError(problem, formula=atoms.get_chemical_formula(empirical=True))
    arrays = StructureArrays(cell, atoms.numbers, atoms.get_scaled_positions(wrap=False))
    checked(arrays, atoms.pbc.tolist())
    extra = {k: v.tolist() for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    return plain_structure(arrays, site_properties=extra)


def _partial_occupancy(atoms: Atoms) -> str | None:
    """What is wrong if ASE read a disordered file, of which an atom shows one element alone."""
    found = []
    occupancies = atoms.info.get("occupancy")
    sites = {str(kind): i for i, kind in enumerate(atoms.arrays.get("spacegroup_kinds", ()))}
    for kind, shares in occupancies.items() if isinstance(occupancies, dict) else ():
        site = sites.get(str(kind))
        gone = sites and site is None  # of an atom that was deleted
        if not isinstance(shares, dict) or gone:
            continue
        if len(shares) > 1 or not all(is_full(share, 1) for share in shares.values()):
            parts = ", ".join(f"{element} {share:.4g}" for element, share in shares.items())
            what = f"kind {kind}" if site is None else f"site {site}"
            found.append((what, parts, 'info["occupancy"]'))
    for name in ("occupancy", "occupancies"):
        values = np.asarray(atoms.arrays.get(name, ()))
        if values.ndim == 1 and values.dtype.kind in "fiu":
            partial = [(i, share) for i, share in enumerate(values) if not is_full(share, 1)]
            found += [(f"site {i}", f"{share:.4g}", f'arrays["{name}"]') for i, share in partial]
    if not found:
        return None
    what, parts, place = found[0]
    return (
        f"{what} has partial occupancy ({parts}) in atoms.{place}; order the structure first, for "
        "instance with pymatgen's OrderDisorderedStructureTransformation, or delete that entry if "
        "the atoms are in order"
    )
