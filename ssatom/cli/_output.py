"""What several commands put on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer

# 0.3333 in a CIF file, which the reader takes for 1/3; and noble gases, of which pymatgen wants
# the electronegativity to put a formula in order.
HARMLESS = (
    r"Issues encountered while parsing CIF: \d+ fractional coordinates rounded [^\n]*\Z"
    r"|No Pauling electronegativity for "
)
"""Warnings, as a regular expression, that nobody needs to see."""


def say(text: str, err: bool = False) -> None:
    """Put a text on the screen, whatever names of files it holds."""
    typer.echo(text.encode("utf-8", "backslashreplace").decode(), err=err)


def aligned(rows: Iterable[Sequence[str]], indent: int = 0) -> str:
    """Lines of a table, columns side by side.

    Parameters
    ----------
    rows : iterable of sequences of str
        All of the same length.
    indent : int, default=0
        Blanks before each line.

    Returns
    -------
    str
        Without newline at the end.

    Examples
    --------
    >>> from ssatom.cli._output import aligned
    >>> print(aligned([("name", "size"), ("a", "10")]))
    name  size
    a     10
    """
    rows = [[" ".join(cell.split()) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(" " * indent + line.rstrip() for line in lines)


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    Examples
    --------
    >>> from ssatom.cli._output import counted
    >>> counted(1, "crystal"), counted(1200, "crystal")
    ('1 crystal', '1,200 crystals')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"
