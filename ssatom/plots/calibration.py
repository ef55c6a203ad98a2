"""Predicted uncertainties against observed errors."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from ssatom.exceptions import ParameterError
from ssatom.plots._checks import mapping, vector
from ssatom.plots._style import legend_below, mark, panels_of, with_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEVELS = np.arange(0.05, 0.96, 0.05)
_BINS = 10
_IN_BIN = 10  # rows that a bin has at least, if there are as many


def plot_calibration(models: Mapping[str, tuple[Any, Any, Any]], *, unit: str) -> Figure:
    """Observed against expected fractions within predicted intervals, and errors against widths.

    The left panel takes the predicted distribution to be normal: of its central intervals that
    should hold 5 %, 10 %, ... 95 % of the rows, how many hold them. The right panel sorts rows by
    predicted standard deviation into ten bins of equal numbers (fewer of less than 100 rows) and
    compares, bin by bin, the root mean squares of error and of predicted standard deviation [1]_.

    Parameters
    ----------
    models : mapping of triples
        By name: true values, predictions and predicted standard deviations, each array-like of
        shape (n_rows,) and in the same unit.
    unit : str
        Unit of all of them, such as "eV"; may be empty.

    Returns
    -------
    Figure
        Two panels; on the diagonals, uncertainties are right.

    Raises
    ------
    ParameterError
        If there is nothing to draw, lengths differ, or a standard deviation is not positive.

    References
    ----------
    .. [1] D. Levi et al., Evaluating and Calibrating Uncertainty Prediction in Regression Tasks,
       Sensors 22, 5540 (2022). https://doi.org/10.3390/s22155540

    Examples
    --------
    >>> from ssatom.plots import plot_calibration
    >>> y, predictions, std = [1.0, 2.0, 3.0], [1.1, 1.8, 3.3], [0.1, 0.2, 0.3]
    >>> figure = plot_calibration({"ensemble": (y, predictions, std)}, unit="eV")
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['observed fraction of rows', 'root mean square error (eV)']
    """
    checked = {name: _errors(triple, name) for name, triple in mapping(models, "models").items()}
    figure, (left, right) = panels_of(["", ""], size=(4.3, 4.4), square=True)
    for axes in (left, right):
        axes.axline((0, 0), slope=1, color="0.35", linestyle="--", linewidth=1, zorder=1)
    largest = 0.0
    for i, (name, (errors, std)) in enumerate(checked.items()):
        style = {**mark(i), "markersize": 5}
        left.plot(_LEVELS, _observed(errors, std), label=name, **style)
        widths, sizes = _binned(errors, std)
        right.plot(widths, sizes, **style)
        largest = max(largest, *widths, *sizes)
    words: dict[str, Any] = {"color": "0.45", "transform": left.transAxes, "fontstyle": "italic"}
    left.text(0.04, 0.95, "intervals too wide", va="top", **words)
    left.text(0.97, 0.04, "intervals too narrow", ha="right", **words)
    left.set(xlabel="expected fraction of rows within interval", ylabel="observed fraction of rows")
    left.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    limits = (0, 1.06 * largest)
    right.set(xlim=limits, ylim=limits, aspect="equal")
    right.set(
        xlabel=with_unit("predicted standard deviation", unit),
        ylabel=with_unit("root mean square error", unit),
    )
    legend_below(figure)
    return figure


def _errors(triple: tuple[Any, Any, Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Absolute errors and predicted standard deviations of a model."""
    where = f"models[{name!r}]"
    if not isinstance(triple, tuple | list) or len(triple) != 3:
        raise ParameterError(
            f"{where} needs true values, predictions and standard deviations; "
            f"got {type(triple).__name__}"
        )
    y = vector(triple[0], f"true values of {where}")
    predictions = vector(triple[1], f"predictions of {where}", len(y))
    std = vector(triple[2], f"standard deviations of {where}", len(y))
    if (std <= 0).any():
        row = int(np.flatnonzero(std <= 0)[0])
        raise ParameterError(
            f"standard deviations of {where} need to be positive; that of row {row} is {std[row]}"
        )
    return np.abs(y - predictions), std


def _observed(errors: np.ndarray, std: np.ndarray) -> list[float]:
    """Fraction of rows inside the central interval of each level."""
    widths = [NormalDist().inv_cdf((1 + level) / 2) for level in _LEVELS]
    return [float(np.mean(errors <= width * std)) for width in widths]


def _binned(errors: np.ndarray, std: np.ndarray) -> tuple[list[float], list[float]]:
    """Root mean squares of standard deviation and error in bins of equal numbers of rows."""
    bins = max(1, min(_BINS, len(std) // _IN_BIN))
    parts = np.array_split(np.argsort(std, kind="stable"), bins)
    widths = [float(np.sqrt(np.mean(std[rows] ** 2))) for rows in parts]
    sizes = [float(np.sqrt(np.mean(errors[rows] ** 2))) for rows in parts]
    return widths, sizes
