"""One thread for BLAS, where many small products would wait for each other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = Lock()
_n_inside = 0
_limit: Any = None


@cache
def _controller() -> ThreadpoolController:
    # NumPy's library is loaded by now; to look for it takes a millisecond.
    return ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS work on the thread that calls it, for all threads of the process.

    BLAS shares out matrices of a hundred rows too, and its threads wait for each other in a loop:
    on cores that others use, that took a hundred times as long as one thread. The first of several
    threads enters, and the last leaves.
    """
    global _n_inside, _limit
    with _lock:
        _n_inside += 1
        if _n_inside == 1:
            _limit = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _n_inside -= 1
            if not _n_inside:
                _give_up_control()
                _limit.restore_original_limits()
                _give_up_control()


def _give_up_control() -> None:
    """Let any thread set the limits; threadpoolctl heeds the first that did alone."""
    for library in _controller().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)
