"""Linear maps of rows, to the same bits with any number of threads and in any batch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssatom.exceptions import ParameterError
from ssatom.kernels._threads import run, split_evenly
from ssatom.kernels.available import loops_serve

_TILE = 16  # matrices of other sizes are cut, and rounded, as the number of threads has it
_WIDTHS = (16, 64, 128)  # of panels
_WORTH_A_THREAD = 2_000_000  # products


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, plus: Tensor | None = None
) -> Tensor:
    """``x @ weight.T + bias + plus``, where a row's result depends on that row alone.

    On a CPU in float32 a compiled loop does it, on threads that do not wait in a loop for each
    other, as those of torch do. Elsewhere torch does it.

    Parameters
    ----------
    x : Tensor, shape (n_rows, n_in) or (..., n_in)
        Rows.
    weight : Tensor, shape (n_out, n_in)
        Weights.
    bias : Tensor, shape (n_out,), default=None
        None for 0.
    plus : Tensor, shape (n_rows, n_out) or (..., n_out), default=None
        None for 0.

    Returns
    -------
    Tensor, shape (n_rows, n_out) or (..., n_out)
        Differentiable once by all of them.

    Raises
    ------
    ParameterError
        If the shapes do not fit together.

    Examples
    --------
    >>> import torch
    >>> from ssatom.kernels import linear
    >>> linear(torch.ones(3, 2), torch.ones(4, 2)).shape
    torch.Size([3, 4])
    """
    if x.ndim != 2:
        more = None if plus is None else plus.reshape(-1, len(weight))
        rows = linear(x.reshape(-1, x.shape[-1]), weight, bias, more)
        return rows.reshape(*x.shape[:-1], len(weight))
    shapes = [
        (weight.shape[1:], x.shape[1:]),
        (bias is not None and bias.shape, bias is not None and weight.shape[:1]),
        (plus is not None and plus.shape, plus is not None and (len(x), len(weight))),
    ]
    if any(found != expected for found, expected in shapes):
        given = {"x": x, "weight": weight, "bias": bias, "plus": plus}
        told = ", ".join(f"{k} {tuple(v.shape)}" for k, v in given.items() if v is not None)
        raise ParameterError(f"the shapes of a linear map do not fit together: {told}")
    if loops_serve(*(part for part in (x, weight, bias, plus) if part is not None)):
        if not torch.is_grad_enabled():
            return _multiplied(x, weight.t(), bias, plus)
        return _Product.apply(x, weight, bias, plus)
    if x.device.type != "cpu":
        product = F.linear(x, weight, bias)
    else:
        n_rows, n_out = len(x), len(weight)
        if bias is not None and n_out % _TILE:
            bias = F.pad(bias, (0, -n_out % _TILE))
        product = F.linear(_in_tiles(x), _in_tiles(weight), bias)[:n_rows, :n_out]
    return product if plus is None else product + plus


def _in_tiles(matrix: Tensor) -> Tensor:
    """A matrix with zeros added up to whole tiles; products and their gradients stay the same."""
    more_rows, more_columns = (-size % _TILE for size in matrix.shape)
    if not (more_rows or more_columns):
        return matrix
    return F.pad(matrix, (0, more_columns, 0, more_rows))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, plus):  # type: ignore[override]
        ctx.save_for_backward(x, weight)
        return _multiplied(x, weight.t(), bias, plus)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[override]
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, of_plus = ctx.needs_input_grad
        return (
            _multiplied(grad, weight) if of_x else None,
            _added_products(grad, x) if of_weight else None,
            # NumPy adds rows in their order, whatever the number of threads.
            torch.from_numpy(grad.numpy().sum(axis=0)) if of_bias else None,
            grad if of_plus else None,
        )


def _multiplied(
    rows: Tensor, matrix: Tensor, bias: Tensor | None = None, plus: Tensor | None = None
) -> Tensor:
    from ssatom.kernels._product_loops import product_loop

    (n_rows, n_in), n_out = rows.shape, matrix.shape[1]
    width, whole_in = _panel_width(n_out), n_in + -n_in % 8
    product = rows.new_empty(n_rows, n_out)
    given = (
        _padded(rows, n_rows, whole_in),
        _panels(matrix, whole_in, width),
        np.zeros(n_out, np.float32) if bias is None else _array(bias),
        np.empty((0, n_out), np.float32) if plus is None else _array(plus),
    )
    loop, out = product_loop(width), product.numpy()

    def work(start: int, stop: int) -> None:
        loop(start, stop, *given, out)

    run(work, split_evenly(n_rows, n_in * n_out, _WORTH_A_THREAD))
    return product


def _added_products(left: Tensor, right: Tensor) -> Tensor:
    """Σ_i left_ij right_ik, shape (width of left, width of right)."""
    from ssatom.kernels._product_loops import added_products_loop

    (n_rows, n_left), n_right = left.shape, right.shape[1]
    width, rows = _panel_width(n_right), _array(left)
    panels = _panels(right, n_rows, width)
    out, loop = np.empty((len(panels), n_left, width), np.float32), added_products_loop(width)

    def work(start: int, stop: int) -> None:
        for panel, to in zip(panels, out, strict=True):
            loop(start, stop, rows, panel, to)

    run(work, split_evenly(n_left, n_rows * n_right, _WORTH_A_THREAD))
    return torch.from_numpy(np.concatenate(list(out), axis=1)[:, :n_right])


def _panel_width(n_columns: int) -> int:
    return next((w for w in _WIDTHS if w >= n_columns), _WIDTHS[-1])


def _panels(matrix: Tensor, n_rows: int, width: int) -> np.ndarray:
    """The matrix in panels of columns, shape (n_panels, n_rows × width), zeros behind it."""
    n_panels = -(-matrix.shape[1] // width)
    panels = _padded(matrix, n_rows, n_panels * width).reshape(n_rows, n_panels, width)
    return np.ascontiguousarray(panels.transpose(1, 0, 2)).reshape(n_panels, n_rows * width)


# By NumPy: torch's threads, once called, wait in a loop that takes a processor.
def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().numpy())


def _padded(x: Tensor, n_rows: int, n_columns: int) -> np.ndarray:
    """The numbers, with zeros behind them."""
    if x.shape == (n_rows, n_columns):
        return _array(x)
    padded = np.zeros((n_rows, n_columns), np.float32)
    padded[: len(x), : x.shape[1]] = x.detach().numpy()
    return padded
