"""Error bars of `ssatom fit`: kept beside the model, added to predictions and to the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open
from safetensors.numpy import save_file

from ssatom.embeddings import graph_embeddings, resolve_weights
from ssatom.embeddings.nearest import Nearness, warn_of_far
from ssatom.evaluation.intervals import Calibration, enough
from ssatom.exceptions import StructureError, WeightsError
from ssatom.files import check_name
from ssatom.storage import CARD, FORMAT, encoder_in
from ssatom.warn import told_already
from ssatom.weights import PretrainedEncoder

COVERAGE = 0.9
"""Share of the values that the intervals of `ssatom predict` hold."""

INTERVALS = "intervals.safetensors"
"""Embeddings of the crystals trained on, and errors and difficulties of those held out."""

_LEVELS = (0.5, 0.8, COVERAGE, 0.95)
_PERCENTILES = (0, 50, 90, 100.1)
_LAYERS = 3


def bar_names(targets: Sequence[str]) -> list[str]:
    """Names of the columns that error bars add."""
    bounds = [f"{target}_{end}" for target in targets for end in ("lower", "upper")]
    return [*bounds, "nearest_percentile"]


@dataclass(frozen=True, eq=False)
class ErrorBars:
    """Calibration of a model, and the encoder of the embeddings.

    A calibration without targets gives the nearest percentile alone.
    """

    calibration: Calibration
    encoder: PretrainedEncoder

    @property
    def n_targets(self) -> int:
        """Number of targets with bounds."""
        return self.calibration.errors.shape[1]

    def extend(self, structures: list, rows: list, step: int) -> list:
        """Rows of numbers, to which bounds and the nearest percentile are appended.

        Every `step`-th number of a row is a prediction.
        """
        good = [i for i, row in enumerate(rows) if not isinstance(row, StructureError)]
        embeddings = _embed([structures[i] for i in good], self.encoder)
        percentiles, difficulties = self.calibration.nearness.of(embeddings)
        warn_of_far(percentiles, good)
        widths = self.calibration.half_widths(difficulties, COVERAGE)
        found = list(rows)
        for i, percentile, half in zip(good, percentiles, widths, strict=True):
            values = rows[i][::step][: self.n_targets]
            bounds = np.stack([values - half, values + half], axis=1)
            found[i] = np.concatenate([rows[i], bounds.ravel(), [percentile]])
        return found

    def save(self, folder: Path) -> None:
        """Write into the folder of a saved model, with the hash in its card."""
        held = self.calibration
        arrays = {"errors": held.errors, "difficulties": held.difficulties}
        about = {"weights": self.encoder.name}
        save_file({"embeddings": held.nearness.embeddings, **arrays}, folder / INTERVALS, about)
        card = FORMAT.read(folder / CARD)
        card["files"] |= FORMAT.hashes(folder, [INTERVALS])
        FORMAT.write(folder / CARD, card)


def load_bars(folder: Path, model: Any) -> ErrorBars | None:
    """Error bars of a loaded model, whose files were verified; None if it has none."""
    if hasattr(model, "calibration_"):  # a ConformalRegressor has its own
        return ErrorBars(model.calibration_, resolve_weights(model.weights))
    if INTERVALS not in FORMAT.read(folder / CARD)["files"]:
        return None
    try:
        with safe_open(folder / INTERVALS, framework="np") as file:
            read = file.get_tensor
            nearness = Nearness(read("embeddings"))
            held = Calibration(nearness, read("errors"), read("difficulties"))
            name = file.metadata()["weights"]
            check_name(folder, name)
            return ErrorBars(held, encoder_in(model) or resolve_weights(name))
    except WeightsError:
        raise
    except Exception as error:  # whatever odd tensors lead to
        raise WeightsError(f"{folder / INTERVALS} cannot be used: {error}") from error


def calibrate(
    model: Any, train: list, test: list, true: np.ndarray, predicted: np.ndarray
) -> ErrorBars:
    """Error bars from the errors on crystals held out; for classes `true` has no columns."""
    encoder = encoder_in(model) or resolve_weights()  # a model may have none
    nearness = Nearness(_embed(train, encoder))
    difficulties = nearness.of(_embed(test, encoder))[1]
    errors = np.asarray(true - predicted, dtype=np.float64)
    n_targets = errors.shape[1] if enough(len(errors), COVERAGE) else 0
    errors = np.ascontiguousarray(errors[:, :n_targets])
    return ErrorBars(Calibration(nearness, errors, difficulties), encoder)


def _embed(structures: list, encoder: PretrainedEncoder) -> np.ndarray:
    with told_already():  # by the model
        layers = range(min(_LAYERS, encoder.n_layers))
        return graph_embeddings(structures, layers=layers, weights=encoder)


def add_columns(held: pd.DataFrame, targets: list[str], bars: ErrorBars, test: list) -> None:
    """Add bounds of each crystal held out, from the errors of the others, and its percentile."""
    widths = bars.calibration.held_half_widths(COVERAGE)
    for target, half in zip(targets, widths.T, strict=False):
        held[f"{target}_lower"] = held[f"{target}_predicted"] - half
        held[f"{target}_upper"] = held[f"{target}_predicted"] + half
    held["nearest_percentile"] = bars.calibration.nearness.of(_embed(test, bars.encoder))[0]


def coverage_table(held: pd.DataFrame, targets: list[str], bars: ErrorBars) -> list[dict[str, Any]]:
    """Stated and observed coverage of all crystals held out, and of near and far ones."""
    rows = []
    near = held["nearest_percentile"].to_numpy()
    every = np.ones(len(near), dtype=bool)
    groups = [("all", every, level) for level in _LEVELS]
    for low, high in pairwise(_PERCENTILES):
        name = f"nearest percentile {low:g} to {int(high)}"
        groups.append((name, (near >= low) & (near < high), COVERAGE))
    for i, target in enumerate(targets[: bars.n_targets]):
        errors = np.abs(bars.calibration.errors[:, i])
        for name, members, level in groups:
            half = bars.calibration.held_half_widths(level)[members, i]
            if len(half) and np.isfinite(half).all():
                row = {"target": target, "crystals": name, "number": len(half), "stated": level}
                row["observed"] = float(np.mean(errors[members] <= half))
                row["mean width"] = float(2 * half.mean())
                row["mean absolute error"] = float(errors[members].mean())
                rows.append(row)
    return rows
