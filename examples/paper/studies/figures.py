"""Figures that only the studies draw; those of general use are in `ssatom.plots`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

# Okabe and Ito's colours without yellow, which is hard to see on white.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "0.8"

_NAMED = 20  # labels of a map that get a colour and a name
_LEGEND_ROWS = 12
_SIDE = 3.6  # of a map's panel, inches
_MANY = 500  # points from which an SVG holds them as a picture

Measured = tuple[float, float]
"""Mean and standard deviation, which may be NaN."""


def draw_grouped_bars(
    panels: Mapping[str, Mapping[str, Mapping[str, Measured]]], ylabel: str
) -> Figure:
    """Bars by label of the x axis, side by side for each series.

    Parameters
    ----------
    panels : mapping
        Mean and standard deviation by title, series and label.
    ylabel : str
        Quantity and unit.

    Returns
    -------
    Figure
        One panel for each title.
    """
    longest = max(len(values) * (len(of) + 1) for of in panels.values() for values in of.values())
    figure, axes = _panels(list(panels), size=(max(4.4, 0.17 * longest + 1), 3.8), columns=1)
    for one, series in zip(axes, panels.values(), strict=True):
        width = 0.82 / len(series)
        for i, (name, values) in enumerate(series.items()):
            places = np.arange(len(values)) + (i - (len(series) - 1) / 2) * width
            means, stds = zip(*values.values(), strict=True)
            error_kw = {"ecolor": "0.3", "elinewidth": 1.1, "capsize": 2.5}
            one.bar(places, means, width, yerr=stds, label=name, color=COLORS[i], error_kw=error_kw)
        _name_places(one, list(next(iter(series.values()))))
        one.set_ylabel(ylabel)
        one.grid(visible=False, axis="x")
    _legend_below(figure)
    return figure


def draw_learning_curves(
    panels: Mapping[str, Mapping[str, Mapping[int, Measured]]], ylabels: Mapping[str, str]
) -> Figure:
    """Errors over numbers of training crystals, both logarithmic.

    Parameters
    ----------
    panels : mapping
        Mean and standard deviation by title, model and number of crystals.
    ylabels : mapping of str to str
        Quantity and unit by title.

    Returns
    -------
    Figure
        One panel for each title.
    """
    figure, axes = _panels(list(panels), size=(4.4, 3.8))
    for one, (title, curves) in zip(axes, panels.items(), strict=True):
        one.set(xscale="log", yscale="log", xlabel="training crystals", ylabel=ylabels[title])
        for i, (model, curve) in enumerate(curves.items()):
            means, stds = (np.array(column) for column in zip(*curve.values(), strict=True))
            # A logarithmic axis cannot show an error bar that ends below zero.
            down = np.minimum(np.nan_to_num(stds), 0.8 * means)
            style: dict[str, Any] = {"color": COLORS[i], "marker": MARKERS[i], "capsize": 2.5}
            one.errorbar(list(curve), means, [down, np.nan_to_num(stds)], label=model, **style)
        sizes = sorted({size for curve in curves.values() for size in curve})
        one.set_xticks(sizes, [f"{size:,}".replace(",", "\u2009") for size in sizes])
        one.set_xticks([], minor=True)
        low, high = one.get_ylim()
        steps = (1, 2, 5) if high / low > 10 else (1, 1.5, 2, 3, 5, 7)
        one.yaxis.set_major_locator(LogLocator(subs=steps) if high > 2 * low else MaxNLocator(6))
        one.yaxis.set_minor_locator(NullLocator())
        one.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    _legend_below(figure)
    return figure


def draw_similarities(
    similarities: Mapping[str, Mapping[str, Sequence[float]]], layers: Sequence[str]
) -> Figure:
    """Cosine similarity of two atoms over layers.

    Parameters
    ----------
    similarities : mapping
        Cosines by formula and "single" or "multi" (several layers joined); NaN where there is
        none.
    layers : sequence of str
        Names of the layers; of joined layers, the last one.

    Returns
    -------
    Figure
        One panel.
    """
    styles: dict[str, dict[str, Any]] = {
        "single": {"color": "#0072b2", "linestyle": "-"},
        "multi": {"color": "#c8102e", "linestyle": "--"},
    }
    figure, [axes] = _panels([""], size=(5.4, 4.2))
    for i, (formula, scales) in enumerate(similarities.items()):
        for scale, cosines in scales.items():
            label = f"{formula}, {scale}-scale"
            axes.plot(cosines, marker=MARKERS[i], label=label, **styles[scale])
    _name_places(axes, list(layers))
    lowest = np.nanmin([v for of in similarities.values() for line in of.values() for v in line])
    axes.set(xlabel="layer", ylabel="cosine similarity", ylim=(min(0, lowest) - 0.05, 1.05))
    _legend_below(figure)
    return figure


def draw_maps(rows: Sequence[Mapping[str, tuple[np.ndarray, np.ndarray]]]) -> Figure:
    """Points in a plane, coloured by their labels.

    Parameters
    ----------
    rows : sequence of mapping of pairs
        For each row of panels: points, shape (n_points, 2), and their labels, by title. The
        panels of a row have one legend.

    Returns
    -------
    Figure
        The 20 most frequent labels of a row have colours and markers; the others are grey.
    """
    columns = max(map(len, rows))
    figure = Figure(figsize=(_SIDE * (columns + 1), _SIDE * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(grid, rows, strict=True):
        counts = Counter(str(label) for _, labels in row.values() for label in labels)
        styles: dict[str, dict[str, Any]] = {
            label: {"color": COLORS[i % 7], "marker": MARKERS[i // 7]}
            for i, (label, _) in enumerate(counts.most_common(_NAMED))
        }
        for axes, (title, (points, labels)) in zip(line, row.items(), strict=True):
            _draw_cloud(axes, title, points, labels, styles)
        if others := len(counts) - len(styles):
            styles[f"{others} others"] = {"color": GREY, "marker": "o"}
        line[-1].legend(
            [Line2D([], [], linestyle="", markersize=5, **style) for style in styles.values()],
            list(styles),
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            ncols=math.ceil(len(styles) / _LEGEND_ROWS),
            frameon=False,
        )
    return figure


def _draw_cloud(
    axes: Axes,
    title: str,
    points: np.ndarray,
    labels: np.ndarray,
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    """One panel of a map; frequent labels first, so that they do not cover the rare ones."""
    size: dict[str, Any] = {"s": 12, "linewidths": 0, "rasterized": len(points) > _MANY}
    rest = points[~np.isin(labels, list(styles))]
    axes.scatter(rest[:, 0], rest[:, 1], color=GREY, **size)
    for label, style in styles.items():
        mine = points[labels == label]
        axes.scatter(mine[:, 0], mine[:, 1], alpha=0.85, **style, **size)
    axes.set(title=title, xticks=[], yticks=[], aspect="equal", adjustable="datalim")


def _panels(
    titles: list[str], size: tuple[float, float], columns: int = 3
) -> tuple[Figure, list[Axes]]:
    columns = min(columns, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(max(5, size[0] * columns), size[1] * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for one, title in zip(axes, titles, strict=False):
        one.set_title(title)
        one.grid(alpha=0.25)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes[: len(titles)]


def _name_places(axes: Axes, names: list[str]) -> None:
    """Names along the x axis, slanted where they would overlap."""
    axes.set_xticks(range(len(names)), names)
    if sum(map(len, names)) > 40:
        axes.tick_params(axis="x", rotation=45)
        for text in axes.get_xticklabels():
            text.set(horizontalalignment="right", rotation_mode="anchor")


def _legend_below(figure: Figure) -> None:
    """One legend for all panels, each name once."""
    named: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    inches = 0.65 + 0.085 * max(map(len, named))  # of a handle and the longest name
    columns = max(1, min(len(named), int(figure.get_figwidth() / inches)))
    figure.legend(
        list(named.values()),
        list(named),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
    )
