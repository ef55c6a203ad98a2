"""Crystals of the command line, streamed: records of all paths, in chunks, and rows of a table."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
from pymatgen.core import Structure

from ssatom.cli._output import HARMLESS
from ssatom.corpora import StructureRecord, read_structures
from ssatom.exceptions import GraphWarning, StructureError

_CHUNK_STRUCTURES = 512  # at most so many in a part …
_CHUNK_SITES = 20_000  # … and no more once it has so many sites


class Job(Protocol):
    """What is to be computed of every crystal, checked."""

    paths: list[Path]
    structure_column: str | None

    def settings(self) -> dict[str, Any]:
        """All that the numbers depend on."""

    def about(self) -> dict[str, str]:
        """What the table says of itself, where its format can."""

    def schema(self) -> pa.Schema:
        """Columns of the table."""

    def rows(self, structures: list[Structure | StructureError]) -> Iterable[Any]:
        """What is computed of each, or its StructureError."""

    def table(self, records: list[StructureRecord], rows: list[Any]) -> pa.Table:
        """Rows of the table for good crystals and what was computed of them."""


class Item(NamedTuple):
    """A record and what its reader warned of."""

    record: StructureRecord
    warnings: list[str]


def read_items(paths: Sequence[Path], structure_column: str | None = None) -> Iterator[Item]:
    """Records of all paths; of several, sources that are files say under which path they are."""
    for path in paths:
        parent = path if path.is_dir() else path.parent
        records = read_structures(path, errors="keep", structure_column=structure_column)
        while True:
            with _caught() as caught:
                record = next(records, None)
            if record is None:
                break
            if len(paths) > 1 and _is_file(parent / record.source):
                record = record._replace(source=str(parent / record.source))
            yield Item(record, [str(warning.message) for warning in caught])


@contextmanager
def _caught() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.filterwarnings("ignore", HARMLESS)
        yield caught


def _is_file(source: Path) -> bool:
    """Whether a source, without line or frame, names a file."""
    return os.path.isfile(source) or os.path.isfile(re.sub(r"[:@]\d+$", "", str(source)))


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
    """Rows of the table, and what there is to say of the chunk."""
    records = [item.record for item in chunk]
    rows, warned = apply(chunk, job.rows)
    bad = [
        [record.source, reason_of(row, record)]
        for record, row in zip(records, rows, strict=True)
        if isinstance(row, StructureError)
    ]
    good = [i for i, row in enumerate(rows) if not isinstance(row, StructureError)]
    n_sites = sum(len(records[i].structure) for i in good)  # type: ignore[arg-type, misc]
    notes = {"n_records": len(chunk), "n_sites": n_sites, "bad": bad, "warnings": warned}
    return job.table([records[i] for i in good], [rows[i] for i in good]), notes


def apply(
    chunk: list[Item], function: Callable[[list[Structure | StructureError]], Iterable[Any]]
) -> tuple[list[Any], list[list[str]]]:
    """Results or errors, row by row, and warnings as [source, text]; both name the sources."""
    sources = [item.record.source for item in chunk]
    warned = [[item.record.source, text] for item in chunk for text in item.warnings]
    with _caught() as caught:
        rows = list(function([item.record.structure for item in chunk]))
    for warning in caught:
        told = warning.message
        if isinstance(told, GraphWarning):
            warned += [[sources[row], told.reason] for row in told.rows]
        else:
            warned.append(["", str(told)])
    for i, row in enumerate(rows):
        if isinstance(row, StructureError):
            rows[i] = StructureError(str(row).replace(f"structures[{i}]", sources[i], 1))
    return rows, warned


def reason_of(error: StructureError, record: StructureRecord) -> str:
    """What is wrong, without the source."""
    return str(error).removeprefix(f"{record.source}: ")
