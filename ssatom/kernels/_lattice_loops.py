"""Short, nearly orthogonal vectors of a lattice in axes of their own.

The first vector lies along x, the second in the xy plane: the lattice is a lower triangle R, and
bricks with the edges R₁₁, R₂₂ and R₃₃ fill space as its cells do.
"""

from __future__ import annotations

import numpy as np

from ssatom.kernels._jit import compiled, inlined

_SHORTER = 1 - 1e-9  # of the squared length; less is rounding
_ROUNDS = 1000  # the most skewed lattices of float64 need about fifty


@inlined
def dot(a, b):  # type: ignore[no-untyped-def]
    """Scalar product of two vectors of length 3."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled
def _add(b, i, p, j, q, k):  # type: ignore[no-untyped-def]
    """Add p times vector j and q times vector k to vector i if that makes it shorter."""
    length = 0.0
    for c in range(3):
        length += (b[i, c] + p * b[j, c] + q * b[k, c]) ** 2
    if not length < _SHORTER * dot(b[i], b[i]):
        return False
    for c in range(3):
        b[i, c] += p * b[j, c] + q * b[k, c]
    return True


@compiled
def reduced(lattice):  # type: ignore[no-untyped-def]
    """Vectors that span the same lattice, none of which another one can shorten; one a row."""
    b = lattice.copy()
    for _ in range(_ROUNDS):
        changed = False
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            changed |= _add(b, i, -np.rint(dot(b[i], b[j]) / dot(b[j], b[j])), j, 0.0, k)
            changed |= _add(b, i, 0.0, j, -np.rint(dot(b[i], b[k]) / dot(b[k], b[k])), k)
            for sign in range(4):
                changed |= _add(b, i, 1.0 - 2 * (sign % 2), j, 1.0 - 2 * (sign // 2), k)
        if not changed:
            break
    return b


@compiled
def triangle(b):  # type: ignore[no-untyped-def]
    """The lower triangle R of vectors b, and the axes in which they are R, one a row."""
    axes = np.zeros((3, 3))
    r = np.zeros((3, 3))
    for i in range(3):
        for c in range(3):
            axes[i, c] = b[i, c]
        for k in range(2 * i):  # The second time takes the rounding of the first one away.
            part = dot(axes[i], axes[k % i])
            r[i, k % i] += part
            for c in range(3):
                axes[i, c] -= part * axes[k % i, c]
        r[i, i] = np.sqrt(dot(axes[i], axes[i]))
        for c in range(3):
            axes[i, c] /= r[i, i]
    return r, axes


@compiled
def measures(lattice):  # type: ignore[no-untyped-def]
    """Length of a shortest vector of a lattice, and the edges of a brick as above."""
    b = reduced(lattice)
    shortest = min(dot(b[0], b[0]), dot(b[1], b[1]), dot(b[2], b[2]))
    r = triangle(b)[0]
    return np.sqrt(shortest), r[0, 0], r[1, 1], r[2, 2]
