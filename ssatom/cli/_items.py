"""Crystals of the command line, streamed: records of all paths, in chunks, and rows of a table."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pymatgen.core import Structure

from ssatom.cli._screen import ERROR, HARMLESS, REMARK, WARNING, Problem
from ssatom.corpora import StructureRecord, count_structures, read_structures
from ssatom.corpora._names import file_name, printable
from ssatom.exceptions import (
    ExtrapolationWarning,
    GraphWarning,
    StructureError,
    StructureWarning,
)

_CHUNK_STRUCTURES = 512  # at most so many in a part …
_CHUNK_SITES = 20_000  # … and no more once it has so many sites


LABELS = [("source", pa.string()), ("formula", pa.string())]
"""First columns of every table."""


@dataclass(frozen=True)
class Job:
    """What is to be computed of every crystal, checked.

    `settings` are what the numbers depend on beside the crystals, `about` what the table says of
    itself, `names` its columns of numbers; `rows` gives what is computed of each crystal, or its
    error, and `table` makes rows of the table of good crystals.
    """

    paths: list[Path]
    structure_column: str | None
    settings: dict[str, Any]
    about: dict[str, str]
    names: list[str]
    schema: pa.Schema
    rows: Callable[[list[Structure | StructureError]], Iterable[Any]]
    table: Callable[[list[StructureRecord], list[Any]], pa.Table]


def labels_of(record: StructureRecord) -> tuple[str, str]:
    """Source and formula of a good crystal."""
    return record.source, record.structure.reduced_formula  # type: ignore[union-attr]


class Item(NamedTuple):
    """A record and what its reader warned of."""

    record: StructureRecord
    problems: list[Problem]


def count_all(paths: Sequence[Path]) -> int | None:
    """Crystals of all paths, None where only reading would tell."""
    counts = [count_structures(path) for path in paths]
    return None if None in counts else sum(count or 0 for count in counts)


def read_items(paths: Sequence[Path], structure_column: str | None = None) -> Iterator[Item]:
    """Records of all paths; of several, sources that are files say under which path they are."""
    for path in paths:
        parent = path if path.is_dir() else path.parent
        records = read_structures(path, errors="keep", structure_column=structure_column)
        while True:
            with _caught_warnings() as caught:
                record = next(records, None)
            if record is None:
                break
            if len(paths) > 1 and _is_file(parent / record.source):
                record = record._replace(source=printable(str(parent / record.source)))
            told = [one for warning in caught for one in _told(warning.message, [record.source])]
            yield Item(record, told)


@contextmanager
def _caught_warnings() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.filterwarnings("ignore", HARMLESS)
        yield caught


def _is_file(source: Path) -> bool:
    """Whether a source, without line or frame, names a file."""
    name = file_name(str(source))
    return os.path.isfile(name) or os.path.isfile(re.sub(r"[:@]\d+$", "", name))


def _told(warning: Warning | str, sources: list[str]) -> list[Problem]:
    """A warning of one crystal, or of those of several whose rows it has."""
    if isinstance(warning, GraphWarning | StructureWarning | ExtrapolationWarning):
        about = [sources[row] for row in warning.rows]
        reason, kind = warning.reason, WARNING
    else:
        ours = type(warning).__module__.split(".")[0] == "ssatom"
        about, reason, kind = [], str(warning), WARNING if ours else REMARK
    about = about or (sources if len(sources) == 1 else [getattr(warning, "source", None) or ""])
    return [Problem(source, kind, printable(reason)) for source in about]


def chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Items in pieces that are bounded in structures and in sites."""
    chunk: list[Item] = []
    n_sites = 0
    for item in items:
        chunk.append(item)
        structure = item.record.structure
        n_sites += len(structure) if isinstance(structure, Structure) else 0
        if len(chunk) >= _CHUNK_STRUCTURES or n_sites >= _CHUNK_SITES:
            yield chunk
            chunk, n_sites = [], 0
    if chunk:
        yield chunk


def compute(chunk: list[Item], job: Job) -> tuple[pa.Table, dict[str, Any]]:
    """Rows of the table, and the counts and problems of the chunk."""
    records = [item.record for item in chunk]
    rows, problems = apply(chunk, job.rows)
    good = [i for i, row in enumerate(rows) if not isinstance(row, StructureError)]
    n_sites = sum(len(records[i].structure) for i in good)  # type: ignore[arg-type, misc]
    notes = {
        "n_records": len(chunk),
        "n_good": len(good),
        "n_sites": n_sites,
        "problems": problems,
    }
    return job.table([records[i] for i in good], [rows[i] for i in good]), notes


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
    """What is wrong, with the place in the file where the source is an id."""
    place = error.source if error.source and error.source not in source else ""
    return printable(f"{place}: {error.reason}" if place else error.reason)
