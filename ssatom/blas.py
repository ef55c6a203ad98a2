"""One thread for BLAS, where many small products would wait for each other."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    # NumPy's library is loaded by now; to look for it takes a millisecond.
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[Any]:
    """Let BLAS work on the thread that calls it.

    BLAS shares out matrices of a hundred rows too, and its threads wait for each other in a loop:
    on cores that others use, that took a hundred times as long as one thread.
    """
    return _controller().limit(limits=1, user_api="blas")
