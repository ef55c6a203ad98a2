"""Figures: what is drawn, and that nothing else happens."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from ssatom.plots import plot_curves


@pytest.fixture
def history() -> pd.DataFrame:
    epochs = np.arange(1, 6)
    columns = {"epoch": epochs, "validation_loss": [5.0, 4.0, 3.0, 3.5, 3.2]}
    for i, task in enumerate(("period", "group", "distance")):
        for stage in ("train", "validation"):
            columns[f"{stage}_{task}_loss"] = (i + 1) / epochs
            columns[f"{stage}_{task}_accuracy"] = 1 - 0.5 / epochs
    return pd.DataFrame(columns)


def test_curves_of_all_tasks(history: pd.DataFrame) -> None:
    figure = plot_curves(history)
    loss, accuracy = figure.axes
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "cross-entropy (nats)")
    assert (accuracy.get_xlabel(), accuracy.get_ylabel()) == ("epoch", "accuracy")
    assert accuracy.get_ylim() == (0, 1)
    expected = [
        f"{task}, {stage}"
        for task in ("period", "group", "distance")
        for stage in ("training", "validation")
    ]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*expected, "epoch kept"]
    lines = {line.get_label(): line for line in loss.lines}
    np.testing.assert_array_equal(
        lines["group, validation"].get_ydata(), history["validation_group_loss"]
    )
    assert lines["epoch kept"].get_xdata()[0] == 3
    assert len({lines[label].get_color() for label in expected}) == 3


def test_one_epoch_is_seen(history: pd.DataFrame) -> None:
    loss, _ = plot_curves(history.head(1)).axes
    assert all(line.get_marker() == "o" for line in loss.lines[:-1])


@pytest.mark.parametrize("rows", [0, 5])
def test_nothing_to_draw(rows: int, history: pd.DataFrame) -> None:
    bad = history.head(0) if rows == 0 else history[["epoch", "validation_loss"]]
    with pytest.raises(ValueError, match=f"got {rows} rows"):
        plot_curves(bad)


def test_matplotlib_is_imported_late() -> None:
    code = "import sys, ssatom.plots; print('matplotlib' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"
