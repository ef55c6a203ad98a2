"""Batch normalisation, whose sums over a batch do not depend on the number of threads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssatom.kernels.available import loops_serve
from ssatom.kernels.edges import arrays


def batch_normalized(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` of each column over the rows of `x`.

    Gives the normalized rows, differentiable by `x`, `weight` and `bias` (once where loops do it),
    and mean and variance of the columns, with n in the denominator and without gradient. On a CPU
    in float32 compiled loops do it. Elsewhere torch does it.
    """
    if loops_serve(x, weight, bias):
        return _Normalized.apply(x, weight, bias, eps)
    mean = x.mean(dim=0)
    variance = (x - mean).square().mean(dim=0)
    normalized = torch.addcmul(bias, x - mean, weight * torch.rsqrt(variance + eps))
    return normalized, mean.detach(), variance.detach()


class _Normalized(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):  # type: ignore[override]
        from ssatom.kernels._norm_loops import moments, normalize

        rows, factor, shift = arrays(x, weight, bias)
        mean, variance = np.zeros((2, rows.shape[1]), np.float32)
        moments(rows, mean, variance)
        inverse = 1 / np.sqrt(variance + np.float32(eps))
        out = np.empty_like(rows)
        normalize(rows, mean, factor * inverse, shift, out)
        ctx.save_for_backward(x, weight)
        ctx.statistics = mean, inverse
        result = [torch.from_numpy(array) for array in (out, mean, variance)]
        ctx.mark_non_differentiable(*result[1:])
        return tuple(result)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *_):  # type: ignore[override]
        from ssatom.kernels._norm_loops import normalize_back

        (mean, inverse), (rows, factor, upstream) = ctx.statistics, arrays(*ctx.saved_tensors, grad)
        out = np.empty_like(rows)
        of_weight, of_bias = np.zeros((2, rows.shape[1]), np.float32)
        given = rows, upstream, mean, factor * inverse, inverse
        normalize_back(*given, out, of_weight, of_bias)
        return *(torch.from_numpy(array) for array in (out, of_weight, of_bias)), None
