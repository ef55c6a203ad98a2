"""Predictions beside the truth, for numbers and for classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOR = "#0072b2"
_DENSE = 2000  # points, beyond which they are drawn smaller and fainter
_COLUMNS = 3  # panels side by side


def plot_parity(
    true: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    std: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """Predicted against true values, a panel for each target.

    Parameters
    ----------
    true : mapping of str to ndarray, shape (n_rows,)
        Values by the name of the target.
    predicted : mapping of str to ndarray, shape (n_rows,)
        Predictions by the same names.
    std : mapping of str to ndarray, default=None
        Their uncertainties, drawn as bars.

    Returns
    -------
    Figure
        Equal axes with the diagonal, and the mean absolute error in each title. Independent of
        pyplot, so nothing needs closing.

    Raises
    ------
    ValueError
        If there is no target, or no row.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.plots import plot_parity
    >>> figure = plot_parity({"gap": np.array([1.0, 2.0])}, {"gap": np.array([1.5, 2.0])})
    >>> figure.axes[0].get_title()
    'gap: MAE 0.25'
    """
    from matplotlib.figure import Figure

    if not true or any(len(values) == 0 for values in true.values()):
        raise ValueError(f"true needs at least one target and one row; got {dict(true)!r}")
    n_columns = min(len(true), _COLUMNS)
    n_rows = -(-len(true) // n_columns)
    figure = Figure(figsize=(4.2 * n_columns, 4.2 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, (name, values) in zip(panels, true.items(), strict=False):
        _parity(axes, name, values, predicted[name], None if std is None else std[name])
    for axes in panels[len(true) :]:
        axes.remove()
    return figure


def _parity(
    axes: Axes, name: str, true: np.ndarray, predicted: np.ndarray, std: np.ndarray | None
) -> None:
    ends = np.array([min(true.min(), predicted.min()), max(true.max(), predicted.max())])
    ends += np.array([-0.03, 0.03]) * (np.ptp(ends) or 1.0)
    axes.plot(ends, ends, color="0.5", linewidth=1, zorder=0)
    if std is not None:
        axes.errorbar(true, predicted, std, fmt="none", ecolor="0.75", elinewidth=0.8, zorder=1)
    size, alpha = (14, 0.7) if len(true) < _DENSE else (4, 0.3)
    axes.scatter(true, predicted, s=size, color=_COLOR, alpha=alpha, linewidth=0)
    axes.set(
        xlim=ends,
        ylim=ends,
        aspect="equal",
        xlabel=f"{name}, true",
        ylabel=f"{name}, predicted",
        title=f"{name}: MAE {np.abs(true - predicted).mean():.3g}",
    )
    axes.grid(alpha=0.25)


def plot_confusion(counts: np.ndarray, classes: Sequence[str], name: str = "class") -> Figure:
    """How many rows of each class were given which class.

    Parameters
    ----------
    counts : ndarray of int, shape (n_classes, n_classes)
        Rows are true classes, columns predicted ones.
    classes : sequence of str
        Their names.
    name : str, default="class"
        What the classes are.

    Returns
    -------
    Figure
        A matrix with the counts, shaded by the share of each true class. Independent of pyplot,
        so nothing needs closing.

    Raises
    ------
    ValueError
        If `counts` is no square of as many rows as there are classes.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.plots import plot_confusion
    >>> plot_confusion(np.array([[3, 1], [0, 4]]), ["metal", "insulator"]).axes[0].get_title()
    'accuracy 0.875'
    """
    from matplotlib.figure import Figure

    n = len(classes)
    if counts.shape != (n, n) or n == 0:
        raise ValueError(f"counts has shape {counts.shape}; with {n} classes it must be {(n, n)}")
    side = 2.4 + 0.6 * n
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        color = "white" if shares[i, j] > 0.6 else "black"
        axes.text(j, i, str(count), ha="center", va="center", color=color)
    axes.set_xticks(range(n), classes, rotation=45 if n > 3 else 0)
    axes.set_yticks(range(n), classes)
    axes.set(
        xlabel=f"{name}, predicted",
        ylabel=f"{name}, true",
        title=f"accuracy {np.trace(counts) / max(counts.sum(), 1):.3g}",
    )
    return figure
