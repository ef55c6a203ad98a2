"""What is done to every row or distance: scaling, Gaussians, steps.

Compiled on a CPU in float32 where no gradient is needed, on threads that do not wait in a loop for
each other, as those of torch do. Elsewhere torch does it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssatom.kernels._threads import run, split_evenly
from ssatom.kernels.available import loops_serve

_NOTHING = 80.0  # exp(-80) is nothing, but still a normal number; smaller ones are slow
_WORTH_A_THREAD = 100_000  # numbers


def _by_loops(*tensors: Tensor) -> bool:
    learning = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    return not learning and loops_serve(*tensors)


def add(x: Tensor, y: Tensor) -> Tensor:
    """``x + y`` of two tensors of one shape."""
    if not _by_loops(x, y):
        return x + y
    return torch.from_numpy(x.detach().numpy() + y.detach().numpy())


def relu(x: Tensor) -> Tensor:
    """``max(x, 0)``, and NaN where `x` is NaN."""
    if not _by_loops(x):
        return F.relu(x)
    return torch.from_numpy(np.maximum(x.detach().numpy(), np.float32(0)))


def take_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Rows of `x` at the places `rows`, of int64."""
    if not _by_loops(x):
        return x.index_select(0, rows)
    return torch.from_numpy(x.detach().numpy().take(rows.numpy(), axis=0))


def affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``x * scale + shift`` of every row of `x`, shape (n_rows, width)."""
    if not _by_loops(x, scale, shift):
        return torch.addcmul(shift, x, scale)
    scaled = x.detach().numpy() * scale.detach().numpy()
    scaled += shift.detach().numpy()
    return torch.from_numpy(scaled)


def gaussians(distances: Tensor, centers: Tensor, width: float) -> Tensor:
    """exp(-((d - μ) / width)²) of every distance d and centre μ, shape (n_edges, n_centers)."""
    if not _by_loops(distances, centers):
        scaled = (distances[:, None] - centers).div_(width)
        return scaled.square_().clamp_(max=_NOTHING).neg_().exp_()
    from ssatom.kernels._edge_loops import gaussian_rows

    rows = distances.new_empty(len(distances), len(centers))
    given, out = (distances.contiguous().numpy(), centers.numpy()), rows.numpy()

    def work(start: int, stop: int) -> None:
        gaussian_rows(start, stop, *given, np.float32(1 / width), out)

    run(work, split_evenly(len(out), len(centers), _WORTH_A_THREAD))
    return rows


def soft_steps(distances: Tensor, radii: Tensor, width: float) -> Tensor:
    """1/2 + arctan((r - d) / width) / π of every distance d and radius r.

    Parameters
    ----------
    distances : Tensor, shape (n_edges,)
        Å.
    radii : Tensor, shape (n_radii,)
        Å.
    width : float
        Å.

    Returns
    -------
    Tensor, shape (n_edges, n_radii)
        Each entry from 0 to 1.

    Examples
    --------
    >>> import torch
    >>> from ssatom.kernels import soft_steps
    >>> soft_steps(torch.tensor([2.0]), torch.tensor([2.0, 2.2]), 0.2)
    tensor([[0.5000, 0.7500]])
    """
    if not _by_loops(distances, radii):
        return torch.atan((radii - distances[:, None]) / width).div_(math.pi).add_(0.5)
    from ssatom.kernels._edge_loops import step_rows

    rows = distances.new_empty(len(distances), len(radii))
    given, out = (distances.contiguous().numpy(), radii.numpy()), rows.numpy()

    def work(start: int, stop: int) -> None:
        step_rows(start, stop, *given, np.float32(1 / width), out)

    run(work, split_evenly(len(out), len(radii), _WORTH_A_THREAD))
    return rows
