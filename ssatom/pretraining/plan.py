"""What the settings of a recipe stand for, each built once and checked before a corpus is read."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

import torch

from ssatom.devices import edge_precision, resolve_device
from ssatom.elements import ELEMENT_FEATURES
from ssatom.encoder import EncoderConfig
from ssatom.graph import GraphConfig
from ssatom.masking import MaskNodesAndEdges
from ssatom.pretraining.initial import check_initialization
from ssatom.recipe import Recipe
from ssatom.tasks import PretrainingTask, make_tasks
from ssatom.training import TrainingConfig


class Plan(NamedTuple):
    """Objects that a pretraining is made of.

    `recipe` has the settings that decide the result, as plain values, with the precision that is
    used. `element_features` are node vectors by atomic number, shape (101, node_dim).
    """

    recipe: dict[str, Any]
    tasks: list[PretrainingTask]
    masking: MaskNodesAndEdges
    graph_config: GraphConfig
    element_features: torch.Tensor
    encoder_config: EncoderConfig
    training_config: TrainingConfig
    edge_dtype: torch.dtype


def make_plan(recipe: Recipe) -> Plan:
    """Build what a recipe stands for; refuses settings that are wrong or do not fit together."""
    recipe.check()
    tasks = make_tasks(recipe.tasks)
    graph_config = _from_recipe(GraphConfig, recipe, directions=recipe.directional_channels > 0)
    features = torch.from_numpy(ELEMENT_FEATURES[recipe.element_features]().copy())
    encoder_config = _from_recipe(
        EncoderConfig, recipe, node_dim=features.shape[1], edge_dim=graph_config.edge_dim
    )
    check_initialization(
        recipe.initialization, encoder_config, graph_config, recipe.element_features
    )
    training_config = _from_recipe(
        TrainingConfig,
        recipe,
        patience=recipe.patience or None,
        device=resolve_device(recipe.device),
    )
    edge_dtype = edge_precision(recipe.precision, training_config.device)
    used = {
        **recipe.to_dict(),
        "tasks": [str(task) for task in tasks],
        "precision": str(edge_dtype).removeprefix("torch."),
    }
    masking = MaskNodesAndEdges(recipe.mask_fraction, recipe.hidden_edge_fraction)
    return Plan(
        used, tasks, masking, graph_config, features, encoder_config, training_config, edge_dtype
    )


def _from_recipe(config: type, recipe: Recipe, **derived: Any) -> Any:
    """A group of settings: those of its fields that a recipe has, and others that follow."""
    names = [f.name for f in fields(config) if f.name not in derived and hasattr(recipe, f.name)]
    return config(**{name: getattr(recipe, name) for name in names}, **derived)
