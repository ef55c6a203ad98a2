"""Recipes of pretraining that the ablation compares, each one step away from another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ssatom.graph import GraphConfig

PAPER = "paper"
"""The paper's recipe, against which all others are measured."""

START = "smooth"
"""The recipe that most others differ from in one thing."""

_START: dict[str, Any] = {
    "graph_config": GraphConfig("smooth", cutoff=5.0),
    "n_conv": 3,
    "tasks": "element,group,period,denoise",
}
_TASKS = str(_START["tasks"])


@dataclass(frozen=True)
class Direction:
    """One recipe.

    Attributes
    ----------
    name : str
        Short.
    change : str
        What it changes, for the table.
    settings : mapping or None
        Arguments of `MaskedPretrainer`; None for random weights, which are not trained.
    n_seeds : int
        Trainings.
    """

    name: str
    change: str
    settings: Mapping[str, Any] | None = field(default_factory=dict)
    n_seeds: int = 1


def _from_start(name: str, change: str, **settings: Any) -> Direction:
    return Direction(name, change, {**_START, **settings})


def _with_task(name: str, change: str, task: str) -> Direction:
    return _from_start(name, change, tasks=f"{_TASKS},{task}")


DIRECTIONS = (
    Direction("random", "paper's graphs and network, random weights", None),
    Direction(PAPER, "paper's recipe", {}, n_seeds=2),
    Direction(
        START,
        "all neighbours within 5 Å under a smooth envelope, 3 convolutions; element, group and "
        "period of masked sites, distances with 0.2 Å of noise to be taken back",
        _START,
        n_seeds=2,
    ),
    _with_task("radial", "+ radial distribution from every layer", "radial"),
    _with_task("angles", "+ bond angles from every layer", "angles"),
    _with_task("potential", "+ electrostatic potential from every layer", "potential"),
    _with_task("density", "+ density from every layer", "density"),
    _with_task("crystal-system", "+ crystal system from every layer", "crystal_system"),
    _with_task("redundancy", "+ units of a layer made uncorrelated", "redundancy(weight=10.0)"),
    _from_start("elements", "learned element vectors", element_features="distinct"),
    _from_start("magpie", "22 elemental properties beside the 92", element_features="magpie"),
    _from_start("gates", "22 properties, and the first convolution starts as sums of them over "
                "neighbours at one distance each", element_features="magpie", start="radial"),
    _from_start("residual", "residual layers, normalised first", residual=True),
    _from_start("wide", "width 128", hidden_dim=128),
    _from_start("deep", "5 convolutions", n_conv=5),
    _from_start("far", "neighbours within 6 Å", graph_config=GraphConfig("smooth", cutoff=6.0)),
    _from_start("near", "neighbours within 4 Å", graph_config=GraphConfig("smooth", cutoff=4.0)),
    _from_start("masked-30", "30 % of the sites masked", mask_fraction=0.3),
    _from_start("fast", "learning rate 0.003, falling from the start",
                learning_rate=0.003, decay_fraction=1.0),
    _from_start("noise-10", "0.1 Å of noise", tasks=_TASKS + "(noise=0.1)"),
    _from_start("without-noise", "no noise", tasks="element,group,period"),
)  # fmt: skip
