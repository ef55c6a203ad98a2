"""The state of an estimator in plain values and arrays, for pickle, copies and skops alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
from ssatom.estimators._nodes import LayerEncoder
from ssatom.graph import GraphConfig
from ssatom.negnn import NEGNN, NEGNNConfig
from ssatom.repeatable import DrawFrom
from ssatom.weights import PretrainedEncoder, check_sizes

State = dict[str, Any]


def packed(state: State) -> State:
    """Attributes of an estimator with networks, graph settings and history in plain values."""
    if "networks_" not in state:
        return state
    return {
        **state,
        "networks_": [_packed_module(network) for network in state["networks_"]],
        "_tuned_encoders": [
            {
                **_packed_module(layers.encoder),
                "layers": list(layers.layers),
                "features": layers.features.numpy(),
            }
            for layers in state["_tuned_encoders"]
        ],
        "graph_config_": state["graph_config_"].to_dict(),
        "history_": {name: column.to_numpy() for name, column in state["history_"].items()},
    }


def unpacked(state: State) -> State:
    """The inverse of `packed`."""
    if "networks_" not in state:
        return state
    config = GraphConfig(**state["graph_config_"])
    with DrawFrom(0):  # first values, which are replaced
        networks = [_filled(NEGNN, NEGNNConfig(**m["config"]), m) for m in state["networks_"]]
        encoders = [_layer_encoder(m, config) for m in state["_tuned_encoders"]]
    return {
        **state,
        "networks_": networks,
        "_tuned_encoders": encoders,
        "graph_config_": config,
        "history_": pd.DataFrame(state["history_"]),
    }


def _packed_module(module: Any) -> State:
    tensors = {name: x.detach().cpu().numpy() for name, x in module.state_dict().items()}
    return {"config": module.config.to_dict(), "tensors": tensors}


def _filled(kind: type[nn.Module], config: Any, kept: State) -> Any:
    tensors = {name: _tensor(x) for name, x in kept["tensors"].items()}
    check_sizes(config, tensors)
    module = kind(config)
    module.load_state_dict(tensors, strict=True, assign=True)  # in the precision of fitting
    return module.eval().requires_grad_(False)


def _layer_encoder(kept: State, config: GraphConfig) -> LayerEncoder:
    encoder = _filled(CrystalGraphEncoder, EncoderConfig(**kept["config"]), kept)
    bare = PretrainedEncoder("tuned", encoder, config, _tensor(kept["features"]), "")
    return LayerEncoder(bare, tuple(kept["layers"])).requires_grad_(False)


def _tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(x))  # a copy: what was read may not be written to
