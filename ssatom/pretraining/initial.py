"""The first values of an encoder's weights."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from ssatom.elements import (
    ELEMENT_FEATURES,
    MAGPIE_PROPERTIES,
    MAX_ATOMIC_NUMBER,
    atomic_features,
)
from ssatom.encoder import CrystalGraphConv, CrystalGraphEncoder, EncoderConfig
from ssatom.exceptions import ParameterError
from ssatom.graph import GraphConfig

_ELEMENT_SCALE = 0.01  # of learned element vectors, against those of the features
_CLOSEST = 1.0  # Å; hardly any atoms are closer
_SHARPNESS = 3.0  # of the step between a closed and an open gate
_CORE = 0.3  # of a neighbour's property in its message
_N_PLACES = 6  # distances of the radial functions of directional units
_NEAREST, _BREADTH = 1.4, 0.6  # Å, of the first of them and of all
_GAUSSIANS = 3.0  # sum of those of an edge vector under a radial function
_SHIFT = 1.0  # of the first normalised state, so that ReLU cuts less of it off


def check_initialization(
    initialization: str, config: EncoderConfig, graph_config: GraphConfig, element_features: str
) -> None:
    """Refuse an initialization that is not possible with the other settings."""
    if initialization == "random":
        return
    if element_features != "magpie":
        raise ParameterError(
            f"initialization={initialization!r} uses Magpie's properties; give "
            "element_features='magpie'"
        )
    least = max(2 * len(MAGPIE_PROPERTIES), graph_config.edge_dim)
    if config.hidden_dim < least or config.residual:
        raise ParameterError(
            f"initialization={initialization!r} needs hidden_dim of at least {least} with these "
            f"graphs, and no residual layers; got hidden_dim="
            f"{config.hidden_dim}, residual={config.residual}"
        )


def new_encoder(
    config: EncoderConfig,
    graph_config: GraphConfig,
    element_features: str = "cgcnn",
    initialization: str = "random",
) -> CrystalGraphEncoder:
    """Make an untrained encoder; within `DrawFrom` its weights are determined by a seed.

    With "radial" the first 22 units of the first state are Magpie's properties. Half of the units
    of the first convolution sum the softplus of one property over neighbours, each unit with about
    four times the weight near one distance. The first normalisation has a shift of 1.
    """
    check_initialization(initialization, config, graph_config, element_features)
    encoder = CrystalGraphEncoder(config)
    with torch.no_grad():
        if element_features == "distinct":
            encoder.node_embedding.weight[:, atomic_features().shape[1] :] *= _ELEMENT_SCALE
        if initialization == "radial":
            n = len(MAGPIE_PROPERTIES)  # the last columns of the table
            encoder.node_embedding.weight[:n] = 0
            encoder.node_embedding.bias[:n] = 0
            encoder.node_embedding.weight[:n, -n:] = torch.eye(n)
            nn.init.eye_(encoder.edge_embedding.weight)
            nn.init.zeros_(encoder.edge_embedding.bias)
            _sum_by_distance(cast(CrystalGraphConv, encoder.convs[0]), graph_config)
            if config.directional_channels:
                table = torch.from_numpy(ELEMENT_FEATURES[element_features]())
                _separate_elements(encoder, table, graph_config)
            cast(nn.BatchNorm1d, encoder.norms[0]).bias.fill_(_SHIFT)
    return encoder


def _sum_by_distance(conv: CrystalGraphConv, graph_config: GraphConfig) -> None:
    """Last half of the units of a convolution: gates that open wider near one distance each.

    Filter: sharpness (Gaussian − ½); core: one property of the neighbour, drawn at random.
    """
    width, (weight, bias) = conv.hidden_dim, (conv.gates.weight, conv.gates.bias)
    units = torch.arange(width // 2, width)
    n_gaussians = graph_config.edge_dim
    first = min(round(_CLOSEST / graph_config.basis_step), n_gaussians - 1)
    gaussians = first + torch.arange(len(units)) % (n_gaussians - first)
    properties = torch.randint(len(MAGPIE_PROPERTIES), (len(units),))
    for part in (units, width + units):  # filter, core
        weight[part] = 0
        bias[part] = 0
    weight[units, 2 * width + gaussians] = _SHARPNESS
    bias[units] = -_SHARPNESS / 2
    weight[width + units, width + properties] = _CORE


def _separate_elements(
    encoder: CrystalGraphEncoder, table: torch.Tensor, graph_config: GraphConfig
) -> None:
    """Channels of the directional units: one axis of the elements near one distance each.

    The first axis is constant, the others are the principal axes of hidden state 0.
    """
    units = encoder.directional
    states = encoder.node_embedding(table[1 : MAX_ATOMIC_NUMBER + 1].float())
    center = states.mean(dim=0)
    _, spread, axes = torch.linalg.svd(states - center, full_matrices=False)
    axes = axes / spread[:, None] * len(states) ** 0.5
    centers = torch.arange(graph_config.edge_dim) * graph_config.basis_step
    places = torch.linspace(_NEAREST, graph_config.cutoff - _NEAREST / 3, _N_PLACES)
    for k in range(len(units.channels.weight)):
        axis, place = divmod(k, _N_PLACES)
        shape = torch.exp(-(((centers - places[place]) / _BREADTH) ** 2))
        units.radial.weight[k] = shape / _GAUSSIANS
        units.channels.weight[k] = 0 if axis == 0 else axes[axis - 1]
        units.channels.bias[k] = 1 if axis == 0 else -(center @ axes[axis - 1])
