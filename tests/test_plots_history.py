"""Figures of trainings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssatom.plots import plot_curves, plot_history


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
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "loss")
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


@pytest.mark.parametrize("metric", ["mae", "accuracy"])
def test_history_of_members(metric: str) -> None:
    losses = [3.0, 2.0, 2.5]
    columns = {f"{s}_{q}": 2 * losses for s in ("train", "validation") for q in ("loss", metric)}
    history = pd.DataFrame({"member": [0, 0, 0, 1, 1, 1], "epoch": 2 * [1, 2, 3], **columns})
    loss, other = plot_history(history).axes
    assert len(loss.lines) == len(other.lines) == 6  # two curves and the epoch kept, each twice
    assert [list(line.get_xdata()) for line in loss.lines[2::3]] == [[2, 2], [2, 2]]
    assert (other.get_yscale() == "log") == (metric == "mae")


def test_no_history_to_draw() -> None:
    for bad in (pd.DataFrame({"epoch": [1]}), pd.DataFrame({"validation_loss": []})):
        with pytest.raises(ValueError, match=r"validation_loss'.*\]; got \d rows"):
            plot_history(bad)
