"""What a study is: a table or figure, and the function that computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from studies.context import Context


@dataclass(frozen=True)
class Table:
    """A table for readers; the numbers behind it are in `Report.results`.

    Attributes
    ----------
    title : str
        What it shows, with units.
    columns : sequence of str
        Column headings.
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
        All numbers; JSON can hold them.
    tables : sequence of Table
        Our numbers beside the paper's.
    reading : sequence of str
        Paragraphs that say what the numbers mean.
    figures : mapping of str to Figure
        By the end of the file name; "" for a single figure.
    """

    results: Mapping[str, Any]
    tables: Sequence[Table] = ()
    reading: Sequence[str] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A table or figure of the paper, or one that belongs beside it.

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
