"""Streams of crystals for commands: records of all paths, in chunks, to rows of a table."""

from __future__ import annotations

import os
import platform
import re
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
from pymatgen.core import Structure

import ssatom
from ssatom.cli._screen import ERROR, HARMLESS, REMARK, WARNING, Problem
from ssatom.corpora import StructureRecord, UnreadPiece, count_structures, cut_structures
from ssatom.exceptions import (
    ExtrapolationWarning,
    GraphWarning,
    SsatomError,
    StructureError,
    StructureWarning,
    unwrap,
)
from ssatom.structures import formula_of
from ssatom.structures._text import file_name, printable

_CHUNK_STRUCTURES = 512  # at most so many in a part …
_CHUNK_SITES = 20_000  # … and no more once it has so many sites
PART_BYTES = 4 * 2**20  # of the text that a worker is sent at a time


_Found = TypeVar("_Found")
_ONE_PART = Lock()  # threads of a dask worker would catch each other's warnings

LABELS = [("source", pa.string()), ("formula", pa.string())]
"""First columns of every table."""


@dataclass(frozen=True)
class Job:
    """What a command computes for each crystal, from checked options.

    The numbers depend on the crystals and on `settings`. `about` is written into the table, and
    `names` are its columns of numbers. `rows` computes the numbers of each crystal or gives its
    error; `table` makes the rows of the table from good crystals. A pickle holds `made_by` alone:
    a function and its arguments, which make the job again.
    """

    paths: list[Path]
    structure_column: str | None
    settings: dict[str, Any]
    about: dict[str, str]
    names: list[str]
    schema: pa.Schema
    rows: Callable[[list[Structure | StructureError]], Iterable[Any]]
    table: Callable[[list[StructureRecord], list[Any]], pa.Table]
    made_by: tuple[Hashable, ...]

    def __reduce__(self) -> Any:
        return _job_of_worker, (ssatom.__version__, tuple(self.about.items()), *self.made_by)


@lru_cache(maxsize=1)
def _job_of_worker(version: str, about: tuple, make: Callable[..., Job], *arguments: Any) -> Job:
    """The job in a worker, which loads the weights once."""
    found = (ssatom.__version__, tuple((job := make(*arguments)).about.items()))
    if found != (version, about):
        raise SsatomError(
            f"the worker on {platform.node()} has ssatom {found[0]} with {dict(found[1])}, and "
            f"this process has ssatom {version} with {dict(about)}; give both the same"
        )
    return job


def labels_of(record: StructureRecord) -> tuple[str, str]:
    """Source and formula of a good crystal."""
    return record.source, formula_of(unwrap(record.structure))


class Item(NamedTuple):
    """A record and what its reader warned of."""

    record: StructureRecord
    problems: list[Problem]


def count_all(paths: Sequence[Path]) -> int | None:
    """Number of crystals of all paths; None where only reading would tell it."""
    counts = [count_structures(path) for path in paths]
    return None if None in counts else sum(count or 0 for count in counts)


class UnreadItems(NamedTuple):
    """A piece of a file, the warnings from cutting it off, and the folder it was found in.

    `path` is None where one path was given. Of several paths, sources that are files begin with
    it.
    """

    piece: UnreadPiece
    warned: list[Warning | str]
    path: Path | None

    def read(self) -> Iterator[Item]:
        """Records, with what their reader warns of."""
        warned = self.warned
        for record, more in _with_warnings(self.piece.read("keep")):
            if self.path is not None and _is_file(self.path.absolute() / record.source):
                record = record._replace(source=printable(str(self.path / record.source)))
            told = [one for w in (*warned, *more) for one in _told(w, [record.source])]
            yield Item(record, told)
            warned = []


def cut_items(paths: Sequence[Path], structure_column: str | None = None) -> Iterator[UnreadItems]:
    """Pieces of all paths, with absolute paths: a worker may have another working directory."""
    for path in paths:
        parent = path if path.is_dir() else path.parent
        pieces = cut_structures(path.absolute(), structure_column=structure_column)
        for piece, told in _with_warnings(pieces):
            yield UnreadItems(piece, told, parent if len(paths) > 1 else None)


def read_items(paths: Sequence[Path], structure_column: str | None = None) -> Iterator[Item]:
    """Records of all paths."""
    return chain.from_iterable(one.read() for one in cut_items(paths, structure_column))


@contextmanager
def _caught_warnings() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.filterwarnings("ignore", HARMLESS)
        yield caught


def _with_warnings(found: Iterator[_Found]) -> Iterator[tuple[_Found, list[Warning | str]]]:
    """Everything that an iterator gives, with what it warned of before."""
    while True:
        with _caught_warnings() as caught:
            one = next(found, None)
        if one is None:
            return
        yield one, [warning.message for warning in caught]


def _is_file(source: Path) -> bool:
    """Whether a source, without row, line or frame, names a file."""
    name = file_name(str(source))
    return os.path.isfile(name) or os.path.isfile(re.sub(r"([:@]\d+|\[\d+\])$", "", name))


def _told(warning: Warning | str, sources: list[str]) -> list[Problem]:
    """The problems that a warning tells of: one for each crystal that it is about."""
    if isinstance(warning, GraphWarning | StructureWarning | ExtrapolationWarning):
        about = [sources[row] for row in warning.rows]
        reason, kind = warning.reason, WARNING
    else:
        ours = type(warning).__module__.split(".")[0] == "ssatom"
        about, reason, kind = [], str(warning), WARNING if ours else REMARK
    about = about or (sources if len(sources) == 1 else [getattr(warning, "source", None) or ""])
    return [Problem(source, kind, printable(reason)) for source in about]


def pieces(items: Iterable[_Found], size: Callable[[_Found], int], most: int) -> Iterator[list]:
    """Items together until they are many, or have at least the size `most`."""
    piece: list[_Found] = []
    total = 0
    for item in items:
        piece.append(item)
        total += size(item)
        if len(piece) >= _CHUNK_STRUCTURES or total >= most:
            yield piece
            piece, total = [], 0
    if piece:
        yield piece


def chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Items in lists that are bounded in structures and in sites."""

    def n_sites(item: Item) -> int:
        structure = item.record.structure
        return len(structure) if isinstance(structure, Structure) else 0

    return pieces(items, n_sites, _CHUNK_SITES)


def compute(part: list[UnreadItems], job: Job) -> tuple[pa.Table, dict[str, Any]]:
    """Rows of the table, and the counts and problems of the part."""
    counts = Counter(n_pieces=len(part), n_records=0, n_good=0, n_sites=0)
    tables: list[pa.Table] = []
    problems: list[Problem] = []
    with _ONE_PART:
        for chunk in chunks(chain.from_iterable(one.read() for one in part)):
            found, told = apply(chunk, job.rows)
            pairs = zip((item.record for item in chunk), found, strict=True)
            good = [pair for pair in pairs if not isinstance(pair[1], StructureError)]
            records, rows = [record for record, _ in good], [row for _, row in good]
            n_sites = sum(len(unwrap(record.structure)) for record in records)
            counts.update(n_records=len(chunk), n_good=len(good), n_sites=n_sites)
            tables.append(job.table(records, rows))
            problems += told
    return pa.concat_tables(tables or [job.table([], [])]), {**counts, "problems": problems}


def apply(
    chunk: list[Item], function: Callable[[list[Structure | StructureError]], Iterable[Any]]
) -> tuple[list[Any], list[Problem]]:
    """Results or errors, row by row, and all problems, both with the sources' names."""
    sources = [item.record.source for item in chunk]
    problems = [problem for item in chunk for problem in item.problems]
    with _caught_warnings() as caught:
        rows = list(function([item.record.structure for item in chunk]))
    problems += [one for warning in caught for one in _told(warning.message, sources)]
    for source, row in zip(sources, rows, strict=True):
        if isinstance(row, StructureError):
            problems.append(Problem(source, ERROR, reason_of(row, source)))
    return rows, problems


def reason_of(error: StructureError, source: str) -> str:
    """The reason; if the source is an id, with the place in the file."""
    place = error.source if error.source and error.source not in source else ""
    return printable(f"{place}: {error.reason}" if place else error.reason)
