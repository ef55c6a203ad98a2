"""Texts in CSV that a spreadsheet would take for formulas."""

from __future__ import annotations

import re

import pyarrow as pa

from ssatom.cli._screen import say

# A formula begins with one of these. A signed number is none.
_FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d.]+(?:[eE][+-]?\d+)?\Z)")


def plain_cell(text: str) -> str:
    """The text, behind an apostrophe if a spreadsheet would run it.

    Examples
    --------
    >>> from ssatom.cli._cells import plain_cell
    >>> plain_cell("=HYPERLINK(A1)"), plain_cell("-1.5"), plain_cell("mp-149")
    ("'=HYPERLINK(A1)", '-1.5', 'mp-149')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def plain_cells(table: pa.Table) -> tuple[pa.Table, int]:
    """A table with `plain_cell` of all texts, and how many of them changed."""
    n_changed = 0
    for i, field in enumerate(table.schema):
        if field.type != pa.string():
            continue
        texts = table.column(i).to_pylist()
        plain = [None if text is None else plain_cell(text) for text in texts]
        if plain != texts:
            n_changed += sum(a != b for a, b in zip(plain, texts, strict=True))
            table = table.set_column(i, field, pa.array(plain, pa.string()))
    return table, n_changed


def tell_of_cells(n_changed: int) -> None:
    """Say how many texts have an apostrophe more than the crystals' own names."""
    if n_changed:
        say(
            f"warning: {n_changed:,} texts begin with =, +, - or @; in CSV they stand behind an "
            "apostrophe, so that no spreadsheet runs them (Parquet keeps them as they are)",
            err=True,
        )
