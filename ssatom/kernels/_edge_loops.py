"""Compiled loops over edge vectors: where they differ from zero, and their sums by site."""

from __future__ import annotations

import numpy as np

from ssatom.kernels._gate_loops import exp
from ssatom.kernels._jit import compiled

_SMALL = np.float32(6.5e-8)  # of a row's sum: what float32 loses when it adds up anyway

_LOWEST = np.float32(-40)  # exp of less is nothing
_HALF, _ONE, _TWO, _PI = np.float32(0.5), np.float32(1), np.float32(2), np.float32(np.pi)


def _arctangent(degree: int) -> tuple[np.float32, ...]:
    """Coefficients of arctan(√y) / (π √y) for y from 0 to tan²(π/8), lowest power first."""
    y = (np.cos(np.pi * (np.arange(400) + 0.5) / 400) + 1) / 2 * np.tan(np.pi / 8) ** 2
    fit = np.polynomial.Chebyshev.fit(y, np.arctan(np.sqrt(y)) / np.sqrt(y) / np.pi, degree)
    return tuple(np.float32(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef)


_A0, _A1, _A2, _A3, _A4 = _arctangent(4)


@compiled
def gaussian_rows(start, stop, distances, centers, per_width, out):  # type: ignore[no-untyped-def]
    """exp(-((d - μ) / width)²) of the distances from `start` to `stop`."""
    for e in range(start, stop):
        row = out[e]
        for k in range(len(centers)):
            x = (distances[e] - centers[k]) * per_width
            x = -x * x
            row[k] = exp(_LOWEST if x < _LOWEST else x)  # NaN is passed on.


@compiled
def step_rows(start, stop, distances, radii, per_width, out):  # type: ignore[no-untyped-def]
    """1/2 + arctan((r - d) / width) / π of the distances from `start` to `stop`."""
    for e in range(start, stop):
        row = out[e]
        for k in range(len(radii)):
            x = (radii[k] - distances[e]) * per_width
            size = abs(x)
            # Above 1, arctan(x) = π/2 - arctan(1/x); t is at most tan(π/8) after half the angle.
            far = size > _ONE
            t = _ONE / size if far else size
            t = t / (_ONE + np.sqrt(_ONE + t * t))
            y = t * t
            angle = _TWO * t * ((((_A4 * y + _A3) * y + _A2) * y + _A1) * y + _A0)
            angle = _HALF - angle if far else angle
            row[k] = _HALF + (angle if x > np.float32(0) else -angle)


@compiled
def find_bands(rows, first, groups):  # type: ignore[no-untyped-def]
    """The first number of each row that counts, and how many groups of eight from there on.

    A group does not reach past the end of a row, whose length is made up to a multiple of eight.
    """
    n = np.int32(rows.shape[1])
    length = (n + 7) // 8 * 8
    most = 1
    for e in range(len(rows)):
        row = rows[e]
        total = np.float32(0)
        for k in range(n):
            total += abs(row[k])
        bound = _SMALL * total
        low, high = n, np.int32(-1)
        for k in range(n):  # Without branches, so that it becomes vector code.
            counts = not abs(row[k]) <= bound  # NaN counts, and so is passed on.
            low = min(low, np.int32(k) if counts else n)
            high = max(high, np.int32(k) if counts else np.int32(-1))
        n_groups = max((high - low + 8) // 8, 1)
        first[e] = max(0, min(low, length - 8 * n_groups))
        groups[e] = n_groups
        most = max(most, n_groups)
    return most


@compiled
def take_bands(rows, first, groups, bands):  # type: ignore[no-untyped-def]
    """Copy each row from its first number on."""
    for e in range(len(rows)):
        for k in range(min(8 * groups[e], rows.shape[1] - first[e])):
            bands[e, k] = rows[e, first[e] + k]


@compiled
def closed_blocks(offsets, sources, least, starts):  # type: ignore[no-untyped-def]
    """Cut the sites into blocks of at least some edges that no edge leaves; returns how many.

    `starts` receives the first site of each block, and the end.
    """
    n = len(offsets) - 1
    lowest = np.empty(n + 1, np.int64)  # site that this one or a later one listens to
    lowest[n] = n
    for i in range(n - 1, -1, -1):
        lowest[i] = min(lowest[i + 1], i)
        for e in range(offsets[i], offsets[i + 1]):
            lowest[i] = min(lowest[i], sources[e])
    n_blocks = 0
    highest = -1
    starts[0] = 0
    for i in range(n):
        if highest < i <= lowest[i] and offsets[i] - offsets[starts[n_blocks]] >= least:
            n_blocks += 1
            starts[n_blocks] = i
        highest = max(highest, i)
        for e in range(offsets[i], offsets[i + 1]):
            highest = max(highest, sources[e])
    starts[n_blocks + 1] = n
    return n_blocks + 1


@compiled
def sum_rows(start, stop, offsets, rows, weights, out):  # type: ignore[no-untyped-def]
    """Σ_j w_ij rows_ij of the sites from `start` to `stop`."""
    for i in range(start, stop):
        total = out[i]
        total[:] = np.float32(0)
        for e in range(offsets[i], offsets[i + 1]):
            row = rows[e]
            weight = weights[e]
            for k in range(len(row)):
                total[k] += weight * row[k]
