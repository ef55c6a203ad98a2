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
        return ((None, row) for row in content)
    if not isinstance(content, dict) or is_structure(content):
        return None
    columns, data = content.get("columns"), content.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        return _split_frame(columns, data, content.get("index"))
    if isinstance(data, list) and "schema" in content:
        return _table_frame(data)
    if isinstance(data, list) or (isinstance(data, dict) and is_cell(data)):  # of OPTIMADE
        return ((None, row) for row in ([data] if isinstance(data, dict) else data))
    if content and all(map(is_cell, content.values())) and len(content) > 1:
        return _by_key(content)
    if content and all(isinstance(value, dict) for value in content.values()):
        return _by_key(content) if _is_by_row(content) else _by_column(content)
    return None


def _is_by_row(content: dict[str, dict[str, Any]]) -> bool:
    """Whether the outer keys of nested dicts are ids, and not names of columns."""
    keys = next(iter(content.values())).keys()
    if all(map(is_cell, content.values())) or any(r.keys() != keys for r in content.values()):
        return True
    columns = {*PATH_COLUMNS} - {"path", "file"}
    if columns & {key.lower() for key in content}:
        return False
    return all(sum(map(is_cell, row.values())) <= 1 for row in content.values())


def _by_key(content: dict[str, Any]) -> Iterator[_Named]:
    yield from zip(_ids(content), content.values(), strict=True)


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


def _table_frame(data: list[Any]) -> Iterator[_Named]:
    names = [row.pop("index", None) if isinstance(row, dict) else None for row in data]
    yield from zip(_ids(names), data, strict=True)


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
