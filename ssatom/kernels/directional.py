"""Directional units: lengths of sums over neighbours with spherical harmonics."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssatom.kernels._threads import run, split
from ssatom.kernels.edges import Edges, arrays
from ssatom.kernels.harmonics import FLOOR, N_DEGREES, N_HARMONICS

_WORTH_A_THREAD = 500  # edges


def directional_units(neighbor: Tensor, matrix: Tensor, edges: Edges, harmonics: Tensor) -> Tensor:
    """Lengths over m of Σ_j w_ij neighbor_jk (edge_ij · matrix)_k Y_lm(r̂_ij), for each l and k.

    On a CPU in float32 a compiled loop does it, which stores nothing an edge; elsewhere torch. The
    units of a site depend on its own edges alone. See Bartók, Kondor & Csányi, Phys. Rev. B 87,
    184115 (2013), 10.1103/PhysRevB.87.184115.

    Parameters
    ----------
    neighbor : Tensor, shape (n_sites, n_channels)
        What a site gives to its neighbours in each channel.
    matrix : Tensor, shape (edge_dim, n_channels)
        Weights of the edge vectors.
    edges : Edges
        The edges with their vectors and weights.
    harmonics : Tensor, shape (25, n_edges)
        From `spherical_harmonics`, of the directions from centre to neighbour.

    Returns
    -------
    Tensor, shape (n_sites, 5 × n_channels)
        Degree by degree. The least is 0.001. Differentiable once by `neighbor` and `matrix`.
    """
    if edges.compiled_for(neighbor, matrix, harmonics):
        matrix = F.pad(matrix, (0, 0, 0, -len(matrix) % 8))  # a group must not end behind it
        return _ByLoops.apply(neighbor, matrix, edges, harmonics)
    radial = edges.attr @ matrix.to(edges.attr.dtype)
    moments = _MomentsByTorch.apply(neighbor.to(radial.dtype), radial, edges, harmonics)
    squares = moments.square().unbind(0)
    degrees = [sum(squares[n**2 : (n + 1) ** 2]) for n in range(N_DEGREES)]
    return torch.cat(degrees, dim=1).add(FLOOR**2).sqrt().to(neighbor.dtype)  # type: ignore[arg-type]


class _ByLoops(torch.autograd.Function):
    @staticmethod
    def forward(ctx, neighbor, matrix, edges, harmonics):  # type: ignore[override]
        from ssatom.kernels._direction_loops import lengths_loop

        n_sites, width = neighbor.shape
        bands, loop = tuple(edges.bands), lengths_loop(width)
        learns = any(ctx.needs_input_grad)
        moments = neighbor.new_empty(n_sites if learns else 0, N_HARMONICS * width)
        lengths = neighbor.new_empty(n_sites, N_DEGREES * width)
        given, flat, angular = arrays(neighbor, matrix.reshape(-1), harmonics)
        found = moments.numpy(), lengths.numpy()

        def work(start: int, stop: int) -> None:
            loop(start, stop, given, flat, bands, angular, *found)

        run(work, split(edges.offsets, _WORTH_A_THREAD))
        if learns:
            ctx.save_for_backward(neighbor, matrix, harmonics, moments, lengths)
            ctx.edges = edges
        return lengths

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):  # type: ignore[override]
        from ssatom.kernels._direction_loops import lengths_backward_loop

        neighbor, matrix, harmonics, moments, lengths = ctx.saved_tensors
        edges: Edges = ctx.edges
        blocks, bands = edges.blocks, tuple(edges.bands)
        loop = lengths_backward_loop(neighbor.shape[1])
        given, flat = arrays(neighbor, matrix.reshape(-1))
        rest = arrays(harmonics, moments, lengths, grad_output)
        grad_neighbor = torch.zeros_like(neighbor)
        of_blocks = matrix.new_zeros(len(blocks) - 1, matrix.numel())
        found = arrays(grad_neighbor, of_blocks)

        def work(start: int, stop: int) -> None:
            loop(start, stop, blocks, given, flat, bands, *rest, *found)

        run(work, split(edges.offsets[blocks], _WORTH_A_THREAD))
        # NumPy adds rows in their order, whatever the number of threads.
        grad_matrix = torch.from_numpy(of_blocks.numpy().sum(axis=0)).view_as(matrix)
        return grad_neighbor, grad_matrix, None, None


class _MomentsByTorch(torch.autograd.Function):
    """The sums over neighbours in torch, shape (25, n_sites, n_channels).

    It keeps two arrays of the edges for the way back, where automatic differentiation keeps one
    for each harmonic, and sorts the edges for each again.
    """

    @staticmethod
    def forward(ctx, neighbor, radial, edges, harmonics):  # type: ignore[override]
        columns = (harmonics * edges.weight).to(radial.dtype).unbind()
        parts = neighbor.index_select(0, edges.source) * radial
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(neighbor, radial)
            ctx.edges, ctx.columns = edges, columns
        return torch.stack([edges.sum_by("target", parts, column) for column in columns])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):  # type: ignore[override]
        neighbor, radial = ctx.saved_tensors
        edges: Edges = ctx.edges
        grad = torch.zeros_like(radial)
        for column, upstream in zip(ctx.columns, grad_output, strict=True):
            grad.addcmul_(upstream.index_select(0, edges.target), column[:, None])
        of_radial = grad * neighbor.index_select(0, edges.source)
        return edges.sum_by("source", grad.mul_(radial)), of_radial, None, None
