"""Warnings that name the user's line, and those of dependencies that tell nobody anything."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from itertools import takewhile
from types import FrameType
from typing import Any

# Packages between a user's line and the place that warns; a warning names no line of theirs.
_BETWEEN = {
    *("ssatom", "sklearn", "matminer", "joblib", "tqdm", "lightning", "torch", "numpy", "pandas"),
    *("concurrent", "contextlib", "functools", "multiprocessing", "runpy", "threading"),
}
_OF_WORKER: dict[str, Any] = {"__name__": "<worker process>"}  # and what it has warned of


def warn_user(warning: Warning) -> None:
    """Issue a warning at the line of the user's that called this package.

    Calls may go through a pipeline, a search, matminer, a progress bar or threads in between. A
    worker process of joblib does not know the line; there the warning names the process instead.

    Parameters
    ----------
    warning : Warning
        The warning.
    """
    frame = _users_frame(sys._getframe(1))
    if frame is None:  # of a thread; the main one waits for it at the user's line
        main = threading.main_thread().ident
        frame = _users_frame(sys._current_frames().get(main)) if main is not None else None
    place: tuple[str, int] = ("<worker process>", 1)
    names: dict[str, Any] = _OF_WORKER
    if frame is not None:
        place, names = (frame.f_code.co_filename, frame.f_lineno), frame.f_globals
    warnings.warn_explicit(
        warning,
        type(warning),
        *place,
        module=names.get("__name__", "<string>"),
        registry=names.setdefault("__warningregistry__", {}),
    )


def _users_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame that belongs to no package in between."""
    while frame is not None and _package(frame) in _BETWEEN:
        frame = frame.f_back
    return frame


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
    name, spec = frame.f_globals.get("__name__", ""), frame.f_globals.get("__spec__")
    if name == "__main__" and spec is not None:  # a module that was run, such as joblib's worker
        name = spec.name
    return name.partition(".")[0]


def quiet_spglib() -> None:
    """Keep spglib from warning about its own interface, and from printing where it fails."""
    ignore_for_good("Set OLD_ERROR_HANDLING to false")  # at any call
    os.environ.setdefault("SPGLIB_WARNING", "OFF")  # read whenever it would print
