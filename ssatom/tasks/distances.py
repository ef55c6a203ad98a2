"""Tasks that recover distances."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from ssatom.graph import GaussianDistanceBasis, GraphConfig
from ssatom.masking import MaskedBatch
from ssatom.repeatable import Linear
from ssatom.tasks.base import PretrainingTask, TaskResult, classify, regress, shared_docs
from ssatom.validation import number

__all__ = ["DenoiseTask", "DistanceTask"]


class _PairHead(nn.Module):
    """Predictions for the two sites of edges, in either order alike; `distances` is optional."""

    def __init__(
        self, hidden_dim: int, config: GraphConfig, n_outputs: int, *, distances: bool = False
    ) -> None:
        super().__init__()
        self.basis = GaussianDistanceBasis(config)
        self.layers = nn.Sequential(
            Linear(2 * hidden_dim + distances * config.edge_dim, hidden_dim),
            nn.ReLU(),
            Linear(hidden_dim, n_outputs),
        )

    def forward(self, first: Tensor, second: Tensor, distances: Tensor | None = None) -> Tensor:
        pair = [first + second, first * second]
        if distances is not None:
            pair.append(self.basis(distances))
        return self.layers(torch.cat(pair, dim=1))


def _ends(hidden: list[Tensor], masked: MaskedBatch, edges: Tensor) -> list[Tensor]:
    """Last hidden states of the two sites of edges."""
    pairs = masked.graphs.edge_index.index_select(1, edges)
    return [hidden[-1].index_select(0, sites) for sites in pairs]


@shared_docs
class DistanceTask(PretrainingTask, name="distance"):
    """Recover the bin of hidden distances, one class a Gaussian centre, with cross-entropy.

    The head sees the last hidden states of the two sites, in either order alike.

    {parameters_section}

    Examples
    --------
    >>> from ssatom.tasks import DistanceTask
    >>> DistanceTask().name
    'distance'
    """

    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        return _PairHead(hidden_dim, graph_config, graph_config.edge_dim)

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        edges = masked.hidden_edges
        bins = cast(_PairHead, head).basis.bins(masked.graphs.distances[edges])
        return classify(head(*_ends(hidden, masked, edges)), bins)


_MAX_EDGES = 4096  # scored in one batch; for more the head would cost as much as a convolution


class DenoiseTask(PretrainingTask, name="denoise"):
    """Predict the noise in distances, with a Huber loss.

    Every site is displaced together with its periodic images, and the network gets the distances
    between the displaced sites. From the last hidden states of two sites and their noisy distance,
    the head predicts the noise in units of its standard deviation. Errors below 0.5 count as
    right; a prediction of zero is right in 38 % of the cases.

    Parameters
    ----------
    noise : float, default=0.2
        Standard deviation of a distance of two sites that are displaced independently, Å.
    weight : float, default=1.0
        Factor of the loss in the sum over tasks.

    Raises
    ------
    ParameterError
        If `noise` or `weight` is not positive.

    References
    ----------
    Zaidi et al., "Pre-training via denoising for molecular property prediction" (2022),
    10.48550/arXiv.2206.00133

    Examples
    --------
    >>> from ssatom.tasks import DenoiseTask
    >>> str(DenoiseTask(noise=0.1))
    'denoise(noise=0.1)'
    """

    needs_directions = True

    def __init__(self, noise: float = 0.2, *, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        number("task denoise: noise", noise, "(0, inf)")
        self.noise = noise

    def corrupt(self, masked: MaskedBatch, generator: torch.Generator) -> MaskedBatch:
        """Displace all sites, and draw the visible edges that are scored."""
        graphs = masked.graphs
        assert graphs.directions is not None
        device = graphs.distances.device
        single = torch.float32  # whatever torch's default is
        steps = torch.randn(len(graphs.numbers), 3, generator=generator, dtype=single).to(device)
        source, target = graphs.edge_index
        change = (steps[source] - steps[target]).mul_(self.noise / math.sqrt(2))
        moved = (graphs.directions * graphs.distances[:, None]).add_(change)
        noised = moved.norm(dim=1)
        directions = moved / noised.clamp(min=1e-6)[:, None]
        scores = torch.rand(len(noised), generator=generator, dtype=single).to(device)
        visible = scores.index_fill_(0, masked.hidden_edges, -1.0) >= 0
        chosen = scores.topk(min(_MAX_EDGES, int(visible.sum())), sorted=False).indices
        return masked._replace(
            noised_distances=noised, noised_directions=directions, drawn_edges=chosen
        )

    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        return _PairHead(hidden_dim, graph_config, 1, distances=True)

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        edges = masked.drawn_edges
        if edges is None:
            edges = masked.hidden_edges[:0]
        seen = masked.visible_distances[edges]
        off = (seen - masked.graphs.distances[edges]) / self.noise
        return regress(head(*_ends(hidden, masked, edges), seen), off[:, None])
