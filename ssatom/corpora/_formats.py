"""Readers of single files, each a generator of records, and what tells the formats apart."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from ase.io import read

from ssatom.corpora._records import StructureRecord, record_of_row
from ssatom.exceptions import StructureError, StructureFileError
from ssatom.structures import (
    count_in_file,
    read_crystals,
    structure_arrays,
    structure_from_atoms,
)

# Name patterns, tried in order; each also with .gz at the end.
_PATTERNS = {
    "*.jsonl": "lines",
    "*.json": "json",
    "*.extxyz": "frames",
    "*.xyz": "frames",
    "*.cif": "single",
    "*.mcif": "single",
    "*.vasp": "single",
    "*.csv": "table",
    "POSCAR*": "single",
    "CONTCAR*": "single",
}

_VECTORS = {"dipole", "polarization", "stress", "virial"}  # results of a whole frame

_PARTS = (b'"lattice"', b'"numbers"', b'"frac"', b'"sites"')
ENDINGS = tuple(
    pattern[1:] + packed
    for pattern, kind in _PATTERNS.items()
    if pattern.startswith("*") and kind != "table"
    for packed in ("", ".gz")
)
"""Endings of names of structure files."""

ALLOWED_NAMES = ", ".join(_PATTERNS) + " (each also .gz)"
ALLOWED_IN_FOLDERS = ALLOWED_NAMES.replace(", *.csv", "")


def kind_of(path: Path) -> str | None:
    """Format of a file by its name: 'lines', 'json', 'frames', 'single', 'table', or None."""
    name = path.name.lower().removesuffix(".gz")
    fits = (kind for pattern, kind in _PATTERNS.items() if fnmatchcase(name, pattern.lower()))
    return next(fits, None)


def is_table(path: Path) -> bool:
    """Whether a file is a table that names other files."""
    return kind_of(path) == "table"


def counts_in_folder(path: Path) -> bool:
    """Whether a file is read with its folder.

    Tables are not: the files that they name would come twice, and features are tables too.
    """
    return kind_of(path) not in (None, "table")


def read_file(path: Path, name: str) -> Iterator[StructureRecord]:
    """Records of a file of known kind, no table; `name` is what sources and messages call it."""
    readers = {"lines": _lines, "json": _json, "frames": _frames, "single": _single}
    return readers[kind_of(path) or "single"](path, name)


def count_file(path: Path) -> int | None:
    """Number of records of a file, None where only reading would tell."""
    kind = kind_of(path)
    if kind == "lines":
        with open_binary(path) as file:
            return sum(1 for line in file if line.strip())
    if kind == "frames":
        with open_binary(path) as file:
            return _count_frames(file)
    return count_in_file(path) if kind == "single" else None


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacking .gz."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _single(path: Path, name: str) -> Iterator[StructureRecord]:
    for block, structure in read_crystals(path, name):
        yield StructureRecord(f"{name}#{block}" if block else name, structure, {})


def _lines(path: Path, name: str) -> Iterator[StructureRecord]:
    number = 0
    try:
        with open_binary(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _line(line, f"{name}:{number}")
        return
    except (OSError, EOFError, zlib.error) as error:
        reason = f"{type(error).__name__}: {error}"
    yield _lost(f"{name}:{number + 1}", f"the file cannot be read from here on ({reason})")


def _line(line: bytes, where: str) -> StructureRecord:
    try:
        row = _loads(line)
    except ValueError as error:
        return _lost(where, f"this line is no JSON ({error})")
    return record_of_row(row, where)


def _json(path: Path, name: str) -> Iterator[StructureRecord]:
    """One structure, a list of rows, or a frame as matminer and pandas ("split") store it."""
    try:
        with open_binary(path) as file:
            content = _loads(file.read())
    except (OSError, EOFError, zlib.error, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        yield _lost(name, f"this file is no JSON ({reason}); a collection of lines ends in .jsonl")
        return
    if isinstance(content, dict) and content.keys() >= {"columns", "data"}:
        yield from _rows_of_frame(content, name)
    elif isinstance(content, list):
        for number, row in enumerate(content):
            yield record_of_row(row, f"{name}:{number}")
    else:
        yield record_of_row(content, name)


def _rows_of_frame(content: dict[str, Any], name: str) -> Iterator[StructureRecord]:
    columns, data = content["columns"], content["data"]
    names = content.get("index")
    if not isinstance(columns, list) or not isinstance(data, list):
        yield _lost(name, "the columns or the data of this frame are no list")
        return
    if not isinstance(names, list) or len(names) != len(data):
        names = [None] * len(data)
    for number, (label, row) in enumerate(zip(names, data, strict=True)):
        where = f"{name}:{number}"
        if not isinstance(row, list) or len(row) != len(columns):
            cells = f"{len(row)} cells" if isinstance(row, list) else f"type {type(row).__name__}"
            yield _lost(where, f"this row is of {cells}, under {len(columns)} columns")
            continue
        label = label if isinstance(label, str) else None  # a plain count is no id
        yield record_of_row(dict(zip(map(str, columns), row, strict=True)), where, label)


def _frames(path: Path, name: str) -> Iterator[StructureRecord]:
    lone = count_file(path) == 1
    where = name if lone else f"{name}@0"
    try:
        with open_binary(path) as file:
            for number, text in enumerate(_texts_of_frames(file)):
                where = name if lone else f"{name}@{number}"
                yield _frame(text, where)
                where = f"{name}@{number + 1}"
        return
    except (ValueError, OSError, EOFError, zlib.error) as error:
        reason = f"{type(error).__name__}: {error}"
    yield _lost(where, f"the file cannot be read from this frame on ({reason})")


def _frame(text: bytes, where: str) -> StructureRecord:
    try:
        atoms = read(StringIO(text.decode()), format="extxyz")
    except Exception as error:  # whatever ASE meets in a comment line of a stranger's
        return _lost(where, f"ASE cannot read this frame ({type(error).__name__}: {error})")
    return read_frame(atoms, where)


def read_frame(atoms: Any, where: str) -> StructureRecord:
    """A frame of extended XYZ as a record."""
    properties = {key: _plain(value) for key, value in atoms.info.items()}
    # ASE takes some names, such as energy and magmom, for a calculator's results.
    results = {} if atoms.calc is None else atoms.calc.results
    of_sites = {k for k, v in results.items() if k not in _VECTORS and _len(v) == len(atoms)}
    properties |= {k: _plain(v) for k, v in results.items() if k not in of_sites}
    source = str(properties.pop("id", where))
    where = where if source == where else f"{where} '{source}'"
    try:
        structure = structure_from_atoms(atoms, where)
        structure_arrays(structure, where)
    except StructureError as error:
        return StructureRecord(source, error.with_traceback(None), properties)
    for key in of_sites:
        structure.add_site_property(key, _plain(results[key]))
    return StructureRecord(source, structure, properties)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _len(value: Any) -> int:
    return len(value) if np.ndim(value) else 0


def _lost(where: str, problem: str) -> StructureRecord:
    return StructureRecord(where, StructureFileError(f"{where}: {problem}"), {})


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


def _count_frames(file: IO[bytes]) -> int | None:
    try:
        return sum(1 for _ in _texts_of_frames(file))
    except (ValueError, OSError, EOFError, zlib.error):
        return None


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
