"""Where compiled loops serve, and where torch does the same."""

from __future__ import annotations

import functools
import warnings

import torch
from torch import Tensor


@functools.cache
def loops_work() -> bool:
    """Whether numba is there and compiles; a RuntimeWarning tells if it is there and cannot.

    With ``NUMBA_DISABLE_JIT=1`` it does not either: loops in plain Python are slower than torch.
    """
    try:
        import numba

        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
            return False
        import numpy as np

        from ssatom.kernels._edge_loops import find_bands

        one = np.zeros(1, np.int32)
        find_bands(np.ones((1, 1), np.float32), one, one.copy())
    except Exception as error:  # whatever a broken installation raises
        warnings.warn(
            f"numba compiles nothing here ({type(error).__name__}: {error}), so that convolutions "
            "and neighbour searches are several times slower; reinstall numba",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def loops_serve(*tensors: Tensor) -> bool:
    """Whether compiled loops serve the tensors that they would read: all float32, all on a CPU."""
    plain = all(x.dtype == torch.float32 and x.is_cpu for x in tensors)
    return plain and loops_work()
