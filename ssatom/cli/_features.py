"""What `ssatom featurize` computes: its settings, and the rows of a table of features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pymatgen.core import Element, Structure

from ssatom.cli._items import LABELS, Job, labels_of
from ssatom.corpora import StructureRecord
from ssatom.embeddings import FeatureColumns, clear_cache, parse_pooling
from ssatom.exceptions import ParameterError, StructureError
from ssatom.structures import structure_arrays
from ssatom.weights import PretrainedEncoder


def prepare(
    paths: Sequence[Path],
    structure_column: str | None = None,
    layers: str = "012",
    weights: str | None = None,
    random_state: int = 0,
    pooling: str | None = None,
    sites: str | None = None,
    batch_size: int = 64,
    device: str = "auto",
) -> Job:
    """The job for these options; `batch_size` and `device` change no number."""
    poolings = parse_pooling((pooling or "mean").split(",")) if sites is None else None
    elements = None if sites in (None, "all") else _atomic_numbers(str(sites))
    columns = FeatureColumns.of_arguments(layers, weights, random_state, poolings)
    encoder = columns.weights
    names = columns.names
    of_sites = [("site_index", pa.int64()), ("element", pa.string())] if poolings is None else []
    schema = pa.schema([*LABELS, *of_sites, *((name, pa.float32()) for name in names)])

    def rows(structures: list[Structure | StructureError]) -> Iterator[np.ndarray | StructureError]:
        yield from columns.embed(structures, batch_size=batch_size, device=device)
        clear_cache()  # no later chunk needs these states

    def table(records: list[StructureRecord], states: list[np.ndarray]) -> pa.Table:
        labels: list[tuple[Any, ...]] = []
        features = [np.empty((0, len(names)), np.float32)]
        for record, values in zip(records, states, strict=True):
            if poolings is None:
                kept = _sites(record.structure, elements)
                labels += [(*labels_of(record), *site) for site in kept]
                features.append(values[[i for i, _ in kept]])
            else:
                labels.append(labels_of(record))
                features.append(values[None])
        texts = [[label[i] for label in labels] for i in range(len(schema) - len(names))]
        by_column = np.ascontiguousarray(np.concatenate(features).T)
        return pa.table([*texts, *map(pa.array, by_column)], schema=schema)

    settings = {
        "layers": columns.layers,
        "pooling": poolings,
        "sites": (elements or "all") if poolings is None else None,
        "weights": encoder.sha256[:12],
    }
    about = {"weights": encoder.name, "weights_sha256": encoder.sha256}
    options = (layers, _anywhere(weights, encoder), random_state, pooling, sites)
    again = (prepare, tuple(paths), structure_column, *options, batch_size, device)
    return Job(list(paths), structure_column, settings, about, names, schema, rows, table, again)


def _anywhere(weights: str | None, encoder: PretrainedEncoder) -> str | None:
    """Name or absolute folder of the weights, for processes with another working directory."""
    is_own = encoder.folder is not None and not encoder.is_shipped
    return str(encoder.folder) if is_own else weights


def _sites(structure: Any, elements: list[int] | None) -> list[tuple[int, str]]:
    """Index and symbol of the sites of some elements, or of all."""
    numbers = structure_arrays(structure).numbers.tolist()
    return [
        (i, Element.from_Z(number).symbol)
        for i, number in enumerate(numbers)
        if elements is None or number in elements
    ]


def _atomic_numbers(symbols: str) -> list[int]:
    names = [name.strip() for name in symbols.split(",")]
    if unknown := [name for name in names if not Element.is_valid_symbol(name)]:
        raise ParameterError(
            f"sites: {unknown[0]!r} is no element; allowed: 'all', or symbols such as Ti,O"
        )
    return sorted({Element(name).Z for name in names})
