"""Tables of a structure file, or its text, in each row, beside properties of the crystal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

from ssatom.corpora._formats import BROKEN, FORMATS, Format, format_of, read_file
from ssatom.corpora._layout import Layout, Row, files_named, rows_of, table_layout, value_of
from ssatom.corpora._records import Entry, Piece, entry_of_cell, lost
from ssatom.exceptions import (
    MissingFileError,
    StructureError,
    StructureFileError,
    StructureWarning,
    attempt,
)
from ssatom.structures import several_crystals
from ssatom.structures._dicts import ID_KEYS
from ssatom.structures._text import is_text, printable, shortened
from ssatom.warn import warn_user

_WITH_COMMA = re.compile(r"[+-]?\d[\d.]*(,\d+)+(e[+-]?\d+)?", re.IGNORECASE)


def _cut_table(path: Path, structure_column: str | None = None) -> Iterator[Piece]:
    """Rows of a table, whose entries go by their ids or else their paths as they stand there.

    Paths are relative to the folder of the table; all other columns become properties.
    """

    def warn(doubt: str) -> None:
        warn_user(StructureWarning(doubt, source=printable(path.name)))

    layout = table_layout(path, structure_column)
    warned = {layout.columns[layout.path_column], *ID_KEYS}  # of these there is no warning
    if not layout.has_names:
        named = ", ".join(layout.columns)
        warn(f"the table has no first line of names; its columns are taken for {named}")
    number, line = -1, 0
    try:
        for number, row in enumerate(_rows(path, layout)):
            line = row.last
            cells = zip(layout.columns, row.cells, strict=False)
            for column, value in () if row.problem else cells:
                if _WITH_COMMA.fullmatch(value) and column not in warned:
                    warned.add(column)
                    warn(
                        f"column {column!r} has numbers with commas, such as {value}, which are "
                        "taken for text; write decimals with a point, and thousands without a comma"
                    )
            yield partial(_entry, path.parent, number, row, layout)
    except BROKEN as error:
        yield lost(f"[{number + 1}]", f"the file cannot be read from line {line + 1} on ({error})")


def _count_table(path: Path) -> int | None:
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


def _entry(folder: Path, number: int, row: Row, layout: Layout) -> Entry:
    place = f"[{number}]"  # as pandas counts them: a text of CIF takes many lines of the file
    if problem := row.problem or _wrong_number(row, len(layout.columns)):
        lines = f"lines {row.first} to {row.last}" if row.last > row.first else f"line {row.first}"
        return lost(place, f"this row ({lines} of the file) {problem}")
    written = row.cells[layout.path_column]
    fields = dict(zip(layout.columns, row.cells, strict=True))
    del fields[layout.columns[layout.path_column]]
    fields.pop("", None)  # such as the count of rows that pandas writes
    ids = [fields.pop(key) for key in ID_KEYS if key in fields]
    name = next(filter(None, [*ids, "" if is_text(written) else written[:200]]), None)
    properties = {key: value_of(printable(cell)) for key, cell in fields.items()}
    found = attempt(_read_one, folder, written, fields.values())
    if isinstance(found, StructureError):
        return Entry(place, name, found, properties)
    return found._replace(place=place, name=name, properties={**found.properties, **properties})


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


def _read_one(folder: Path, written: str, others: Iterable[str]) -> Entry:
    """The only structure of the file that a cell names; the other cells must be text."""
    files = files_named(folder, written)
    if not _is_utf8(others) or not (files or _is_utf8([written])):
        raise StructureFileError("this row cannot be read as UTF-8; save the table as CSV in UTF-8")
    if not written:
        raise StructureFileError("this row names no structure file")
    if is_text(written):
        return entry_of_cell(written, "", None, {})
    shown = shortened(written)
    if not files:
        raise MissingFileError(
            f"there is no file {shown} in '{printable(str(folder.resolve()))}', nor one of this "
            "name with a known ending; paths in a table are relative to the folder of the table"
        )
    if len(files) > 1:
        names = ", ".join(printable(file.name) for file in files)
        raise StructureFileError(f"{shown} may be {names}; write the ending too")
    if format_of(files[0]).is_table:
        raise StructureFileError(f"{shown} is a table, and no structure file")
    found = read_file(files[0])
    entries = list(islice(found, 2))  # of a corpus no more
    if not entries:
        raise StructureFileError(f"{shown} holds no structure")
    if len(entries) > 1:
        is_cif = entries[0].place.startswith("#")
        blocks = [entry.place[1:] for entry in (*entries, *found)] if is_cif else []
        raise several_crystals(shown, blocks)
    return entries[0]


FORMATS |= dict.fromkeys(
    ("*.csv", "*.parquet", "*.xlsx"),
    Format(_cut_table, _count_table, is_table=True, takes_column=True, in_folders=False),
)
