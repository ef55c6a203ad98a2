"""Normalisation of columns over rows as compiled loops, whose sums have one order of adding."""

from __future__ import annotations

import numpy as np

from ssatom.kernels._jit import compiled, inlined

_ZERO = np.float32(0)
_TOGETHER = 64  # rows; a sum of sums loses fewer digits than one long sum


@inlined
def _move(part, total):  # type: ignore[no-untyped-def]
    for c in range(len(part)):
        total[c] += part[c]
        part[c] = _ZERO


@compiled
def moments(rows, mean, variance):  # type: ignore[no-untyped-def]
    """Mean and variance of each column; both are zero before."""
    n, width = rows.shape
    per_row = np.float32(1 / n)
    part = np.zeros(width, np.float32)
    for low in range(0, n, _TOGETHER):
        for i in range(low, min(low + _TOGETHER, n)):
            row = rows[i]
            for c in range(width):
                part[c] += row[c]
        _move(part, mean)
    for c in range(width):
        mean[c] *= per_row
    for low in range(0, n, _TOGETHER):
        for i in range(low, min(low + _TOGETHER, n)):
            row = rows[i]
            for c in range(width):
                part[c] += (row[c] - mean[c]) * (row[c] - mean[c])
        _move(part, variance)
    for c in range(width):
        variance[c] *= per_row


@compiled
def normalize(rows, mean, scale, shift, out):  # type: ignore[no-untyped-def]
    """(rows - mean) scale + shift."""
    for i in range(len(rows)):
        row, to = rows[i], out[i]
        for c in range(len(mean)):
            to[c] = (row[c] - mean[c]) * scale[c] + shift[c]


@compiled
def normalize_back(rows, grad, mean, scale, inverse, out, grad_weight, grad_bias):  # type: ignore[no-untyped-def]
    """Gradients of the rows, into `out`, of the weight and of the bias, both zero before.

    `inverse` is 1 / standard deviation, and `scale` the weight times it.
    """
    n, width = rows.shape
    per_row = np.float32(1 / n)
    of_weight = np.zeros(width, np.float32)
    of_bias = np.zeros(width, np.float32)
    for low in range(0, n, _TOGETHER):
        for i in range(low, min(low + _TOGETHER, n)):
            row, up = rows[i], grad[i]
            for c in range(width):
                of_weight[c] += up[c] * (row[c] - mean[c])
                of_bias[c] += up[c]
        _move(of_weight, grad_weight)
        _move(of_bias, grad_bias)
    for c in range(width):
        grad_weight[c] *= inverse[c]
        of_weight[c] = grad_weight[c] * inverse[c] * per_row
        of_bias[c] = grad_bias[c] * per_row
    for i in range(n):
        row, up, to = rows[i], grad[i], out[i]
        for c in range(width):
            to[c] = (up[c] - of_bias[c] - (row[c] - mean[c]) * of_weight[c]) * scale[c]
