"""What all figures share: colours, panels, legends."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, safe for colour-blind readers, without yellow, which is too pale.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("--", ":", "-.")
RED = "#c8102e"
MANY = 500  # points from which a cloud becomes a picture inside the SVG
CAP = 2.5  # half width of the caps of error bars, in points

_COLUMNS = 3  # panels side by side
_CHARACTER = 0.085  # width in inches
_TITLE = 0.105  # likewise, in a title
_ROW = 0.21  # height in inches of a legend's row
_APART = 0.34  # inches between names that may be slanted by little
_HANDLE = 0.65  # width in inches of a legend's handle and the space around it


def mark(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th series: seven of each, both change."""
    return {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}


def panels_of(
    titles: Iterable[str],
    *,
    size: tuple[float, float] = (4.4, 3.6),
    sharey: bool = False,
    square: bool = False,
) -> tuple[Figure, list[Axes]]:
    """One figure with a panel for each title, in rows; sizes of a panel in inches.

    Where panels are to become square, only the layout made for that leaves room for all texts.
    """
    from ssatom.plots._figure import ShownFigure

    titles = list(titles)
    columns = min(_COLUMNS, len(titles))
    rows = math.ceil(len(titles) / columns)
    width = max(size[0] * columns, 5)
    figure = ShownFigure(
        figsize=(width, size[1] * rows), layout="compressed" if square else "constrained"
    )
    grid = list(figure.subplots(rows, columns, sharey=sharey, squeeze=False).flat)
    for axes in grid[len(titles) :]:
        axes.remove()
    panels = grid[: len(titles)]
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(_title_within(title, size[0]))
        dress(axes)
    return figure, panels


def _title_within(title: str, width: float) -> str:
    """A title in as many lines as a panel so many inches wide needs."""
    characters = max(10, int(width / _TITLE))
    return "\n".join(textwrap.fill(line, characters) for line in title.splitlines())


def dress(axes: Axes) -> None:
    """A light grid behind the data, and no frame where there is no scale."""
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend_below(figure: Figure) -> None:
    """One legend for all panels, each name once, in as many columns as fit.

    Data with error bars come first, then all else in the order of drawing.
    """
    from matplotlib.container import Container

    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    # What lies in front comes first: series, then rings, then lines to compare with.
    handles = dict(sorted(handles.items(), key=lambda item: -_depth(item[1])))
    if handles:
        names = sorted(handles, key=lambda name: not isinstance(handles[name], Container))
        entry = _HANDLE + _CHARACTER * max(map(len, names))
        columns = max(1, min(len(names), int(figure.get_figwidth() / entry)))
        # The panels have room for two rows.
        more = max(0, math.ceil(len(names) / columns) - 2)
        figure.set_figheight(figure.get_figheight() + _ROW * more)
        figure.legend(
            [handles[name] for name in names],
            names,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
        )


def _depth(handle: Any) -> float:
    """Order of drawing; bars and error bars are containers, which have none."""
    return handle.get_zorder() if hasattr(handle, "get_zorder") else math.inf


def name_places(axes: Axes, labels: list[str], width: float) -> None:
    """Names along the x axis, slanted where they would touch in a panel so many inches wide."""
    axes.set_xticks(range(len(labels)), labels)
    if len(labels) * _CHARACTER * (max(map(len, labels)) + 1) > width * 0.85:
        axes.tick_params(axis="x", rotation=30 if width * 0.85 / len(labels) > _APART else 55)
        for text in axes.get_xticklabels():
            text.set(horizontalalignment="right", rotation_mode="anchor")


def is_leftmost(axes: Axes) -> bool:
    """Whether a panel is the first of its row."""
    place = axes.get_subplotspec()
    return place is not None and place.is_first_col()


def with_unit(quantity: str, unit: str) -> str:
    """Such as "error (eV)"; the quantity alone where the unit is empty."""
    return f"{quantity} ({unit})" if unit else quantity
