"""Directional units as compiled loops over edges that store nothing an edge.

As in the loops of gated messages, one loop is compiled for each width.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ssatom.kernels._gate_loops import _ADDED_TOGETHER, _eight, _move, _of_eight, _spread
from ssatom.kernels._jit import compiled, inlined
from ssatom.kernels.harmonics import FLOOR, N_DEGREES, N_HARMONICS

_ZERO = np.float32(0)
_FLOOR_SQUARED = np.float32(FLOOR**2)


@inlined
def _radial(r, matrix, first, n_groups, row):  # type: ignore[no-untyped-def]
    """Product of an edge vector and the matrix."""
    width = len(r)
    for c in range(width):
        r[c] = _ZERO
    for q in range(n_groups):
        m = matrix[(first + 8 * q) * width : (first + 8 * q + 8) * width]
        g = _eight(row, q)
        for c in range(width):
            r[c] += _of_eight(m, c, width, g)


@inlined
def _five(rows, k, e):  # type: ignore[no-untyped-def]
    """Five numbers of a column, in registers."""
    return rows[k, e], rows[k + 1, e], rows[k + 2, e], rows[k + 3, e], rows[k + 4, e]


@functools.cache
def lengths_loop(width: int) -> Any:
    """The loop that computes the units of some sites, for `width` channels.

    Its arguments: the first site and the one behind the last; `neighbor`, of shape (n_sites,
    width); `matrix`, flat; `edges`, the arrays of `EdgeBands`; `harmonics`, of shape (25, n_edges);
    and what it fills: `moments`, of shape (n_sites, 25 width), or of one row that is used again
    where they are not kept; and `lengths`, of shape (n_sites, 5 width).
    """

    @compiled
    def sum_lengths(start, stop, neighbor, matrix, edges, harmonics, moments, lengths):  # type: ignore[no-untyped-def]
        offsets, sources, first, groups, rows, weights = edges
        u = np.empty(width, np.float32)
        scratch = np.empty(N_HARMONICS * width, np.float32)
        for i in range(start, stop):
            total = moments[i] if len(moments) > 0 else scratch
            total[:] = _ZERO
            for e in range(offsets[i], offsets[i + 1]):
                other = neighbor[sources[e]]
                weight = weights[e]
                _radial(u, matrix, first[e], groups[e], rows[e])
                for c in range(width):
                    u[c] *= weight * other[c]
                for q in range(0, N_HARMONICS, 5):
                    part = total[q * width : (q + 5) * width]
                    y = _five(harmonics, q, e)
                    for c in range(width):
                        part[c] += y[0] * u[c]
                        part[c + width] += y[1] * u[c]
                        part[c + 2 * width] += y[2] * u[c]
                        part[c + 3 * width] += y[3] * u[c]
                        part[c + 4 * width] += y[4] * u[c]
            for degree in range(N_DEGREES):
                out = lengths[i, degree * width : (degree + 1) * width]
                out[:] = _FLOOR_SQUARED
                for m in range(degree**2, (degree + 1) ** 2):
                    part = total[m * width : (m + 1) * width]
                    for c in range(width):
                        out[c] += part[c] * part[c]
                for c in range(width):
                    out[c] = np.sqrt(out[c])

    return sum_lengths


@functools.cache
def lengths_backward_loop(width: int) -> Any:
    """The loop that takes gradients of units back to neighbours and matrix, for `width` channels.

    Its arguments: the first block and the one behind the last; `blocks`, as in the loop of the
    gates; `neighbor`, `matrix`, `edges`, `harmonics`, `moments` and `lengths` as forward;
    `upstream`, of the shape of `lengths`; and what it adds to: `grad_neighbor`, and `grad_matrix`,
    one flat matrix a block.
    """

    @compiled
    def take_back(  # type: ignore[no-untyped-def]
        start, stop, blocks, neighbor, matrix, edges, harmonics, moments, lengths, upstream,
        grad_neighbor, grad_matrix,
    ):  # fmt: skip
        offsets, sources, first, groups, rows, weights = edges
        r = np.empty(width, np.float32)
        t = np.empty(width, np.float32)
        up = np.empty(N_HARMONICS * width, np.float32)
        part = np.zeros(len(matrix), np.float32)
        for b in range(start, stop):
            n_added = 0
            for i in range(blocks[b], blocks[b + 1]):
                for degree in range(N_DEGREES):
                    for m in range(degree**2, (degree + 1) ** 2):
                        for c in range(width):
                            k, n = degree * width + c, m * width + c
                            up[n] = upstream[i, k] / lengths[i, k] * moments[i, n]
                for e in range(offsets[i], offsets[i + 1]):
                    other = neighbor[sources[e]]
                    weight = weights[e]
                    for c in range(width):
                        t[c] = _ZERO
                    for q in range(0, N_HARMONICS, 5):
                        p = up[q * width : (q + 5) * width]
                        y = _five(harmonics, q, e)
                        for c in range(width):
                            low = y[0] * p[c] + y[1] * p[c + width]
                            high = y[2] * p[c + 2 * width] + y[3] * p[c + 3 * width]
                            t[c] += low + (high + y[4] * p[c + 4 * width])
                    for c in range(width):
                        t[c] *= weight
                    _radial(r, matrix, first[e], groups[e], rows[e])
                    of_other = grad_neighbor[sources[e]]
                    for c in range(width):
                        of_other[c] += r[c] * t[c]
                    for c in range(width):
                        t[c] *= other[c]
                    _spread(t, part, first[e], groups[e], rows[e])
                n_added += offsets[i + 1] - offsets[i]
                # A sum of sums loses fewer digits than one long sum.
                if n_added >= _ADDED_TOGETHER or i == blocks[b + 1] - 1:
                    _move(part, grad_matrix[b])
                    n_added = 0

    return take_back
