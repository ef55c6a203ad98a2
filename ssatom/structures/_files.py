"""Files of structures, by their names: CIF, VASP's files, and what pymatgen reads."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from pymatgen.core import Structure

from ssatom.exceptions import (
    MissingFileError,
    StructureError,
    StructureFileError,
    StructureWarning,
    attempt,
    unwrap,
)
from ssatom.structures._arrays import SYMBOLS, Crystal, structure_arrays
from ssatom.structures._cif import count_crystals, count_images, read_cif
from ssatom.structures._dicts import crystal_from_dict, load_json, split_row
from ssatom.structures._poscar import parse_poscar, read_poscar
from ssatom.structures._text import (
    decode,
    first_line,
    listed,
    plain_name,
    read_bytes,
    shorten,
    text_kind,
)
from ssatom.warn import warn_user

_LONGEST_PRINTED = 2**20  # characters; Python takes some hundred times as many bytes
_MOST_MAGNETIC = 50_000  # images of sites, which pymatgen compares with each other
_SYMBOL = f"(?:{'|'.join(SYMBOLS.values())})"
_FORMULA = re.compile(rf"{_SYMBOL}(?:{_SYMBOL}|[\d().])*")
_VASP_NAMES = ("*poscar*", "*contcar*", "*.vasp", "chgcar*", "locpot*")


def structure_from_file(path: str | os.PathLike[str]) -> Structure:
    """Pymatgen structure of a file that holds one.

    Parameters
    ----------
    path : str or path-like
        CIF (read with gemmi), VASP's POSCAR, CONTCAR, CHGCAR or LOCPOT, or another format that
        pymatgen knows by its name, also packed (.gz, .bz2, .xz). The kind is told by the name.

    Returns
    -------
    Structure
        Of a CIF file all atoms of the cell, in the order of its lines and symmetry operations,
        as elements without charges.

    Warns
    -----
    StructureWarning
        If the file is ambiguous and one reading is sound: occupancies that are not given, a
        setting of the space group that is guessed, atoms that do not make up the formula.

    Raises
    ------
    MissingFileError
        If there is no such file.
    StructureFileError
        If it cannot be read, holds several crystals, or is ambiguous: sites without coordinates,
        partly occupied or of no element, a POSCAR without elements.

    Notes
    -----
    A CIF file is read by the symmetry operations that it lists; without any, by those of its
    Hall symbol, its Hermann-Mauguin symbol or the number of its space group, where these and the
    cell determine a setting. Sites closer than 0.01 Å to an element of symmetry are on it.

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
    ssatom.exceptions.MissingFileError: nowhere.cif: there is no such file ...
    """
    crystal = unwrap(attempt(crystal_from_file, path))
    for doubt in crystal.doubts:
        warn_user(StructureWarning(doubt, source=crystal.source))
    return crystal.structure


def several_crystals(file: str, names: Sequence[str]) -> StructureFileError:
    """The error of a file that should hold one crystal and holds several, of these data blocks."""
    shown = listed([f"'{name}'" for name in names])
    blocks = f", {len(names)} data blocks with atoms ({shown})" if names else ""
    return StructureFileError(
        f"{file} holds several crystals{blocks}; put the one that is meant into a file of its own, "
        "or read them all with ssatom.corpora.read_structures"
    )


def crystal_from_file(path: str | os.PathLike[str]) -> Crystal:
    """The crystal of a file that holds one; errors carry the path as their source."""
    source = os.fspath(path)
    crystal = unwrap(attempt(lambda: _only(read_crystals(path)), source=source))
    crystal.source = source
    return crystal


def _only(crystals: list[tuple[str, Crystal | StructureError]]) -> Crystal:
    if len(crystals) > 1:
        raise several_crystals("this file", [name for name, _ in crystals])
    return unwrap(crystals[0][1])


def crystal_of(part: dict[str, Any] | str) -> Crystal:
    """The crystal of a dict, or of the text of a file; errors of a text carry its first line."""
    if isinstance(part, dict):
        return crystal_from_dict(part)
    return unwrap(attempt(_read_text, part, source=first_line(part)))


_PRINTED = ("Full Formula (", "Structure Summary\n")  # str and repr of pymatgen's Structure


def _read_text(text: str) -> Crystal:
    kind = text_kind(text)
    if kind == "cif":
        return _only(read_cif(text))
    if kind == "poscar":
        return parse_poscar(text.splitlines(), [])
    if kind == "json":
        return crystal_of(split_row(_load(text))[0])
    if text.startswith(_PRINTED):
        raise StructureFileError(
            "this is a Structure as Python prints it, with rounded numbers; make the table with "
            "structure.to(fmt='cif') in its place"
        )
    raise StructureFileError(
        f"this text of {len(text):,} characters is neither CIF (with data_ or loop_), nor POSCAR "
        "(whose second line is a number), nor the JSON of a structure; correct it, or make a "
        "structure of it with Structure.from_str(text, fmt=...)"
    )


def _load(text: str) -> dict[str, Any]:
    """A dict as JSON, or as Python prints it, for instance when pandas writes CSV."""
    try:
        return load_json(text.encode("utf-8", "replace"))
    except ValueError as error:
        reason = str(error)
    try:
        return ast.literal_eval(text.strip() if len(text) < _LONGEST_PRINTED else "")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise StructureFileError(f"this text is no JSON ({shorten(reason)})") from None


def read_crystals(path: str | os.PathLike[str]) -> list[tuple[str, Crystal | StructureError]]:
    """Each crystal of a file as for `structure_from_file`, or why there is none, with its name.

    The name is empty in a file of one crystal; else that of the data block, with ".2" and so on
    behind it where a name comes again. Raises StructureFileError or MissingFileError if the file as
    a whole cannot be read.
    """
    if not os.path.exists(path):
        hint = ""
        if _FORMULA.fullmatch(os.fspath(path)):
            hint = "; a formula alone is not enough, since features need the positions of the atoms"
        raise MissingFileError(
            f"there is no such file (looked in {os.getcwd()}); text is taken for the path of a "
            f"structure file{hint}"
        )
    if os.path.isdir(path):
        raise StructureFileError(
            "this is a folder; read its files with ssatom.corpora.read_structures"
        )
    if not os.path.isfile(path):
        raise StructureFileError("this is no regular file, but a device, a pipe or a socket")
    name = plain_name(path)
    if _is_cif(name):
        return read_cif(decode(read_bytes(path)))
    if any(fnmatchcase(name, pattern) for pattern in _VASP_NAMES) and not name.endswith(
        (".json", ".mcif", ".xml")
    ):
        return [("", read_poscar(path))]
    if any(ending in name for ending in (".json", ".mson")):
        return [("", _from_json(path))]
    structure = _by_pymatgen(path, name)
    return [("", Crystal(structure_arrays(structure), structure))]


def count_in_file(path: str | os.PathLike[str]) -> int:
    """Number of crystals, at least 1, that `read_crystals` gives; only a CIF file is opened for it.

    Raises StructureFileError if it cannot be opened or unpacked.
    """
    return count_crystals(read_bytes(path)) if _is_cif(plain_name(path)) else 1


def _is_cif(name: str) -> bool:
    return ".cif" in name and ".mcif" not in name


def _from_json(path: str | os.PathLike[str]) -> Crystal:
    """The structure of a file of JSON; pymatgen would import and call what such a file names."""
    content = read_bytes(path)
    try:
        row = load_json(content)
    except ValueError as error:
        raise StructureFileError(f"this is no JSON ({error})") from None
    return crystal_of(split_row(row)[0])


def _by_pymatgen(path: str | os.PathLike[str], name: str) -> Structure:
    if ".yaml" in name or ".yml" in name:
        raise StructureFileError(
            "YAML is not read, since pymatgen runs what such a file names; write the structure as "
            "JSON, with structure.to(filename=...)"
        )
    content = read_bytes(path)  # refuses what unpacks to more than memory holds
    if ".mcif" in name:
        _check_work(decode(content))
    del content
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused later
            return Structure.from_file(os.fspath(path))
    except Exception as error:
        reason = shorten(f"{type(error).__name__}: {error}".replace("\n", " "))
    # Raised out here so that no reader's frames, with the whole file, stay alive behind it.
    raise StructureFileError(
        f"pymatgen cannot read this file ({reason}); allowed are files whose name and "
        "content it knows, such as .cif or POSCAR (for .xyz and .jsonl see "
        "ssatom.corpora.read_structures)"
    )


def _check_work(text: str) -> None:
    """Refuse a magnetic file whose images pymatgen would compare for hours."""
    n_images = attempt(count_images, text)
    if isinstance(n_images, int) and n_images > _MOST_MAGNETIC:
        raise StructureFileError(
            f"its sites have {n_images:,} images under its symmetry operations, and at most "
            f"{_MOST_MAGNETIC:,} of a magnetic file are read; give the operations of the cell once"
        )
