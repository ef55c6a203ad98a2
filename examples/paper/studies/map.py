"""Maps of points in a plane, coloured by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ssatom.plots._checks import mapping, names
from ssatom.plots._style import CHARACTER, MANY, REST, mark_of_label, title_within

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = 20  # labels that get a colour and a name: more cannot be told apart
_COLUMNS = 3
_SIDE = 3.6  # of a panel, in inches
_LEGEND_ROWS = 12
_SYMBOL = 0.4  # inches of a legend's symbol and the space around it


class _Cloud(NamedTuple):
    title: str
    points: np.ndarray
    labels: np.ndarray


def plot_map(panels: Mapping[str, tuple[Any, Sequence[Any]]]) -> Figure:
    """Points in a plane, as from t-SNE, coloured by their labels.

    Parameters
    ----------
    panels : mapping of pairs
        By title: points, array-like of shape (n_points, 2), and labels, array-like of shape
        (n_points,). Panels that follow each other and have labels in common, such as the same
        sites in two representations, stand in one row with the same colours and one legend.

    Returns
    -------
    Figure
        The 20 most frequent labels of a row have a colour or marker of their own and are named,
        the others are grey. Independent of pyplot, so nothing needs closing.

    Raises
    ------
    ValueError
        If there is nothing to draw, or a panel's points and labels do not fit each other.

    Examples
    --------
    >>> from ssatom.plots import plot_map
    >>> points = [[0.0, 0.0], [1.0, 0.5], [0.9, 0.4]]
    >>> figure = plot_map({"elements": (points, ["Fe", "Mn", "Mn"])})
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['Mn', 'Fe']
    """
    from matplotlib.figure import Figure

    rows = _rows([_cloud(title, panel) for title, panel in mapping(panels, "panels").items()])
    columns = max(len(row) for row in rows)
    figure = Figure(layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    width = 0.0
    for line, row in zip(grid, rows, strict=True):
        counts = Counter(str(label) for cloud in row for label in cloud.labels)
        named = [label for label, _ in counts.most_common(_NAMED)]
        for axes, cloud in zip(line, row, strict=False):
            _draw_cloud(axes, cloud, named)
        for axes in line[len(row) :]:
            axes.remove()
        legend = _add_legend(line[len(row) - 1], named, len(counts) - len(named))
        width = max(width, _SIDE * len(row) + legend)
    figure.set_size_inches(width, _SIDE * len(rows))
    figure.set_layout_engine("constrained", rect=(0, 0, _SIDE * columns / width, 1))
    return figure


def _cloud(title: str, panel: tuple[Any, Sequence[Any]]) -> _Cloud:
    where = f"panels[{title!r}]"
    if not isinstance(panel, tuple | list) or len(panel) != 2:
        raise ValueError(f"{where} needs a pair of points and labels, got {type(panel).__name__}")
    try:
        points = np.asarray(panel[0], dtype=float)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"{where} needs points of shape (n_points, 2), got {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"{where} needs finite points; leave the others out")
    return _Cloud(str(title), points, names(panel[1], f"labels of {where}", len(points)))


def _rows(clouds: list[_Cloud]) -> list[list[_Cloud]]:
    """Neighbours with labels in common share a row, as long as there is room."""
    rows: list[list[_Cloud]] = []
    for cloud in clouds:
        known = {label for other in rows[-1] for label in other.labels} if rows else set()
        if known & set(cloud.labels) and len(rows[-1]) < _COLUMNS:
            rows[-1].append(cloud)
        else:
            rows.append([cloud])
    return rows


def _draw_cloud(axes: Axes, cloud: _Cloud, named: list[str]) -> None:
    style: dict[str, Any] = {"s": 9 if len(cloud.points) > MANY else 16, "linewidths": 0}
    style["rasterized"] = len(cloud.points) > MANY
    rest = cloud.points[~np.isin(cloud.labels, named)]
    axes.scatter(rest[:, 0], rest[:, 1], color=REST, **style)
    # Frequent labels first, so that they do not cover the rare ones.
    for i, label in enumerate(named):
        points = cloud.points[cloud.labels == label]
        axes.scatter(points[:, 0], points[:, 1], alpha=0.85, **mark_of_label(i), **style)
    axes.set_title(title_within(cloud.title, _SIDE))
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    axes.spines[:].set_color("0.7")


def _add_legend(axes: Axes, named: list[str], n_rest: int) -> float:
    """Name what a row shows, right of its last panel; the width that takes, in inches."""
    from matplotlib.lines import Line2D

    styles = {label: mark_of_label(i) for i, label in enumerate(named)}
    if n_rest:
        styles[f"{n_rest} others"] = {"color": REST, "marker": "o"}
    columns = 1 + (len(styles) - 1) // _LEGEND_ROWS
    legend = axes.legend(
        [Line2D([], [], linestyle="", markersize=5, **style) for style in styles.values()],
        list(styles),
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        ncols=columns,
        columnspacing=0.8,
        handletextpad=0.1,
        frameon=False,
    )
    legend.set_in_layout(False)  # or else it would take its place from the panels of all rows
    return columns * (_SYMBOL + CHARACTER * max(map(len, styles))) + 0.2
