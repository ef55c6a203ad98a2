"""Tables (.csv) that name a structure file in each row, beside properties of the crystal."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from ssatom.corpora._formats import is_table, kind_of, read_file
from ssatom.corpora._layout import (
    BROKEN,
    Layout,
    Row,
    files_named,
    is_text,
    rows_of,
    table_layout,
    value_of,
)
from ssatom.corpora._names import printable, shortened
from ssatom.corpora._records import ID_KEYS, StructureRecord
from ssatom.exceptions import (
    MissingFileError,
    StructureError,
    StructureFileError,
    StructureWarning,
)
from ssatom.structures import several_crystals

_WITH_COMMA = re.compile(r"[+-]?\d[\d.]*(,\d+)+(e[+-]?\d+)?", re.IGNORECASE)


def read_table(
    path: Path, name: str, structure_column: str | None = None
) -> Iterator[StructureRecord]:
    """Records of a table; `name` is what messages call it.

    The source of a row is its id, without one its path as it stands there. Paths are relative to
    the folder of the table; all other columns become properties.
    """
    layout = table_layout(path, structure_column)
    warned: set[str] = set()
    if not layout.has_names:
        listed = ", ".join(layout.columns)
        _warn(name, f"the table has no first line of names; its columns are taken for {listed}")
    line = 0
    rows = _rows(path, layout)
    while True:
        try:
            row = next(rows, None)
        except BROKEN as error:
            yield _lost(f"{name}:{line + 1}", f"the file cannot be read from here on ({error})")
            return
        if row is None:
            return
        line = row.last
        record = _record(path.parent, row, layout, f"{name}:{row.first}")
        for column, value in record.properties.items():
            if isinstance(value, str) and _WITH_COMMA.fullmatch(value) and column not in warned:
                warned.add(column)
                _warn(
                    name,
                    f"column {column!r} has numbers with commas, such as {value}, which are taken "
                    "for text; write decimals with a point, and thousands without a comma",
                )
        yield record


def count_table(path: Path) -> int | None:
    """Number of records of a table, None if it is damaged."""
    try:
        return sum(1 for _ in _rows(path, table_layout(path)))
    except (StructureFileError, *BROKEN):
        return None


def files_of_table(path: Path, structure_column: str | None = None) -> Iterator[Path]:
    """Files that a table names, those that are there, up to where it is damaged."""
    layout = table_layout(path, structure_column)
    with suppress(*BROKEN):
        for row in _rows(path, layout):
            if len(row.cells) == len(layout.columns):
                yield from files_named(path.parent, row.cells[layout.path_column])


def _rows(path: Path, layout: Layout) -> Iterator[Row]:
    """Rows below the names of the columns."""
    return islice(rows_of(path, layout.delimiter), int(layout.has_names), None)


def _record(folder: Path, row: Row, layout: Layout, where: str) -> StructureRecord:
    if problem := row.problem or _wrong_number(row, len(layout.columns)):
        lines = f" (lines {row.first} to {row.last})" if row.last > row.first else ""
        return _lost(where, f"this row{lines} {problem}")
    written = row.cells[layout.path_column]
    fields = dict(zip(layout.columns, row.cells, strict=True))
    del fields[layout.columns[layout.path_column]]
    fields.pop("", None)  # such as the count of rows that pandas writes
    ids = [fields.pop(key) for key in ID_KEYS if key in fields]
    source = next(filter(None, [*ids, "" if is_text(written) else written[:200]]), where)
    where = where if source == where else f"{where} {shortened(source)}"
    properties = {key: value_of(printable(cell)) for key, cell in fields.items()}
    try:
        if not _is_utf8(fields.values()) or not (
            _is_utf8([written]) or files_named(folder, written)
        ):
            raise StructureFileError(
                f"{where}: this row cannot be read as UTF-8; save the table as CSV in UTF-8"
            )
        record = _read_one(folder, written, where)
    except StructureError as error:
        return StructureRecord(source, error.with_traceback(None), properties)
    return StructureRecord(source, record.structure, record.properties | properties)


def _is_utf8(cells: Iterable[str]) -> bool:
    return all(printable(cell) == cell for cell in cells)


def _wrong_number(row: Row, n_columns: int) -> str:
    """What is wrong with the number of cells, or ""."""
    n_cells = len(row.cells)
    if n_cells == n_columns:
        return ""
    more = ""
    if n_cells > n_columns:
        more = "; is a decimal written with a comma, or a text without quotation marks?"
        if not any(row.cells[n_columns:]):
            more = "; is there a separator too many at its end?"
    return f"has {n_cells} cell{'s' * (n_cells != 1)} under {n_columns} columns{more}"


def _read_one(folder: Path, written: str, where: str) -> StructureRecord:
    """The only structure of the file that a cell names."""
    if not written:
        raise StructureFileError(f"{where}: this row names no structure file")
    if is_text(written):
        return _read_text(written, where)
    files = files_named(folder, written)
    shown = shortened(written)
    if not files:
        raise MissingFileError(
            f"{where}: there is no file {shown} in '{printable(str(folder.resolve()))}', nor one "
            "of this name with a known ending; paths in a table are relative to the folder of the "
            "table"
        )
    if len(files) > 1:
        names = ", ".join(printable(file.name) for file in files)
        raise StructureFileError(f"{where}: {shown} may be {names}; write the ending too")
    if is_table(files[0]):
        raise StructureFileError(f"{where}: {shown} is a table, and no structure file")
    most = None if kind_of(files[0]) == "single" else 2  # other files may be as large as a corpus
    records = list(islice(read_file(files[0], where), most))
    if not records:
        raise StructureFileError(f"{where}: {shown} holds no structure")
    if len(records) > 1:
        blocks = [record.source.removeprefix(f"{where}#") for record in records]
        is_cif = all(record.source.startswith(f"{where}#") for record in records)
        file = where if shown in where else f"{where} {shown}"
        raise several_crystals(file, blocks if is_cif else [])
    return records[0]


def _read_text(text: str, where: str) -> StructureRecord:
    """The structure that a cell is the text of, once such texts are read."""
    raise StructureFileError(
        f"{where}: this cell is a text of {len(text):,} characters, and no path of a structure "
        "file; make structures of such texts with Structure.from_str(text, fmt='cif'), and write "
        "them with ssatom.corpora.write_structures"
    )


def _warn(where: str, reason: str) -> None:
    warnings.warn(StructureWarning(where, reason), stacklevel=3)


def _lost(where: str, problem: str) -> StructureRecord:
    return StructureRecord(where, StructureFileError(f"{where}: {problem}"), {})
