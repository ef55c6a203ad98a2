"""Error bars of `ssatom fit`: kept beside the model, added to predictions, told in the report."""

from __future__ import annotations

import warnings
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
from ssatom.exceptions import GraphWarning, StructureError, WeightsError
from ssatom.files import check_name
from ssatom.storage import CARD, FORMAT, encoder_of, parts_of
from ssatom.weights import PretrainedEncoder

COVERAGE = 0.9
"""Share of the values that the intervals of `ssatom predict` hold."""

FILE = "intervals.safetensors"
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
    """Calibration of a model, with the encoder of the embeddings; no targets for nearness alone."""

    calibration: Calibration
    encoder: PretrainedEncoder

    @property
    def n_targets(self) -> int:
        """Number of targets with bounds."""
        return self.calibration.errors.shape[1]

    def extend(self, structures: list, rows: list, step: int) -> list:
        """Rows with bounds and nearest percentile behind; each `step`-th number is a prediction."""
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
        """Write beside a saved model, and note the hash in its card."""
        held = self.calibration
        arrays = {"errors": held.errors, "difficulties": held.difficulties}
        about = {"weights": self.encoder.name}
        save_file({"embeddings": held.nearness.embeddings, **arrays}, folder / FILE, about)
        card = FORMAT.read(folder / CARD)
        card["files"] |= FORMAT.hashes(folder, [FILE])
        FORMAT.write(folder / CARD, card)


def load_bars(folder: Path, model: Any) -> ErrorBars | None:
    """Error bars of a model that was loaded, and so verified; None if it has none."""
    if hasattr(model, "calibration_"):  # a ConformalRegressor has its own
        return ErrorBars(model.calibration_, resolve_weights(model.weights))
    if FILE not in FORMAT.read(folder / CARD)["files"]:
        return None
    try:
        with safe_open(folder / FILE, framework="np") as file:
            read = file.get_tensor
            nearness = Nearness(read("embeddings"))
            held = Calibration(nearness, read("errors"), read("difficulties"))
            name = file.metadata()["weights"]
            check_name(folder, name)
            return ErrorBars(held, _encoder_of(model, name))
    except WeightsError:
        raise
    except Exception as error:  # whatever odd tensors lead to
        raise WeightsError(f"{folder / FILE} cannot be used: {error}") from error


def calibrate(
    model: Any, train: list, test: list, true: np.ndarray, predicted: np.ndarray
) -> ErrorBars:
    """Error bars by the errors on crystals held out; `true` has no columns for classes."""
    encoder = _encoder_of(model)
    nearness = Nearness(_embed(train, encoder))
    difficulties = nearness.of(_embed(test, encoder))[1]
    errors = np.asarray(true - predicted, dtype=np.float64)
    n_targets = errors.shape[1] if enough(len(errors), COVERAGE) else 0
    errors = np.ascontiguousarray(errors[:, :n_targets])
    return ErrorBars(Calibration(nearness, errors, difficulties), encoder)


def _encoder_of(model: Any, name: str | None = None) -> PretrainedEncoder:
    """Encoder of the model; of one without an encoder that of a name, or the default."""
    encoders = (encoder_of(part) for part in parts_of(model))
    return next(filter(None, encoders), None) or resolve_weights(name)


def _embed(structures: list, encoder: PretrainedEncoder) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)  # the model has told of them
        layers = range(min(_LAYERS, encoder.n_layers))
        return graph_embeddings(structures, layers=layers, weights=encoder)


def add_columns(held: pd.DataFrame, targets: list[str], bars: ErrorBars, test: list) -> None:
    """Bounds of each crystal held out, by the errors of the others, and its nearest percentile."""
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
        for name, chosen, level in groups:
            half = bars.calibration.held_half_widths(level)[chosen, i]
            if len(half) and np.isfinite(half).all():
                row = {"target": target, "crystals": name, "number": len(half), "stated": level}
                row["observed"] = float(np.mean(errors[chosen] <= half))
                row["mean width"] = float(2 * half.mean())
                row["mean absolute error"] = float(errors[chosen].mean())
                rows.append(row)
    return rows


def markdown(table: list[dict[str, Any]]) -> list[str]:
    """Lines of the report."""
    lines = ["", "## Error bars", ""]
    if not table:
        return [
            *lines,
            "No intervals: too few crystals were held out; give more, or a larger `--test-size`.",
        ]
    lines += [
        f"`ssatom predict` gives intervals for {COVERAGE:.0%} of the values, by the errors on the "
        "crystals held out and the distance to the nearest crystals trained on. Here each crystal "
        "held out is tested with the intervals that the others give.",
        "",
        f"| {' | '.join(table[0])} |",
        "|---" * len(table[0]) + "|",
    ]
    shares = ("stated", "observed")
    for row in table:
        cells = [_text(value, name in shares) for name, value in row.items()]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _text(value: Any, is_share: bool) -> str:
    if isinstance(value, float):
        return f"{value:.1%}" if is_share else f"{value:.4g}"
    return str(value)
