"""Recipes of pretraining that the ablation compares; most differ from `BASE` in one setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ssatom.graph import GraphConfig
from studies import trial_tasks

PAPER = "paper"
"""The paper's recipe, against which all others are measured."""

BASE = "start"
"""The recipe from which most others differ in one setting."""

DIRECTIONAL = "directional"
"""The recipe from which those of `TASK_RECIPES` differ in a task, or in the width."""

_TASKS = "element,group,period,denoise"
_BASE: dict[str, Any] = {
    "neighbors": "smooth",
    "cutoff": 5.0,
    "n_conv": 3,
    "element_features": "magpie",
    "initialization": "radial",
    "tasks": f"{_TASKS},radial",
}
_PLAIN: dict[str, Any] = {**_BASE, "element_features": "cgcnn", "initialization": "random"}


@dataclass(frozen=True)
class Recipe:
    """One recipe.

    Attributes
    ----------
    name : str
        Short name.
    change : str
        What it changes; for the table.
    settings : mapping or None
        Arguments of `MaskedPretrainer`; None for random weights, which are not trained.
    n_seeds : int
        Trainings.
    """

    name: str
    change: str
    settings: Mapping[str, Any] | None = field(default_factory=dict)
    n_seeds: int = 1

    @property
    def key(self) -> str:
        """Text that identifies the settings of a result.

        Results of earlier versions have it with a `GraphConfig` and under the name ``start``.
        """
        if not self.settings:
            return repr(self.settings)
        settings = dict(self.settings)
        graph = {name: settings.pop(name) for name in ("neighbors", "cutoff")}
        renamed = {("start" if k == "initialization" else k): v for k, v in settings.items()}
        text = repr({"graph_config": GraphConfig(**graph), **renamed})
        return text.replace(", directions=False", "")


def _from_base(name: str, change: str, **settings: Any) -> Recipe:
    return Recipe(name, change, {**_BASE, **settings})


def _with_task(name: str, change: str, task: str) -> Recipe:
    return _from_base(name, change, tasks=f"{_BASE['tasks']},{task}")


RECIPES = (
    Recipe("random", "paper's graphs and network, random weights", None),
    Recipe(PAPER, "paper's recipe", {}, n_seeds=2),
    Recipe(
        BASE,
        "all neighbours within 5 Å under a smooth envelope, 3 convolutions; 22 elemental "
        "properties beside the 92 features, and a first convolution that starts as sums of them "
        "over neighbours at one distance each; element, group and period of masked sites, 0.2 Å "
        "of noise to be taken back, radial distribution from every layer",
        _BASE,
        n_seeds=2,
    ),
    _from_base("untrained", "its weights as they start (learning rate 1e-12, one epoch)",
                learning_rate=1e-12, max_epochs=1),
    _from_base("random-start", "random first weights", initialization="random"),
    Recipe("cgcnn-features", "random first weights, the 92 features alone", _PLAIN),
    Recipe("distinct", "random first weights, the 92 features and learned element vectors",
              {**_PLAIN, "element_features": "distinct"}),
    Recipe("nearest", "random first weights, the 12 nearest neighbours",
              {**_BASE, "initialization": "random", "neighbors": "nearest", "cutoff": 8.0}),
    Recipe("residual", "random first weights, residual layers, normalised first",
              {**_BASE, "initialization": "random", "residual": True}),
    _from_base("far", "neighbours within 6 Å", cutoff=6.0),
    _from_base("near", "neighbours within 4 Å", cutoff=4.0),
    _from_base("papers-tasks", "tasks of the paper", tasks="period,group,distance"),
    _from_base("without-radial", "no radial distribution", tasks=_TASKS),
    _from_base("without-noise", "no noise", tasks="element,group,period,radial"),
    _from_base("noise-10", "0.1 Å of noise",
                tasks="element,group,period,denoise(noise=0.1),radial"),
    _with_task("angles", "+ bond angles from every layer", "angles"),
    _with_task("potential", "+ electrostatic potential from every layer", "potential"),
    _with_task("density", "+ density from every layer", "density"),
    _with_task("crystal-system", "+ crystal system from every layer", "crystal_system"),
    _with_task("redundancy", "+ units of a layer made uncorrelated", "redundancy(weight=10.0)"),
    _from_base("masked-30", "30 % of the sites masked", mask_fraction=0.3),
    _from_base("wide", "width 128", hidden_dim=128),
    _from_base("shallow", "2 convolutions", n_conv=2),
    _from_base("deep", "5 convolutions", n_conv=5),
    _from_base("joined", "width 128, 5 convolutions, 4.5 Å, + potential and crystal system",
                hidden_dim=128, n_conv=5, cutoff=4.5,
                tasks=f"{_BASE['tasks']},potential,crystal_system"),
    _from_base("sharp", "+ 21 units that are the radial distribution", radial_units=21),
    _from_base("fast", "learning rate 0.003, falling from the start",
                learning_rate=0.003, decay_fraction=1.0),
)  # fmt: skip

_SURROGATES = "radial,potential,crystal_system"
_DIRECTIONAL: dict[str, Any] = {
    **_BASE,
    "cutoff": 4.5,
    "n_conv": 5,
    "hidden_dim": 128,
    "radial_units": 18,
    "directional_channels": 32,
    "tasks": f"{_TASKS},{_SURROGATES}",
}


def _for_noise(name: str, change: str, task: str) -> Recipe:
    tasks = f"element,group,period,{task},{_SURROGATES}"
    return Recipe(name, change, {**_DIRECTIONAL, "tasks": tasks})


def _beside(name: str, change: str, task: str) -> Recipe:
    return Recipe(name, change, {**_DIRECTIONAL, "tasks": f"{_DIRECTIONAL['tasks']},{task}"})


_VECTORS, _CONDITIONED = trial_tasks.VectorsTask.name, trial_tasks.ConditionedTask.name

TASK_RECIPES = (
    Recipe(DIRECTIONAL, "recipe of directional-128x5-mp: 0.2 Å of noise in distances to be taken "
           "back, among other tasks", _DIRECTIONAL, n_seeds=2),
    _for_noise("vectors", "instead: displacements of 0.05 Å, as sums over directions", _VECTORS),
    _for_noise("vectors-10", "instead: displacements of 0.1 Å", f"{_VECTORS}(noise=0.1)"),
    _for_noise("conditioned", "instead: displacements of 0.05 Å, told the pooled embedding of the "
               "clean crystal", _CONDITIONED),
    _beside("electrons", "+ charges, local densities of states and gaps of tight binding, from "
            "every layer", trial_tasks.ElectronsTask.name),
    _beside("units", "+ directional units of masked sites, from every layer but the first",
            trial_tasks.UnitsTask.name),
    Recipe("large", "width 256", {**_DIRECTIONAL, "hidden_dim": 256}),
)  # fmt: skip
"""Recipes of the shipped default's network, with one other task each, and of a wider one."""
