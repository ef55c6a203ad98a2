"""One row, whatever its kind, to one pymatgen structure."""

from __future__ import annotations

import math
import os
from typing import Any, TypeAlias, cast

import numpy as np
from ase import Atoms
from pymatgen.core import IMolecule, IStructure, Lattice, Site, Structure

from ssatom.exceptions import MissingFileError, StructureError, StructureFileError
from ssatom.structures._arrays import StructureArrays, lattice_problem, structure_arrays

StructureLike: TypeAlias = "Structure | IStructure | Atoms | str | os.PathLike[str]"

ALLOWED = "a pymatgen Structure, ASE Atoms, or the path of a structure file"


def to_structure(row: Any, where: str) -> Structure:
    """The checked structure of a row.

    Raises
    ------
    StructureError
        Says what is wrong with the row; a row that is such an error already is raised as it is.
    """
    structure, where = _read(row, where)
    structure_arrays(structure, where)
    return structure


def to_arrays(row: Any, where: str) -> StructureArrays:
    """The checked arrays of a row, with the errors of `to_structure`."""
    return row if isinstance(row, StructureArrays) else structure_arrays(*_read(row, where))


def _read(row: Any, where: str) -> tuple[Structure, str]:
    """The structure of a row, not yet checked, and what messages call it."""
    if isinstance(row, StructureError):
        raise row
    if isinstance(row, str | os.PathLike):
        where = f"{where} '{os.fspath(row)}'"
        return structure_from_file(row, where), where
    if isinstance(row, Atoms):
        return structure_from_atoms(row, where), where
    if isinstance(row, IStructure):
        return cast(Structure, row), where
    raise StructureError(f"{where} is {_describe(row)}")


def structure_from_atoms(atoms: Atoms, where: str = "structure") -> Structure:
    """Pymatgen structure of ASE atoms, periodic in all directions.

    Parameters
    ----------
    atoms : Atoms
        Its cell must have a volume, whatever `pbc` says: a molecule or a slab in a box of
        vacuum is a periodic crystal here. Further per-atom arrays become site properties.
    where : str, default="structure"
        What messages call the structure.

    Returns
    -------
    Structure
        Sites in the order of the atoms.

    Raises
    ------
    StructureError
        If there are no atoms, the cell has no volume, an atom is no element, or
        ``atoms.info["occupancy"]`` says that several share its site.

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
        raise StructureError(f"{where} has no sites; a crystal needs at least one")
    where = f"{where} ({atoms.get_chemical_formula(empirical=True)})"
    cell = np.array(atoms.cell.array)
    problem = lattice_problem(cell, len(atoms))
    if problem and np.isfinite(cell).all():
        problem += (
            f". These are ASE Atoms with pbc={atoms.pbc.tolist()}: put a molecule or slab into "
            "a box, for instance with atoms.center(vacuum=10.0)"
        )
    if problem:
        raise StructureError(f"{where}: {problem}")
    if not atoms.numbers.all():
        raise StructureError(
            f"{where}: site {int(np.argmin(atoms.numbers))} holds the dummy species X, which is "
            "no element; replace it with an element, or remove the site if it is a vacancy"
        )
    shared = _partial_occupancy(atoms)
    if shared:
        raise StructureError(f"{where}: {shared}")
    extra = {k: v.tolist() for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    return Structure(
        Lattice(cell),
        atoms.numbers.tolist(),
        atoms.get_scaled_positions(wrap=False),
        site_properties=extra,
    )


def _partial_occupancy(atoms: Atoms) -> str | None:
    """What is wrong if ASE read a disordered file, of which an atom shows one element alone."""
    occupancies = atoms.info.get("occupancy")
    kinds = atoms.arrays.get("spacegroup_kinds")
    if not isinstance(occupancies, dict) or kinds is None:
        return None
    for site, kind in enumerate(kinds):
        shares = occupancies.get(str(kind)) or {}
        if shares and list(shares.values()) != [1]:
            parts = ", ".join(f"{element} {share:.4g}" for element, share in shares.items())
            return (
                f'site {site} has partial occupancy ({parts}) in atoms.info["occupancy"]; order '
                "the structure first, for instance with pymatgen's "
                "OrderDisorderedStructureTransformation, or delete that entry if the atoms are "
                "in order"
            )
    return None


def structure_from_file(path: str | os.PathLike[str], where: str = "structure") -> Structure:
    """Pymatgen structure of a file, by pymatgen's readers.

    Parameters
    ----------
    path : str or path-like
        CIF, POSCAR or another format that pymatgen knows by its name. Of a file of several
        structures, the first.
    where : str, default="structure"
        What messages call the file.

    Returns
    -------
    Structure
        As the file has it; `structure_arrays` checks it.

    Raises
    ------
    MissingFileError
        If there is no such file.
    StructureFileError
        If pymatgen cannot read it.

    Examples
    --------
    >>> from ssatom.structures import structure_from_file
    >>> structure_from_file("nowhere.cif")
    Traceback (most recent call last):
    ...
    ssatom.exceptions.MissingFileError: structure: there is no such file ...
    """
    if not os.path.exists(path):
        raise MissingFileError(
            f"{where}: there is no such file (looked in {os.getcwd()}); text is taken for the "
            "path of a structure file"
        )
    if os.path.isdir(path):
        raise StructureFileError(
            f"{where} is a folder; read its files with ssatom.corpora.read_structures"
        )
    try:
        return Structure.from_file(os.fspath(path))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    # Raised out here so that no reader's frames, with the whole file, stay alive behind it.
    raise StructureFileError(
        f"{where}: pymatgen cannot read this file ({reason}); allowed are files whose name and "
        "content it knows, such as .cif or POSCAR (for .xyz and .jsonl see "
        "ssatom.corpora.read_structures)"
    )


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
