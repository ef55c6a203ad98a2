"""Predicted against true values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ssatom.exceptions import ParameterError
from ssatom.plots._checks import mapping, vector
from ssatom.plots._style import (
    COLORS,
    MANY,
    RED,
    is_leftmost,
    legend_below,
    mark,
    panels_of,
    with_unit,
)
from ssatom.validation import column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 0.05  # height of a line of text, as a part of the panel
_ASIDE = 0.03  # from an outlier to its text, likewise
_LETTER = 0.02  # width of a letter, likewise


class Parity(NamedTuple):
    """One panel of a parity plot.

    Attributes
    ----------
    y : array-like, shape (n_rows,)
        True values.
    predictions : array-like, shape (n_rows,)
        Predicted values.
    groups : array-like of str, shape (n_rows,), or None
        Group of each row, such as "lanthanides"; gives colour and marker.
    std : array-like, shape (n_rows,), or None
        Predicted standard deviations, drawn as error bars.
    labels : mapping of int to str, or None
        Texts of the rows, counted from 0, that are to be named, such as outliers.
    before : array-like, shape (n_rows,), or None
        Other predictions; arrows lead from them to the labelled rows.
    """

    y: Any
    predictions: Any
    groups: Any = None
    std: Any = None
    labels: Mapping[int, str] | None = None
    before: Any = None


def plot_parity(
    panels: Mapping[str, Parity | tuple[Any, ...]], *, unit: str, bounds: Sequence[float] = ()
) -> Figure:
    """Predicted against true values, with mean absolute error and R².

    Parameters
    ----------
    panels : mapping of Parity or of pairs
        By title, true values and predictions; a `Parity` may also have groups, standard
        deviations and named outliers.
    unit : str
        Unit of the values, such as "eV/atom"; may be empty.
    bounds : sequence of float, default=()
        Errors, in that unit, at which dashed lines are drawn on both sides of the diagonal; the
        part of the rows within is written down.

    Returns
    -------
    Figure
        One square panel a title.

    Raises
    ------
    ParameterError
        If there is nothing to draw, lengths differ, a number is not finite, a standard deviation
        is negative, a bound not positive, or a labelled row not there.

    Examples
    --------
    >>> from ssatom.plots import Parity, plot_parity
    >>> y, predictions = [0.0, 1.0, 2.0, 4.0], [0.1, 0.9, 2.2, 1.0]
    >>> panels = {"NE01": Parity(y, predictions, groups=["d", "d", "f", "f"], labels={3: "GdVO4"})}
    >>> plot_parity(panels, unit="µB", bounds=(0.5,)).axes[0].get_ylabel()
    'predicted value (µB)'
    """
    checked = {
        str(title): _checked(panel, f"panels[{title!r}]")
        for title, panel in mapping(panels, "panels").items()
    }
    if any(not bound > 0 for bound in bounds):
        raise ParameterError(f"bounds need to be positive errors, got {tuple(bounds)}")
    grouped = [group for p in checked.values() if p.groups is not None for group in p.groups]
    marks = {name: mark(i) for i, name in enumerate(dict.fromkeys(grouped))}
    figure, axes = panels_of(checked, size=(4.5, 4.6), square=True)
    for one, panel in zip(axes, checked.values(), strict=True):
        low, high = _limits(panel)
        one.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        _draw_points(one, panel, marks)
        _draw_lines(one, bounds, unit)
        _write_scores(one, panel, unit, bounds)
        _name_outliers(one, panel, high - low)
        one.set_xlabel(with_unit("true value", unit))
        if is_leftmost(one):
            one.set_ylabel(with_unit("predicted value", unit))
    legend_below(figure)
    return figure


def _checked(panel: Parity | tuple[Any, ...], where: str) -> Parity:
    if not isinstance(panel, tuple | list) or not 2 <= len(panel) <= len(Parity._fields):
        raise ParameterError(
            f"{where} needs a Parity or a pair of true values and predictions; "
            f"got {type(panel).__name__}"
        )
    given = Parity(*panel)
    y = vector(given.y, f"y of {where}")
    n = len(y)
    std = None if given.std is None else vector(given.std, f"std of {where}", n)
    if std is not None and (std < 0).any():
        raise ParameterError(f"std of {where} needs numbers from 0 up, got {std.min()}")
    labels = {} if given.labels is None else dict(given.labels)
    missing = [row for row in labels if not (isinstance(row, int | np.integer) and 0 <= row < n)]
    if missing:
        raise ParameterError(f"labels of {where} name rows {missing}; there are rows 0 to {n - 1}")
    return Parity(
        y,
        vector(given.predictions, f"predictions of {where}", n),
        None if given.groups is None else column(f"groups of {where}", given.groups, n).astype(str),
        std,
        labels,
        None if given.before is None else vector(given.before, f"before of {where}", n),
    )


def _limits(panel: Parity) -> tuple[float, float]:
    # The arrows need room, not the other rows of `before`, whose points are not drawn.
    starts = [] if panel.before is None else panel.before[list(panel.labels or {})]
    values = np.concatenate([panel.y, panel.predictions, starts])
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def _draw_lines(axes: Axes, bounds: Sequence[float], unit: str) -> None:
    axes.axline((0, 0), slope=1, color="0.3", linewidth=1, zorder=1)
    for i, bound in enumerate(bounds):
        # Wider bounds have longer gaps.
        dashes = (0, (5, 2 + 3 * i))
        style: dict[str, Any] = {"color": "0.4", "linewidth": 1, "linestyle": dashes, "zorder": 1}
        label = f"±{bound:g} {unit}".rstrip()
        axes.axline((0, bound), slope=1, label=label, **style)
        axes.axline((0, -bound), slope=1, **style)


def _draw_points(axes: Axes, panel: Parity, marks: dict[str, dict[str, Any]]) -> None:
    many = len(panel.y) > MANY
    dots: dict[str, Any] = {"s": 9 if many else 20, "alpha": 0.6, "linewidths": 0}
    everywhere = np.ones(len(panel.y), dtype=bool)
    parts = (
        {"": (everywhere, {"color": COLORS[0]})}
        if panel.groups is None
        else {name: (panel.groups == name, mark) for name, mark in marks.items()}
    )
    for name, (rows, style) in parts.items():
        if not rows.any():
            continue
        x, y = panel.y[rows], panel.predictions[rows]
        axes.scatter(x, y, label=name, zorder=3, rasterized=many, **style, **dots)
        if panel.std is not None:
            bars: dict[str, Any] = {"fmt": "none", "ecolor": style["color"], "alpha": 0.45}
            axes.errorbar(x, y, panel.std[rows], elinewidth=0.8, rasterized=many, zorder=2, **bars)


def _write_scores(axes: Axes, panel: Parity, unit: str, bounds: Sequence[float]) -> None:
    errors = np.abs(panel.y - panel.predictions)
    spread = float(np.sum((panel.y - panel.y.mean()) ** 2))
    mean = errors.mean()
    lines = [f"MAE {mean:{'.3g' if mean < 1000 else '.0f'}} {unit}".rstrip()]
    if spread > 0:
        lines.append(f"R² {1 - float(np.sum(errors**2)) / spread:.3f}")
    lines += [f"{np.mean(errors <= bound):.0%} within ±{bound:g}" for bound in bounds]
    # Of the two corners off the diagonal, the one with fewer points behind the text.
    above = _n_in_corner(panel.y, panel.predictions) <= _n_in_corner(panel.predictions, panel.y)
    x, y, across, along = (0.03, 0.97, "left", "top") if above else (0.97, 0.03, "right", "bottom")
    style = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    axes.text(
        x, y, "\n".join(lines), transform=axes.transAxes, ha=across, va=along, bbox=style, zorder=5
    )


def _n_in_corner(low: np.ndarray, high: np.ndarray) -> int:
    """Rows whose one coordinate is small and the other large."""
    values = np.concatenate([low, high])
    start, span = values.min(), np.ptp(values)
    return int(np.sum((low < start + 0.45 * span) & (high > start + 0.7 * span)))


def _name_outliers(axes: Axes, panel: Parity, span: float) -> None:
    """Red texts beside points, and arrows to them from the other predictions."""
    from matplotlib.patheffects import withStroke

    leader = {"arrowstyle": "-", "color": RED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
    for row, (at, side) in _places(panel, axes.get_xlim(), span).items():
        x, y = float(panel.y[row]), float(panel.predictions[row])
        axes.annotate(
            panel.labels[row],  # type: ignore[index]
            (x, y),
            at,
            color=RED,
            fontsize=8.5,
            ha="left" if side > 0 else "right",
            va="center",
            arrowprops=leader | {"relpos": (0 if side > 0 else 1, 0.5)},
            path_effects=[withStroke(linewidth=2, foreground="white")],
            zorder=5,
        )
        if panel.before is not None and panel.before[row] != y:
            arrow = {"arrowstyle": "->", "color": RED, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 3}
            axes.annotate("", (x, y), (x, panel.before[row]), arrowprops=arrow, zorder=4)


def _places(
    panel: Parity, limits: tuple[float, float], span: float
) -> dict[int, tuple[tuple[float, float], int]]:
    """Where the text of each named row begins, or ends, and on which side of its point (1 right).

    Texts lie on the side away from the diagonal if there is room; those that would cover each
    other move away from the diagonal.
    """
    labels = panel.labels or {}
    away = {row: 1 if panel.predictions[row] >= panel.y[row] else -1 for row in labels}
    found: dict[int, tuple[tuple[float, float], int]] = {}
    taken: list[tuple[float, float, float]] = []  # left and right end, height
    # From the diagonal outward, on either side of it.
    for row in sorted(labels, key=lambda r: (-away[r], away[r] * panel.predictions[r])):
        x, height = float(panel.y[row]), float(panel.predictions[row])
        near, far = _ASIDE * span, (_ASIDE + _LETTER * len(labels[row])) * span
        fits = {-1: x - far > limits[0], 1: x + far < limits[1]}
        side = -away[row] if fits[-away[row]] or not fits[away[row]] else away[row]
        left, right = sorted((x + side * near, x + side * far))
        for other_left, other_right, other in taken:
            if left < other_right and other_left < right and abs(height - other) < _LINE * span:
                height = other + away[row] * _LINE * span
        taken.append((left, right, height))
        found[row] = (x + side * near, height), side
    return found
