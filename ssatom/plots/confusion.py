"""Predicted against true classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssatom.exceptions import ParameterError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_confusion(counts: Any, classes: Sequence[str], name: str = "class") -> Figure:
    """Number of rows of each true class by predicted class.

    Parameters
    ----------
    counts : array-like of int, shape (n_classes, n_classes)
        Rows are true classes, columns predicted ones.
    classes : sequence of str
        Their names.
    name : str, default="class"
        What the classes are.

    Returns
    -------
    Figure
        A matrix with the counts, shaded by the share of each true class.

    Raises
    ------
    ParameterError
        If `counts` is no square of as many rows as there are classes.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.plots import plot_confusion
    >>> plot_confusion(np.array([[3, 1], [0, 4]]), ["metal", "insulator"]).axes[0].get_title()
    'accuracy 0.875'
    """
    from ssatom.plots._figure import ShownFigure

    counts = np.asarray(counts)
    n = len(classes)
    if counts.shape != (n, n) or n == 0:
        raise ParameterError(
            f"counts has shape {counts.shape}; with {n} classes it must be {(n, n)}"
        )
    side = 2.4 + 0.6 * n
    figure = ShownFigure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        color = "white" if shares[i, j] > 0.6 else "black"
        axes.text(j, i, str(count), ha="center", va="center", color=color)
    axes.set_xticks(range(n), classes)
    if n > 3:
        for text in axes.get_xticklabels():
            text.set(rotation=45, horizontalalignment="right", rotation_mode="anchor")
    axes.set_yticks(range(n), classes)
    axes.set(
        xlabel=f"{name}, predicted",
        ylabel=f"{name}, true",
        title=f"accuracy {np.trace(counts) / max(counts.sum(), 1):.3g}",
    )
    return figure
