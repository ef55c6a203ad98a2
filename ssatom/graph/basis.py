"""Functions of the distance: soft one-hot vectors over Gaussian bins, and the smooth envelope."""

from __future__ import annotations

import math

import numpy as np
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


MEAN_ENVELOPE = 0.5 - 3 / math.pi**2
"""Of all points of a sphere: what a neighbour weighs of which nothing is known."""


def envelope(distances: Tensor, cutoff: float) -> Tensor:
    """Weights of neighbours, (cos(π d / cutoff) + 1) / 2, and 0 beyond the cutoff.

    Parameters
    ----------
    distances : Tensor of float, shape (n_edges,)
        Å.
    cutoff : float
        Å.

    Returns
    -------
    Tensor, shape (n_edges,)
        1 to 0.

    References
    ----------
    Behler & Parrinello, Phys. Rev. Lett. 98, 146401 (2007), 10.1103/PhysRevLett.98.146401

    Examples
    --------
    >>> import torch
    >>> from ssatom.graph import envelope
    >>> envelope(torch.tensor([0.0, 2.5, 5.0, 6.0]), 5.0)
    tensor([1.0000, 0.5000, 0.0000, 0.0000])
    """
    if distances.device.type != "cpu" or distances.requires_grad:
        return (torch.cos(math.pi * (distances / cutoff).clamp(max=1)) + 1) / 2
    # NumPy calls none of torch's threads, which wait in a loop.
    return torch.from_numpy((np.cos(math.pi * np.minimum(distances.numpy() / cutoff, 1)) + 1) / 2)
