"""The smooth envelope under which neighbours come and go."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

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
