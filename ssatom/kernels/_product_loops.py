"""Products of rows with a matrix as compiled loops, in one order of adding for every row.

The matrix lies in panels of columns. Three rows at a time take eight rows of a panel, which then
lie in registers and in the nearest cache.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ssatom.kernels._jit import compiled, inlined

_ROWS = 24  # that are worked on together; a multiple of three


@inlined
def _eight(row, k):  # type: ignore[no-untyped-def]
    return (
        row[k], row[k + 1], row[k + 2], row[k + 3], row[k + 4], row[k + 5], row[k + 6], row[k + 7]
    )  # fmt: skip


@inlined
def _eight_below(rows, i, j):  # type: ignore[no-untyped-def]
    return (
        rows[i, j], rows[i + 1, j], rows[i + 2, j], rows[i + 3, j],
        rows[i + 4, j], rows[i + 5, j], rows[i + 6, j], rows[i + 7, j],
    )  # fmt: skip


@inlined
def _add_three(o, m, a, b, d, width):  # type: ignore[no-untyped-def]
    """Add the products of three times eight numbers with eight rows of a panel."""
    for c in range(width):
        w0, w1, w2, w3 = m[c], m[c + width], m[c + 2 * width], m[c + 3 * width]
        w4, w5, w6, w7 = m[c + 4 * width], m[c + 5 * width], m[c + 6 * width], m[c + 7 * width]
        o[c] += (
            a[0] * w0 + a[1] * w1 + a[2] * w2 + a[3] * w3
            + a[4] * w4 + a[5] * w5 + a[6] * w6 + a[7] * w7
        )  # fmt: skip
        o[c + width] += (
            b[0] * w0 + b[1] * w1 + b[2] * w2 + b[3] * w3
            + b[4] * w4 + b[5] * w5 + b[6] * w6 + b[7] * w7
        )  # fmt: skip
        o[c + 2 * width] += (
            d[0] * w0 + d[1] * w1 + d[2] * w2 + d[3] * w3
            + d[4] * w4 + d[5] * w5 + d[6] * w6 + d[7] * w7
        )  # fmt: skip


@functools.cache
def product_loop(width: int) -> Any:
    """The loop that multiplies some rows with panels of `width` columns.

    Its arguments: the first row and the one behind the last; the rows, of shape (n_rows, n_in) with
    n_in a multiple of eight; the panels, of shape (n_panels, n_in × width); what is added to every
    row, of shape (n_out,); what is added to each one, of shape (n_rows, n_out), or empty; and what
    it fills, of shape (n_rows, n_out), where n_out is in the last panel.
    """

    @compiled
    def multiply(start, stop, rows, panels, bias, plus, out):  # type: ignore[no-untyped-def]
        n_in, last = rows.shape[1], len(rows) - 1
        block = np.empty(_ROWS * width, np.float32)
        for j in range(len(panels)):
            panel = panels[j]
            first = j * width
            n_columns = min(width, out.shape[1] - first)
            for low in range(start, stop, _ROWS):
                n = min(_ROWS, stop - low)
                block[:] = np.float32(0)
                for k in range(0, n_in, 8):
                    m = panel[k * width : (k + 8) * width]
                    for p in range(0, n, 3):  # Rows behind the last one repeat it.
                        a = _eight(rows[min(low + p, last)], k)
                        b = _eight(rows[min(low + p + 1, last)], k)
                        d = _eight(rows[min(low + p + 2, last)], k)
                        _add_three(block[p * width : (p + 3) * width], m, a, b, d, width)
                for p in range(n):
                    to = out[low + p]
                    for c in range(n_columns):
                        to[first + c] = block[p * width + c] + bias[first + c]
                    if len(plus) > 0:
                        more = plus[low + p]
                        for c in range(n_columns):
                            to[first + c] += more[first + c]

    return multiply


@functools.cache
def added_products_loop(width: int) -> Any:
    """The loop that adds the products of columns with a panel of `width` others, over all rows.

    Its arguments: the first column and the one behind the last; their rows, of shape (n_rows,
    n_left); the panel, of shape (n_rows × width,); and what it fills, of shape (n_left, width).
    """

    @compiled
    def add(start, stop, left, panel, out):  # type: ignore[no-untyped-def]
        n, n_rows, last = stop - start, len(left), left.shape[1] - 1
        whole = n_rows // 8 * 8
        block = np.zeros((n + 2) // 3 * 3 * width, np.float32)
        for i in range(0, whole, 8):
            m = panel[i * width : (i + 8) * width]
            for p in range(0, n, 3):  # Columns behind the last one repeat it.
                a = _eight_below(left, i, min(start + p, last))
                b = _eight_below(left, i, min(start + p + 1, last))
                d = _eight_below(left, i, min(start + p + 2, last))
                _add_three(block[p * width : (p + 3) * width], m, a, b, d, width)
        for i in range(whole, n_rows):
            m = panel[i * width : (i + 1) * width]
            for p in range(n):
                for c in range(width):
                    block[p * width + c] += left[i, start + p] * m[c]
        for p in range(n):
            for c in range(width):
                out[start + p, c] = block[p * width + c]

    return add
