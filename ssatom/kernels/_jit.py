"""How loops are compiled: by numba, when they are first called, and kept on disk if possible."""

from __future__ import annotations

import contextlib
import functools
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numba
from numba.core.caching import FunctionCache

# Sums may be reordered and products fused. "nnan" and "ninf" stay off: a diverged training must
# come out as NaN.
_FAST = {"contract", "reassoc", "nsz"}


class _ForgivingCache(FunctionCache):
    """Compiled code on disk; a disk that is full, gone or damaged costs time and nothing else."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever a damaged pickle raises
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            try:
                super().save_overload(sig, data)
            except (EOFError, pickle.UnpicklingError):  # The index is damaged; start a new one.
                self.flush()
                super().save_overload(sig, data)
        except Exception as error:
            _tell_once(f"{type(error).__name__}: {error}")


@functools.cache
def _tell_once(reason: str) -> None:
    warnings.warn(
        f"compiled kernels cannot be kept on disk ({reason}), so each process compiles its own; "
        "set NUMBA_CACHE_DIR to a folder that can be written",
        RuntimeWarning,
        stacklevel=2,
    )


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a loop at its first call, without numba's own threads and without Python's lock.

    The loop takes arrays and numbers. Indices are not checked.
    """
    loop: Any = numba.njit(fastmath=_FAST, error_model="numpy", nogil=True)(function)
    with contextlib.suppress(RuntimeError, OSError):  # numba's own where no folder can be written
        loop._cache = _ForgivingCache(function)
    return loop


def inlined(function: Callable[..., Any]) -> Any:
    """Compile what loops call for every element; a call there would end their vectorisation."""
    return numba.njit(fastmath=_FAST, error_model="numpy", forceinline=True)(function)
