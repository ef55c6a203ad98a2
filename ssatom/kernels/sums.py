"""Sums of edge vectors over the neighbours of each site."""

from __future__ import annotations

import torch
from torch import Tensor

from ssatom.kernels._threads import run, split
from ssatom.kernels.edges import Edges

_WORTH_A_THREAD = 20_000  # edges


def weighted_sums(edges: Edges, columns: slice | None = None) -> Tensor:
    """Σ_j w_ij e_ij: the radial distribution of a site, where edge vectors are Gaussians.

    Compiled on a CPU in float32, unless a gradient is needed. A site's sum depends on its own
    edges alone.

    Parameters
    ----------
    edges : Edges
        The edges with their vectors and weights.
    columns : slice, default=None
        Numbers of the edge vectors that are summed; None for all.

    Returns
    -------
    Tensor, shape (n_sites, n_columns)

    Examples
    --------
    >>> import torch
    >>> from ssatom.kernels import Edges, weighted_sums
    >>> edges = Edges(torch.tensor([[1, 0], [0, 0]]), torch.tensor([[1.0, 2], [3, 4]]), None, 2)
    >>> weighted_sums(edges)
    tensor([[4., 6.],
            [0., 0.]])
    """
    vectors = edges.attr if columns is None else edges.attr[:, columns]
    weight = edges.weight
    learning = torch.is_grad_enabled() and (vectors.requires_grad or weight.requires_grad)
    if learning or not edges.compiled_for(vectors):
        return edges.sum_by("target", vectors * weight[:, None])
    from ssatom.kernels._edge_loops import sum_rows

    rows, weights = (x.detach().contiguous().numpy() for x in (vectors, weight))
    sums = vectors.new_empty(edges.n_sites, vectors.shape[1])
    offsets, out = edges.offsets, sums.numpy()

    def work(start: int, stop: int) -> None:
        sum_rows(start, stop, offsets, rows, weights, out)

    run(work, split(offsets, _WORTH_A_THREAD))
    return sums
