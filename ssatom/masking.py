"""Corruption of a batch: the elements and distances that are hidden from the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from ssatom.elements import MASK_NUMBER
from ssatom.graph import MEAN_ENVELOPE, GraphBatch, GraphConfig, envelope
from ssatom.validation import number


class MaskedBatch(NamedTuple):
    """A batch with some of its sites and distances hidden.

    Attributes
    ----------
    graphs : GraphBatch
        The truth.
    masked_sites : Tensor of int64, shape (n_masked,)
        Sites whose element is hidden.
    hidden_edges : Tensor of int64, shape (n_hidden,)
        Edges whose distance is hidden.
    noised_distances : Tensor of float32, shape (n_edges,), or None
        Distances as the network sees them, Å, where a task displaced the sites.
    noised_directions : Tensor of float32, shape (n_edges, 3), or None
        Directions of the edges between displaced sites.
    drawn_edges : Tensor of int64, shape (n_drawn,), or None
        Edges whose noise is to be predicted.
    targets : dict of str to Tensor
        Targets by name of the task, from the uncorrupted structures: one row for each site or
        each structure.
    """

    graphs: GraphBatch
    masked_sites: Tensor
    hidden_edges: Tensor
    noised_distances: Tensor | None = None
    noised_directions: Tensor | None = None
    drawn_edges: Tensor | None = None
    targets: Mapping[str, Tensor] = MappingProxyType({})

    @property
    def visible_numbers(self) -> Tensor:
        """Atomic numbers with the mask in place of hidden ones, shape (n_sites,)."""
        return self.graphs.numbers.index_fill(0, self.masked_sites, MASK_NUMBER)

    @property
    def visible_distances(self) -> Tensor:
        """Distances as the network sees them where they are not hidden, Å, shape (n_edges,)."""
        return self.graphs.distances if self.noised_distances is None else self.noised_distances

    @property
    def visible_directions(self) -> Tensor | None:
        """Directions as the network sees them, shape (n_edges, 3); hidden edges give no unit."""
        noised = self.noised_directions
        return self.graphs.directions if noised is None else noised

    def visible_weight(self, config: GraphConfig) -> Tensor:
        """Factors of the messages, without information on hidden distances.

        Parameters
        ----------
        config : GraphConfig
            Settings of the graphs.

        Returns
        -------
        Tensor, shape (n_edges,)
            Under a smooth envelope a hidden distance has the mean weight.
        """
        if config.neighbors == "nearest":
            return self.graphs.edge_weight
        weight = envelope(self.visible_distances, config.cutoff)
        return weight.index_fill_(0, self.hidden_edges, MEAN_ENVELOPE)

    def hide(self, edge_attr: Tensor) -> Tensor:
        """Edge vectors with zeros in place of hidden ones; changes its argument."""
        return edge_attr.index_fill_(0, self.hidden_edges, 0.0)


class MaskNodesAndEdges:
    """Hide the elements of some sites and some distances to them.

    A distance is hidden in all edges that have it: in both directions, and for every periodic
    image at the same distance between the same two sites.

    Parameters
    ----------
    mask_fraction : float, default=0.15
        Probability that the element of a site is hidden.
    hidden_edge_fraction : float, default=0.5
        Probability that a distance is hidden, for distances of masked sites.

    Raises
    ------
    ParameterError
        If a share is outside [0, 1].

    References
    ----------
    Kong et al., "Self-supervised representations and node embedding graph neural networks for
    accurate and multi-scale analysis of materials", 10.48550/arXiv.2211.03563 (15 % of the
    sites, and edges that touch them).

    Examples
    --------
    >>> import torch
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.graph import CrystalGraphConverter
    >>> from ssatom.masking import MaskNodesAndEdges
    >>> cscl = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> batch = CrystalGraphConverter().convert([cscl] * 50).to_batch()
    >>> masked = MaskNodesAndEdges()(batch, torch.Generator().manual_seed(0))
    >>> bool((masked.visible_numbers[masked.masked_sites] == 0).all())
    True
    """

    def __init__(self, mask_fraction: float = 0.15, hidden_edge_fraction: float = 0.5) -> None:
        self.mask_fraction = number("mask_fraction", mask_fraction, "[0, 1]")
        self.hidden_edge_fraction = number("hidden_edge_fraction", hidden_edge_fraction, "[0, 1]")

    def __call__(self, graphs: GraphBatch, generator: torch.Generator) -> MaskedBatch:
        """Draw what is hidden.

        Parameters
        ----------
        graphs : GraphBatch
            On any device.
        generator : torch.Generator
            On the CPU; its state alone decides, whatever the device.

        Returns
        -------
        MaskedBatch
            The same graphs with the indices of what is hidden.
        """

        def draw(n: int, fraction: float) -> Tensor:
            chances = torch.rand(n, generator=generator, dtype=torch.float32)  # not torch's default
            return chances.to(graphs.numbers.device) < fraction

        drawn = draw(len(graphs.numbers), self.mask_fraction)
        touching = (drawn[graphs.edge_index[0]] | drawn[graphs.edge_index[1]]).nonzero()[:, 0]
        pair, n_pairs = self._distinct_distances(graphs, touching)
        hidden = draw(n_pairs, self.hidden_edge_fraction)
        return MaskedBatch(graphs, drawn.nonzero()[:, 0], touching[hidden[pair]])

    @staticmethod
    def _distinct_distances(graphs: GraphBatch, edges: Tensor) -> tuple[Tensor, int]:
        """Number the distances of `edges`, one number for all edges with the same distance."""
        source, target = graphs.edge_index.index_select(1, edges)
        low, high = torch.minimum(source, target), torch.maximum(source, target)
        rounded = (graphs.distances[edges] * 100).round().long()  # 0.01 Å
        key = (low * len(graphs.numbers) + high) * 100_000 + rounded
        distinct, number = torch.unique(key, return_inverse=True)
        return number, len(distinct)
