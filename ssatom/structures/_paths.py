"""Files of single structures, by their names: CIF, VASP's files, and what pymatgen reads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from pymatgen.core import Composition, Element, Lattice, Structure

from ssatom.exceptions import (
    MissingFileError,
    StructureError,
    StructureFileError,
    StructureWarning,
)
from ssatom.structures._arrays import (
    StructureArrays,
    coordinates_problem,
    lattice_problem,
    reduced_formula,
    structure_arrays,
)
from ssatom.structures._cif import CifBlock, count_crystals, read_cif
from ssatom.structures._files import plain_name, read_bytes
from ssatom.structures._poscar import read_poscar

_VASP_NAMES = ("*poscar*", "*contcar*", "*.vasp", "chgcar*", "locpot*")
_SHOWN = 120  # characters of a text in a message


def shorten(text: str) -> str:
    """Text for a message, cut if it is long."""
    return text if len(text) <= _SHOWN else f"{text[:60]}…"


def structure_from_file(path: str | os.PathLike[str], where: str = "structure") -> Structure:
    """Pymatgen structure of a file that holds one.

    Parameters
    ----------
    path : str or path-like
        CIF (read with gemmi), VASP's POSCAR, CONTCAR, CHGCAR or LOCPOT, or another format that
        pymatgen knows by its name, also packed (.gz, .bz2, .xz). The kind is told by the name.
    where : str, default="structure"
        What messages call the file.

    Returns
    -------
    Structure
        Of a CIF file all atoms of the cell, in the order of its lines and symmetry operations,
        as elements without charges; `structure_arrays` checks it.

    Warns
    -----
    StructureWarning
        If the file leaves a doubt and one reading is sound: occupancies that are not given, a
        setting of the space group that is guessed, atoms that do not make up the formula.

    Raises
    ------
    MissingFileError
        If there is no such file.
    StructureFileError
        If it cannot be read, holds several crystals, or does not tell its crystal without doubt:
        sites without coordinates, partly occupied or of no element, a POSCAR without elements.

    Notes
    -----
    A CIF file is read by the symmetry operations that it lists; without any, by those of its
    Hall symbol, its Hermann-Mauguin symbol or the number of its space group, where these and the
    cell decide on a setting. Sites closer than 0.01 Å to an element of symmetry are on it.

    References
    ----------
    .. [1] S. R. Hall, F. H. Allen and I. D. Brown, Acta Crystallographica A 47, 655 (1991),
       https://doi.org/10.1107/S010876739101067X
    .. [2] M. Wojdyr, Journal of Open Source Software 7, 4200 (2022),
       https://doi.org/10.21105/joss.04200

    Examples
    --------
    >>> from ssatom.structures import structure_from_file
    >>> structure_from_file("nowhere.cif")
    Traceback (most recent call last):
    ...
    ssatom.exceptions.MissingFileError: structure: there is no such file ...
    """
    _check_path(path, where)
    kind = _kind(path)
    if kind == "cif":
        return _cif_structure(_one_block(path, where), where)
    if kind == "vasp":
        arrays, doubts = read_poscar(path, where)
        _warn(where, doubts)
        return plain_structure(arrays)
    return _by_pymatgen(path, where)


def arrays_from_file(path: str | os.PathLike[str], where: str) -> StructureArrays:
    """Checked arrays of a file that holds one structure, with the errors of a structure of it."""
    _check_path(path, where)
    kind = _kind(path)
    if kind == "cif":
        crystal = _one_block(path, where).crystal
        if isinstance(crystal, StructureError):
            raise crystal
        _warn(where, crystal.warnings)
        return crystal.arrays
    if kind == "vasp":
        arrays, doubts = read_poscar(path, where)
        problem = lattice_problem(arrays.lattice, len(arrays.numbers))
        problem = problem or coordinates_problem(arrays.frac_coords)
        if problem:
            raise StructureError(f"{where} ({reduced_formula(arrays.numbers)}): {problem}")
        _warn(where, doubts)
        return arrays
    return structure_arrays(_by_pymatgen(path, where), where)


def read_crystals(
    path: str | os.PathLike[str], where: str
) -> Iterator[tuple[str, Structure | StructureError]]:
    """Each crystal of a file of structures, with its name in the file.

    Parameters
    ----------
    path : str or path-like
        As for `structure_from_file`.
    where : str
        What messages call the file.

    Yields
    ------
    name : str
        Empty in a file of one crystal; else that of the data block, with ".2" and so on behind
        it where a name comes again.
    structure : Structure or StructureError
        Checked, or why there is none.

    Examples
    --------
    >>> from ssatom.structures import read_crystals
    >>> [(name, error)] = read_crystals("nowhere.cif", "mine")
    >>> name, type(error).__name__
    ('', 'MissingFileError')
    """
    try:
        _check_path(path, where)
        if _kind(path) == "cif":
            blocks = read_cif(path, where)
        else:
            structure = structure_from_file(path, where)
            structure_arrays(structure, where)
            yield "", structure
            return
    except StructureError as error:
        yield "", error.with_traceback(None)
        return
    for block in blocks:
        place = f"{where} (data block '{block.name}')" if len(blocks) > 1 else where
        name = block.name if len(blocks) > 1 else ""
        try:
            yield name, _cif_structure(block, place)
        except StructureError as error:
            yield name, error.with_traceback(None)


def count_in_file(path: str | os.PathLike[str]) -> int:
    """Number of crystals that `read_crystals` gives of a file.

    Parameters
    ----------
    path : str or path-like
        As for `structure_from_file`; only a CIF file is opened.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    StructureFileError
        If a CIF file cannot be opened or unpacked.

    Examples
    --------
    >>> from ssatom.structures import count_in_file
    >>> count_in_file("POSCAR")
    1
    """
    return count_crystals(read_bytes(path, "file")) if _kind(path) == "cif" else 1


def several_crystals(where: str, names: Sequence[str]) -> StructureFileError:
    """The error of a file that should hold one crystal and holds several.

    Parameters
    ----------
    where : str
        What messages call the file.
    names : sequence of str
        Of its data blocks, if it is a CIF file.

    Returns
    -------
    StructureFileError
        To be raised.
    """
    shown = ", ".join(f"'{name}'" for name in names[:5])
    shown += f" and {len(names) - 5} more" if len(names) > 5 else ""
    blocks = f", {len(names)} data blocks with atoms ({shown})" if names else ""
    return StructureFileError(
        f"{where}: this file holds several crystals{blocks}; put the one that is meant into a file "
        "of its own, or read them all with ssatom.corpora.read_structures"
    )


def plain_structure(arrays: StructureArrays, **fields: Any) -> Structure:
    """Pymatgen structure of arrays.

    Parameters
    ----------
    arrays : StructureArrays
        Lattice, atomic numbers and fractional coordinates.
    **fields : object
        Further arguments of pymatgen's Structure, such as `labels`.

    Returns
    -------
    Structure
        Of elements without charges.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.structures import plain_structure, structure_arrays
    >>> plain_structure(structure_arrays(Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])))[0]
    PeriodicSite: Po (0.0, 0.0, 0.0) [0.0, 0.0, 0.0]
    """
    # Ready-made compositions save a third of the time that it takes to build a structure.
    species: Sequence[Any] = [_composition(number) for number in arrays.numbers.tolist()]
    return Structure(Lattice(arrays.lattice), species, arrays.frac_coords, **fields)


@lru_cache(maxsize=256)
def _composition(number: int) -> Composition:
    return Composition({Element.from_Z(number): 1})


def _check_path(path: str | os.PathLike[str], where: str) -> None:
    if not os.path.exists(path):
        raise MissingFileError(
            f"{where}: there is no such file (looked in {os.getcwd()}); text is taken for the "
            "path of a structure file"
        )
    if os.path.isdir(path):
        raise StructureFileError(
            f"{where} is a folder; read its files with ssatom.corpora.read_structures"
        )


def _kind(path: str | os.PathLike[str]) -> str:
    name = plain_name(path)
    if ".cif" in name and ".mcif" not in name:
        return "cif"
    fits = any(fnmatchcase(name, pattern) for pattern in _VASP_NAMES)
    return "vasp" if fits and not name.endswith((".json", ".mcif", ".xml")) else "other"


def _one_block(path: str | os.PathLike[str], where: str) -> CifBlock:
    blocks = read_cif(path, where)
    if len(blocks) == 1:
        return blocks[0]
    raise several_crystals(where, [block.name for block in blocks])


def _cif_structure(block: CifBlock, where: str) -> Structure:
    crystal = block.crystal
    if isinstance(crystal, StructureError):
        raise crystal
    _warn(where, crystal.warnings)
    return plain_structure(crystal.arrays, labels=crystal.labels)


def _warn(where: str, reasons: list[str]) -> None:
    for reason in reasons:
        warnings.warn(StructureWarning(where, reason), stacklevel=4)


def _by_pymatgen(path: str | os.PathLike[str], where: str) -> Structure:
    try:
        return Structure.from_file(os.fspath(path))
    except Exception as error:
        reason = shorten(f"{type(error).__name__}: {error}".replace("\n", " "))
    # Raised out here so that no reader's frames, with the whole file, stay alive behind it.
    raise StructureFileError(
        f"{where}: pymatgen cannot read this file ({reason}); allowed are files whose name and "
        "content it knows, such as .cif or POSCAR (for .xyz and .jsonl see "
        "ssatom.corpora.read_structures)"
    )
