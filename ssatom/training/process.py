"""What a training changes in its process while it lasts: fewer words, memory that is kept."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
from collections.abc import Iterator
from threading import Lock

_MALLOPT_TRIM_THRESHOLD, _MALLOPT_MMAP_THRESHOLD = -1, -3


_lock = Lock()
_undo = contextlib.ExitStack()
_n_threads = 0


@contextlib.contextmanager
def training_settings() -> Iterator[None]:
    """Context of a training; the first of several threads enters it, and the last leaves it."""
    global _n_threads
    with _lock:
        _n_threads += 1
        if _n_threads == 1:
            _undo.enter_context(_quiet_lightning())
            _undo.enter_context(_keep_freed_memory())
    try:
        yield
    finally:
        with _lock:
            _n_threads -= 1
            if not _n_threads:
                _undo.close()


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
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):  # PyTorch's is second
        os.environ.setdefault(name, "32")
