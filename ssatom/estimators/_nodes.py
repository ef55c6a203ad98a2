"""Node features of the network: those of the elements, or hidden states of an encoder."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssatom.elements import atomic_features, element_table_hash
from ssatom.embeddings import embed, parse_layers, resolve_weights
from ssatom.exceptions import WeightsError, unwrap
from ssatom.graph import CoordinationNumbers, GraphBatch, GraphConfig, GraphRemarks
from ssatom.structures import StructureArrays
from ssatom.weights import PretrainedEncoder

EmbedFunction = Callable[
    [Sequence[StructureArrays], Sequence[int], GraphRemarks], Iterator[np.ndarray]
]
"""Gives the node features of each structure, shape (n_sites, node_dim), through the cache.

It takes structures, their places in the user's list, and where to note what is odd about them.
"""


@dataclass(frozen=True)
class NodeFeatures:
    """One kind of node features.

    `graph_config` are the graphs on which the network runs, and `widths` the widths of the blocks
    of a node vector: its layers, coordination numbers and directional units. `make_encoder` makes
    a module that computes node features from graphs; `trained` says whether it is trained with the
    network. `embed` computes those of a pretrained encoder, and `fitted` has the attributes of an
    estimator that is fitted with them.
    """

    graph_config: GraphConfig
    widths: tuple[int, ...]
    make_encoder: Callable[[], nn.Module]
    trained: bool = False
    embed: EmbedFunction | None = None
    fitted: Mapping[str, Any] = field(default_factory=dict)

    @property
    def node_dim(self) -> int:
        """Length of a node vector."""
        return sum(self.widths)


class ElementEncoder(nn.Module):
    """The 92 features of each site's element."""

    features: Tensor

    def __init__(self) -> None:
        super().__init__()
        features = torch.from_numpy(atomic_features().copy())
        self.register_buffer("features", features, persistent=False)

    def forward(self, graphs: GraphBatch, edge_attr: Tensor) -> Tensor:
        """Node features, shape (n_sites, node_dim)."""
        return self.features[graphs.numbers]


class LayerEncoder(nn.Module):
    """A trainable copy of a pretrained encoder, whose chosen layers are joined."""

    features: Tensor

    def __init__(self, weights: PretrainedEncoder, layers: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("features", weights.element_features, persistent=False)
        self.layers = layers
        n_numbers = weights.encoder.config.radial_units if any(layers) else 0
        self.coordination = CoordinationNumbers(weights.graph_config, n_numbers)
        self.encoder = copy.deepcopy(weights.encoder).requires_grad_(True)
        self.eval()

    def train(self, mode: bool = True) -> LayerEncoder:
        """Stay in evaluation mode: the statistics of pretraining are better than a batch's."""
        return super().train(False)

    def forward(self, graphs: GraphBatch, edge_attr: Tensor) -> Tensor:
        """Node features, shape (n_sites, node_dim)."""
        x = self.features[graphs.numbers]
        n_states = max(self.layers) + 1  # later layers are not needed
        states, units = self.encoder.states_and_units(
            x, graphs.edge_index, edge_attr, graphs.edge_weight, n_states, graphs.directions
        )
        blocks = [states[layer] for layer in self.layers]
        if len(self.coordination.radii):
            edges = (graphs.distances, graphs.edge_index[1], graphs.edge_weight)
            blocks.append(self.coordination(*edges, len(x)))
        if units is not None and any(self.layers):
            blocks.append(units)
        return torch.cat(blocks, dim=1)


class RawFeatures:
    """Mixin of CGCNN: the 92 features of each element."""

    _elements_sha256: str

    def _node_features(self) -> NodeFeatures:
        encoder = ElementEncoder()
        fitted = {"_elements_sha256": element_table_hash(atomic_features())}
        widths = (encoder.features.shape[1],)
        return NodeFeatures(GraphConfig(), widths, lambda: encoder, fitted=fitted)

    def _fitted_node_features(self) -> NodeFeatures:
        if self._elements_sha256 != element_table_hash(atomic_features()):
            raise WeightsError(
                f"this {type(self).__name__} was fitted on other features of the elements; fit "
                "again"
            )
        return self._node_features()


class Embeddings:
    """Mixin of NEGNN: hidden states of a pretrained encoder."""

    layers: str | int | Sequence[int]
    weights: Any
    encoder: str
    memory: Any
    device: str
    random_state: Any
    weights_: Any
    weights_sha256_: str
    layers_: tuple[int, ...]
    _weights_seed: int

    def _node_features(self) -> NodeFeatures:
        seed = self.random_state
        seed = int(seed) if isinstance(seed, int | np.integer) else 0
        weights = resolve_weights(self.weights, seed)
        layers = parse_layers(self.layers, weights.n_layers)
        fitted = {
            "layers_": layers,
            "weights_": _reference(self.weights, weights),
            "weights_sha256_": weights.sha256,
            "_weights_seed": seed,
        }
        return self._features_of(weights, layers, self.encoder == "fine-tune", fitted)

    def _fitted_node_features(self) -> NodeFeatures:
        return self._features_of(self._fitted_weights(), self.layers_, trained=False, fitted={})

    def _features_of(
        self,
        weights: PretrainedEncoder,
        layers: tuple[int, ...],
        trained: bool,
        fitted: dict[str, Any],
    ) -> NodeFeatures:
        columns, config = weights.columns(layers), weights.encoder.config
        beside = (config.radial_units, config.n_units) if any(layers) else ()
        widths = (*len(layers) * (weights.hidden_dim,), *filter(None, beside))

        def embed_layers(
            arrays: Sequence[Any], indices: Sequence[int], remarks: GraphRemarks
        ) -> Iterator[np.ndarray]:
            settings = {"device": self.device, "memory": self.memory}
            for row in embed(arrays, weights, **settings, indices=indices, remarks=remarks):
                yield unwrap(row)[:, columns]

        return NodeFeatures(
            # Frozen embeddings go with CGCNN's own graphs, so that the two differ in nothing else.
            weights.graph_config if trained else GraphConfig(),
            widths,
            lambda: LayerEncoder(weights, layers),
            trained,
            embed_layers,
            fitted,
        )

    def _fitted_weights(self) -> PretrainedEncoder:
        """The weights of the encoder, if they still are those of fitting."""
        weights = resolve_weights(self.weights_, self._weights_seed)
        if weights.sha256 != self.weights_sha256_:
            raise WeightsError(
                f"weights {weights.name!r} are not those of fitting: their sha256 is "
                f"{weights.sha256[:12]}…, this {type(self).__name__} was fitted on "
                f"{self.weights_sha256_[:12]}…; install those again, or fit again"
            )
        return weights


def _reference(weights: Any, loaded: PretrainedEncoder) -> Any:
    """What finds the weights again: a name, an absolute folder, or the weights themselves."""
    if weights is None:
        return loaded.name
    if isinstance(weights, PretrainedEncoder) or weights == "random":
        return weights
    return str(Path(weights).resolve()) if Path(weights).is_dir() else str(weights)
