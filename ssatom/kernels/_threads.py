"""Ranges of one loop on several threads: none of numba's own, which neither fork nor nest.

Whoever calls works too, and threads that are free help. So callers in many threads of joblib or
dask share one set of helpers, and none of them waits for a helper that never came.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

_RANGES_PER_THREAD = 4  # so that threads end together


def n_threads() -> int:
    """Threads that torch may use, and that have a processor."""
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), processors))


@functools.lru_cache(maxsize=1)
def _helpers(process: int, count: int) -> ThreadPoolExecutor:
    """Threads of this process; after a fork, the parent's do not exist."""
    return ThreadPoolExecutor(count, thread_name_prefix=f"ssatom-kernels-{process}")


def split(offsets: np.ndarray, least: int) -> list[tuple[int, int]]:
    """Ranges of items of about equal work: the first item of each and the one behind its last.

    `offsets`, of shape (n_items + 1,), are the work before each item; `least` is worth a thread.
    """
    n_items, work = len(offsets) - 1, int(offsets[-1])
    n_ranges = _n_ranges(work, least)
    cuts = np.searchsorted(offsets, np.arange(1, n_ranges) * (work / n_ranges))
    return _ranges([0, *cuts.tolist(), n_items])


def split_evenly(n_items: int, work: int, least: int) -> list[tuple[int, int]]:
    """The same for items that are as much work each."""
    n_ranges = _n_ranges(n_items * work, least)
    return _ranges([n_items * k // n_ranges for k in range(n_ranges + 1)])


def _n_ranges(work: int, least: int) -> int:
    worth = work // least
    threads = n_threads() if worth > 1 else 1
    return min(threads * _RANGES_PER_THREAD, worth) if threads > 1 else 1


def _ranges(bounds: list[int]) -> list[tuple[int, int]]:
    return [(a, b) for a, b in itertools.pairwise(bounds) if b > a]


def run(work: Callable[[int, int], object], ranges: list[tuple[int, int]]) -> None:
    """Call `work` on every range, on as many threads as torch may use.

    Parameters
    ----------
    work : callable
        Of the first item and the one behind the last. No two ranges may write to one place; a
        range that holds Python's lock keeps the other threads waiting. It may call `run` itself.
    ranges : list of (int, int)
        From `split`.
    """
    if len(ranges) == 1:
        work(*ranges[0])
        return
    waiting = deque(ranges)

    def take() -> None:
        while waiting:
            try:
                one = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            work(*one)

    count = min(n_threads(), len(ranges)) - 1
    helpers: list[Future[None]] = []
    if count > 0:
        with contextlib.suppress(RuntimeError):  # no more threads, or Python is about to end
            pool = _helpers(os.getpid(), n_threads() - 1)
            for _ in range(count):
                helpers.append(pool.submit(take))
    take()
    for helper in helpers:
        if not helper.cancel():
            helper.result()
