"""What a training changes in its process while it lasts: fewer words, memory that is kept."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
from collections.abc import Iterator
from threading import Lock

# How many products oneDNN, and PyTorch's layer above it, remember.
_CAPACITIES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
_MALLOPT_TRIM_THRESHOLD, _MALLOPT_MMAP_THRESHOLD = -1, -3


class _WhileAnyTrains:
    """Settings of the process, made by the first of several threads and undone by the last."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_threads = 0
        self._undo = contextlib.ExitStack()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._n_threads += 1
            if self._n_threads == 1:
                self._undo.enter_context(_quiet_lightning())
                self._undo.enter_context(_keep_freed_memory())
        try:
            yield
        finally:
            with self._lock:
                self._n_threads -= 1
                if not self._n_threads:
                    self._undo.close()


training_settings = _WhileAnyTrains()
"""Context in which a training runs; it may be entered by any number of threads at once."""


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """No banners and tips."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)


@contextlib.contextmanager
def _keep_freed_memory() -> Iterator[None]:
    """Let glibc keep large freed blocks, which a training step asks for again at once.

    Else every step returns them to the system and takes the page faults of new ones, which
    cost as much time as the arithmetic.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        mallopt, trim = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):  # another C library
        yield
        return
    mallopt(_MALLOPT_MMAP_THRESHOLD, 1 << 30)
    mallopt(_MALLOPT_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        mallopt(_MALLOPT_MMAP_THRESHOLD, 32 << 20)  # where glibc's own adjustment ends
        mallopt(_MALLOPT_TRIM_THRESHOLD, 64 << 20)
        trim(0)


def forget_old_products() -> None:
    """Let oneDNN, which multiplies in bfloat16, remember few shapes of products.

    No two batches have the same number of edges, and by default a thousand shapes are kept with
    their buffers: gigabytes. The settings are read at the first product in the process; one that
    is set already stays.
    """
    for name in _CAPACITIES:
        os.environ.setdefault(name, "32")
