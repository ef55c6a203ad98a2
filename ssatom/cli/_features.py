"""What `ssatom featurize` computes: its settings, and the rows of a table of features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pymatgen.core import Element, Structure

from ssatom.corpora import StructureRecord
from ssatom.embeddings import (
    FeatureColumns,
    Pooling,
    clear_cache,
    embed,
    parse_layers,
    parse_pooling,
    resolve_weights,
)
from ssatom.exceptions import ParameterError, StructureError
from ssatom.structures import structure_arrays
from ssatom.weights import PretrainedEncoder


@dataclass
class FeatureJob:
    """What to compute: layers pooled by `pooling`, or of the sites of `elements` (None is all)."""

    paths: list[Path]
    weights: PretrainedEncoder
    layers: tuple[int, ...]
    pooling: tuple[Pooling, ...] | None
    elements: np.ndarray | None
    options: dict[str, Any]
    structure_column: str | None = None

    @property
    def columns(self) -> FeatureColumns:
        """Which features."""
        return FeatureColumns(self.weights, self.layers, self.pooling)

    @property
    def names(self) -> list[str]:
        """Names of the features."""
        return self.columns.names

    def settings(self) -> dict[str, Any]:
        """What the numbers depend on, beside the crystals."""
        elements = "all" if self.elements is None else self.elements.tolist()
        return {
            "layers": self.layers,
            "pooling": self.pooling,
            "sites": elements if self.pooling is None else None,
            "weights": self.weights.sha256[:12],
        }

    def about(self) -> dict[str, str]:
        """The weights and their hash."""
        return {"weights": self.weights.name, "weights_sha256": self.weights.sha256}

    def schema(self) -> pa.Schema:
        """Columns of the table."""
        fields = [("source", pa.string()), ("formula", pa.string())]
        if self.pooling is None:
            fields += [("site_index", pa.int64()), ("element", pa.string())]
        return pa.schema(fields + [(name, pa.float32()) for name in self.names])

    def rows(
        self, structures: list[Structure | StructureError]
    ) -> Iterator[np.ndarray | StructureError]:
        """Embeddings of each structure, all layers."""
        yield from embed(structures, self.weights, pooling=self.pooling, **self.options)
        clear_cache()  # what was written is not asked for again

    def table(self, records: list[StructureRecord], rows: list[np.ndarray]) -> pa.Table:
        """Labels and features."""
        schema, names, columns = self.schema(), self.names, self.columns
        labels: list[list[Any]] = [[] for _ in range(len(schema) - len(names))]
        features = [np.empty((0, len(names)), np.float32)]
        for record, row in zip(records, rows, strict=True):
            kept, values = self._rows_of(record, columns.take(row))
            for column, label in zip(labels, kept, strict=True):
                column.extend(label)
            features.append(values)
        by_column = np.ascontiguousarray(np.concatenate(features).T)
        return pa.table([*labels, *map(pa.array, by_column)], schema=schema)

    def _rows_of(
        self, record: StructureRecord, features: np.ndarray
    ) -> tuple[list[list[Any]], np.ndarray]:
        """Labels, column by column, and features, shape (n_rows, n_columns), of one crystal."""
        assert isinstance(record.structure, Structure)
        formula = record.structure.reduced_formula
        if self.pooling is not None:
            return [[record.source], [formula]], features[None]
        numbers = structure_arrays(record.structure).numbers
        kept = np.arange(len(numbers))
        if self.elements is not None:
            kept = np.flatnonzero(np.isin(numbers, self.elements))
        symbols = [Element.from_Z(number).symbol for number in numbers[kept].tolist()]
        n = len(kept)
        labels: list[list[Any]] = [[record.source] * n, [formula] * n, kept.tolist(), symbols]
        return labels, features[kept]


def prepare(
    paths: list[Path],
    layers: str,
    weights: str | None,
    pooling: str | None,
    sites: str | None,
    random_state: int,
    options: dict[str, Any],
    structure_column: str | None,
) -> FeatureJob:
    """A job from what stands on the command line."""
    encoder = resolve_weights(weights, random_state)
    return FeatureJob(
        paths,
        encoder,
        parse_layers(layers, encoder.n_layers),
        parse_pooling((pooling or "mean").split(",")) if sites is None else None,
        None if sites in (None, "all") else _atomic_numbers(str(sites)),
        options,
        structure_column,
    )


def _atomic_numbers(symbols: str) -> np.ndarray:
    names = [name.strip() for name in symbols.split(",")]
    if unknown := [name for name in names if not Element.is_valid_symbol(name)]:
        raise ParameterError(
            f"sites: {unknown[0]!r} is no element; allowed: 'all', or symbols such as Ti,O"
        )
    return np.unique([Element(name).Z for name in names])
