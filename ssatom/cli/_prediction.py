"""What `ssatom predict` computes: its settings, and the rows of a table of predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pymatgen.core import Structure

from ssatom.corpora import StructureRecord
from ssatom.devices import resolve_device
from ssatom.estimators import load_estimator
from ssatom.estimators.storage import CARD
from ssatom.exceptions import SsatomError, StructureError
from ssatom.files import file_sha256

LABELS = ("source", "formula")
"""First columns of a table of predictions."""


def column_names(
    targets: Sequence[str], n_members: int = 1, classes: Sequence[Any] = ()
) -> list[str]:
    """Names of the columns of predictions: with deviations of several networks, or classes.

    Examples
    --------
    >>> from ssatom.cli._prediction import column_names
    >>> column_names(["gap"], n_members=5)
    ['gap', 'gap_std']
    """
    if len(classes):
        (target,) = targets
        return [target, *(f"{target}_probability_{name}" for name in classes)]
    return [name for target in targets for name in (target, f"{target}_std")[: min(n_members, 2)]]


def predict_rows(model: Any, structures: Any) -> Iterator[np.ndarray | StructureError]:
    """Numbers of each row: probabilities, or values, each followed by its deviation if any."""
    if hasattr(model, "classes_"):
        yield from model.iter_predict_proba(structures)
        return
    for row in model.iter_predict(structures, return_std=len(model.networks_) > 1):
        if isinstance(row, StructureError):
            yield row
        else:  # a value, some values, or a pair of values and deviations
            yield np.asarray(row).reshape(min(len(model.networks_), 2), -1).T.ravel()


def columns_of(model: Any, rows: list[np.ndarray]) -> list[pa.Array]:
    """Columns of what `predict_rows` gave; a classifier's begin with the classes."""
    n = len(model.classes_) if hasattr(model, "classes_") else None
    if n is None:
        n = np.prod(model.target_shape_, dtype=int) * min(len(model.networks_), 2)
    values = np.array(rows, dtype=np.float64).reshape(len(rows), n)
    columns = [pa.array(column) for column in np.ascontiguousarray(values.T)]
    if hasattr(model, "classes_"):
        classes = model.classes_[values.argmax(axis=1)] if len(rows) else model.classes_[:0]
        columns.insert(0, pa.array(classes.tolist(), type=_arrow_type(model.classes_)))
    return columns


def _arrow_type(classes: np.ndarray) -> pa.DataType:
    return pa.string() if classes.dtype.kind in "OU" else pa.from_numpy_dtype(classes.dtype)


@dataclass
class PredictionJob:
    """What to predict: crystals of files and folders, with the model of a folder."""

    paths: list[Path]
    model: Any
    folder: Path
    structure_column: str | None = None

    @property
    def names(self) -> list[str]:
        """Names of the columns of predictions."""
        classes = getattr(self.model, "classes_", ())
        targets = self.model.target_names_
        if targets is None:
            shape = getattr(self.model, "target_shape_", ())
            targets = [f"target_{i}" for i in range(shape[0])] if shape else ["target"]
        return column_names(targets, len(self.model.networks_), classes)

    def settings(self) -> dict[str, Any]:
        """What the numbers depend on, beside the crystals."""
        return {"model": self.about()["model_sha256"][:12]}

    def about(self) -> dict[str, str]:
        """The model and its hash."""
        return {
            "model": self.folder.resolve().name,
            "model_sha256": file_sha256(self.folder / CARD),
        }

    def schema(self) -> pa.Schema:
        """Columns of the table."""
        types = [column.type for column in columns_of(self.model, [])]
        return pa.schema(
            [(name, pa.string()) for name in LABELS] + list(zip(self.names, types, strict=True))
        )

    def rows(
        self, structures: list[Structure | StructureError]
    ) -> Iterator[np.ndarray | StructureError]:
        """Predictions for each structure."""
        return predict_rows(self.model, structures)

    def table(self, records: list[StructureRecord], rows: list[np.ndarray]) -> pa.Table:
        """Labels and predictions."""
        labels = [
            [record.source for record in records],
            [record.structure.reduced_formula for record in records],  # type: ignore[union-attr]
        ]
        return pa.table([*labels, *columns_of(self.model, rows)], schema=self.schema())


def prepare(
    folder: Path, paths: list[Path], device: str, structure_column: str | None = None
) -> PredictionJob:
    """A job from what stands on the command line."""
    resolve_device(device)
    model = load_estimator(folder)
    if model.level_ == "site":
        raise SsatomError(
            f"'{folder}' predicts for sites of crystals, and not for crystals; use it from Python, "
            "with ssatom.estimators.load_estimator"
        )
    return PredictionJob(paths, model.set_params(device=device), folder, structure_column)
