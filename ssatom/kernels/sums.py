"""Sums of edge vectors over the neighbours of each site."""

from __future__ import annotations

import torch
from torch import Tensor

from ssatom.kernels._threads import run, split
from ssatom.kernels.edges import Edges

_WORTH_A_THREAD = 20_000  # edges


def weighted_sums(edges: Edges, columns: slice | None = None) -> Tensor:
    """Σ_j w_ij e_ij: the radial distribution of a site, where edge vectors are Gaussians.

    Shape (n_sites, n_columns), of all numbers of the edge vectors or of those in `columns`.
    Compiled on a CPU in float32, unless a gradient is needed. A site's sum depends on its own edges
    alone.
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
