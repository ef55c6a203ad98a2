"""One row, whatever its kind, to one pymatgen structure."""

from __future__ import annotations

import math
import os
import sys
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from pymatgen.core import IMolecule, IStructure, Lattice, Site, Structure

from ssatom.exceptions import StructureError
from ssatom.structures._arrays import (
    NO_SITES,
    StructureArrays,
    is_full,
    lattice_problem,
    open_side_problem,
    structure_arrays,
)
from ssatom.structures._files import Crystal, shorten
from ssatom.structures._paths import crystal_from_file

if TYPE_CHECKING:
    from ase import Atoms

StructureLike: TypeAlias = "Structure | IStructure | Atoms | str | os.PathLike[str]"

_LAST_ELEMENT = 118

ALLOWED = "a pymatgen Structure, ASE Atoms, or the path of a structure file"


def crystal_of(row: Any) -> Crystal:
    """The checked crystal of a row, or a StructureError that says what is wrong with it."""
    if isinstance(row, StructureError):
        raise row
    if isinstance(row, StructureArrays):
        return Crystal(row)
    if isinstance(row, str | os.PathLike):
        return crystal_from_file(_path(row))
    if is_atoms(row):
        structure = structure_from_atoms(row)
    elif isinstance(row, IStructure):
        structure = cast(Structure, row)
    else:
        raise StructureError(f"this row is {_describe(row)}")
    return Crystal(structure_arrays(structure), structure)


def _path(row: str | os.PathLike[str]) -> str:
    """The path that a row gives; text of a file is refused."""
    path = os.fsdecode(row)
    if "\n" in path or "\r" in path or "\0" in path:
        raise StructureError(
            f"this row is text ({shorten(path)!r}, {len(path):,} characters) where the path of a "
            'file belongs; make structures of text first, with Structure.from_str(text, fmt="cif") '
            'or fmt="poscar"'
        )
    return path


def is_atoms(value: Any) -> bool:
    """Whether a value is ASE's Atoms, found out without importing ASE."""
    module = sys.modules.get("ase.atoms")  # there if any Atoms are
    return module is not None and isinstance(value, module.Atoms)


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
    wrong = (atoms.numbers < 1) | (atoms.numbers > _LAST_ELEMENT)
    if wrong.any():
        number = int(atoms.numbers[wrong.argmax()])
        what = f"has the atomic number {number}" if number else "holds the dummy species X"
        raise StructureError(
            f"site {wrong.argmax()} {what}, which is no element; replace it with an element, or "
            "remove the site if it is a vacancy or a ghost atom"
        )
    cell = np.array(atoms.cell.array)
    problem = lattice_problem(cell, len(atoms))
    if problem and np.isfinite(cell).all():
        problem += (
            f". These are ASE Atoms with pbc={atoms.pbc.tolist()}: put a molecule or slab into "
            "a box, for instance with atoms.center(vacuum=10.0)"
        )
    frac_coords = np.zeros((0, 3)) if problem else atoms.get_scaled_positions(wrap=False)
    problem = problem or _partial_occupancy(atoms)
    if not problem and np.isfinite(frac_coords).all():
        problem = open_side_problem(cell, frac_coords, atoms.pbc.tolist())
    if problem:
        raise StructureError(problem, formula=atoms.get_chemical_formula(empirical=True))
    extra = {k: v.tolist() for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    return Structure(Lattice(cell), atoms.numbers.tolist(), frac_coords, site_properties=extra)


def _partial_occupancy(atoms: Atoms) -> str | None:
    """What is wrong if ASE read a disordered file, of which an atom shows one element alone."""
    remedy = (
        "order the structure first, for instance with pymatgen's "
        "OrderDisorderedStructureTransformation, or delete that entry if the atoms are in order"
    )
    occupancies = atoms.info.get("occupancy")
    if isinstance(occupancies, dict):
        sites = {str(kind): i for i, kind in enumerate(atoms.arrays.get("spacegroup_kinds", ()))}
        for kind, shares in occupancies.items():
            site = sites.get(str(kind))
            gone = sites and site is None  # of an atom that was deleted
            if isinstance(shares, dict) and not gone and not _is_whole(shares):
                parts = ", ".join(f"{element} {share:.4g}" for element, share in shares.items())
                what = f"kind {kind}" if site is None else f"site {site}"
                return (
                    f'{what} has partial occupancy ({parts}) in atoms.info["occupancy"]; {remedy}'
                )
    for name in ("occupancy", "occupancies"):
        shares_of_sites = np.asarray(atoms.arrays.get(name, ()))
        if shares_of_sites.ndim == 1 and shares_of_sites.dtype.kind in "fiu":
            partial = [i for i, share in enumerate(shares_of_sites) if not is_full(share, 1)]
            if partial:
                share = shares_of_sites[partial[0]]
                return (
                    f"site {partial[0]} has partial occupancy ({share:.4g}) in "
                    f'atoms.arrays["{name}"]; {remedy}'
                )
    return None


def _is_whole(shares: dict[str, float]) -> bool:
    return not shares or (len(shares) == 1 and is_full(next(iter(shares.values())), 1))


def _describe(row: Any) -> str:
    """What a row is that is no structure, and what to do about it."""
    if _is_missing(row):
        return f"{row}, a missing value; leave this row out, or give {ALLOWED}"
    kind = f"of type {type(row).__name__}"
    if isinstance(row, IMolecule):
        return (
            f"{kind} ({row.formula}), which has no cell; put it into a box, for instance with "
            "molecule.get_boxed_structure(20, 20, 20)"
        )
    if isinstance(row, Site):
        return f"{kind}, one site and no structure; {ARRAY_OF_SITES}"
    if isinstance(row, dict):
        return f"{kind}; make it a structure first, with Structure.from_dict"
    if isinstance(row, tuple) and len(row) == 2 and isinstance(row[0], IStructure):
        return f"{kind}, a pair; give the structure alone, sites go to the featurizers of sites"
    return f"{kind}; allowed is {ALLOWED}"


ARRAY_OF_SITES = (
    "NumPy takes structures apart into their sites: give the list of structures itself, or a Series"
)


def _is_missing(row: Any) -> bool:
    """None, nan, or what pandas puts into their place (told by name: pandas is slow to import)."""
    return (
        row is None
        or (isinstance(row, float) and math.isnan(row))
        or type(row).__name__ in ("NAType", "NaTType")
    )
