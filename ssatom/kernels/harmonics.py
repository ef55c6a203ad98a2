"""Real spherical harmonics of directions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

N_DEGREES, N_HARMONICS = 5, 25
"""Number of degrees, from 0 to 4, and of the harmonics of all of them."""

FLOOR = 1e-3
"""Least length over the harmonics of a degree; a root has no slope at zero."""

_SQRT3, _SQRT5, _SQRT15, _SQRT35 = (math.sqrt(n) for n in (3, 5, 15, 35))
_A3, _B3 = math.sqrt(5 / 8), math.sqrt(3 / 8)
_A4 = math.sqrt(35 / 8)


def spherical_harmonics(directions: Tensor) -> Tensor:
    """Real spherical harmonics of degree 0 to 4, degree by degree, of unit vectors: shape (25, n).

    They are scaled so that those of one degree have the squared sum 1. The sum of their products
    for two directions is the Legendre polynomial of the cosine between them (Blanco, Flórez &
    Bermejo, J. Mol. Struct. THEOCHEM 419, 19 (1997), 10.1016/S0166-1280(97)00185-1).
    """
    x, y, z = _parts(directions)
    xx, yy, zz, xy = x * x, y * y, z * z, x * y
    difference, across, along = xx - yy, 3 * xx - yy, xx - 3 * yy
    low, high, third = 5 * zz - 1, 7 * zz - 1, 7 * zz - 3
    columns = [
        x * 0 + 1,
        *(x, y, z),
        *(_SQRT3 * xy, _SQRT3 * y * z, (3 * zz - 1) / 2, _SQRT3 * x * z, _SQRT3 / 2 * difference),
        *(_A3 * y * across, _SQRT15 * xy * z, _B3 * y * low, z * (5 * zz - 3) / 2),
        *(_B3 * x * low, _SQRT15 / 2 * z * difference, _A3 * x * along),
        *(_SQRT35 / 2 * xy * difference, _A4 * y * z * across, _SQRT5 / 2 * xy * high),
        *(_A3 * y * z * third, (35 * zz * zz - 30 * zz + 3) / 8, _A3 * x * z * third),
        *(_SQRT5 / 4 * difference * high, _A4 * x * z * along),
        _SQRT35 / 8 * (difference * difference - 4 * xy * xy),
    ]
    if isinstance(x, Tensor):
        return torch.stack(columns)
    # NumPy calls none of torch's threads, which wait in a loop.
    return torch.from_numpy(np.stack(columns))


def _parts(directions: Tensor) -> Any:
    """Columns, as arrays on a CPU."""
    on_cpu = directions.device.type == "cpu" and not directions.requires_grad
    return directions.numpy().T.copy() if on_cpu else directions.unbind(1)
