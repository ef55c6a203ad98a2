"""Tasks that recover distances."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ssatom.graph import GaussianDistanceBasis, GraphConfig
from ssatom.masking import MaskedBatch
from ssatom.tasks.base import PretrainingTask, TaskResult, classify


class _PairHead(nn.Module):
    """Classes of pairs of sites, the same in either order."""

    def __init__(self, hidden_dim: int, graph_config: GraphConfig) -> None:
        super().__init__()
        self.basis = GaussianDistanceBasis(graph_config)
        self.layers = nn.Sequential(
            nn.Linear(2 * hidden_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, graph_config.edge_dim),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.layers(torch.cat([first + second, first * second], dim=1))


class DistanceTask(PretrainingTask):
    """Recover the bin of hidden distances, one class a Gaussian centre, with cross-entropy.

    The head sees the last hidden states of the two sites, in either order alike.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the loss in the sum over tasks.

    Examples
    --------
    >>> from ssatom.tasks import DistanceTask
    >>> DistanceTask().name
    'distance'
    """

    name = "distance"

    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        return _PairHead(hidden_dim, graph_config)

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        first, second = (
            hidden[-1].index_select(0, sites)
            for sites in masked.graphs.edge_index.index_select(1, masked.hidden_edges)
        )
        bins = cast(_PairHead, head).basis.bins(masked.graphs.distances[masked.hidden_edges])
        return classify(head(first, second), bins)
