"""The gated convolution over neighbours, and units that tell how these are arranged."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssatom.kernels import (
    Edges,
    directional_units,
    gated_messages,
    linear,
    spherical_harmonics,
    take_rows,
)
from ssatom.repeatable import Linear


class FoldedGates(NamedTuple):
    """Weights of the gates of one convolution, with the embedding of edges folded into them.

    Attributes
    ----------
    of_nodes : Tensor, shape (4 * hidden_dim, hidden_dim)
        Of a site as the centre of messages, and behind it of a site as a neighbour.
    bias : Tensor, shape (4 * hidden_dim,)
        Of the same.
    of_edges : Tensor, shape (edge_dim, 2 * hidden_dim)
        Of edge vectors.
    """

    of_nodes: Tensor
    bias: Tensor
    of_edges: Tensor


class CrystalGraphConv(nn.Module):
    """Gated convolution over the neighbours of each site.

    Σ_j w_ij σ(z_ij W_f + b_f) ⊙ softplus(z_ij W_s + b_s), z_ij = [x_i, x_j, e_ij]. The product
    with z is taken part by part: the parts of x once a site instead of once an edge.

    Parameters
    ----------
    hidden_dim : int
        Width of node vectors.
    edge_dim : int
        Width of embedded edges.

    References
    ----------
    Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301
    """

    def __init__(self, hidden_dim: int, edge_dim: int) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.gates = nn.Linear(2 * hidden_dim + edge_dim, 2 * hidden_dim)  # [filter, core]

    def folded(self, edge_embedding: nn.Linear, dtype: torch.dtype) -> FoldedGates:
        """The weights as `forward` takes them, in the precision of the edges.

        The embedding of edges is folded in exactly: two linear maps in a row are one.
        """
        width = self.hidden_dim
        of_center, of_neighbor, of_edge = self.gates.weight.split(
            [width, width, self.gates.in_features - 2 * width], dim=1
        )
        embedded = torch.cat([edge_embedding.weight.t(), edge_embedding.bias[None]])
        matrix, bias = linear(embedded, of_edge).split([len(embedded) - 1, 1])
        bias = F.pad(bias[0] + self.gates.bias, (0, 2 * width))  # once a message
        # Joined by columns, so that the product with rows takes it without turning it around.
        of_nodes = torch.cat([of_center.t(), of_neighbor.t()], dim=1).t()
        return FoldedGates(of_nodes.to(dtype), bias.to(dtype), matrix.to(dtype))

    def forward(
        self, x: Tensor, edges: Edges, gates: FoldedGates, rows: Tensor | None = None
    ) -> Tensor:
        """Summed messages, shape (n_sites, hidden_dim); the caller adds them to the node vectors.

        `gates` are from `folded`. `rows` says which row of `x` each site has; None for its own.
        """
        nodes = linear(x.to(gates.bias.dtype), gates.of_nodes, gates.bias)
        if rows is not None:
            nodes = take_rows(nodes, rows)
        return gated_messages(nodes, gates.of_edges, edges).to(x.dtype)


class DirectionalUnits(nn.Module):
    """Lengths of sums over neighbours with spherical harmonics, one a channel k and degree l.

    Unit (k, l) of site i is the length over m of Σ_j w_ij c_k(x_j) R_k(d_ij) Y_lm(r̂_ij). The
    channels c_k are linear maps of a neighbour's state, the radial functions R_k of the edge
    vector; both are learned. The square of a unit is a sum over pairs of neighbours with the
    Legendre polynomial l of the angle between them, so that no unit changes when a crystal is
    rotated or reflected.

    Parameters
    ----------
    hidden_dim : int
        Width of node vectors.
    edge_dim : int
        Length of edge vectors.
    n_channels : int
        Number of channels.

    References
    ----------
    Bartók, Kondor & Csányi, Phys. Rev. B 87, 184115 (2013), 10.1103/PhysRevB.87.184115
    """

    def __init__(self, hidden_dim: int, edge_dim: int, n_channels: int) -> None:
        super().__init__()
        self.channels = Linear(hidden_dim, n_channels)
        self.radial = nn.Linear(edge_dim, n_channels, bias=False)

    def forward(self, x: Tensor, edges: Edges, directions: Tensor) -> Tensor:
        """Units, shape (n_sites, 5 × n_channels), degree by degree."""
        matrix = self.radial.weight.t().contiguous()
        return directional_units(self.channels(x), matrix, edges, spherical_harmonics(directions))
