"""The gated convolution over neighbours."""

from __future__ import annotations

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
        matrix = linear(edge_embedding.weight.t(), of_edge)
        bias = linear(edge_embedding.bias[None], of_edge, self.gates.bias)[0]
        nodes = x.to(dtype)
        center = linear(nodes, of_center.to(dtype), bias.to(dtype))
        neighbor = linear(nodes, of_neighbor.to(dtype))
        return gated_messages(center, neighbor, matrix.to(dtype), edges).to(x.dtype)
