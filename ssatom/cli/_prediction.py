"""What `ssatom predict` computes: its settings, and the rows of a table of predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ssatom.cli._intervals import ErrorBars, bar_names, load_bars
from ssatom.cli._items import LABELS, Job, labels_of
from ssatom.corpora import StructureRecord
from ssatom.devices import resolve_device
from ssatom.exceptions import SsatomError, StructureError
from ssatom.files import file_sha256
from ssatom.storage import CARD, load_estimator, parts_of
from ssatom.structures import iter_arrays


def column_names(
    targets: Sequence[str], n_members: int = 1, classes: Sequence[Any] = ()
) -> list[str]:
    """Names of the columns of predictions: with deviations of several networks, or classes."""
    if len(classes):
        (target,) = targets
        return [target, *(f"{target}_probability_{name}" for name in classes)]
    return [name for target in targets for name in (target, f"{target}_std")[: min(n_members, 2)]]


def n_members(model: Any) -> int:
    """Number of networks; 1 of any other model."""
    return len(getattr(model, "networks_", (model,)))


def predict_rows(
    model: Any, structures: list, bars: ErrorBars | None = None
) -> list[np.ndarray | StructureError]:
    """Numbers of each row: predictions of the model, then bounds and nearest percentile."""
    of = _of_network if hasattr(model, "networks_") else _of_pipeline
    rows = list(of(model, structures))
    step = 1 if hasattr(model, "classes_") else min(n_members(model), 2)
    return rows if bars is None else bars.extend(structures, rows, step)


def _of_network(model: Any, structures: list) -> Iterator[np.ndarray | StructureError]:
    """Numbers of each row: probabilities, or values, each followed by its deviation if any."""
    if hasattr(model, "classes_"):
        yield from model.iter_predict_proba(structures)
        return
    for row in model.iter_predict(structures, return_std=len(model.networks_) > 1):
        if isinstance(row, StructureError):
            yield row
        else:  # a value, some values, or a pair of values and deviations
            yield np.asarray(row).reshape(min(len(model.networks_), 2), -1).T.ravel()


def _of_pipeline(model: Any, structures: list) -> list[np.ndarray | StructureError]:
    """Numbers of each row: probabilities, or values; rows that the model refuses are errors."""
    rows: list[Any] = list(iter_arrays(structures))
    function = model.predict_proba if hasattr(model, "classes_") else model.predict
    while good := [i for i, row in enumerate(rows) if not isinstance(row, StructureError)]:
        try:
            found = np.asarray(function([rows[i] for i in good]), dtype=np.float64)
            break
        except StructureError as error:  # the others are in the cache
            if error.row is None:
                raise
            rows[good[error.row]] = error.at(row=good[error.row])
    for i, values in zip(good, found.reshape(len(good), -1) if good else (), strict=True):
        rows[i] = values
    return rows


def columns_of(model: Any, rows: list[np.ndarray], n_numbers: int) -> list[pa.Array]:
    """Columns of the table from rows of `predict_rows`; for a classifier the class comes first."""
    classes = getattr(model, "classes_", None)
    values = np.array(rows, dtype=np.float64).reshape(len(rows), n_numbers)
    columns = [pa.array(column) for column in np.ascontiguousarray(values.T)]
    if classes is not None:
        probabilities = values[:, : len(classes)]
        best = probabilities.argmax(axis=1) if len(rows) else np.zeros(0, int)
        is_text = classes.dtype.kind in "OU"
        kind = pa.string() if is_text else pa.from_numpy_dtype(classes.dtype)
        columns.insert(0, pa.array(classes[best].tolist(), type=kind))
    return columns


def prepare(
    folder: Path, paths: Sequence[Path], device: str, structure_column: str | None = None
) -> Job:
    """The job for these options."""
    resolve_device(device)
    model = load_estimator(folder)
    for part in parts_of(model):
        if hasattr(part, "device"):
            part.device = device  # type: ignore[attr-defined]
    if getattr(model, "level_", "structure") == "site":
        raise SsatomError(
            f"'{folder}' predicts for sites of crystals, and not for crystals; use it from Python, "
            "with ssatom.load_estimator"
        )
    targets = model.target_names_
    if targets is None:
        shape = getattr(model, "target_shape_", ())
        targets = [f"target_{i}" for i in range(shape[0])] if shape else ["target"]
    classes = getattr(model, "classes_", ())
    names = column_names(targets, n_members(model), classes)
    bars = load_bars(folder, model)
    more = [] if bars is None else bar_names(targets[: bars.n_targets])
    names += more
    n_numbers = len(names) - bool(len(classes))
    types = [column.type for column in columns_of(model, [], n_numbers)]
    schema = pa.schema([*LABELS, *zip(names, types, strict=True)])

    def table(records: list[StructureRecord], rows: list[np.ndarray]) -> pa.Table:
        labels = [labels_of(record) for record in records]
        texts = [[label[i] for label in labels] for i in range(len(LABELS))]
        return pa.table([*texts, *columns_of(model, rows, n_numbers)], schema=schema)

    digest = file_sha256(folder / CARD)
    about = {"model": folder.resolve().name, "model_sha256": digest}
    rows = partial(predict_rows, model, bars=bars)
    settings = {"model": digest[:12]}
    again = (prepare, folder.resolve(), tuple(paths), device, structure_column)
    return Job(list(paths), structure_column, settings, about, names, schema, rows, table, again)
