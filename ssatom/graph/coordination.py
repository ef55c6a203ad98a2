"""How many neighbours each site has within a series of distances."""

from __future__ import annotations

import torch
from torch import Tensor

from ssatom.graph.config import GraphConfig
from ssatom.kernels import Edges, soft_steps, weighted_sums


class CoordinationNumbers(torch.nn.Module):
    """Smooth coordination numbers of sites, the cumulative radial distribution.

    Number k is Σ_j w_j (1/2 + arctan((r_k - d_j) / s) / π), where d_j is the distance and w_j the
    weight of neighbour j. The slow tails of this step give every crystal a value of its own; a
    column that is zero for most crystals could not be scaled.

    Parameters
    ----------
    config : GraphConfig
        Gives the distances r_k, the last `n_numbers` Gaussian centres of an edge vector, and the
        width s of the step, half a `basis_width`, Å.
    n_numbers : int
        How many distances.

    Examples
    --------
    Of rock salt, six neighbours at 2.8 Å and twelve at 4 Å, each of weight 1:

    >>> import torch
    >>> from ssatom.graph import CoordinationNumbers, GraphConfig
    >>> numbers = CoordinationNumbers(GraphConfig(cutoff=4.6), 18)
    >>> distances = torch.tensor(6 * [2.8] + 12 * [4.0])
    >>> found = numbers(distances, torch.zeros(18, dtype=torch.long), torch.ones(18), n_sites=1)
    >>> numbers.radii[11:17:5], found[0, 11:17:5]
    (tensor([3.4000, 4.4000]), tensor([ 6.3154, 16.9450]))
    """

    radii: Tensor

    def __init__(self, config: GraphConfig, n_numbers: int) -> None:
        super().__init__()
        centers = config.basis_step * torch.arange(config.edge_dim, dtype=torch.float32)
        self.register_buffer("radii", centers[config.edge_dim - n_numbers :], persistent=False)
        self.step_width = config.basis_width / 2

    def forward(
        self, distances: Tensor, centers: Tensor, edge_weight: Tensor | None, n_sites: int
    ) -> Tensor:
        """Coordination numbers of every site.

        Parameters
        ----------
        distances : Tensor of float, shape (n_edges,)
            Å.
        centers : Tensor of int64, shape (n_edges,)
            Site that each edge ends at, ascending.
        edge_weight : Tensor of float, shape (n_edges,), or None
            What each neighbour counts; None for 1.
        n_sites : int
            Number of sites.

        Returns
        -------
        Tensor of float, shape (n_sites, n_numbers)
        """
        steps = soft_steps(distances, self.radii, self.step_width)
        edges = Edges(torch.stack([centers, centers]), steps, edge_weight, n_sites)
        return weighted_sums(edges)
