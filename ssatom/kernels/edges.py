"""Edges of a batch, prepared once for all convolutions over them."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssatom.exceptions import ParameterError
from ssatom.kernels.available import loops_serve

_BLOCK = 2048  # edges whose gradients of the matrix are summed together
_MAX_BLOCKS = 64
WHOLE_ROW = 16  # numbers that fill vector registers


class EdgeBands(NamedTuple):
    """Edges as the compiled loops take them.

    An expanded distance is zero but for a few Gaussians, so that of each edge vector only groups
    of eight numbers are kept. How many depends on the vector alone.

    Attributes
    ----------
    offsets : ndarray of int64, shape (n_sites + 1,)
        First edge of each site, and the end.
    sources : ndarray of int32, shape (n_edges,)
        Neighbour of each edge.
    first, groups : ndarray of int32, shape (n_edges,)
        Number of the edge vector at which its groups start, and how many they are.
    rows : ndarray of float32, shape (n_edges, 8 × most groups)
        The groups.
    weights : ndarray of float32, shape (n_edges,)
        Factor of each message.
    """

    offsets: np.ndarray
    sources: np.ndarray
    first: np.ndarray
    groups: np.ndarray
    rows: np.ndarray
    weights: np.ndarray


class Edges:
    """Edges sorted by centre, with what it takes to sum over them by centre or by neighbour.

    Parameters
    ----------
    edge_index : Tensor of int64, shape (2, n_edges)
        Neighbour and centre of each edge, sorted by centre.
    edge_attr : Tensor, shape (n_edges, edge_dim)
        Edge vectors.
    edge_weight : Tensor, shape (n_edges,), or None
        Factor of each message; None for 1.
    n_sites : int
        Number of sites.

    Raises
    ------
    ParameterError
        If the edges are not sorted by centre, or lead to sites that are not there.

    Examples
    --------
    >>> import torch
    >>> from ssatom.kernels import Edges
    >>> edges = Edges(torch.tensor([[1, 0], [0, 1]]), torch.rand(2, 23), None, 2)
    >>> len(edges)
    2
    """

    def __init__(
        self, edge_index: Tensor, edge_attr: Tensor, edge_weight: Tensor | None, n_sites: int
    ) -> None:
        if edge_weight is None:
            edge_weight = edge_attr.new_ones(edge_index.shape[1])
        self.source, self.target = edge_index
        self.attr = edge_attr
        self.weight = edge_weight
        self.n_sites = n_sites
        self._check()

    def _check(self) -> None:
        shapes = {len(self.source), len(self.attr), len(self.weight)}
        if len(shapes) > 1:
            raise ParameterError(
                f"edge_index has {len(self.source)} edges, edge_attr {len(self.attr)} and "
                f"edge_weight {len(self.weight)}; all must be of the same edges"
            )
        if not len(self):
            return
        # By NumPy on a CPU: torch's threads, once called, wait in a loop that takes a processor.
        source, target = (
            x.numpy() if x.device.type == "cpu" else x for x in (self.source, self.target)
        )
        if (target[1:] < target[:-1]).any():
            raise ParameterError(
                "edge_index must be sorted by centre, its row 1; reorder the edges with "
                "edge_index[1].argsort(stable=True), and edge_attr and edge_weight alike"
            )
        low, high = min(int(source.min()), int(target[0])), max(int(source.max()), int(target[-1]))
        if low < 0 or high >= self.n_sites:
            raise ParameterError(
                f"edge_index leads to site {low if low < 0 else high}, but there are "
                f"{self.n_sites} sites, counted from 0"
            )

    def __len__(self) -> int:
        return len(self.source)

    # For the compiled loops -------------------------------------------------------------------

    @cached_property
    def bands(self) -> EdgeBands:
        """The edges as the compiled loops take them."""
        from ssatom.kernels import _edge_loops as loops

        vectors = self.attr.detach().contiguous().numpy()
        first = np.empty(len(self), np.int32)
        groups = np.empty(len(self), np.int32)
        most = loops.find_bands(vectors, first, groups)
        rows = np.zeros((len(self), 8 * most), np.float32)
        loops.take_bands(vectors, first, groups, rows)
        sources = self.source.numpy().astype(np.int32)
        weights = self.weight.detach().contiguous().numpy()
        return EdgeBands(self.offsets, sources, first, groups, rows, weights)

    @cached_property
    def offsets(self) -> np.ndarray:
        """First edge of each site, and the end, shape (n_sites + 1,)."""
        return np.searchsorted(self.target.numpy(), np.arange(self.n_sites + 1))

    @cached_property
    def blocks(self) -> np.ndarray:
        """First site of each block of whole structures, and the end.

        Gradients of the matrix are summed block by block. The blocks depend on the edges alone,
        not on the number of threads.
        """
        from ssatom.kernels import _edge_loops as loops

        least = max(_BLOCK, len(self) // _MAX_BLOCKS)
        starts = np.zeros(self.n_sites + 2, np.int64)
        count = loops.closed_blocks(self.bands.offsets, self.bands.sources, least, starts)
        return starts[: count + 1]

    # For torch --------------------------------------------------------------------------------

    @cached_property
    def padded(self) -> Tensor:
        """The edge vectors, made up with zeros to whole vector registers."""
        return F.pad(self.attr, (0, -self.attr.shape[1] % WHOLE_ROW))

    @cached_property
    def _runs(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Order and start of the runs over which edges are summed."""
        device = self.source.device
        everyone = torch.arange(self.n_sites, device=device)
        sources, by_source = torch.sort(self.source, stable=True)
        by_target = torch.arange(len(self), device=device)
        return {
            "target": (by_target, torch.searchsorted(self.target.contiguous(), everyone)),
            "source": (by_source, torch.searchsorted(sources, everyone)),
        }

    def sum_by(self, end: str, rows: Tensor, factors: Tensor | None = None) -> Tensor:
        """Sums of `rows` over the edges of each site; a sorted sum is faster than a scattered one.

        Parameters
        ----------
        end : {"target", "source"}
            Whether a site's edges are those into it or those out of it.
        rows : Tensor, shape (n_edges, width)
            One row an edge.
        factors : Tensor, shape (n_edges,), default=None
            Factor of each row, with ``end="target"``; None for 1.

        Returns
        -------
        Tensor, shape (n_sites, width)
        """
        order, starts = self._runs[end]
        return F.embedding_bag(order, rows, starts, mode="sum", per_sample_weights=factors)

    def compiled_for(self, *tensors: Tensor) -> bool:
        """Whether compiled loops serve these edges with these tensors: float32 on a CPU."""
        return loops_serve(self.attr, self.weight, *tensors)


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    """Tensors as the compiled loops take them, without a copy where possible."""
    return [x.detach().contiguous().numpy() for x in tensors]
