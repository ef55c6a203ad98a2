"""What `ssatom featurize` computes: its settings, and the rows of one chunk of structures."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pymatgen.core import Element, Structure

import ssatom
from ssatom.cli._output import HARMLESS
from ssatom.cli._parts import input_stamp
from ssatom.corpora import StructureRecord, read_structures
from ssatom.embeddings import (
    clear_cache,
    embed,
    feature_names,
    parse_layers,
    parse_pooling,
    resolve_weights,
)
from ssatom.exceptions import ParameterError, StructureError
from ssatom.structures import structure_arrays
from ssatom.weights import PretrainedEncoder

_PLACE = re.compile(r"structures\[(\d+)\]")
_CHUNK_STRUCTURES = 512  # at most so many in a part …
_CHUNK_SITES = 20_000  # … and no more once it has so many sites


@dataclass
class Job:
    """What to compute, checked.

    Attributes
    ----------
    paths : list of Path
        Files and folders to read, in order.
    weights : PretrainedEncoder
        The encoder.
    layers : tuple of int
        Its layers that are taken.
    pooling : tuple of str or None
        Poolings over the sites; None for the sites themselves.
    elements : ndarray of int or None
        Atomic numbers of the sites to keep; None for all.
    options : dict
        How to compute; changes no number.
    """

    paths: list[Path]
    weights: PretrainedEncoder
    layers: tuple[int, ...]
    pooling: tuple[str, ...] | None
    elements: np.ndarray | None
    options: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        return feature_names(self.layers, self.weights.hidden_dim, self.pooling)

    def settings(self) -> dict[str, Any]:
        """All that the numbers depend on."""
        elements = "all" if self.elements is None else self.elements.tolist()
        return {
            "inputs": [input_stamp(path) for path in self.paths],
            "layers": self.layers,
            "pooling": self.pooling,
            "sites": elements if self.pooling is None else None,
            "weights": self.weights.sha256[:12],
            "ssatom": ssatom.__version__,
        }

    def schema(self) -> pa.Schema:
        """Columns of the table."""
        fields = [("source", pa.string()), ("formula", pa.string())]
        if self.pooling is None:
            fields += [("site_index", pa.int64()), ("element", pa.string())]
        return pa.schema(fields + [(name, pa.float32()) for name in self.names])


def prepare(
    paths: list[Path],
    layers: str,
    weights: str | None,
    pooling: str | None,
    sites: str | None,
    random_state: int,
    options: dict[str, Any],
) -> Job:
    """A job from what stands on the command line."""
    encoder = resolve_weights(weights, random_state)
    return Job(
        paths,
        encoder,
        parse_layers(layers, encoder.n_layers),
        parse_pooling((pooling or "mean").split(",")) if sites is None else None,
        None if sites in (None, "all") else _atomic_numbers(str(sites)),
        options,
    )


def _atomic_numbers(symbols: str) -> np.ndarray:
    names = [name.strip() for name in symbols.split(",")]
    if unknown := [name for name in names if not Element.is_valid_symbol(name)]:
        raise ParameterError(
            f"sites: {unknown[0]!r} is no element; allowed: 'all', or symbols such as Ti,O"
        )
    return np.unique([Element(name).Z for name in names])


class Item(NamedTuple):
    """A record and what its reader warned of."""

    record: StructureRecord
    warnings: list[str]


def read_items(paths: Sequence[Path]) -> Iterator[Item]:
    """Records of all paths; of several, sources that are files say under which path they are."""
    for path in paths:
        parent = path if path.is_dir() else path.parent
        records = read_structures(path, errors="keep")
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
    rows, warned = _embed(chunk, job)
    notes: dict[str, Any] = {"n_records": len(chunk), "n_sites": 0, "bad": [], "warnings": warned}
    schema, names = job.schema(), job.names
    labels: list[list[Any]] = [[] for _ in range(len(schema) - len(names))]
    features = [np.empty((0, len(names)), np.float32)]
    for (record, _), row in zip(chunk, rows, strict=True):
        if isinstance(row, StructureError):
            reason = str(row).removeprefix(f"{record.source}: ")
            notes["bad"].append([record.source, reason])
            continue
        notes["n_sites"] += len(record.structure)  # type: ignore[arg-type]
        kept, values = _rows_of(record, row[:, list(job.layers)], job)
        for column, label in zip(labels, kept, strict=True):
            column.extend(label)
        features.append(values)
    columns = np.ascontiguousarray(np.concatenate(features).T)
    return pa.table([*labels, *map(pa.array, columns)], schema=schema), notes


def _embed(
    chunk: list[Item], job: Job
) -> tuple[list[np.ndarray | StructureError], list[list[str]]]:
    """Embeddings or errors of a chunk, and warnings as [source, text]."""
    sources = [item.record.source for item in chunk]
    warned = [[item.record.source, text] for item in chunk for text in item.warnings]
    structures = [item.record.structure for item in chunk]
    with _caught() as caught:
        rows = list(embed(structures, job.weights, pooling=job.pooling, **job.options))  # type: ignore[arg-type]
    clear_cache()  # what was written is not asked for again
    for warning in caught:
        place, _, text = str(warning.message).partition(": ")
        match = _PLACE.fullmatch(place)
        warned.append([sources[int(match[1])], text] if match else ["", str(warning.message)])
    for i, row in enumerate(rows):
        if isinstance(row, StructureError):
            rows[i] = StructureError(str(row).replace(f"structures[{i}]", sources[i], 1))
    return rows, warned


def _rows_of(
    record: StructureRecord, hidden: np.ndarray, job: Job
) -> tuple[list[list[Any]], np.ndarray]:
    """Labels, column by column, and features, shape (n_rows, n_columns), of one crystal."""
    assert isinstance(record.structure, Structure)
    formula = record.structure.reduced_formula
    if job.pooling is not None:
        return [[record.source], [formula]], hidden.reshape(1, -1)
    numbers = structure_arrays(record.structure).numbers
    kept = np.arange(len(numbers))
    if job.elements is not None:
        kept = np.flatnonzero(np.isin(numbers, job.elements))
    symbols = [Element.from_Z(number).symbol for number in numbers[kept].tolist()]
    n = len(kept)
    labels: list[list[Any]] = [[record.source] * n, [formula] * n, kept.tolist(), symbols]
    return labels, hidden[kept].reshape(n, len(job.layers) * job.weights.hidden_dim)
