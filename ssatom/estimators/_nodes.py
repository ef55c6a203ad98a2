"""Where node vectors come from: the table of elements, or a pretrained encoder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssatom.graph import CoordinationNumbers, GraphBatch, GraphConfig
from ssatom.structures import StructureArrays
from ssatom.weights import PretrainedEncoder

VectorFunction = Callable[[Sequence[StructureArrays], Sequence[int]], Iterator[np.ndarray]]
"""From structures, and their places in the user's list, to the node vectors of each.

The latter have shape (n_sites, node_dim).
"""


@dataclass(frozen=True)
class NodePlan:
    """Node vectors of one kind.

    Attributes
    ----------
    graph_config : GraphConfig
        Graphs they belong to.
    node_dim : int
        Length of a node vector.
    widths : tuple of int
        Widths of the blocks of a node vector: its layers, and the coordination numbers.
    make_source : callable
        A module that makes node vectors from graphs.
    trained : bool
        Whether that module is trained with the network.
    vectors : callable or None
        A `VectorFunction`, where node vectors are looked up in a cache.
    fitted : mapping
        Attributes of an estimator that was fitted with these node vectors.
    """

    graph_config: GraphConfig
    node_dim: int
    widths: tuple[int, ...]
    make_source: Callable[[], nn.Module]
    trained: bool = False
    vectors: VectorFunction | None = None
    fitted: Mapping[str, Any] = field(default_factory=dict)


class ElementNodes(nn.Module):
    """Raw features of each site's element.

    Parameters
    ----------
    features : Tensor, shape (101, node_dim)
        By atomic number.
    """

    features: Tensor

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features, persistent=False)
        self.node_dim = features.shape[1]

    def forward(self, graphs: GraphBatch, edge_attr: Tensor) -> Tensor:
        """Node vectors, shape (n_sites, node_dim)."""
        return self.features[graphs.numbers]


class EncoderNodes(nn.Module):
    """Hidden states of an encoder, layers side by side.

    Parameters
    ----------
    weights : PretrainedEncoder
        The encoder. It is copied if it is to be trained.
    layers : tuple of int
        Layers whose hidden states are joined.
    trainable : bool, default=False
        Whether to train a copy of the encoder.
    """

    features: Tensor

    def __init__(
        self, weights: PretrainedEncoder, layers: tuple[int, ...], trainable: bool = False
    ) -> None:
        super().__init__()
        self.register_buffer("features", weights.element_features, persistent=False)
        self.layers = layers
        self.node_dim = len(weights.columns(layers))
        n_numbers = weights.encoder.config.radial_units if any(layers) else 0
        self.coordination = CoordinationNumbers(weights.graph_config, n_numbers)
        self.encoder = weights.encoder
        if trainable:
            self.encoder = copy.deepcopy(weights.encoder).requires_grad_(True)
        self.eval()

    def train(self, mode: bool = True) -> EncoderNodes:
        """Stay in evaluation mode: the statistics of pretraining are better than a batch's."""
        return super().train(False)

    def forward(self, graphs: GraphBatch, edge_attr: Tensor) -> Tensor:
        """Node vectors, shape (n_sites, node_dim)."""
        x = self.features[graphs.numbers]
        n_states = max(self.layers) + 1  # what lies beyond would be computed for nothing
        states = self.encoder(x, graphs.edge_index, edge_attr, graphs.edge_weight, n_states)
        vectors = [states[layer] for layer in self.layers]
        if len(self.coordination.radii):
            edges = (graphs.distances, graphs.edge_index[1], graphs.edge_weight)
            vectors.append(self.coordination(*edges, len(x)))
        return torch.cat(vectors, dim=1)
