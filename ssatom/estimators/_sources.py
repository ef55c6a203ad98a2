"""The two kinds of node vectors, as parts of an estimator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssatom.elements import atomic_features
from ssatom.embeddings import embed, parse_layers, resolve_weights
from ssatom.estimators._nodes import ElementNodes, EncoderNodes, NodePlan
from ssatom.exceptions import StructureError, WeightsError
from ssatom.graph import GraphConfig
from ssatom.weights import PretrainedEncoder


class RawFeatures:
    """CGCNN: the 92 features of each element."""

    def _node_plan(self) -> NodePlan:
        source = ElementNodes(torch.from_numpy(atomic_features().copy()))
        return NodePlan(GraphConfig(), source.node_dim, (source.node_dim,), lambda: source)

    _fitted_plan = _node_plan


class Embeddings:
    """NEGNN: hidden states of a pretrained encoder.

    Attributes
    ----------
    weights_ : str or PretrainedEncoder
        What `weights` was in fitting, by name or absolute folder.
    weights_sha256_ : str
        Its hash.
    layers_ : tuple of int
        Layers used.
    """

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

    def _node_plan(self) -> NodePlan:
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
        return self._plan(weights, layers, fitted, trained=self.encoder == "fine-tune")

    def _plan(
        self,
        weights: PretrainedEncoder,
        layers: tuple[int, ...],
        fitted: dict[str, Any],
        *,
        trained: bool,
    ) -> NodePlan:
        columns = weights.columns(layers)
        widths = len(layers) * (weights.hidden_dim,)
        n_numbers = len(columns) - sum(widths)

        def vectors(arrays: Sequence[Any], indices: Sequence[int]) -> Iterator[np.ndarray]:
            settings = {"device": self.device, "memory": self.memory, "indices": indices}
            for row in embed(arrays, weights, **settings):
                if isinstance(row, StructureError):
                    raise row
                yield row[:, columns]

        return NodePlan(
            # Frozen embeddings go with CGCNN's own graphs, so that the two differ in nothing else.
            weights.graph_config if trained else GraphConfig(),
            len(columns),
            (*widths, n_numbers) if n_numbers else widths,
            lambda: EncoderNodes(weights, layers, trainable=True),
            trained,
            vectors,
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

    def _fitted_plan(self) -> NodePlan:
        return self._plan(self._fitted_weights(), self.layers_, {}, trained=False)


def _reference(weights: Any, loaded: PretrainedEncoder) -> Any:
    """What finds the weights again: a name, an absolute folder, or the weights themselves."""
    if weights is None:
        return loaded.name
    if isinstance(weights, PretrainedEncoder) or weights == "random":
        return weights
    return str(Path(weights).resolve()) if Path(weights).is_dir() else str(weights)
