"""Figures of representations and models: what is drawn."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from ssatom import plots
from ssatom.plots import (
    Parity,
    plot_calibration,
    plot_confusion,
    plot_layer_errors,
    plot_map,
    plot_parity,
    plot_sites,
)

ERRORS = {
    "random": {"GE0": (0.3, 0.01), "GE01": (0.1, 0.02), "GE012": (0.2, 0.03)},
    "by group": {"GE0": 0.5, "GE01": float("nan"), "GE012": 0.4},
}
MODEL = (np.arange(40.0), np.arange(40.0) + 0.5, np.full(40, 0.5))


def texts(container: Any) -> list[str]:
    """What a legend says."""
    return [text.get_text() for text in container.get_texts()]


def titles(figure: Any) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


def bar_ends(container: Any) -> np.ndarray:
    """Lower and upper ends of vertical error bars."""
    lines = container.lines[2][0] if hasattr(container, "has_yerr") else container.errorbar[2][0]
    return np.array([segment[:, 1] for segment in lines.get_segments() if len(segment)])


# Errors over layers


def test_layers_are_lines_with_error_bars_and_a_circle_around_the_lowest() -> None:
    figure = plot_layer_errors(ERRORS, ylabel="MAE (eV)", references={"OFM": 0.25})
    (axes,) = figure.axes
    assert axes.get_ylabel() == "MAE (eV)"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["GE0", "GE01", "GE012"]
    random, group = axes.containers
    np.testing.assert_allclose(random.lines[0].get_ydata(orig=False), [0.3, 0.1, 0.2])
    np.testing.assert_allclose(bar_ends(random), [(0.29, 0.31), (0.08, 0.12), (0.17, 0.23)])
    np.testing.assert_allclose(
        group.lines[0].get_ydata(orig=False), [0.5, 0.4]
    )  # without the missing one
    np.testing.assert_allclose(group.lines[0].get_xdata(orig=False), [0, 2], atol=0.2)
    assert np.ptp([line.lines[0].get_xdata()[0] for line in axes.containers]) > 0.05
    circles = axes.collections[-1].get_offsets()
    np.testing.assert_allclose(circles[:, 1], [0.1, 0.4])
    np.testing.assert_array_equal(np.round(circles[:, 0]), [1, 2])
    (reference,) = (line for line in axes.lines if line.get_label() == "OFM")
    assert list(reference.get_ydata()) == [0.25, 0.25]
    assert texts(figure.legends[0]) == ["random", "by group", "lowest of a series", "OFM"]


def test_layers_without_circles() -> None:
    figure = plot_layer_errors(ERRORS, ylabel="", mark_best=False)
    assert texts(figure.legends[0]) == ["random", "by group"]


def test_panels_share_a_scale_or_have_their_own() -> None:
    panels = {"gap": pd.DataFrame({"random": {"GE0": 1.0, "GE1": 2.0}}), "energy": ERRORS}
    both = plot_layer_errors(panels, ylabel="MAE")
    assert titles(both) == ["gap", "energy"]
    assert both.axes[0].get_ylim() == both.axes[1].get_ylim()
    assert [axes.get_ylabel() for axes in both.axes] == ["MAE", ""]
    own = plot_layer_errors(
        panels, ylabel={"energy": "meV", "gap": "eV"}, references={"gap": {"OFM": 1.5}}
    )
    assert own.axes[0].get_ylim() != own.axes[1].get_ylim()
    assert [axes.get_ylabel() for axes in own.axes] == ["eV", "meV"]
    labels = [[line.get_label() for line in axes.lines] for axes in own.axes]
    assert ["OFM" in names for names in labels] == [True, False]
    first, second = (axes.containers[0].lines[0].get_color() for axes in own.axes)
    assert first == second  # of the same series


def test_long_names_are_slanted() -> None:
    long = {"KRR": {f"random-GE{i}": 1.0 for i in range(8)}}
    for values, angle in ((long, 30), (ERRORS, 0)):
        (axes,) = plot_layer_errors(values, ylabel="MAE").axes
        assert {text.get_rotation() for text in axes.get_xticklabels()} == {angle}


# Calibration


def test_calibration_counts_rows_within_intervals_and_bins_errors() -> None:
    figure = plot_calibration({"ensemble": MODEL}, unit="eV")
    left, right = figure.axes
    (curve,) = (line for line in left.lines if line.get_label() == "ensemble")
    # Errors equal one standard deviation: inside from a probability of 68.3 % on.
    np.testing.assert_allclose(curve.get_xdata(), np.arange(1, 20) / 20)
    np.testing.assert_array_equal(curve.get_ydata(), np.arange(1, 20) / 20 > 0.683)
    bins = right.lines[-1]
    assert len(bins.get_xdata()) == 4  # ten rows in each
    np.testing.assert_allclose([*bins.get_xdata(), *bins.get_ydata()], 0.5)
    assert right.get_xlabel() == "predicted standard deviation (eV)"
    assert texts(figure.legends[0]) == ["ensemble"]


def test_few_rows_make_few_bins() -> None:
    rows = np.arange(1.0, 26.0)
    figure = plot_calibration({"": (rows, rows + 1, rows)}, unit="")
    assert len(figure.axes[1].lines[1].get_xdata()) == 2
    assert not figure.legends


# Classes


def test_confusion_shows_counts() -> None:
    figure = plot_confusion(np.array([[3, 1], [0, 0]]), ["metal", "insulator"], "kind")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["3", "1", "0", "0"]
    assert axes.get_xlabel() == "kind, predicted"
    with pytest.raises(ValueError, match=r"with 3 classes it must be \(3, 3\)"):
        plot_confusion(np.zeros((2, 2), int), list("abc"))


# Parity


def test_parity_draws_groups_bounds_scores_and_named_rows() -> None:
    y, predictions = np.array([0.0, 1, 2, 3]), np.array([0.1, 1, 2, 1])
    panel = Parity(
        y,
        predictions,
        groups=list("ddff"),
        std=np.full(4, 0.2),
        labels={3: "GdVO4"},
        before=[0, 0, 0, -5.0],
    )
    figure = plot_parity({"NE01": panel, "": (y, y)}, unit="µB", bounds=(0.5,))
    first, second = figure.axes
    assert (first.get_xlabel(), first.get_ylabel()) == ("true value (µB)", "predicted value (µB)")
    assert second.get_ylabel() == ""
    assert texts(figure.legends[0]) == ["d", "f", "±0.5 µB"]
    clouds = [points.get_offsets() for points in first.collections if points.get_label() in "df"]
    np.testing.assert_array_equal(clouds, [[(0, 0.1), (1, 1)], [(2, 2), (3, 1)]])
    np.testing.assert_allclose(bar_ends(first.containers[1])[:, 1], [2.2, 1.2])
    assert [line.get_xy1() for line in first.lines if hasattr(line, "get_xy1")] == [
        (0, 0),
        (0, 0.5),
        (0, -0.5),
    ]
    score, *named = first.texts
    assert score.get_text() == "MAE 0.525 µB\nR² 0.198\n75% within ±0.5"
    assert [text.get_text() for text in named] == ["GdVO4", ""]
    arrow = named[1]
    assert (*arrow.xyann, *arrow.xy) == (3, -5, 3, 1)  # from where it was to where it is
    assert first.get_xlim() == first.get_ylim()
    assert first.get_ylim()[0] < -5  # the arrow has room


def test_names_do_not_cover_each_other() -> None:
    """Nor leave the panel, whatever the corner of their points."""
    y = [0.0, 0.1, 5.0, 5.05, 10.0, 9.9]
    predictions = [9.0, 9.1, 1.0, 1.02, 2.0, 1.9]
    labels = {i: f"outlier {i}" for i in range(6)}
    figure = plot_parity({"": Parity(y, predictions, labels=labels)}, unit="")
    figure.draw_without_rendering()
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
        plot_parity({"": (y, y)}, unit="eV").savefig(svg := BytesIO(), format="svg")
        assert (b"<image" in svg.getvalue()) == picture


# Maps

POINTS = np.random.default_rng(0).normal(size=(60, 2))


def test_map_of_numbers_has_a_colour_bar_and_grey_points_without_value() -> None:
    gaps = np.arange(60.0)
    gaps[[3, 5]] = np.nan
    figure = plot_map(POINTS, pd.Series(gaps), label="band gap (eV)")
    axes, bar = figure.axes
    known, unknown = axes.collections
    np.testing.assert_array_equal(known.get_array(), gaps[np.isfinite(gaps)])
    np.testing.assert_array_equal(unknown.get_offsets(), POINTS[[3, 5]])
    assert bar.get_ylabel() == "band gap (eV)"
    assert bar.get_ylim() == (0, 59)
    assert texts(figure.legends[0]) == ["no value"]


def test_map_of_texts_names_the_twenty_most_frequent_classes() -> None:
    classes = [f"class {i % 23}" for i in range(60)]  # 0 to 13 occur three times, others twice
    figure = plot_map(POINTS, pd.Series(classes), label="family")
    assert len(figure.axes) == 1
    assert texts(figure.legends[0]) == [*(f"class {i}" for i in range(20)), "3 others"]
    *_, last, rest = figure.axes[0].collections
    np.testing.assert_array_equal(last.get_offsets(), POINTS[[19, 42]])
    np.testing.assert_array_equal(rest.get_offsets(), POINTS[[20, 21, 22, 43, 44, 45]])
    looks = [
        (one.get_facecolor().tobytes(), one.get_paths()[0].vertices.tobytes())
        for one in figure.axes[0].collections
    ]
    assert len(set(looks)) == 21


# Values of sites

SITES = ([[0, 0, 0], [2, 2, 2]], ["Cs", "Cl"], [0.2, -0.4])


def test_sites_are_named_in_the_cell_and_zero_is_the_middle_of_the_colours() -> None:
    figure = plot_sites(*SITES, cell=4 * np.eye(3), label="eV")
    axes, bar = figure.axes
    assert [text.get_text() for text in axes.texts] == ["Cs", "Cl"]
    assert bar.get_ylim() == (-0.4, 0.4)
    edges = np.array([line.get_data_3d() for line in axes.lines])
    assert edges.shape == (12, 3, 2)
    np.testing.assert_allclose(np.abs(np.diff(edges, axis=2)).sum(axis=(1, 2)), 4)
    assert not plot_sites(*SITES).axes[0].lines


# All of them

LONG = [f"a rather long name of panel {i}, as long as two lines" for i in range(4)]
ALL = {
    "layers": lambda: plot_layer_errors(dict.fromkeys(LONG, ERRORS), ylabel="MAE (eV)"),
    "calibration": lambda: plot_calibration({"ensemble": MODEL}, unit="eV"),
    "parity": lambda: plot_parity(dict.fromkeys("abc", MODEL[:2]), unit="GPa"),
    "map": lambda: plot_map(POINTS, POINTS[:, 0], label="band gap (eV)"),
    "classes": lambda: plot_map(POINTS, [f"a class {i}" for i in range(60)], label="family"),
    "sites": lambda: plot_sites(*SITES, cell=4 * np.eye(3), label="contribution (eV)"),
    "confusion": lambda: plot_confusion(np.eye(4, dtype=int), list("abcd")),
}


@pytest.mark.parametrize("kind", ALL)
def test_figures_are_saved_and_nothing_is_cut_off(kind: str) -> None:
    figure = ALL[kind]()
    figure.savefig(png := BytesIO())  # any warning is an error here
    inside = figure.get_tightbbox()  # inches; of the first drawing, which is the one people get
    figure.savefig(svg := BytesIO(), format="svg")
    assert png.getvalue().startswith(b"\x89PNG")
    assert b"<svg" in svg.getvalue()
    assert min(inside.min) > 0.01
    assert (inside.max < figure.get_size_inches() - 0.01).all()


def test_all_figures_are_public() -> None:
    defined = {name for name in vars(plots) if name.startswith("plot_")}
    assert defined | {"Parity"} == set(plots.__all__)


def test_pyplot_is_never_imported_and_matplotlib_late() -> None:
    code = (
        "import io, runpy, sys, ssatom.plots\n"
        "print('matplotlib' in sys.modules)\n"
        f"for draw in runpy.run_path({__file__!r})['ALL'].values():\n"
        "    draw().savefig(io.BytesIO())\n"
        "print('matplotlib.figure' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\nTrue False\n"
