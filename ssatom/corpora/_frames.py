"""Frames of extended XYZ, and ASE's trajectories and databases, read by ASE one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from pymatgen.core import Structure

from ssatom.corpora._formats import FORMATS, Format, count_pieces, open_binary, read_pieces
from ssatom.corpora._records import Entry, Piece, lost
from ssatom.exceptions import StructureError, StructureFileError, attempt
from ssatom.limits import MAX_RECORD, MAX_SITES
from ssatom.structures import structure_arrays, structure_from_atoms
from ssatom.structures._dicts import ID_KEYS
from ssatom.structures._text import listed

_VECTORS = {"dipole", "polarization", "stress", "virial"}  # results of a whole frame


def _cut_frames(path: Path) -> Iterator[Piece]:
    lone = count_pieces(_texts, path) == 1
    for number, text in enumerate(read_pieces(path, _texts)):
        place = "" if lone else f"@{number}"
        if isinstance(text, StructureError):
            yield Entry(place, None, text)
        else:
            yield partial(_read_frame, text, place)


def _read_frame(text: bytes, place: str) -> Entry:
    from ase.io import read

    try:
        atoms = read(StringIO(text.decode()), format="extxyz")
    except Exception as error:  # ASE raises errors of many kinds
        return lost(place, f"ASE cannot read this frame ({type(error).__name__}: {error})")
    return entry_of_frame(atoms, place)


def entry_of_frame(atoms: Any, place: str) -> Entry:
    """An entry of a frame."""
    properties = {key: _plain(value) for key, value in atoms.info.items()}
    # ASE takes some names, such as energy and magmom, for a calculator's results.
    results = {} if atoms.calc is None else atoms.calc.results
    of_sites = {
        key
        for key, value in results.items()
        if key not in _VECTORS and np.ndim(value) and len(value) == len(atoms)
    }
    properties |= {key: _plain(v) for key, v in results.items() if key not in of_sites}
    found = [properties.pop(key) for key in ID_KEYS if key in properties]
    name = next(iter(found), None)
    structure = attempt(_structure, atoms)
    if not isinstance(structure, StructureError):
        for key in of_sites:
            structure.add_site_property(key, _plain(results[key]))
    return Entry(place, None if name is None else str(name), structure, properties)


def _structure(atoms: Any) -> Structure:
    structure = structure_from_atoms(atoms)
    structure_arrays(structure)
    return structure


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _texts(file: IO[bytes]) -> Iterator[bytes]:
    """Each frame as it stands: number of atoms, comment, and a line an atom.

    ASE's own reader of many frames goes through the file twice, and ends at an empty line.
    """

    def next_line() -> bytes:
        line = file.readline(MAX_RECORD + 1)
        if len(line) > MAX_RECORD:
            raise ValueError(f"a line of more than {MAX_RECORD:,} bytes")
        return line

    line = next_line()
    while line:
        if not line.strip():
            line = next_line()
            continue
        n_atoms = int(line)
        if not 0 <= n_atoms <= MAX_SITES:
            raise ValueError(f"a frame of {n_atoms} atoms")
        lines = [line, *islice(iter(next_line, b""), n_atoms + 1)]
        if len(lines) < n_atoms + 2:
            raise EOFError(f"it ends within a frame of {n_atoms} atoms")
        line = next_line()
        while line.lstrip().startswith(b"VEC") and len(lines) < n_atoms + 5:
            lines.append(line)  # how some older programs write the cell
            line = next_line()
        yield b"".join(lines)


FORMATS["*.extxyz"] = FORMATS["*.xyz"] = Format(_cut_frames, partial(count_pieces, _texts))


def _cut_trajectory(path: Path) -> Iterator[Piece]:
    from ase.io import Trajectory

    with open_binary(path) as file:
        yield from _pieces(lambda: Trajectory(file), lambda number, atoms: (f"@{number}", atoms))


def _cut_database(path: Path) -> Iterator[Piece]:
    """Rows of a database of ASE, by their ids, with its key-value pairs as properties."""
    from ase.db import connect

    def frame(_: int, row: Any) -> tuple[str, Any]:
        atoms = row.toatoms()
        atoms.info = dict(row.key_value_pairs)
        return f":{row.id}", atoms

    if path.suffix == ".gz":
        raise StructureFileError("a packed database cannot be read; unpack it first")
    try:  # ASE would make its tables in a database that has none
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as found:
            views = found.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger')"
            )
            if names := [str(name) for (name,) in views]:  # which would compute what is read
                raise StructureFileError(f"this database has views or triggers ({listed(names)})")
            found.execute("SELECT id FROM systems LIMIT 1")
    except sqlite3.Error as error:
        raise StructureFileError(f"this is no database of ASE ({error})") from None
    yield from _pieces(lambda: connect(path, use_lock_file=False).select(), frame)


def _pieces(
    opened: Callable[[], Iterable[Any]], frame: Callable[[int, Any], tuple[str, Any]]
) -> Iterator[Piece]:
    """Entries of what ASE reads, up to where it cannot."""
    number = 0
    try:
        for number, found in enumerate(opened()):
            place, atoms = frame(number, found)
            yield entry_of_frame(atoms, place)
    except Exception as error:  # ASE raises errors of many kinds
        reason = f"{type(error).__name__}: {str(error)[:200]}"
    else:
        return
    yield lost(f"@{number}", f"ASE cannot read this file from here on ({reason})")


FORMATS["*.traj"] = Format(_cut_trajectory, lambda _: None)
FORMATS["*.db"] = Format(_cut_database, lambda _: None, in_folders=False)
