"""JSON: a structure a line (.jsonl), or one structure, a list or a frame in a file (.json)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from ssatom.corpora._formats import BROKEN, FORMATS, Format, count_pieces, open_binary, read_pieces
from ssatom.corpora._records import Entry, entry_of_row, lost
from ssatom.exceptions import StructureError

_PARTS = (b'"lattice"', b'"numbers"', b'"frac"', b'"sites"')


def _read_lines(path: Path) -> Iterator[Entry]:
    for number, line in enumerate(read_pieces(path, iter), 1):
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


def _read_json(path: Path) -> Iterator[Entry]:
    """One structure, a list of rows, or a frame as matminer and pandas ("split") store it."""
    try:
        with open_binary(path) as file:
            content = _loads(file.read())
    except (ValueError, *BROKEN) as error:
        reason = f"{type(error).__name__}: {error}"
        yield lost("", f"this file is no JSON ({reason}); a collection of lines ends in .jsonl")
        return
    if isinstance(content, dict) and content.keys() >= {"columns", "data"}:
        yield from _read_frame(content)
    elif isinstance(content, list):
        for number, row in enumerate(content):
            yield entry_of_row(row, f":{number}")
    else:
        yield entry_of_row(content, "")


def _read_frame(content: dict[str, Any]) -> Iterator[Entry]:
    columns, data, names = content["columns"], content["data"], content.get("index")
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


def _loads(text: bytes) -> Any:
    """Content of JSON text; with NaN, as Python and pandas write it, and a byte-order mark too."""
    # Of a key that stands twice in one row, parsers take one in silence.
    if text.count(b"\n") > 1 or all(text.count(key) < 2 for key in _PARTS):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    try:
        return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_object)  # slower
    except RecursionError:
        problem = "it is nested too deeply"
    raise ValueError(problem)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} comes twice in one object")
    return found


FORMATS["*.jsonl"] = Format(_read_lines, partial(count_pieces, iter))
FORMATS["*.json"] = Format(_read_json, lambda _: None)
