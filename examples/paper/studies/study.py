"""What a study is: something the paper shows, and how it is made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ssatom.reproduction.context import Context


@dataclass(frozen=True)
class Table:
    """Rows for people to read; the numbers behind them are in `Report.results`.

    Attributes
    ----------
    title : str
        What it shows, with units.
    columns : sequence of str
        Heads.
    rows : sequence of sequence of str
        Cells.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"{self.title}: rows and columns differ in length")


@dataclass(frozen=True)
class Report:
    """What a study found.

    Attributes
    ----------
    results : mapping
        All numbers, such that JSON holds them.
    tables : sequence of Table
        Ours beside the paper's.
    reading : sequence of str
        Paragraphs that say what the numbers mean; figures in them are computed.
    figures : mapping of str to Figure
        By the part of the file name that tells them apart; "" for a single one.
    """

    results: Mapping[str, Any]
    tables: Sequence[Table] = ()
    reading: Sequence[str] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """Something that the paper shows, or that belongs beside it.

    Attributes
    ----------
    name : str
        As on the command line, such as "table2".
    title : str
        One line.
    run : callable
        From a `Context` to a `Report`.
    data : tuple of str
        Files needed, as in the folder of data.
    """

    name: str
    title: str
    run: Callable[[Context], Report]
    data: tuple[str, ...] = ()
