"""Processes that train side by side: their sums, draws and batches are those of one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.overrides import TorchFunctionMode


def processes() -> tuple[int, int]:
    """Rank of this process among those that train side by side, and their number.

    Examples
    --------
    >>> from ssatom.processes import processes
    >>> processes()
    (0, 1)
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return _sum(x)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return _sum(gradients[0])


def _sum(x: Tensor) -> Tensor:
    x = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(x)
    return x


def total(x: Tensor) -> Tensor:
    """Sum over the processes, with its gradient, of tensors of the same shape."""
    return x if processes()[1] == 1 else _Total.apply(x)  # type: ignore[no-untyped-call]


def share_of_mean(n_items: int | Tensor, device: torch.device) -> Tensor | float:
    """Factor that turns a mean over this process's items into its share of the mean over all.

    Gradients are averaged over the processes, so the factor is 1 where all have as many items. The
    processes tell each other through the device.
    """
    if processes()[1] == 1:
        return 1.0
    n_own = torch.as_tensor(n_items, dtype=torch.float64, device=device)
    n_all = total(n_own)
    return (n_own * processes()[1] / n_all.clamp(min=1)).float()


def own_rows(rows: np.ndarray) -> np.ndarray:
    """The part of a batch that this process computes; none is empty.

    Of fewer rows than processes, some are computed twice.
    """
    rank, n = processes()
    return np.array_split(rows if len(rows) >= n else np.resize(rows, n), n)[rank]


class JointDraws(TorchFunctionMode):
    """Within the block, `torch.rand` and `torch.randn` give a process its rows of a joint draw.

    Generators must be in the same state in all processes, and each must draw in the same order.

    Parameters
    ----------
    device : device
        Through which the processes tell each other how many rows they draw.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        rank, n_processes = processes()
        if n_processes == 1 or func not in (torch.rand, torch.randn) or "generator" not in kwargs:
            return func(*args, **kwargs)
        n_rows, *width = args[0] if isinstance(args[0], tuple | list) else args
        counts = torch.zeros(n_processes, dtype=torch.int64, device=self.device)
        counts[rank] = n_rows
        stops = _sum(counts).cumsum(0).tolist()
        return func(stops[-1], *width, **kwargs)[stops[rank] - n_rows : stops[rank]]
