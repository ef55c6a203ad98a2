"""Gated messages of a crystal graph convolution, compiled where possible."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssatom.kernels._threads import run, split
from ssatom.kernels.edges import WHOLE_ROW, Edges, arrays

_WORTH_A_THREAD = 500  # edges


def gated_messages(nodes: Tensor, matrix: Tensor, edges: Edges) -> Tensor:
    """Σ_j w_ij σ(f_ij) softplus(s_ij) with [f, s]_ij = center_i + neighbor_j + edge_ij · matrix.

    On a CPU in float32 a compiled loop does it, which stores nothing an edge: neither forward nor
    for the way back, which computes the gates again. A site's sum depends on its own edges alone,
    and gradients of the matrix are summed block by block of the edges, so that results depend
    neither on the number of threads nor, but for the matrix, on the batch. Elsewhere torch does
    it, with three arrays an edge kept for the way back. See Xie & Grossman, Phys. Rev. Lett. 120,
    145301 (2018), 10.1103/PhysRevLett.120.145301.

    Parameters
    ----------
    nodes : Tensor, shape (n_sites, 4 * width)
        What a site adds to the logits of the messages that it gets, which is `center`, and behind
        it what it adds to those that it gives, `neighbor`.
    matrix : Tensor, shape (edge_dim, 2 * width)
        Weights of the edge vectors.
    edges : Edges
        The edges with their vectors and weights.

    Returns
    -------
    Tensor, shape (n_sites, width)
        Differentiable once by both, and by the vectors and weights of the edges.
    """
    if not edges.compiled_for(nodes, matrix):
        # Matrix products are up to twice as fast when rows fill whole vector registers.
        matrix = F.pad(matrix, (0, 0, 0, -len(matrix) % WHOLE_ROW))
        return _ByTorch.apply(nodes, edges.padded, matrix, edges.weight, edges)
    # A group of eight numbers must not end behind the matrix.
    matrix = F.pad(matrix, (0, 0, 0, -len(matrix) % 8))
    return _ByLoops.apply(nodes, edges.attr, matrix, edges.weight, edges)


class _ByLoops(torch.autograd.Function):
    @staticmethod
    def forward(ctx, nodes, _attr, matrix, _weight, edges):  # type: ignore[override]
        from ssatom.kernels._gate_loops import forward_loop

        width = nodes.shape[1] // 4
        bands, loop = tuple(edges.bands), forward_loop(width)
        rows, flat = arrays(nodes.reshape(-1, 2 * width), matrix.reshape(-1))
        messages = nodes.new_empty(len(nodes), width)
        out = messages.numpy()

        def work(start: int, stop: int) -> None:
            loop(start, stop, rows, flat, bands, out)

        run(work, split(edges.offsets, _WORTH_A_THREAD))
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(nodes, matrix)
            ctx.edges = edges
        return messages

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):  # type: ignore[override]
        from ssatom.kernels._gate_loops import backward_loop

        nodes, matrix = ctx.saved_tensors
        edges: Edges = ctx.edges
        width = grad_output.shape[1]
        blocks, bands, loop = edges.blocks, tuple(edges.bands), backward_loop(width)
        given = arrays(nodes.reshape(-1, 2 * width), matrix.reshape(-1))
        (upstream,) = arrays(grad_output)
        grad_nodes = nodes.new_zeros(2 * len(nodes), 2 * width)
        of_blocks = matrix.new_zeros(len(blocks) - 1, matrix.numel())
        of_attr = ctx.needs_input_grad[1]
        grad_attr = nodes.new_empty(len(edges) if of_attr else 0, edges.attr.shape[1])
        grad_weight = nodes.new_empty(len(edges))
        found = arrays(grad_nodes, of_blocks, grad_attr, grad_weight)

        def work(start: int, stop: int) -> None:
            loop(start, stop, blocks, *given, bands, upstream, *found)

        run(work, split(edges.offsets[blocks], _WORTH_A_THREAD))
        # NumPy adds rows in their order, whatever the number of threads.
        grad_matrix = torch.from_numpy(of_blocks.numpy().sum(axis=0)).view_as(matrix)
        return (
            grad_nodes.view_as(nodes),
            grad_attr if of_attr else None,
            grad_matrix,
            grad_weight if ctx.needs_input_grad[3] else None,
            None,
        )


class _ByTorch(torch.autograd.Function):
    """The same in torch, written as one function because memory is the bottleneck.

    It keeps three arrays of the edges for the way back, where automatic differentiation keeps
    eight.
    """

    @staticmethod
    def forward(ctx, nodes, edge_attr, matrix, edge_weight, edges):  # type: ignore[override]
        center, neighbor = nodes.chunk(2, dim=1)
        gates = neighbor.index_select(0, edges.source)
        gates += center.index_select(0, edges.target)
        gates.addmm_(edge_attr, matrix)
        width = gates.shape[1] // 2
        opened = torch.sigmoid(gates[:, :width])
        core = F.softplus(gates[:, width:])
        messages = opened * core
        messages *= edge_weight[:, None].to(messages.dtype)
        if any(ctx.needs_input_grad):
            saved = (opened, core, gates[:, width:], edge_attr, matrix, edge_weight)
            ctx.save_for_backward(*saved)
            ctx.edges = edges
        return edges.sum_by("target", messages)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):  # type: ignore[override]
        opened, core, logits, edge_attr, matrix, edge_weight = ctx.saved_tensors
        edges: Edges = ctx.edges
        width = opened.shape[1]
        upstream = grad_output.index_select(0, edges.target)
        upstream *= opened
        grad_weight = (upstream * core).sum(1) if ctx.needs_input_grad[3] else None
        upstream *= edge_weight[:, None].to(upstream.dtype)
        grad = opened.new_empty(len(opened), 2 * width)
        torch.mul(upstream, torch.sigmoid(logits), out=grad[:, width:])
        torch.mul(upstream, core.addcmul(core, opened, value=-1), out=grad[:, :width])
        return (
            torch.cat([edges.sum_by(end, grad) for end in ("target", "source")], dim=1),
            grad @ matrix.t() if ctx.needs_input_grad[1] else None,
            edge_attr.t() @ grad,
            grad_weight,
            None,
        )
