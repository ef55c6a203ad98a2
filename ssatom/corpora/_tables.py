"""Tables (.csv) that name a structure file in each row, beside properties of the crystal."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ssatom.corpora._formats import is_table, open_binary, read_file
from ssatom.corpora._records import ID_KEYS, StructureRecord
from ssatom.exceptions import (
    MissingFileError,
    ParameterError,
    StructureError,
    StructureFileError,
)

PATH_COLUMNS = (
    *("structure", "path", "file", "filename", "cif", "poscar"),
    *("structure_path", "structure_file", "file_path", "file_name", "cif_path", "cif_file"),
)
"""Names of columns, whatever their case, in which paths are looked for, in this order."""

_DELIMITERS = ",;\t"
_BOOLS = {"true": True, "false": False}
_BROKEN = (OSError, EOFError, UnicodeError, csv.Error, zlib.error)


class Layout(NamedTuple):
    """How a table is written."""

    delimiter: str
    columns: list[str]
    path_column: int


def table_layout(path: Path, structure_column: str | None = None) -> Layout:
    """Delimiter, columns, and which of them holds the paths.

    Parameters
    ----------
    path : Path
        The table.
    structure_column : str, optional
        Name of the column; None for one of `PATH_COLUMNS`, else the only one whose first cell is
        an existing file.

    Returns
    -------
    Layout
        What `read_table` goes by.

    Raises
    ------
    ParameterError
        If there is no column of the name given.
    StructureFileError
        If the table is empty or damaged, names a column twice, or no column of paths is found.
    """
    try:
        with _open(path) as file:
            head = file.readline()
            delimiter = max(_DELIMITERS, key=head.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            columns, first = ([cell.strip() for cell in next(reader, [])] for _ in range(2))
    except _BROKEN as error:
        raise StructureFileError(f"'{path}' cannot be read as a table: {error}") from error
    named = ", ".join(map(repr, columns))
    if not any(columns):
        raise StructureFileError(f"'{path}' is empty; the first line of a table names its columns")
    if len(set(columns)) < len(columns):
        raise StructureFileError(f"'{path}' names a column twice: {named}; rename one of them")
    if structure_column is not None:
        if structure_column not in columns:
            raise ParameterError(
                f"structure_column={structure_column!r}: '{path}' has no such column; allowed: "
                f"{named}"
            )
        return Layout(delimiter, columns, columns.index(structure_column))
    found = _path_column(path.parent, columns, first)
    if found is None:
        raise StructureFileError(
            f"'{path}' has no column that is known to hold paths of structure files; its columns "
            f"are {named}; name the one with the paths 'structure', 'path' or 'file', or give "
            "structure_column"
        )
    return Layout(delimiter, columns, found)


def _path_column(folder: Path, columns: list[str], first: list[str]) -> int | None:
    lower = [column.lower() for column in columns]
    for name in PATH_COLUMNS:
        if name in lower:
            return lower.index(name)
    files = [i for i, cell in enumerate(first[: len(columns)]) if _is_file(folder, cell)]
    return files[0] if len(files) == 1 else None


def _is_file(folder: Path, cell: str) -> bool:
    try:
        return bool(cell) and (folder / cell).is_file()
    except (OSError, ValueError):  # too long for a name, such as the text of a CIF file
        return False


def read_table(
    path: Path, name: str, structure_column: str | None = None
) -> Iterator[StructureRecord]:
    """Records of a table; `name` is what messages call it.

    The source of a row is its id, without one its path as it stands there. Paths are relative to
    the folder of the table; all other columns become properties.
    """
    layout = table_layout(path, structure_column)
    rows = _rows(path, layout)
    line = 1
    while True:
        try:
            line, cells = next(rows, (line, []))
        except _BROKEN as error:
            yield _lost(f"{name}:{line + 1}", f"the file cannot be read from here on ({error})")
            return
        if not cells:
            return
        if len(cells) != len(layout.columns):
            problem = f"this row has {len(cells)} cells under {len(layout.columns)} columns"
            yield _lost(f"{name}:{line}", problem)
        else:
            yield _record(path.parent, cells, layout, f"{name}:{line}")


def count_table(path: Path) -> int | None:
    """Number of records of a table, None if it is damaged."""
    try:
        return sum(1 for _ in _rows(path, table_layout(path)))
    except (StructureFileError, *_BROKEN):
        return None


def files_of_table(path: Path, structure_column: str | None = None) -> Iterator[Path]:
    """Files that a table names, those that are there, up to where it is damaged."""
    layout = table_layout(path, structure_column)
    with suppress(*_BROKEN):
        for _, cells in _rows(path, layout):
            cell = cells[layout.path_column] if len(cells) == len(layout.columns) else ""
            if _is_file(path.parent, cell):
                yield path.parent / cell


def _open(path: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(open_binary(path), encoding="utf-8-sig", newline="")


def _rows(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank."""
    with _open(path) as file:
        reader = csv.reader(file, delimiter=layout.delimiter)
        next(reader)
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                yield reader.line_num, cells


def _record(folder: Path, cells: list[str], layout: Layout, where: str) -> StructureRecord:
    row = dict(zip(layout.columns, cells, strict=True))
    written = row.pop(layout.columns[layout.path_column])
    ids = [row.pop(key) for key in ID_KEYS if key in row]
    source = next(filter(None, [*ids, written if len(written.splitlines()) == 1 else ""]), where)
    properties = {key: _value(cell) for key, cell in row.items()}
    try:
        record = _read_one(folder, written, where if source == where else f"{where} '{source}'")
    except StructureError as error:
        return StructureRecord(source, error.with_traceback(None), properties)
    return StructureRecord(source, record.structure, record.properties | properties)


def _read_one(folder: Path, written: str, where: str) -> StructureRecord:
    """The only structure of the file that a cell names."""
    if not written:
        raise StructureFileError(f"{where}: this row names no structure file")
    if not _is_file(folder, written):
        shown = written if len(written) < 200 else f"{written[:60]}…"
        raise MissingFileError(
            f"{where}: there is no file {shown!r} in '{folder.resolve()}'; paths in a table are "
            "relative to the folder of the table"
        )
    path = folder / written
    if is_table(path):
        raise StructureFileError(f"{where}: '{written}' is a table, and no structure file")
    records = list(islice(read_file(path, where), 2))
    if len(records) != 1:
        raise StructureFileError(
            f"{where}: '{written}' holds {'several structures' if records else 'no structure'}; "
            "a row of a table names a file of one"
        )
    return records[0]


def _value(cell: str) -> bool | int | float | str | None:
    """What a cell means: a number, true or false, nothing, or the text as it stands."""
    if not cell:
        return None
    if cell.lower() in _BOOLS:
        return _BOOLS[cell.lower()]
    digits = cell.lstrip("+-")
    if "_" in cell or (len(digits) > 1 and digits[0] == "0" and digits[1:].isdigit()):
        return cell  # 1_000 and 007 are names
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def _lost(where: str, problem: str) -> StructureRecord:
    return StructureRecord(where, StructureFileError(f"{where}: {problem}"), {})
