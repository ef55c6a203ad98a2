"""Crystals, or anything else, as points of a plane."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ssatom.plots._checks import rows_of, vector
from ssatom.plots._style import COLORS, MANY, MARKERS, legend_below, panels_of
from ssatom.validation import column

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMED = 20  # classes that get a colour and a name


def plot_map(points: Any, values: Any, *, label: str = "") -> Figure:
    """Points of a plane, coloured by numbers or by classes.

    Parameters
    ----------
    points : array-like of float, shape (n_points, 2)
        Such as the first two principal components of embeddings.
    values : array-like, shape (n_points,)
        Numbers, which get a colour bar; or texts, the classes, which get a legend. Points whose
        number is NaN are grey, as are all but the 20 most frequent classes.
    label : str, default=""
        What the values are, with their unit.

    Returns
    -------
    Figure
        One panel without scales.

    Raises
    ------
    ParameterError
        If there are no points, lengths differ, or a coordinate is not finite.

    Examples
    --------
    >>> from ssatom.plots import plot_map
    >>> points = [[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]
    >>> plot_map(points, [0.0, 1.1, 8.5], label="band gap (eV)").axes[1].get_ylabel()
    'band gap (eV)'
    """
    x, y = rows_of(points, "points", 2).T
    array = np.asarray(values)
    classes = column("values", array, len(x)).astype(str)
    is_number = array.dtype.kind in "fiu"
    height = 5.2 if is_number else 7.4  # room for the names of classes
    figure, (axes,) = panels_of([""], size=(5.6, height))
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    axes.spines[:].set_visible(False)
    dots: dict[str, Any] = {"s": 22, "linewidths": 0, "rasterized": len(x) > MANY}
    if is_number:
        known = np.isfinite(array)
        colors = vector(array[known], "values, where they are finite,")
        cloud = axes.scatter(x[known], y[known], c=colors, zorder=2, **dots)
        figure.colorbar(cloud, ax=axes, label=label, shrink=0.8)
        rest, what = ~known, "no value"
    else:
        # Frequent classes first, so that they do not cover the rare ones.
        counts = Counter(classes.tolist())
        frequent = [name for name, _ in counts.most_common(_NAMED)]
        for i, name in enumerate(frequent):
            of, style = classes == name, {"color": COLORS[i % 7], "marker": MARKERS[i // 7]}
            axes.scatter(x[of], y[of], label=name, zorder=2, **{**dots, **style})
        axes.set_title(label)
        rest, what = ~np.isin(classes, frequent), f"{len(counts) - len(frequent)} others"
    if rest.any():
        axes.scatter(x[rest], y[rest], color="0.8", label=what, zorder=1, **dots)
    legend_below(figure)
    return figure
