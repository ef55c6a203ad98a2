"""Errors over the layers that a representation takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ssatom.exceptions import ParameterError
from ssatom.plots._checks import Measured, by_title, mapping, measured_panels, of_each
from ssatom.plots._style import (
    CAP,
    DASHES,
    RED,
    is_leftmost,
    legend_below,
    mark,
    name_places,
    panels_of,
)
from ssatom.validation import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 4.4  # of a panel, in inches
_APART = 0.14  # at most, between series at one place: error bars shall not cover each other


def plot_layer_errors(
    errors: Mapping[str, Any],
    *,
    ylabel: str | Mapping[str, str],
    mark_best: bool = True,
    references: Mapping[str, Any] | None = None,
) -> Figure:
    """Errors of a property over layer settings, one line a series, the lowest circled.

    Parameters
    ----------
    errors : mapping
        By series (such as "random split") and layer setting (such as "GE012"), in the order of
        the x axis: pairs of mean and standard deviation, or means alone; NaN is left out. Or a
        mapping of titles to such mappings: one panel each. DataFrames (a column a series) and
        Series are mappings too.
    ylabel : str or mapping of str
        Quantity and unit, such as "MAE (eV/atom)". One text for all panels makes them share
        their scale; a mapping by title gives each its own.
    mark_best : bool, default=True
        Circle the lowest mean of each series in red.
    references : mapping, default=None
        Values by name, such as another descriptor's, drawn as horizontal lines; with several
        panels, such mappings by title, where a panel may be left out.

    Returns
    -------
    Figure
        One panel a title.

    Raises
    ------
    ParameterError
        If there is nothing to draw, a value is neither a number nor a pair of them, or a
        reference is no number or of no panel.

    Examples
    --------
    >>> from ssatom.plots import plot_layer_errors
    >>> errors = {"random split": {"GE0": (0.30, 0.01), "GE01": (0.21, 0.02), "GE012": (0.2, 0.01)}}
    >>> figure = plot_layer_errors(errors, ylabel="MAE (eV/atom)", references={"OFM": 0.28})
    >>> [text.get_text() for text in figure.axes[0].get_xticklabels()]
    ['GE0', 'GE01', 'GE012']
    """
    panels = measured_panels(errors, "errors")
    labels = of_each(ylabel, panels, "ylabel")
    lines = _references(references, list(panels))
    names = dict.fromkeys(name for series in panels.values() for name in series)
    marks = {name: mark(i) for i, name in enumerate(names)}
    figure, axes = panels_of(panels, size=(_WIDTH, 4), sharey=isinstance(ylabel, str))
    for one, (title, series) in zip(axes, panels.items(), strict=True):
        _draw_series(one, series, marks, mark_best)
        for i, (name, value) in enumerate(lines.get(title, {}).items()):
            style = DASHES[i % len(DASHES)]
            one.axhline(value, color="0.35", linestyle=style, linewidth=1.2, label=name, zorder=1)
        one.set_xlabel("layers")
        if is_leftmost(one) or not isinstance(ylabel, str):
            one.set_ylabel(labels[title])
    legend_below(figure)
    return figure


def _draw_series(
    axes: Axes,
    series: dict[str, dict[Any, Measured]],
    marks: dict[str, dict[str, Any]],
    mark_best: bool,
) -> None:
    known = dict.fromkeys(label for values in series.values() for label in values)
    places = {label: i for i, label in enumerate(known)}
    rings = []
    apart = min(_APART, 0.6 / len(series))
    for i, (name, values) in enumerate(series.items()):
        shift = (i - (len(series) - 1) / 2) * apart
        labels = [label for label in places if label in values]
        at = [places[label] + shift for label in labels]
        means = [values[label].mean for label in labels]
        stds = [values[label].std for label in labels]
        axes.errorbar(at, means, stds, **marks[name], markersize=5.5, capsize=CAP, label=name)
        rings.append(min(zip(means, at, strict=True))[::-1])
    if mark_best:
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": RED, "linewidths": 1.6}
        x, means = zip(*rings, strict=True)
        axes.scatter(x, means, s=170, label="lowest of a series", zorder=4, **ring)
    name_places(axes, [str(label) for label in places], _WIDTH)
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.grid(visible=False, axis="x")


def _references(references: Mapping[str, Any] | None, titles: list[str]) -> dict[str, Any]:
    """Reference values by panel and name."""
    if references is None or not len(references):
        return {}
    found = by_title(references, "references", depth=1)
    if list(found) == [""]:
        found = dict.fromkeys(titles, found[""])
    if unknown := sorted(set(found) - set(titles)):
        raise ParameterError(f"references are given for {unknown}, but the panels are {titles}")
    return {
        title: {
            str(name): number(f"reference {name!r}", value, "(-inf, inf)")
            for name, value in mapping(values, f"references[{title!r}]").items()
        }
        for title, values in found.items()
    }
