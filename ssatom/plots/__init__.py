"""Figures from arrays and tables. Matplotlib is imported when the first one is drawn."""

from __future__ import annotations

from ssatom.plots.bars import plot_grouped_bars
from ssatom.plots.calibration import plot_calibration
from ssatom.plots.confusion import plot_confusion
from ssatom.plots.history import plot_curves, plot_history
from ssatom.plots.layers import plot_layer_errors
from ssatom.plots.learning import plot_learning_curve
from ssatom.plots.map import plot_map
from ssatom.plots.parity import Parity, plot_parity
from ssatom.plots.similarity import plot_similarity

__all__ = [
    "Parity",
    "plot_calibration",
    "plot_confusion",
    "plot_curves",
    "plot_grouped_bars",
    "plot_history",
    "plot_layer_errors",
    "plot_learning_curve",
    "plot_map",
    "plot_parity",
    "plot_similarity",
]
