"""Readers of single files, each a generator of entries, and the names that tell formats apart."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from ase.io import read
from pymatgen.core import Structure

from ssatom.corpora._records import Entry, entry_of_row, lost
from ssatom.exceptions import StructureError, StructureFileError, attempt
from ssatom.structures import (
    count_in_file,
    read_crystals,
    structure_arrays,
    structure_from_atoms,
)

BROKEN = (OSError, EOFError, UnicodeError, zlib.error)
"""What reading a damaged file may raise."""

_VECTORS = {"dipole", "polarization", "stress", "virial"}  # results of a whole frame

_PARTS = (b'"lattice"', b'"numbers"', b'"frac"', b'"sites"')


@dataclass(frozen=True)
class Format:
    """What reads a file, entry by entry, and counts its entries; None where reading must tell."""

    read: Callable[[Path], Iterator[Entry]]
    count: Callable[[Path], int | None]


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacking .gz."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _single(path: Path) -> Iterator[Entry]:
    for block, crystal in read_crystals(path):
        place = f"#{block}" if block else ""
        if isinstance(crystal, StructureError):
            yield Entry(place, None, crystal)
        else:
            yield Entry(place, None, crystal.structure, {}, crystal.doubts)


def _rows(path: Path, rows: Callable[[IO[bytes]], Iterable[bytes]]) -> Iterator[Any]:
    """Rows of a file; the last is an error if the file ends before it should."""
    try:
        with open_binary(path) as file:
            yield from rows(file)
        return
    except PermissionError:
        raise
    except (ValueError, *BROKEN) as error:
        reason = f"{type(error).__name__}: {error}"
    yield StructureFileError(f"the file cannot be read from here on ({reason})")


def _lines(path: Path) -> Iterator[Entry]:
    for number, line in enumerate(_rows(path, iter), 1):
        place = f":{number}"
        if isinstance(line, StructureError):
            yield Entry(place, None, line)
        elif line.strip():
            try:
                row = _loads(line)
            except ValueError as error:
                yield lost(place, f"this line is no JSON ({error})")
            else:
                yield entry_of_row(row, place)


def _json(path: Path) -> Iterator[Entry]:
    """One structure, a list of rows, or a frame as matminer and pandas ("split") store it."""
    try:
        with open_binary(path) as file:
            content = _loads(file.read())
    except (ValueError, *BROKEN) as error:
        reason = f"{type(error).__name__}: {error}"
        yield lost("", f"this file is no JSON ({reason}); a collection of lines ends in .jsonl")
        return
    if isinstance(content, dict) and content.keys() >= {"columns", "data"}:
        yield from _rows_of_frame(content)
    elif isinstance(content, list):
        for number, row in enumerate(content):
            yield entry_of_row(row, f":{number}")
    else:
        yield entry_of_row(content, "")


def _rows_of_frame(content: dict[str, Any]) -> Iterator[Entry]:
    columns, data = content["columns"], content["data"]
    names = content.get("index")
    if not isinstance(columns, list) or not isinstance(data, list):
        yield lost("", "the columns or the data of this frame are no list")
        return
    if not isinstance(names, list) or len(names) != len(data):
        names = [None] * len(data)
    for number, (name, row) in enumerate(zip(names, data, strict=True)):
        if not isinstance(row, list) or len(row) != len(columns):
            cells = f"{len(row)} cells" if isinstance(row, list) else f"type {type(row).__name__}"
            yield lost(f":{number}", f"this row is of {cells}, under {len(columns)} columns")
            continue
        name = name if isinstance(name, str) else None  # a plain count is no id
        yield entry_of_row(dict(zip(map(str, columns), row, strict=True)), f":{number}", name)


def _frames(path: Path) -> Iterator[Entry]:
    lone = _count(_texts_of_frames, path) == 1
    for number, text in enumerate(_rows(path, _texts_of_frames)):
        place = "" if lone else f"@{number}"
        if isinstance(text, StructureError):
            yield Entry(place, None, text)
            continue
        try:
            atoms = read(StringIO(text.decode()), format="extxyz")
        except Exception as error:  # ASE raises whatever comes
            yield lost(place, f"ASE cannot read this frame ({type(error).__name__}: {error})")
        else:
            yield read_frame(atoms, place)


def read_frame(atoms: Any, place: str) -> Entry:
    """A frame of extended XYZ as an entry."""
    properties = {key: _plain(value) for key, value in atoms.info.items()}
    # ASE takes some names, such as energy and magmom, for a calculator's results.
    results = {} if atoms.calc is None else atoms.calc.results
    of_sites = {k for k, v in results.items() if k not in _VECTORS and _len(v) == len(atoms)}
    properties |= {k: _plain(v) for k, v in results.items() if k not in of_sites}
    name = properties.pop("id", None)
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


def _len(value: Any) -> int:
    return len(value) if np.ndim(value) else 0


def _loads(text: bytes) -> Any:
    """Content of JSON text; with NaN, as Python and pandas write it, and a byte-order mark too."""
    if not _may_repeat(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    try:
        return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_object)  # slower
    except RecursionError:
        problem = "it is nested too deeply"
    raise ValueError(problem)


def _may_repeat(text: bytes) -> bool:
    """Whether a row's part of a structure may come twice, of which parsers take one in silence."""
    return text.count(b"\n") < 2 and any(text.count(key) > 1 for key in _PARTS)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} comes twice in one object")
    return found


def _texts_of_frames(file: IO[bytes]) -> Iterator[bytes]:
    """Each frame as it stands: number of atoms, comment, and a line an atom.

    ASE's own reader of many frames goes through the file twice, and ends at an empty line.
    """
    line = file.readline()
    while line:
        if not line.strip():
            line = file.readline()
            continue
        n_atoms = int(line)
        if n_atoms < 0:
            raise ValueError(f"a frame of {n_atoms} atoms")
        lines = [line, *islice(iter(file.readline, b""), n_atoms + 1)]
        if len(lines) < n_atoms + 2:
            raise EOFError(f"it ends within a frame of {n_atoms} atoms")
        line = file.readline()
        while line.lstrip().startswith(b"VEC"):  # how some older programs write the cell
            lines.append(line)
            line = file.readline()
        yield b"".join(lines)


def _count(rows: Callable[[IO[bytes]], Iterable[bytes]], path: Path) -> int | None:
    with open_binary(path) as file:
        try:
            return sum(1 for row in rows(file) if row.strip())
        except (ValueError, *BROKEN):
            return None


# The table of formats -----------------------------------------------------------------------------

_SINGLE = Format(_single, count_in_file)
_FRAMES = Format(_frames, partial(_count, _texts_of_frames))
FORMATS = {
    "*.jsonl": Format(_lines, partial(_count, iter)),
    "*.json": Format(_json, lambda _: None),
    "*.extxyz": _FRAMES,
    "*.xyz": _FRAMES,
    "*.cif": _SINGLE,
    "*.mcif": _SINGLE,
    "*.vasp": _SINGLE,
    "POSCAR*": _SINGLE,
    "CONTCAR*": _SINGLE,
}
"""Patterns of names, in the order in which they are tried; each also with .gz at the end."""

ENDINGS = tuple(
    name[1:] + packed for name in FORMATS if name.startswith("*") for packed in ("", ".gz")
)
"""Endings of names of structure files."""

ALLOWED_IN_FOLDERS = ", ".join(FORMATS) + " (each also .gz)"
ALLOWED_NAMES = ALLOWED_IN_FOLDERS.replace(" (", ", *.csv (")


def _plain_name(path: Path) -> str:
    return path.name.lower().removesuffix(".gz")


def format_of(path: Path) -> Format | None:
    """Format of a structure file by its name."""
    name = _plain_name(path)
    fits = (kind for pattern, kind in FORMATS.items() if fnmatchcase(name, pattern.lower()))
    return None if is_table(path) else next(fits, None)


def is_table(path: Path) -> bool:
    """Whether a file is a table that names structure files."""
    return _plain_name(path).endswith(".csv")


def read_file(path: Path) -> Iterator[Entry]:
    """Entries of a structure file; raises StructureFileError if it is unreadable as a whole."""
    try:
        yield from (format_of(path) or _SINGLE).read(path)
    except StructureError:
        raise
    except OSError as error:
        raise StructureFileError(f"cannot be read ({error.strerror or error})") from None
