"""Errors over the number of training crystals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ssatom.plots._checks import Measured, labels_of, measured_panels, of_each
from ssatom.plots._style import CAP, is_leftmost, legend_below, mark, panels_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_APART = 0.15  # between numbers of crystals that are written down, as a part of the axis


def plot_learning_curve(curves: Mapping[str, Any], *, ylabel: str | Mapping[str, str]) -> Figure:
    """Errors over the number of training crystals, both logarithmic, one line a model.

    Parameters
    ----------
    curves : mapping
        By model and number of training crystals: pairs of mean error and standard deviation, or
        means alone; NaN is left out. Or a mapping of titles (such as properties) to such
        mappings: one panel each. DataFrames (a column a model) and Series are mappings too.
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
        If there is nothing to draw, or a number of crystals or an error is not positive.

    Examples
    --------
    >>> from ssatom.plots import plot_learning_curve
    >>> curves = {"CGCNN": {100: (0.5, 0.1), 1000: (0.2, 0.01)}, "NEGNN": {100: 0.4, 1000: 0.2}}
    >>> plot_learning_curve(curves, ylabel="MAE (eV/atom)").axes[0].get_xscale()
    'log'
    """
    panels = measured_panels(curves, "curves")
    labels = of_each(ylabel, panels, "ylabel")
    _check_positive(panels)
    marks = {name: mark(i) for i, name in enumerate(labels_of(panels))}
    figure, axes = panels_of(panels, size=(4.2, 4), sharey=isinstance(ylabel, str))
    for one, (title, series) in zip(axes, panels.items(), strict=True):
        _draw_curves(one, series, marks)
        one.set_xlabel("training crystals")
        if is_leftmost(one) or not isinstance(ylabel, str):
            one.set_ylabel(labels[title])
    legend_below(figure)
    return figure


def _draw_curves(
    axes: Axes, series: dict[str, dict[Any, Measured]], marks: dict[str, dict[str, Any]]
) -> None:
    axes.set(xscale="log", yscale="log")
    for name, values in series.items():
        sizes = sorted(values, key=float)
        means = np.array([values[size].mean for size in sizes])
        stds = np.array([values[size].std for size in sizes])
        # Where the error bar reaches down to zero, a logarithmic axis cannot show its end.
        down = np.minimum(stds, 0.8 * means)
        style = {**marks[name], "markersize": 5.5, "capsize": CAP}
        axes.errorbar([float(size) for size in sizes], means, [down, stds], label=name, **style)
    sizes = sorted({float(size) for values in series.values() for size in values})
    written = _spread(sizes)
    axes.set_xticks(written, [f"{size:,.0f}".replace(",", "\u2009") for size in written])
    axes.set_xticks([], minor=True)
    _plain_numbers(axes.yaxis)


def _spread(sizes: list[float]) -> list[float]:
    """Of ascending sizes, those whose numbers do not touch on a logarithmic axis."""
    found = sizes[:1]
    for size in sizes[1:]:
        if np.log(size / found[-1]) >= _APART * np.log(sizes[-1] / sizes[0]):
            found.append(size)
    return found


def _plain_numbers(axis: Axis) -> None:
    """0.05, 0.1, 0.2 instead of powers of ten, and enough of them."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    low, high = axis.get_view_interval()
    if high / low > 2:
        steps = (1, 2, 5) if high / low > 10 else (1, 1.5, 2, 3, 5, 7)
        axis.set_major_locator(LogLocator(subs=steps))
    else:
        axis.set_major_locator(MaxNLocator(6))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _check_positive(panels: dict[str, dict[str, dict[Any, Measured]]]) -> None:
    for series in panels.values():
        for name, values in series.items():
            for size, value in values.items():
                if not (_is_positive(size) and value.mean > 0):
                    raise ValueError(
                        f"curves of {name!r}: logarithmic axes need positive numbers of crystals "
                        f"and positive errors; got {value.mean} for {size!r}"
                    )


def _is_positive(size: Any) -> bool:
    try:
        return float(size) > 0
    except (TypeError, ValueError):
        return False
