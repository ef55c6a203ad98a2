"""A task without targets: make the units of a layer uncorrelated."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssatom.graph import GraphConfig
from ssatom.masking import MaskedBatch
from ssatom.tasks.base import PretrainingTask, TaskResult, shared_docs

__all__ = ["RedundancyTask"]

_HIGH = 0.3  # correlation from which two units count as redundant


@shared_docs
class RedundancyTask(PretrainingTask, name="redundancy"):
    """Make the units of every layer uncorrelated over the sites.

    The loss is the mean squared correlation of two units of a layer. Correlated units would count
    one property several times in the distances that kernels are made of. Pairs of units with a
    correlation below 0.3 count as right.

    {parameters_section}

    References
    ----------
    Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction" (2021),
    10.48550/arXiv.2103.03230; here without a second, distorted view of the input.

    Examples
    --------
    >>> import torch
    >>> from ssatom.tasks import RedundancyTask
    >>> task, head = RedundancyTask(), torch.nn.Identity()
    >>> twins = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> task.evaluate(head, [twins], None).loss.round(decimals=3)
    tensor(1.)
    """

    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        return nn.Identity()

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        states = torch.stack(hidden).float()
        n_layers, n_sites, width = states.shape
        n_pairs = n_layers * width * (width - 1)
        if n_sites < 2 or not n_pairs:
            return TaskResult(states.new_zeros(()), states.new_zeros(()), 0)
        states = states - states.mean(dim=1, keepdim=True)
        # A unit that is the same at all sites has no correlation, rather than a NaN.
        states = states / (states.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
        correlations = states.mT @ states / n_sites
        correlations = correlations * (1 - torch.eye(width, device=states.device))
        near = (correlations.detach().abs() < _HIGH).sum() - n_layers * width
        total = correlations.square().sum(dim=0).sum(dim=0).sum()  # as `regress` sums
        return TaskResult(total / n_pairs, near, n_pairs)
