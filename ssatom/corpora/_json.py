"""JSON: a structure a line (.jsonl), or one structure, or many in any usual way (.json)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ssatom.corpora._formats import (
    BROKEN,
    FORMATS,
    Format,
    count_pieces,
    lines_of,
    open_binary,
    read_pieces,
)
from ssatom.corpora._layout import PATH_COLUMNS
from ssatom.corpora._records import Entry, Piece, entry_of_row, lost
from ssatom.exceptions import StructureError, StructureFileError
from ssatom.limits import MAX_RECORD
from ssatom.structures._dicts import is_cell, is_structure, load_json
from ssatom.structures._text import read_bytes

_Named = tuple[str | None, Any]
"""A row, or what is wrong with it, and the id that it has outside of itself."""


def _cut_lines(path: Path, column: str | None = None) -> Iterator[Piece]:
    for number, line in enumerate(read_pieces(path, lines_of), 1):
        place = f":{number}"
        if isinstance(line, StructureError):
            yield Entry(place, None, line)
        elif line.strip():
            yield partial(_read_line, line, place, column)


def _read_line(line: bytes, place: str, column: str | None) -> Iterator[Entry]:
    try:
        row = load_json(line)
    except ValueError as error:
        yield lost(place, f"this line is no JSON ({error})")
        return
    if isinstance(row, dict) and ("x-optimade" in row or row.get("type") == "info"):
        return  # what OPTIMADE says of the lines
    is_page = isinstance(row, dict) and isinstance(row.get("data"), list)
    for name, one in (_rows(row) if is_page else None) or [(None, row)]:
        yield entry_of_row(one, place, name, column)


def _count_lines(path: Path) -> int | None:
    """Number of lines, if each is a crystal, as the first tells."""
    with open_binary(path) as file:
        try:
            first = file.readline(MAX_RECORD)
        except BROKEN:
            return None
    known = not any(word in first for word in (b'"x-optimade"', b'"attributes"', b'"data"'))
    return count_pieces(lines_of, path) if known else None


def _cut_json(path: Path, column: str | None = None) -> Iterator[Piece]:
    """One structure, or all rows of a list, of a dict by ids, of a frame or of an answer."""
    text = read_bytes(path)
    try:
        content = load_json(text)
        if isinstance(content, dict) and content.get("@class") == "DataFrame":  # by monty
            content = load_json(str(content.get("data")).encode())
    except ValueError as error:
        reason = f"{type(error).__name__}: {error}"
        yield lost("", f"this is no JSON ({reason}); a collection of lines ends in .jsonl")
        return
    rows = _rows(content)
    if rows is None:
        yield partial(entry_of_row, content, "", None, column)
        return
    for number, (name, row) in enumerate(rows):
        yield partial(entry_of_row, row, f"[{number}]", name, column)


def _rows(content: Any) -> Iterator[_Named] | None:
    """The rows of a collection; None if the content is a row itself."""
    if isinstance(content, list):
        return iter([(None, row) for row in content])
    if not isinstance(content, dict) or is_structure(content):
        return None
    columns, data = content.get("columns"), content.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        return _split_frame(columns, data, content.get("index"))
    if isinstance(data, list) and "schema" in content:
        names = [row.pop("index", None) if isinstance(row, dict) else None for row in data]
        return zip(_ids(names), data, strict=True)
    if isinstance(data, list) or (isinstance(data, dict) and is_cell(data)):  # of OPTIMADE
        return iter([(None, row) for row in ([data] if isinstance(data, dict) else data)])
    cells = list(content.values())
    if (len(cells) > 1 and all(map(is_cell, cells))) or _is_by_row(content):
        return zip(_ids(content), cells, strict=True)
    return _by_column(content) if cells and all(isinstance(cell, dict) for cell in cells) else None


def _is_by_row(content: dict[str, Any]) -> bool:
    """Whether this is nested dicts whose outer keys are ids, and not names of columns."""
    rows = list(content.values())
    if not rows or not all(isinstance(row, dict) for row in rows):
        return False
    if all(map(is_cell, rows)) or any(row.keys() != rows[0].keys() for row in rows):
        return True
    columns = {*PATH_COLUMNS} - {"path", "file"}
    if columns & {key.lower() for key in content}:
        return False
    return all(sum(map(is_cell, row.values())) <= 1 for row in rows)


def _by_column(content: dict[str, dict[str, Any]]) -> Iterator[_Named]:
    keys = dict.fromkeys(key for column in content.values() for key in column)
    for name, key in zip(_ids(keys), keys, strict=True):
        yield name, {column: cells.get(key) for column, cells in content.items()}


def _ids(keys: Iterable[Any]) -> list[str | None]:
    """Those that are texts; the plain count of all rows, as pandas writes it, has no ids."""
    keys = list(keys)
    if keys == list(map(str, range(len(keys)))):
        return [None] * len(keys)
    return [key if isinstance(key, str) else None for key in keys]


def _split_frame(columns: list[Any], data: list[Any], names: Any) -> Iterator[_Named]:
    if not isinstance(names, list) or len(names) != len(data):
        names = [None] * len(data)
    for name, row in zip(_ids(names), data, strict=True):
        if not isinstance(row, list) or len(row) != len(columns):
            cells = f"{len(row)} cells" if isinstance(row, list) else f"type {type(row).__name__}"
            problem = f"this row is of {cells}, under {len(columns)} columns"
            yield None, StructureFileError(problem)
            continue
        yield name, dict(zip(map(str, columns), row, strict=True))


FORMATS["*.jsonl"] = Format(_cut_lines, _count_lines, takes_column=True)
FORMATS["*.json"] = Format(_cut_json, lambda _: None, takes_column=True)
