"""Checks of weights against their card, before a network is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ssatom.elements import MAX_ATOMIC_NUMBER
from ssatom.encoder import EncoderConfig
from ssatom.graph import GraphConfig
from ssatom.weights.card import WeightsCard


def check_sizes(config: Any, tensors: Mapping[str, Tensor]) -> None:
    """Refuse, before memory is taken, sizes on a card that exceed those of the tensors.

    `config` is that of an encoder or of NEGNN. Raises ValueError if a network of these sizes would
    be larger, or a tensor is not finite.
    """
    there = sum(tensor.numel() for tensor in tensors.values())
    wide = config.node_dim + config.edge_dim + config.n_conv * config.hidden_dim
    more = getattr(config, "directional_channels", 0), getattr(config, "n_hidden", 0)
    if config.hidden_dim * wide > there or max(more) > there:
        raise ValueError(f"the card tells of a larger network than {there:,} numbers make")
    odd = [k for k, x in tensors.items() if x.is_floating_point() and not x.isfinite().all()]
    if odd:
        raise ValueError(f"numbers of {odd[0]!r:.60} are not finite")


def check_card(card: WeightsCard, config: EncoderConfig, graph: GraphConfig, table: Any) -> None:
    """Refuse a card whose parts do not fit together."""
    if table.shape != (MAX_ATOMIC_NUMBER + 1, config.node_dim):
        raise ValueError(f"the element features have the shape {tuple(table.shape)}")
    if graph.edge_dim != config.edge_dim or (config.directional_channels and not graph.directions):
        raise ValueError("the graphs are not those of the encoder")
    n_columns = config.n_layers * config.hidden_dim + config.radial_units + config.n_units
    for columns in card.near_constant.values():
        if not all(type(one) is int and 0 <= one < n_columns for one in columns):
            raise ValueError("near_constant names columns that there are not")
