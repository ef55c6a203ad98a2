"""Figures from arrays and tables.

Each function returns a Matplotlib figure that is independent of pyplot, so nothing needs closing.
In a notebook it is shown where it is the last value of a cell; elsewhere, save it with ``savefig``.
Matplotlib is imported when the first one is drawn.
"""

from __future__ import annotations

from ssatom.plots.calibration import plot_calibration
from ssatom.plots.confusion import plot_confusion
from ssatom.plots.history import plot_curves, plot_history
from ssatom.plots.layers import plot_layer_errors
from ssatom.plots.maps import plot_map
from ssatom.plots.parity import Parity, plot_parity
from ssatom.plots.sites import plot_sites

__all__ = [
    "Parity",
    "plot_calibration",
    "plot_confusion",
    "plot_curves",
    "plot_history",
    "plot_layer_errors",
    "plot_map",
    "plot_parity",
    "plot_sites",
]
