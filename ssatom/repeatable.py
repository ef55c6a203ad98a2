"""What makes results repeat: draws from a seed alone, layers that any number of threads computes.

PyTorch's global generator belongs to the whole process: two trainings that seed it side by side
take each other's numbers. Nothing here reads or sets it. Some of its sums and products come out
with other last digits for each number of threads, which a parallel search gives its workers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ssatom.kernels import affine, batch_normalized, linear
from ssatom.processes import processes, total

_FLOATS = {"empty", "zeros", "ones", "rand", "randn"}  # of the default precision, unless told
_DRAWS = {
    *("rand", "randn", "normal", "bernoulli", "multinomial", "randint", "randperm"),
    *("uniform_", "normal_", "bernoulli_", "random_", "exponential_", "trunc_normal_"),
    *("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_", "orthogonal_"),
    "sparse_",
}


class DrawFrom(TorchFunctionMode):
    """Within the block, PyTorch draws from one seed, in this thread alone.

    The numbers are those that follow `torch.manual_seed` with this seed on a CPU, in float32
    whatever the default precision is. First values of modules are drawn within such a block.

    Parameters
    ----------
    seed : int
        Seed.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in _DRAWS and kwargs.get("generator") is None:
            kwargs["generator"] = self.generator
        if name in _FLOATS and kwargs.get("dtype") is None:
            kwargs["dtype"] = torch.float32
        return func(*args, **kwargs)


class Dropout(nn.Dropout):
    """Dropout whose masks are drawn from the generator that `seed_dropout` gives it.

    Without one it is PyTorch's own. The generator is part of no copy, pickle or state.

    Parameters
    ----------
    p : float, default=0.5
        Share of units that are dropped in training; the others are divided by 1 − p.
    """

    generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """`x` with some of its units 0."""
        if self.generator is None or not self.training or not self.p:
            return super().forward(x)
        kept = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * kept.div_(1 - self.p)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "generator"}


def seed_dropout(module: nn.Module, seed: int | None, device: torch.device | str = "cpu") -> None:
    """Let all `Dropout` inside a module draw from one new generator; None takes it away."""
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    for part in module.modules():
        if isinstance(part, Dropout):
            part.generator = generator


class Linear(nn.Linear):
    """PyTorch's linear layer of rows, computed by `ssatom.kernels.linear`."""

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """Rows, shape (n_rows, n_out), with `plus` added, which has the same shape."""
        return linear(x, self.weight, self.bias, plus)


def softplus(x: Tensor) -> Tensor:
    """Log(1 + exp(x)); without gradients on a CPU, to the same bits wherever a number stands.

    PyTorch computes the last few numbers of an array by another routine than the others, so that a
    crystal's result would depend on its place in the batch.
    """
    if x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled():
        with np.errstate(invalid="ignore"):  # infinities of a network that diverged
            return torch.from_numpy(np.logaddexp(np.float32(0), x.numpy()))
    return F.softplus(x)


class SiteNorm(nn.BatchNorm1d):
    """Batch normalisation; one site alone has no variance and takes the running statistics.

    On a CPU the sums over a batch are written out: PyTorch's own come out with other last digits
    for each number of threads, and a training with them. Of several processes, the batch is that
    of all together.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Rows of the same shape."""
        if self.training and processes()[1] > 1:
            return self._of_all_processes(x)
        learns = self.training and len(x) > 1
        mean, variance = self.running_mean, self.running_var
        if x.device.type != "cpu" or not (learns or torch.is_grad_enabled()):
            if learns:
                return super().forward(x)
            if x.device.type != "cpu":
                return F.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)
        assert mean is not None
        assert variance is not None
        if learns:
            normalized, *found = batch_normalized(x, self.weight, self.bias, self.eps)
            self._follow(len(x), *found)
            return normalized
        if not torch.is_grad_enabled():
            scale = self.weight * torch.rsqrt(variance + self.eps)
            return affine(x, scale, self.bias - mean * scale)
        return self._normalized(x, mean, variance)

    def _of_all_processes(self, x: Tensor) -> Tensor:
        """Rows normalised by the statistics of the batch of all processes together."""
        n = max(2, int(total(torch.tensor(len(x), device=x.device))))
        mean = total(x.sum(dim=0)) / n
        variance = total((x - mean).square().sum(dim=0)) / n
        self._follow(n, mean, variance)
        return self._normalized(x, mean, variance)

    def _normalized(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return torch.addcmul(self.bias, x - mean, self.weight * torch.rsqrt(variance + self.eps))

    @torch.no_grad()
    def _follow(self, n: int, mean: Tensor, variance: Tensor) -> None:
        """Let the running statistics follow those of a batch."""
        rate: Any = self.momentum
        self.running_mean.lerp_(mean, rate)  # type: ignore[union-attr]
        self.running_var.lerp_(variance * (n / (n - 1)), rate)  # type: ignore[union-attr]
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr, operator]
