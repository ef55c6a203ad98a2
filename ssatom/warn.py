"""Warnings that name the user's line, and those of dependencies that tell nobody anything."""

from __future__ import annotations

import sys
import warnings
from itertools import takewhile
from types import FrameType

# Packages between a user's line and the place that warns; a warning names no line of theirs.
_BETWEEN = {
    *("ssatom", "sklearn", "matminer", "joblib", "tqdm", "lightning", "torch", "numpy", "pandas"),
    *("concurrent", "contextlib", "functools", "multiprocessing", "threading"),
}


def warn_user(warning: Warning) -> None:
    """Issue a warning at the line of the user's that called this package.

    Calls may go through a pipeline, a search, matminer or a progress bar in between.

    Parameters
    ----------
    warning : Warning
        The warning.
    """
    frame, levels = sys._getframe(1), 2
    while frame.f_back is not None and _package(frame) in _BETWEEN:
        frame, levels = frame.f_back, levels + 1
    warnings.warn(warning, stacklevel=levels)


def ignore_for_good(message: str) -> None:
    """Ignore a warning that a dependency raises about itself, where there is no other way.

    The filter stays: `warnings.catch_warnings` would restore the filters of another thread. It is
    added only where it is not in force yet, since adding one lets all warnings be shown again.

    Parameters
    ----------
    message : str
        Start of the warning, as a regular expression.
    """
    in_force = takewhile(lambda entry: entry[0] == "ignore", warnings.filters)
    if not any(entry[1] and entry[1].pattern == message for entry in in_force):
        warnings.filterwarnings("ignore", message)


def _package(frame: FrameType) -> str:
    return frame.f_globals.get("__name__", "").partition(".")[0]
