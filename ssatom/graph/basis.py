"""Distances as soft one-hot vectors over Gaussian bins."""

from __future__ import annotations

import torch
from torch import Tensor

from ssatom.graph.config import GraphConfig
from ssatom.kernels import gaussians


class GaussianDistanceBasis(torch.nn.Module):
    """Expand distances in equally spaced Gaussians, exp(-((d - μ) / width)²).

    Parameters
    ----------
    config : GraphConfig, default=GraphConfig()
        Gives centres (0 to `cutoff` in steps of `basis_step`) and `basis_width`, all in Å.

    References
    ----------
    Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301

    Examples
    --------
    >>> import torch
    >>> from ssatom.graph import GaussianDistanceBasis
    >>> edge_attr = GaussianDistanceBasis()(torch.tensor([2.0, 2.4]))
    >>> edge_attr.shape, edge_attr.argmax(dim=1)
    (torch.Size([2, 41]), tensor([10, 12]))
    """

    centers: Tensor

    def __init__(self, config: GraphConfig | None = None) -> None:
        super().__init__()
        config = config or GraphConfig()
        self.config = config
        last = config.basis_step * (config.edge_dim - 1)
        centers = torch.linspace(0.0, last, config.edge_dim, dtype=torch.float32)
        self.register_buffer("centers", centers, persistent=False)

    def forward(self, distances: Tensor) -> Tensor:
        """Edge vectors of distances.

        Parameters
        ----------
        distances : Tensor, shape (n_edges,)
            Å.

        Returns
        -------
        Tensor, shape (n_edges, edge_dim)
            Each entry from 0 to 1.
        """
        return gaussians(distances, self.centers, self.config.basis_width)

    def bins(self, distances: Tensor) -> Tensor:
        """Index of the centre nearest to each distance, the class a hidden distance belongs to.

        Parameters
        ----------
        distances : Tensor, shape (n_edges,)
            Å.

        Returns
        -------
        Tensor of int64, shape (n_edges,)
            0 to ``edge_dim - 1``.
        """
        nearest = (distances / self.config.basis_step).round().long()
        return nearest.clamp_(0, self.config.edge_dim - 1)
