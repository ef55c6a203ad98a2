"""Figures from arrays and tables. Matplotlib is imported when the first one is drawn."""

from ssatom.plots.history import plot_curves, plot_history
from ssatom.plots.validation import plot_confusion, plot_parity

__all__ = ["plot_confusion", "plot_curves", "plot_history", "plot_parity"]
