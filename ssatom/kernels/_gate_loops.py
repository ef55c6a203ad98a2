"""Gated messages as compiled loops over edges that store nothing an edge.

One loop is compiled for each width. With the width known, the rows of an array lie at known
distances, so that the loop over units needs few checks for overlap and becomes vector code.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ssatom.kernels._jit import compiled, inlined

_ONE, _TWO, _ZERO = np.float32(1), np.float32(2), np.float32(0)
_FAR = np.float32(40)  # exp(-40) is nothing beside 1, and exp(40) leaves room for products
_LOG2E, _LN2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
_MANTISSA = np.int32(23)  # bits
_ADDED_TOGETHER = 1024  # edges


def _polynomial(function: Any, low: float, high: float, degree: int) -> tuple[np.float32, ...]:
    """Coefficients of a nearly best polynomial, lowest power first."""
    nodes = np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    x = low + (nodes + 1) / 2 * (high - low)
    fit = np.polynomial.Chebyshev.fit(x, function(x), degree, domain=[low, high])
    return tuple(np.float32(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef)


# Loops take numbers one by one as constants.
_E0, _E1, _E2, _E3, _E4, _E5 = _polynomial(np.exp, -np.log(2) / 2, np.log(2) / 2, 5)
# 2 artanh(√y) / √y, for log(1 + u) = 2 artanh(u / (2 + u))
_L0, _L1, _L2, _L3, _L4 = _polynomial(
    lambda y: 2 * np.arctanh(np.sqrt(y)) / np.sqrt(y), 1e-9, 1 / 9, 4
)


@inlined
def exp(x):  # type: ignore[no-untyped-def]
    """exp(x) for x from -40 to 40, to 2e-7; NaN stays NaN."""
    n = np.rint(x * _LOG2E)
    r = x - n * _LN2
    p = _E5
    p = p * r + _E4
    p = p * r + _E3
    p = p * r + _E2
    p = p * r + _E1
    p = p * r + _E0
    power = np.int32(n) << _MANTISSA  # 2ⁿ by adding to the exponent's bits
    return np.int32(power + np.float32(p).view(np.int32)).view(np.float32)


# Comparisons are written so that NaN fails them and is passed on.
@inlined
def _exp_of_minus(f):  # type: ignore[no-untyped-def]
    x = -f
    x = _FAR if x > _FAR else x
    x = -_FAR if x < -_FAR else x
    return exp(x)


@inlined
def _exp_of_minus_abs(s):  # type: ignore[no-untyped-def]
    x = -abs(s)
    x = -_FAR if x < -_FAR else x
    return exp(x)


@inlined
def _log1p(t):  # type: ignore[no-untyped-def]
    """log(1 + u) of t = u / (2 + u), u from 0 to 1."""
    y = t * t
    q = _L4
    q = q * y + _L3
    q = q * y + _L2
    q = q * y + _L1
    q = q * y + _L0
    return t * q


@inlined
def _gate(f, s):  # type: ignore[no-untyped-def]
    """σ(f) softplus(s); one division serves both."""
    a = _ONE + _exp_of_minus(f)
    u = _exp_of_minus_abs(s)
    b = _TWO + u
    r = _ONE / (a * b)
    positive = _ZERO if s < _ZERO else s
    return b * r * (positive + _log1p(u * a * r))


@inlined
def _gate_and_slopes(f, s):  # type: ignore[no-untyped-def]
    """σ(f) softplus(s) with its derivatives by f and by s."""
    ef = _exp_of_minus(f)
    u = _exp_of_minus_abs(s)
    a = _ONE + ef
    b = _TWO + u
    c = _ONE + u
    r = _ONE / (a * b * c)
    opened = b * c * r
    closed = ef * opened  # 1 - σ(f) would lose all digits where the gate is open
    positive = _ZERO if s < _ZERO else s
    gate = opened * (positive + _log1p(u * a * c * r))
    slope = (u if s < _ZERO else _ONE) * a * b * r  # σ(s)
    return gate, gate * closed, opened * slope


@inlined
def _of_eight(m, c, step, g):  # type: ignore[no-untyped-def]
    """Unit c of eight numbers times as many rows."""
    low = g[0] * m[c] + g[1] * m[c + step] + g[2] * m[c + 2 * step] + g[3] * m[c + 3 * step]
    high = g[4] * m[c + 4 * step] + g[5] * m[c + 5 * step]
    return low + (high + g[6] * m[c + 6 * step] + g[7] * m[c + 7 * step])


@inlined
def _eight(row, q):  # type: ignore[no-untyped-def]
    """Group q of a row, in registers."""
    k = 8 * q
    return (
        row[k], row[k + 1], row[k + 2], row[k + 3], row[k + 4], row[k + 5], row[k + 6], row[k + 7]
    )  # fmt: skip


@inlined
def _sum_logits(z, own, other, matrix, first, n_groups, row):  # type: ignore[no-untyped-def]
    """Both logits of every unit; most edge vectors have one group of eight."""
    both = len(z)
    m = matrix[first * both : (first + 8) * both]
    g = _eight(row, 0)
    for c in range(both):
        z[c] = own[c] + other[c] + _of_eight(m, c, both, g)
    for q in range(1, n_groups):
        m = matrix[(first + 8 * q) * both : (first + 8 * q + 8) * both]
        g = _eight(row, q)
        for c in range(both):
            z[c] += _of_eight(m, c, both, g)


@functools.cache
def forward_loop(width: int) -> Any:
    """The loop that sums the messages of some sites, for messages of `width` units.

    Its arguments: the first site and the one behind the last; `nodes`, of shape (2 n_sites,
    2 width), with two rows a site, the second of which it gives to its neighbours; `matrix`, flat;
    `edges`, the arrays of `EdgeBands`; and `out`, of shape (n_sites, width), which it fills.
    """
    both = 2 * width

    @compiled
    def sum_messages(start, stop, nodes, matrix, edges, out):  # type: ignore[no-untyped-def]
        offsets, sources, first, groups, rows, weights = edges
        z = np.empty(both, np.float32)
        for i in range(start, stop):
            own = nodes[2 * i]
            total = out[i]
            total[:] = _ZERO
            for e in range(offsets[i], offsets[i + 1]):
                other = nodes[2 * sources[e] + 1]
                weight = weights[e]
                _sum_logits(z, own, other, matrix, first[e], groups[e], rows[e])
                for c in range(width):
                    total[c] += weight * _gate(z[c], z[c + width])

    return sum_messages


@inlined
def _spread(z, matrix, first, n_groups, row):  # type: ignore[no-untyped-def]
    """Add the outer product of an edge vector and its gradients to the matrix."""
    both = len(z)
    for q in range(n_groups):
        m = matrix[(first + 8 * q) * both : (first + 8 * q + 8) * both]
        g = _eight(row, q)
        for c in range(both):
            m[c] += g[0] * z[c]
            m[c + both] += g[1] * z[c]
            m[c + 2 * both] += g[2] * z[c]
            m[c + 3 * both] += g[3] * z[c]
            m[c + 4 * both] += g[4] * z[c]
            m[c + 5 * both] += g[5] * z[c]
            m[c + 6 * both] += g[6] * z[c]
            m[c + 7 * both] += g[7] * z[c]


@inlined
def _add(part, total):  # type: ignore[no-untyped-def]
    for c in range(len(part)):
        total[c] += part[c]


@inlined
def _back_to_row(z, matrix, row):  # type: ignore[no-untyped-def]
    """Gradient of an edge vector."""
    for k in range(len(row)):
        total = _ZERO
        m = matrix[k * len(z) : (k + 1) * len(z)]
        for c in range(len(z)):
            total += z[c] * m[c]
        row[k] = total


@inlined
def _move(part, total):  # type: ignore[no-untyped-def]
    for c in range(len(part)):
        total[c] += part[c]
        part[c] = _ZERO


@functools.cache
def backward_loop(width: int) -> Any:
    """The loop that takes gradients of sums back to what they were made of.

    Its arguments: the first block and the one behind the last; `blocks`, the first site of each
    block and the end, between which no edge leads from block to block; `nodes`, `matrix` and
    `edges` as in the forward loop; `upstream`, of shape (n_sites, width); and what it fills:
    `grad_nodes`, zero before; `grad_matrix`, zero before, one flat matrix a block; `grad_rows`, of
    shape (n_edges, edge_dim), or empty where it is not asked for; and `grad_weights`, of shape
    (n_edges,).
    """
    both = 2 * width

    @compiled
    def take_back(  # type: ignore[no-untyped-def]
        start, stop, blocks, nodes, matrix, edges, upstream,
        grad_nodes, grad_matrix, grad_rows, grad_weights,
    ):  # fmt: skip
        offsets, sources, first, groups, rows, weights = edges
        z = np.empty(both, np.float32)
        sum_of_own = np.zeros(both, np.float32)
        part = np.zeros(len(matrix), np.float32)
        for b in range(start, stop):
            n_added = 0
            for i in range(blocks[b], blocks[b + 1]):
                own, up = nodes[2 * i], upstream[i]
                for e in range(offsets[i], offsets[i + 1]):
                    other, of_other = nodes[2 * sources[e] + 1], grad_nodes[2 * sources[e] + 1]
                    weight = weights[e]
                    message = _ZERO
                    _sum_logits(z, own, other, matrix, first[e], groups[e], rows[e])
                    for c in range(width):
                        k = c + width
                        gate, by_f, by_s = _gate_and_slopes(z[c], z[k])
                        message += up[c] * gate
                        z[c] = up[c] * weight * by_f
                        z[k] = up[c] * weight * by_s
                    grad_weights[e] = message
                    _add(z, sum_of_own)
                    _add(z, of_other)
                    _spread(z, part, first[e], groups[e], rows[e])
                    if len(grad_rows) > 0:
                        _back_to_row(z, matrix, grad_rows[e])
                _move(sum_of_own, grad_nodes[2 * i])
                n_added += offsets[i + 1] - offsets[i]
                # A sum of sums loses fewer digits than one long sum.
                if n_added >= _ADDED_TOGETHER or i == blocks[b + 1] - 1:
                    _move(part, grad_matrix[b])
                    n_added = 0

    return take_back
