"""Directional units: how the neighbours of a site are arranged around it."""

from __future__ import annotations

from torch import Tensor, nn

from ssatom.kernels import Edges, directional_units, spherical_harmonics
from ssatom.repeatable import Linear


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
