"""Bars in groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ssatom.plots._checks import Measured, labels_of, measured_panels, of_each
from ssatom.plots._style import CAP, COLORS, is_leftmost, legend_below, name_places, panels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TOGETHER = 0.82  # width of a group, where the next group is 1 away
_BAR = 0.17  # narrowest bar, in inches


def plot_grouped_bars(values: Mapping[str, Any], *, ylabel: str | Mapping[str, str]) -> Figure:
    """Bars with error bars: a group a label, and in each group one bar a series.

    Parameters
    ----------
    values : mapping
        By series (such as a model) and label (such as a descriptor), in the order of the x axis:
        pairs of mean and standard deviation, or means alone; NaN is left out, and series need not
        have the same labels. Or a mapping of titles to such mappings: one panel each. DataFrames
        (a column a series) and Series are mappings too.
    ylabel : str or mapping of str
        Quantity and unit, such as "MAE (eV/atom)". One text for all panels makes them share
        their scale; a mapping by title gives each its own.

    Returns
    -------
    Figure
        Independent of pyplot, so nothing needs closing.

    Raises
    ------
    ValueError
        If there is nothing to draw, or a value is neither a number nor a pair of them.

    Examples
    --------
    >>> from ssatom.plots import plot_grouped_bars
    >>> values = {"KRR": {"NE0": (1.0, 0.1), "NE1": (0.8, 0.1)}, "RF": {"NE0": 1.1, "NE1": 0.9}}
    >>> len(plot_grouped_bars(values, ylabel="MAE (µB)").axes[0].patches)
    4
    """
    panels = measured_panels(values, "values")
    labels = of_each(ylabel, panels, "ylabel")
    names = labels_of(panels)
    colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(names)}
    most = max(len(labels_of(series)) * (len(series) + 1) for series in panels.values())
    width = max(4.4, _BAR * most + 1)
    columns = max(1, int(13.5 / width))
    figure, axes = panels_of(
        panels, size=(width, 3.8), columns=columns, sharey=isinstance(ylabel, str)
    )
    for one, (title, series) in zip(axes, panels.items(), strict=True):
        _draw_bars(one, series, colors)
        name_places(one, [str(label) for label in labels_of(series)], width)
        if is_leftmost(one) or not isinstance(ylabel, str):
            one.set_ylabel(labels[title])
    if len(names) > 1:
        legend_below(figure)
    return figure


def _draw_bars(axes: Axes, series: dict[str, dict[Any, Measured]], colors: dict[str, str]) -> None:
    places = {label: i for i, label in enumerate(labels_of(series))}
    width = _TOGETHER / len(series)
    for i, (name, values) in enumerate(series.items()):
        shift = (i - (len(series) - 1) / 2) * width
        axes.bar(
            [places[label] + shift for label in values],
            [value.mean for value in values.values()],
            width,
            yerr=[value.std for value in values.values()],
            label=name,
            color=colors[name],
            edgecolor="white",
            linewidth=0.8,
            error_kw={"ecolor": "0.3", "elinewidth": 1.1, "capsize": CAP},
        )
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.grid(visible=False, axis="x")
    axes.axhline(0, color="black", linewidth=0.8)
