"""Values of sites, drawn where the sites are."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ssatom.plots._checks import rows_of, vector
from ssatom.validation import column

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_sites(
    coords: Any, elements: Any, values: Any, *, cell: Any = None, label: str = ""
) -> Figure:
    """Sites of a crystal in space, coloured by a value of each.

    Parameters
    ----------
    coords : array-like of float, shape (n_sites, 3)
        Cartesian coordinates, Å.
    elements : array-like of str, shape (n_sites,)
        Symbols, written on the sites.
    values : array-like of float, shape (n_sites,)
        Such as contributions to a prediction; grey is 0.
    cell : array-like of float, shape (3, 3), default=None
        Lattice vectors as rows, Å, whose edges are drawn.
    label : str, default=""
        What the values are, with their unit.

    Returns
    -------
    Figure
        One panel in three dimensions, and a colour bar.

    Raises
    ------
    ParameterError
        If a shape is wrong, or a number not finite.

    Examples
    --------
    >>> from ssatom.plots import plot_sites
    >>> coords = [[0, 0, 0], [2.06, 2.06, 2.06]]
    >>> plot_sites(coords, ["Cs", "Cl"], [0.2, -0.3], label="eV").axes[1].get_ylabel()
    'eV'
    """
    from matplotlib.patheffects import withStroke

    from ssatom.plots._figure import ShownFigure

    at = rows_of(coords, "coords", 3)
    symbols = column("elements", elements, len(at)).astype(str)
    numbers = vector(values, "values", len(at))
    figure = ShownFigure(figsize=(6, 5), layout="constrained")
    axes: Any = figure.add_subplot(projection="3d")
    corners = np.array(list(product((0, 1), repeat=3)))
    for start, end in product(corners, corners) if cell is not None else ():
        if (end - start).min() == 0 and (end - start).sum() == 1:
            edge = np.array([start, end]) @ rows_of(cell, "cell", 3)
            axes.plot(*edge.T, color="0.6", linewidth=0.9)
    largest = float(np.abs(numbers).max()) or 1.0
    colors: dict[str, Any] = {"c": numbers, "cmap": "coolwarm", "vmin": -largest, "vmax": largest}
    cloud = axes.scatter(*at.T, s=240, edgecolors="0.3", depthshade=False, **colors)
    outline = [withStroke(linewidth=2, foreground="white")]
    for place, symbol in zip(at, symbols, strict=True):
        axes.text(*place, symbol, ha="center", va="center", fontsize=8, path_effects=outline)
    axes.set_aspect("equal")
    axes.set_axis_off()
    figure.colorbar(cloud, ax=axes, label=label, shrink=0.7)
    return figure
