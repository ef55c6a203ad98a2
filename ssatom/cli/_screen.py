"""What commands show: texts, tables, and errors and warnings about single crystals."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

# 0.3333 in a CIF file, which the reader takes for 1/3; and noble gases, of which pymatgen wants
# the electronegativity to put a formula in order.
HARMLESS = (
    r"Issues encountered while parsing CIF: \d+ fractional coordinates rounded [^\n]*\Z"
    r"|No Pauling electronegativity for "
)
"""Warnings that are not shown, as a regular expression."""

ERROR, WARNING, REMARK = "error", "warning", "remark"
"""Kinds: a crystal that cannot be used, one that may not be meant, a warning of a library."""

PROBLEMS = "problems.csv"
"""Table of errors and warnings about rows, in the folder of a model."""

_ORDER = (ERROR, WARNING, REMARK)
_SHOWN = 20  # rows or kinds of each sort …
_SHOWN_REMARKS = 5  # … and of what libraries say
_NAMES = 5  # crystals of a kind that are named


# A spreadsheet runs a text that begins so as a formula; a signed number it does not.
_FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d.]+(?:[eE][+-]?\d+)?\Z)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what a terminal would obey


class Problem(NamedTuple):
    """An error or a warning about one crystal."""

    source: str
    kind: str
    reason: str


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    """Write the table of problems: source, kind ("error" or "warning") and reason.

    Errors come first, then our warnings, then those of libraries, each in the order of the input.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Problem._fields)
        for source, kind, reason in sorted(problems, key=lambda one: _ORDER.index(one.kind)):
            shown = ERROR if kind == ERROR else WARNING
            writer.writerow((plain_cell(source), shown, plain_cell(reason)))


def plain_cell(text: str) -> str:
    """The text for CSV, behind an apostrophe if a spreadsheet would run it."""
    return f"'{text}" if _FORMULA.match(text) else text


def show_problems(
    problems: Sequence[Problem], n_all: int, noun: str = "structures", file: Path | None = None
) -> None:
    """Show the problems among `n_all` structures, and where `file` lists all of them.

    Ends with exit code 3 if some structures could not be used.
    """
    for kind, most in ((WARNING, _SHOWN), (REMARK, _SHOWN_REMARKS)):
        alike = _alike(one for one in problems if one.kind == kind)
        for told in alike[:most]:
            say(f"warning: {_line(told)}", err=True)
        if len(alike) > most:
            whose = "" if kind == WARNING else " from libraries"
            say(f"warning: and {len(alike) - most:,} more kinds{whose}", err=True)
    bad = [one for one in problems if one.kind == ERROR]
    if bad:
        say(f"\n{len(bad):,} of {n_all:,} {noun} could not be used:", err=True)
        rows = [(one.source, one.reason) for one in bad]
        if len(bad) > _SHOWN:
            rows = [(_names(told), told[0].reason) for told in _alike(bad)]
        say(aligned([("source", "reason"), *rows[:_SHOWN]], indent=2), err=True)
        if len(rows) > _SHOWN:
            say(f"  and {len(rows) - _SHOWN:,} more kinds", err=True)
    if problems and file is not None:
        say(f"all problems are listed in '{file}'", err=True)
    if bad:
        raise typer.Exit(3)


def _alike(problems: Iterable[Problem]) -> list[list[Problem]]:
    """Problems whose reasons differ in numbers and quoted names alone, together."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(re.sub(r"'[^']*'|[+-]?\d[\d.e+-]*", "#", problem.reason), []).append(
            problem
        )
    return list(kinds.values())


def _line(told: list[Problem]) -> str:
    sources = list(dict.fromkeys(one.source for one in told if one.source))
    about = f"{counted(len(sources), 'crystal')}: {_names(told)}" if sources else ""
    if len({one.reason for one in told}) > 1:
        about = f"and the like, {about}" if about else "and the like"
    return f"{told[0].reason} ({about})" if about else told[0].reason


def _names(told: list[Problem]) -> str:
    sources = list(dict.fromkeys(one.source for one in told if one.source))
    more = f" and {len(sources) - _NAMES:,} more" if len(sources) > _NAMES else ""
    return ", ".join(sources[:_NAMES]) + more


def say(text: str, err: bool = False) -> None:
    """Print a text; bytes that are no UTF-8 and control characters are shown as codes."""
    text = _CONTROL.sub(lambda sign: f"\\x{ord(sign[0]):02x}", text)
    typer.echo(text.encode("utf-8", "backslashreplace").decode(), err=err)


def aligned(rows: Iterable[Sequence[str]], indent: int = 0) -> str:
    """Lines of a table, whose rows have equally many cells, columns side by side."""
    rows = [[" ".join(cell.split()) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(" " * indent + line.rstrip() for line in lines)


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as "1 crystal" or "1,200 crystals"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
