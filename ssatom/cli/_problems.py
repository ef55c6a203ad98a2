"""What there is to say of crystals: errors and warnings, on the screen and in a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ssatom.cli._output import aligned, counted, say

ERROR, WARNING, REMARK = "error", "warning", "remark"
"""A crystal that could not be used, one that may not be what was meant, and what libraries say."""

_ORDER = (ERROR, WARNING, REMARK)
_SHOWN = 20  # rows or kinds of each sort …
_SHOWN_REMARKS = 5  # … and of what libraries say
_NAMES = 5  # crystals of a kind that are named


class Problem(NamedTuple):
    """One thing to say of one crystal."""

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
            writer.writerow((source, ERROR if kind == ERROR else WARNING, reason))


def show_problems(
    problems: Sequence[Problem], n_all: int, noun: str = "structures", file: Path | None = None
) -> None:
    """Show what matters on the screen.

    Parameters
    ----------
    problems : sequence of Problem
        All of them.
    n_all : int
        Number of structures, or rows, that were read.
    noun : str, default="structures"
        What these are.
    file : Path, optional
        Where all problems stand.
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
