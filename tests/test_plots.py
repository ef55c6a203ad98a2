"""Figures of results: what is drawn, and that nothing else happens."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text

from ssatom import plots
from ssatom.plots import (
    Parity,
    plot_calibration,
    plot_confusion,
    plot_layer_errors,
    plot_parity,
)
from ssatom.plots._style import COLORS, RED

ERRORS = {
    "random split": {"GE0": (0.30, 0.01), "GE01": (0.21, 0.02), "GE012": (0.19, 0.01)},
    "grouped split": {"GE0": (0.35, 0.01), "GE012": 0.28, "GE01": (0.25, 0.02)},
}
CURVES = {"CGCNN": {1000: (0.2, 0.02), 100: (0.5, 0.6)}, "NEGNN": {100: 0.4, 1000: 0.2}}


def legend_texts(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def tick_texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_xticklabels()]


def scatters(axes: Axes) -> dict[str, PathCollection]:
    return {
        str(found.get_label()): found
        for found in axes.collections
        if isinstance(found, PathCollection)
    }


def saved(figure: Figure, kind: str = "svg") -> str:
    """A saved figure; warnings of its layout are errors in tests."""
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=50)
    return file.getvalue().decode("latin-1")


# Errors over layers ----------------------------------------------------------------------------


def test_layer_errors_of_two_series() -> None:
    figure = plot_layer_errors(ERRORS, ylabel="MAE (eV/atom)", references={"OFM": 0.282})
    (axes,) = figure.axes
    assert tick_texts(axes) == ["GE0", "GE01", "GE012"]
    assert axes.get_ylabel() == "MAE (eV/atom)"
    expected = ["random split", "grouped split", "lowest of a series", "OFM"]
    assert legend_texts(figure) == expected
    line, _, (bars,) = axes.containers[1]
    np.testing.assert_array_equal(line.get_ydata(), [0.35, 0.25, 0.28])  # by name, not by turn
    np.testing.assert_array_equal(np.round(np.asarray(line.get_xdata(), float)), [0, 1, 2])
    heights = [np.ptp(segment[:, 1]) for segment in bars.get_segments() if len(segment)]
    np.testing.assert_allclose(heights[:1], [0.02])
    rings = scatters(axes)["lowest of a series"]
    np.testing.assert_allclose(rings.get_offsets()[:, 1], [0.19, 0.25])
    np.testing.assert_allclose(np.round(rings.get_offsets()[:, 0]), [2, 1])
    np.testing.assert_allclose(rings.get_edgecolors(), [to_rgba(RED)])
    (reference,) = [line for line in axes.lines if line.get_label() == "OFM"]
    assert set(reference.get_ydata()) == {0.282}
    saved(figure)


def test_layer_errors_without_rings() -> None:
    figure = plot_layer_errors(ERRORS, ylabel="MAE", mark_best=False)
    assert legend_texts(figure) == list(ERRORS)
    assert not scatters(figure.axes[0])


def test_layer_errors_in_panels_of_different_units() -> None:
    units = {"bulk modulus": "MAE (log GPa)", "Poisson ratio": "MAE"}
    figure = plot_layer_errors(
        dict.fromkeys(units, ERRORS), ylabel=units, references={"Poisson ratio": {"OFM": 0.03}}
    )
    assert [axes.get_title() for axes in figure.axes] == list(units)
    assert [axes.get_ylabel() for axes in figure.axes] == list(units.values())
    assert ["OFM" in {line.get_label() for line in axes.lines} for axes in figure.axes] == [
        False,
        True,
    ]
    assert len(legend_texts(figure)) == 4  # each name once
    left, right = figure.axes
    assert not left.get_shared_y_axes().joined(left, right)


def test_one_quantity_shares_its_scale() -> None:
    figure = plot_layer_errors({"a": ERRORS, "b": ERRORS}, ylabel="MAE")
    left, right = figure.axes
    assert left.get_shared_y_axes().joined(left, right)
    assert (left.get_ylabel(), right.get_ylabel()) == ("MAE", "")


def test_a_series_keeps_its_colour_in_all_panels() -> None:
    panels = {"a": ERRORS, "b": {"grouped split": ERRORS["grouped split"]}}
    left, right = plot_layer_errors(panels, ylabel="MAE").axes
    assert left.containers[1][0].get_color() == right.containers[0][0].get_color() == COLORS[1]


def test_frames_are_mappings() -> None:
    means = pd.DataFrame({"KRR": {"NE0": 1.0, "NE1": 0.8}, "RF": {"NE0": 1.1, "NE1": np.nan}})
    (axes,) = plot_layer_errors({"KRR": means["KRR"]}, ylabel="MAE").axes
    assert tick_texts(axes) == ["NE0", "NE1"]


def test_long_names_are_slanted() -> None:
    long = {"KRR": {f"random-GE{i}": 1.0 for i in range(8)}}
    for values, angle in ((long, 30), (ERRORS, 0)):
        (axes,) = plot_layer_errors(values, ylabel="MAE").axes
        assert {text.get_rotation() for text in axes.get_xticklabels()} == {angle}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.1, 0.2], "needs a mapping, got list"),
        ({}, "is empty"),
        ({"a": {}}, r"\['a'\] is empty"),
        ({"a": [0.1]}, r"\['a'\] needs a mapping, got list"),
        ({"a": {1: "low"}}, r"\['a'\]\[1\] needs a finite mean.*got 'low'"),
        ({"a": {1: (1, -1)}}, "from 0 up"),
        ({"a": {1: np.inf}}, "finite mean"),
        ({"a": {1: (1, 2, 3)}}, r"got \(1, 2, 3\)"),
        ({"a": {1: np.nan}}, r"\['a'\] has no value that is a number"),
        ({"title": {"a": {1: "low"}}}, r"\['title'\]\['a'\]\[1\]"),
        ({"title": {"a": {1: 1.0}}, "b": {1: 1.0}}, r"\['b'\]\[1\] needs a mapping, got float"),
    ],
)
def test_bad_values(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_layer_errors(values, ylabel="MAE")


def test_names_of_panels_fit_together() -> None:
    with pytest.raises(ValueError, match=r"ylabel needs an entry for each of \['a'\], got \['b'\]"):
        plot_layer_errors({"a": ERRORS}, ylabel={"b": "MAE"})
    with pytest.raises(ValueError, match=r"references are given for \['b'\], but the panels"):
        plot_layer_errors({"a": ERRORS}, ylabel="MAE", references={"b": {"OFM": 1.0}})


# Parity ----------------------------------------------------------------------------------------

Y = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
PREDICTIONS = np.array([0.2, 0.8, 2.0, 3.4, 1.0])


def test_parity_of_a_pair() -> None:
    figure = plot_parity({"": (Y, PREDICTIONS)}, unit="eV", bounds=(0.5, 1))
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("true value (eV)", "predicted value (eV)")
    assert axes.get_xlim() == axes.get_ylim()
    (text,) = axes.texts
    assert text.get_text().split("\n") == [
        "MAE 0.76 eV",
        "R² 0.076",
        "80% within ±0.5",
        "80% within ±1",
    ]
    assert legend_texts(figure) == ["±0.5 eV", "±1 eV"]
    assert len(axes.lines) == 5  # the diagonal, and two for each bound
    saved(figure)


def test_parity_with_everything() -> None:
    groups = ["d", "d", "f", "f", "d"]
    panel = Parity(Y, PREDICTIONS, groups, np.full(5, 0.3), {4: "GdVO4"}, PREDICTIONS - 0.5)
    figure = plot_parity({"NE01": (Y, PREDICTIONS, groups), "NE01+OFM": panel}, unit="µB")
    left, right = figure.axes
    assert legend_texts(figure) == ["d", "f"]
    np.testing.assert_array_equal(scatters(left)["f"].get_offsets(), [[2, 2], [3, 3.4]])
    colors = [scatters(axes)["f"].get_facecolor() for axes in (left, right)]
    np.testing.assert_array_equal(*colors)
    assert [text.get_text() for text in left.texts] == [text.get_text() for text in right.texts[:1]]
    label, arrow = right.texts[1:]
    assert (label.get_text(), label.get_color()) == ("GdVO4", RED)
    assert arrow.xy == (4, 1)
    assert arrow.xyann == (4, 0.5)
    saved(figure)


def test_names_do_not_cover_each_other() -> None:
    """Nor leave the panel, whatever the corner of their points."""
    y = [0.0, 0.1, 5.0, 5.05, 10.0, 9.9]
    predictions = [9.0, 9.1, 1.0, 1.02, 2.0, 1.9]
    labels = {i: f"outlier {i}" for i in range(6)}
    figure = plot_parity({"": Parity(y, predictions, labels=labels)}, unit="")
    saved(figure, "png")
    (axes,) = figure.axes
    texts = [Text.get_window_extent(text) for text in axes.texts[1:]]  # without the arrows
    assert len(texts) == 6
    for i, box in enumerate(texts):
        assert axes.bbox.x0 <= box.x0
        assert box.x1 <= axes.bbox.x1
        assert not any(box.overlaps(other) for other in texts[:i])


def test_scores_keep_out_of_the_points() -> None:
    low, high = np.zeros(9), np.ones(9)
    for y, predictions, above in ((low, high, False), (high, low, True)):
        y, predictions = np.append(y, [0, 1]), np.append(predictions, [0, 1])
        (text,) = plot_parity({"": (y, predictions)}, unit="").axes[0].texts
        assert (text.get_va() == "top") == above


def test_parity_of_one_value_has_no_r2() -> None:
    (text,) = plot_parity({"": ([1, 1], [1, 1])}, unit="").axes[0].texts
    assert text.get_text() == "MAE 0"


def test_clouds_are_pictures_in_an_svg() -> None:
    for n, picture in ((500, False), (501, True)):
        y = np.linspace(0, 1, n)
        assert ("<image" in saved(plot_parity({"": (y, y)}, unit="eV"))) == picture


@pytest.mark.parametrize(
    ("panel", "message"),
    [
        (5.0, r"panels\['NE01'\] needs a Parity or a pair.*got float"),
        ((Y,), "needs a Parity or a pair"),
        ((Y, Y[:3]), r"predictions of panels\['NE01'\] needs 5 entries, one a row, got 3"),
        ((Y, [0, 1, np.nan, 2, np.nan]), r"entry 2 is nan \(2 such of 5\); leave such rows out"),
        (([], []), "needs numbers in one dimension, got list"),
        ((["a"], ["b"]), "needs numbers in one dimension, got list"),
        ((Y[:, None], Y), r"got ndarray of shape \(5, 1\)"),
        (Parity(Y, Y, groups=["d"]), r"groups of .* needs 5 labels, one a row, got shape \(1,\)"),
        (Parity(Y, Y, std=-Y), r"std of .* needs numbers from 0 up, got -4\.0"),
        (Parity(Y, Y, labels={5: "Gd"}), r"name rows \[5\]; there are rows 0 to 4"),
        (Parity(Y, Y, before=[1.0]), "before of .* needs 5 entries"),
    ],
)
def test_bad_parity(panel: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_parity({"NE01": panel}, unit="eV")


def test_bad_bounds() -> None:
    with pytest.raises(ValueError, match=r"bounds need to be positive errors, got \(0,\)"):
        plot_parity({"": (Y, Y)}, unit="eV", bounds=(0,))


# Calibration -----------------------------------------------------------------------------------


def test_calibration() -> None:
    rng = np.random.default_rng(0)
    std = rng.uniform(0.1, 1, 4000)
    y = rng.normal(size=4000)
    right_ones, small = (y, y + std * rng.normal(size=4000), std), (y, y + std, std / 10)
    figure = plot_calibration({"right": right_ones, "too small": small}, unit="eV")
    fractions, errors = figure.axes
    (_, line, line_of_small), (_, bins, bins_of_small) = fractions.lines, errors.lines
    np.testing.assert_allclose(line.get_ydata(), line.get_xdata(), atol=0.03)
    assert not np.any(line_of_small.get_ydata())
    assert len(bins.get_xdata()) == 10
    np.testing.assert_allclose(bins.get_ydata(), bins.get_xdata(), rtol=0.15)
    np.testing.assert_allclose(bins_of_small.get_ydata(), 10 * bins_of_small.get_xdata())
    assert legend_texts(figure) == ["right", "too small"]
    assert errors.get_xlabel() == "predicted standard deviation (eV)"
    saved(figure)


def test_few_rows_make_few_bins() -> None:
    rows = np.arange(1.0, 26.0)
    figure = plot_calibration({"": (rows, rows + 1, rows)}, unit="")
    assert len(figure.axes[1].lines[1].get_xdata()) == 2
    assert not figure.legends


@pytest.mark.parametrize(
    ("triple", "message"),
    [
        ((Y, Y), r"models\['a'\] needs true values, predictions and standard deviations"),
        ((Y, Y, Y), r"need to be positive; that of row 0 is 0\.0"),
        ((Y, Y, Y[1:]), "standard deviations of .* needs 5 entries"),
    ],
)
def test_bad_calibration(triple: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_calibration({"a": triple}, unit="eV")


# Confusion -------------------------------------------------------------------------------------


def test_confusion_shows_counts() -> None:
    figure = plot_confusion(np.array([[3, 1], [0, 0]]), ["metal", "insulator"], "kind")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["3", "1", "0", "0"]
    assert axes.get_xlabel() == "kind, predicted"
    with pytest.raises(ValueError, match=r"with 3 classes it must be \(3, 3\)"):
        plot_confusion(np.zeros((2, 2), int), list("abc"))


# The room --------------------------------------------------------------------------------------


def test_all_figures_are_public() -> None:
    defined = {name for name in vars(plots) if name.startswith("plot_")}
    assert defined | {"Parity"} == set(plots.__all__)


def test_matplotlib_is_imported_late_and_pyplot_never() -> None:
    code = (
        "import sys, ssatom.plots as p; print('matplotlib' in sys.modules)\n"
        "p.plot_parity({'': ([1, 2], [1, 3])}, unit='eV')\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\nFalse\n"
