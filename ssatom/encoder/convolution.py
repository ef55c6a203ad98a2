"""The gated convolution over neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssatom.kernels import Edges, gated_messages, linear


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

    def forward(self, x: Tensor, edges: Edges, edge_embedding: nn.Linear) -> Tensor:
        """Summed messages, shape (n_sites, hidden_dim); the caller adds them to the node vectors.

        `edge_embedding` is folded into the edge part of the weights, exactly: two linear maps
        in a row are one.
        """
        width, dtype = self.hidden_dim, edges.attr.dtype
        of_center, of_neighbor, of_edge = self.gates.weight.split(
            [width, width, self.gates.in_features - 2 * width], dim=1
        )
        embedded = torch.cat([edge_embedding.weight.t(), edge_embedding.bias[None]])
        matrix, bias = linear(embedded, of_edge).split([len(embedded) - 1, 1])
        bias = F.pad(bias[0] + self.gates.bias, (0, 2 * width))  # once a message
        of_nodes = torch.cat([of_center, of_neighbor])
        nodes = linear(x.to(dtype), of_nodes.to(dtype), bias.to(dtype))
        return gated_messages(nodes, matrix.to(dtype), edges).to(x.dtype)
