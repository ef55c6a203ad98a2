"""Figures of the studies: what is drawn, and that nothing is cut off."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from studies.figures import draw_grouped_bars, draw_learning_curves, draw_maps, draw_similarities

NAN = float("nan")
BARS = {
    "random split": {
        "KRR": {"NE0": (1.0, 0.1), "NE1": (0.8, 0.1)},
        "RF": {"NE0": (1.1, NAN), "NE1": (0.9, 0.2)},
    }
}
CURVES = {
    "energy": {"CGCNN": {100: (0.4, 0.1), 1000: (0.2, 0.3)}, "NEGNN": {100: (0.3, NAN)}},
}
SIMILARITIES = {
    "NaCl": {"single": [0.1, 0.5, 0.9], "multi": [NAN, 0.1, 0.2]},
    "KCl": {"single": [-0.9, 0.2, 0.9], "multi": [NAN, 0.3, 0.4]},
}


def texts(legend: Any) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def maps() -> Figure:
    rng = np.random.default_rng(0)
    labels = np.repeat([f"E{i}" for i in range(25)], np.arange(25, 0, -1))
    points = rng.normal(size=(len(labels), 2))
    few = (np.zeros((2, 2)), np.array(["oct", "tet"]))
    return draw_maps([{"a": (points, labels), "b": (-points, labels)}, {"c": few, "d": few}])


def test_bars_are_side_by_side() -> None:
    figure = draw_grouped_bars(BARS, "MAE (μB)")
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [1.0, 0.8, 1.1, 0.9]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    assert [round(x) for x in middles] == [0, 1, 0, 1]
    assert axes.patches[0].get_x() + axes.patches[0].get_width() == pytest.approx(
        axes.patches[2].get_x()
    )
    assert [text.get_text() for text in axes.get_xticklabels()] == ["NE0", "NE1"]
    assert texts(figure.legends[0]) == ["KRR", "RF"]
    assert (axes.get_title(), axes.get_ylabel()) == ("random split", "MAE (μB)")


def test_learning_curves_are_logarithmic() -> None:
    figure = draw_learning_curves(CURVES, {"energy": "MAE (eV)"})
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    line, _, (bars,) = axes.containers[0]
    assert list(line.get_xdata()) == [100, 1000]
    low, high = bars.get_segments()[1][:, 1]
    assert 0 < low < 0.2  # a bar to below zero ends above it
    assert high == pytest.approx(0.5)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["100", "1\u2009000"]
    assert axes.get_ylabel() == "MAE (eV)"


def test_similarities_are_lines_by_scale_and_crystal() -> None:
    figure = draw_similarities(SIMILARITIES, ["0", "1", "2"])
    (axes,) = figure.axes
    single, multi, other, _ = axes.lines
    np.testing.assert_array_equal(multi.get_ydata(), [NAN, 0.1, 0.2])
    assert single.get_color() == other.get_color() != multi.get_color()
    assert single.get_marker() == multi.get_marker() != other.get_marker()
    assert axes.get_ylim() == pytest.approx((-0.95, 1.05))
    assert texts(figure.legends[0])[3] == "KCl, multi-scale"


def test_maps_name_the_most_frequent_labels() -> None:
    figure = maps()
    assert [axes.get_title() for axes in figure.axes] == list("abcd")
    legends = [axes.get_legend() for axes in figure.axes]
    assert [legend is None for legend in legends] == [True, False, True, False]
    assert texts(legends[1]) == [*(f"E{i}" for i in range(20)), "5 others"]
    assert texts(legends[3]) == ["oct", "tet"]
    rest, first = figure.axes[0].collections[:2]
    assert len(rest.get_offsets()) == 15
    assert len(first.get_offsets()) == 25
    styles = {
        (tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes())
        for c in figure.axes[0].collections
    }
    assert len(styles) == 21


@pytest.mark.parametrize(
    "figure",
    [
        draw_grouped_bars(BARS, "MAE"),
        draw_learning_curves(CURVES, {"energy": "MAE"}),
        draw_similarities(SIMILARITIES, ["0", "1", "2"]),
        maps(),
    ],
    ids=["bars", "learning", "similarity", "map"],
)
def test_nothing_is_cut_off(figure: Figure) -> None:
    figure.savefig(BytesIO())  # any warning is an error here
    inside = figure.get_tightbbox()
    figure.savefig(svg := BytesIO(), format="svg")
    assert svg.getvalue().count(b"<path") > 5
    assert min(inside.min) > -0.01
    assert (inside.max < figure.get_size_inches() + 0.01).all()
