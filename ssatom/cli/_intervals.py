"""Error bars of `ssatom fit`: kept beside the model, added to predictions, told in the report."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ssatom.embeddings import graph_embeddings, resolve_weights
from ssatom.estimators.storage import CARD
from ssatom.evaluation.intervals import Calibration, enough
from ssatom.evaluation.nearness import Nearness, warn_of_far
from ssatom.exceptions import GraphWarning, StructureError, WeightsError
from ssatom.files import file_sha256
from ssatom.weights import PretrainedEncoder

FILE = "intervals.safetensors"
"""Embeddings of the crystals trained on, and errors and difficulties of those held out."""

COVERAGE = 0.9
"""Share of the values that the intervals of `ssatom predict` hold."""

_LEVELS = (0.5, 0.8, 0.9, 0.95)
_PERCENTILES = (0, 50, 90, 100)
_LAYERS = 3


def bar_names(targets: Sequence[str]) -> list[str]:
    """Names of the columns that error bars add.

    Examples
    --------
    >>> from ssatom.cli._intervals import bar_names
    >>> bar_names(["gap"])
    ['gap_lower', 'gap_upper', 'nearest_percentile']
    """
    return [
        *(f"{target}_{end}" for target in targets for end in ("lower", "upper")),
        "nearest_percentile",
    ]


@dataclass(frozen=True, eq=False)
class ErrorBars:
    """Calibration of a model, with the encoder of the embeddings; no targets for nearness alone."""

    calibration: Calibration
    encoder: PretrainedEncoder

    @property
    def n_targets(self) -> int:
        """Number of targets with bounds."""
        return self.calibration.errors.shape[1]

    def extend(self, structures: list, rows: list, step: int) -> list:
        """Rows of numbers with bounds and nearest percentile behind; errors stay as they are.

        The value of each target is at each `step`-th place of a row.
        """
        good = [i for i, row in enumerate(rows) if not isinstance(row, StructureError)]
        near = self.calibration.nearness
        percentiles, difficulties = near.of(_embed([structures[i] for i in good], self.encoder))
        warn_of_far(percentiles, good)
        half = self.calibration.half_widths(difficulties, COVERAGE)
        found = list(rows)
        for place, i in enumerate(good):
            values = rows[i][::step][: self.n_targets]
            bounds = np.stack([values - half[place], values + half[place]], axis=1).ravel()
            found[i] = np.concatenate([rows[i], bounds, percentiles[place : place + 1]])
        return found

    def save(self, folder: Path) -> None:
        """Write beside a saved model, whose hash is noted."""
        arrays = {
            "embeddings": self.calibration.nearness.embeddings,
            "errors": self.calibration.errors,
            "difficulties": self.calibration.difficulties,
        }
        about = {
            "model_sha256": file_sha256(folder / CARD),
            "weights": self.encoder.name,
            "weights_sha256": self.encoder.sha256,
            "sha256": _digest(arrays),
        }
        save_file(arrays, folder / FILE, metadata=about)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def load_bars(folder: Path, model: Any) -> ErrorBars | None:
    """Error bars of a model, or None if it has none; refuses those of another model."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="np") as file:
            about = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["sha256"] != _digest(arrays):
            raise ValueError("its numbers were changed")
        if about["model_sha256"] != file_sha256(folder / CARD):
            raise ValueError(f"it belongs to another {CARD}")
        encoder = encoder_of(model, about["weights"])
        if about["weights_sha256"] != encoder.sha256:
            raise ValueError(f"the weights {encoder.name!r} are others now")
        held = Calibration(Nearness(arrays["embeddings"]), arrays["errors"], arrays["difficulties"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be used: {error}; fit again, or remove the file to predict without "
            "error bars"
        ) from error
    return ErrorBars(held, encoder)


def encoder_of(model: Any, name: str | None = None) -> PretrainedEncoder:
    """Encoder of the model; of one on raw features that of a name, or the default."""
    if hasattr(model, "weights_"):
        return model._fitted_weights()
    return resolve_weights(name)


def _embed(structures: list, encoder: PretrainedEncoder) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)  # the model has told of them
        return graph_embeddings(
            structures, layers=range(min(_LAYERS, encoder.n_layers)), weights=encoder
        )


def calibrate(
    model: Any, train: list, test: list, true: np.ndarray, predicted: np.ndarray
) -> ErrorBars:
    """Error bars by the errors on crystals held out; `true` has no columns for classes."""
    encoder = encoder_of(model)
    nearness = Nearness(_embed(train, encoder))
    difficulties = nearness.of(_embed(test, encoder))[1]
    errors = np.asarray(true - predicted, dtype=np.float64)
    if not enough(len(errors), COVERAGE):
        errors = errors[:, :0]
    return ErrorBars(Calibration(nearness, np.ascontiguousarray(errors), difficulties), encoder)


def add_columns(held: pd.DataFrame, targets: list[str], bars: ErrorBars, test: list) -> None:
    """Bounds of each crystal held out, by the errors of the others, and its nearest percentile."""
    half = bars.calibration.held_half_widths(COVERAGE)
    for i, target in enumerate(targets[: bars.n_targets]):
        held[f"{target}_lower"] = held[f"{target}_predicted"] - half[:, i]
        held[f"{target}_upper"] = held[f"{target}_predicted"] + half[:, i]
    held["nearest_percentile"] = bars.calibration.nearness.of(_embed(test, bars.encoder))[0]


def coverage_tables(held: pd.DataFrame, targets: list[str], bars: ErrorBars) -> dict[str, Any]:
    """By target: stated and observed coverage, and how both follow the nearest percentile."""
    found: dict[str, Any] = {}
    errors = np.abs(bars.calibration.errors)
    half = {level: bars.calibration.held_half_widths(level) for level in _LEVELS}
    near = held["nearest_percentile"].to_numpy()
    for i, target in enumerate(targets[: bars.n_targets]):
        levels = [
            {"coverage": level, **_observed(errors[:, i], widths[:, i])}
            for level, widths in half.items()
            if np.isfinite(widths).all()
        ]
        parts = []
        for low, high in zip(_PERCENTILES[:-1], _PERCENTILES[1:], strict=True):
            rows = (near >= low) & ((near < high) | (high == _PERCENTILES[-1]))
            if rows.any():
                of = _observed(errors[rows, i], half[COVERAGE][rows, i])
                mae = float(errors[rows, i].mean())
                parts.append({"nearest_percentile": [low, high], "mae": mae, **of})
        found[target] = {"levels": levels, "by_nearness": parts}
    return found


def _observed(errors: np.ndarray, half: np.ndarray) -> dict[str, Any]:
    share, width = float(np.mean(errors <= half)), float(2 * np.mean(half))
    return {"crystals": len(errors), "observed": share, "mean_width": width}


def markdown(tables: dict[str, Any]) -> list[str]:
    """Lines of the report."""
    lines = [
        "",
        "## Error bars",
        "",
        f"`ssatom predict` gives intervals for {COVERAGE:.0%} of the values, by the errors on the "
        "crystals held out and the distance to the nearest crystals trained on. Here each crystal "
        "held out is tested with the intervals that the others give.",
    ]
    for target, table in tables.items():
        lines += ["", f"| {target}: stated coverage | observed | mean width |", "|---|---|---|"]
        lines += [
            f"| {row['coverage']:.0%} | {row['observed']:.1%} | {row['mean_width']:.4g} |"
            for row in table["levels"]
        ]
        lines += [
            "",
            "| nearest percentile | crystals | mean absolute error | "
            f"within {COVERAGE:.0%} interval | mean width |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['nearest_percentile'][0]} to {row['nearest_percentile'][1]} "
            f"| {row['crystals']:,} | {row['mae']:.4g} | {row['observed']:.1%} "
            f"| {row['mean_width']:.4g} |"
            for row in table["by_nearness"]
        ]
    if not tables:
        lines[-1] = "There are no intervals: the crystals held out are too few, or of classes."
    return lines
