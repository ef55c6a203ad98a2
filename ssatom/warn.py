"""Warnings that name the user's line, and those of dependencies that tell nobody anything."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from types import FrameType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from ssatom.exceptions import GraphWarning, StructureWarning

# Packages between a user's line and the place that warns; a warning names no line of theirs.
_BETWEEN = {
    *("ssatom", "sklearn", "matminer", "joblib", "tqdm", "lightning", "torch", "numpy", "pandas"),
    *("concurrent", "contextlib", "functools", "multiprocessing", "runpy", "threading"),
}
_OF_WORKER: dict[str, Any] = {"__name__": "<worker process>"}  # and what it has warned of
_Item = TypeVar("_Item")


class _Worker:
    """Stands for this process where it is a worker."""


_WORKER = _Worker()
_TOLD: WeakKeyDictionary[Any, set[Hashable]] = WeakKeyDictionary()


def warn_user(warning: Warning) -> None:
    """Issue a warning at the line of the user's that called this package.

    Calls may go through a pipeline, a search, matminer, a progress bar or threads in between. A
    worker process of joblib does not know the line; there the warning names the process instead.
    """
    frame, _ = _users_frame(sys._getframe(1))
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


def warn_user_of(
    found: Iterable[tuple[Collection[Hashable], _Item]],
    make: Callable[[list[_Item]], Warning],
    workers_too: bool = True,
) -> None:
    """Issue one warning of several things, without those that this call of the user's has told.

    `found` has for each thing what tells it apart from all others, and the thing. A search of
    scikit-learn calls once a fold, with the same structures in other rows. They are told once a
    search; in a worker process, which does not know the search, once, if `workers_too`. Filters
    that show each warning, or raise it, are obeyed.
    """
    found = list(found)
    if not found:
        return
    scope = None if _shows_each(make([item for _, item in found])) else _scope()
    if scope is not None and (workers_too or scope is not _WORKER):
        told = _TOLD.setdefault(scope, set())
        found = [(keys, item) for keys, item in found if not told.issuperset(keys)]
        told.update(*(keys for keys, _ in found))
    if found:
        warn_user(make([item for _, item in found]))


def _scope() -> Any:
    """The joblib.Parallel that the user's call has made, the worker process, or None."""
    from joblib import Parallel

    frame, inner = _users_frame(sys._getframe(1))
    if frame is None:
        return _WORKER
    values = (value for one in reversed(inner) for value in one.f_locals.values())
    return next((value for value in values if isinstance(value, Parallel)), None)


def _shows_each(warning: Warning) -> bool:
    """Whether the first filter that fits, of those for all modules, shows or raises each time."""
    for action, message, category, module, _ in warnings.filters:
        fits = message is None or message.match(str(warning))
        if fits and module is None and isinstance(warning, category):
            return action in ("always", "all", "error")
    return False


def _users_frame(frame: FrameType | None) -> tuple[FrameType | None, list[FrameType]]:
    """The innermost frame that belongs to no package in between, and those within it.

    For a thread it is that of the main thread, which waits at the user's line; None in a worker.
    """
    main = threading.main_thread().ident
    for start in (frame, sys._current_frames().get(main) if main is not None else None):
        inner = []
        while start is not None and _package(start) in _BETWEEN:
            inner.append(start)
            start = start.f_back
        if start is not None:
            return start, inner
    return None, []


@contextmanager
def told_already() -> Iterator[None]:
    """Without warnings about crystals, where an earlier call has given them by row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        warnings.simplefilter("ignore", StructureWarning)
        yield


def ignore_for_good(message: str) -> None:
    """Ignore a warning, by its start, that a dependency raises about itself, if nothing else helps.

    The filter stays: `warnings.catch_warnings` would restore the filters of another thread. It is
    added only where it is not in force yet, since adding one lets all warnings be shown again.
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
