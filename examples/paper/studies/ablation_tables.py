"""Tables of the ablation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from studies.recipes import BASE, DIRECTIONAL, PAPER
from studies.scores import cell
from studies.study import Report, Table
from studies.validation_errors import relative_error

if TYPE_CHECKING:
    from studies.ablation import Trial

SETTINGS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "012, mean": ("012", ("mean",)),
    "012, mean and std": ("012", ("mean", "std")),
    "012, mean, std, min and max": ("012", ("mean", "std", "min", "max")),
    "012, mean, anion and cation": ("012", ("mean", "anion", "cation")),
    "all, mean, anion and cation": (None, ("mean", "anion", "cation")),
}
"""Layers (None means all) and pooling by their name in the table."""

REFERENCE = "012, mean"
"""The layers and pooling with which the paper's recipe has the relative error 1."""

COMPARED = "012, mean, anion and cation"
"""The layers and pooling with which recipes are compared."""

Found = Mapping[str, Any]
"""Seconds of training, milliseconds per structure, and errors by layers and pooling."""

Runs = Mapping[str, Sequence[Found]]
"""Results of recipes or sets by name, one a seed."""


def ablation_report(
    recipes: tuple[Trial, Runs], tasks: tuple[Trial, Runs], shipped: Mapping[str, Found]
) -> Report:
    """Tables of recipes and tasks, each against its own start, and of the shipped sets."""
    trial, runs = recipes
    reference = _mean_errors(runs[PAPER], REFERENCE)
    sets: Runs = {name: [found] for name, found in shipped.items()}
    targets = list(reference)
    best = min(runs, key=lambda name: float(np.mean(_relative(runs[name], COMPARED, reference))))
    of_tasks, task_runs = tasks
    own = _mean_errors(task_runs[DIRECTIONAL], COMPARED)
    return Report(
        results={"runs": dict(runs), "tasks": dict(task_runs), "shipped": dict(shipped)},
        tables=[
            _recipe_table(
                f"Error relative to the paper's recipe with {REFERENCE}",
                trial, runs, BASE, reference,
            ),
            Table(
                "The same of the shipped sets",
                ["set", "ms a structure", *SETTINGS],
                [
                    [name, _cost(found), *_relative_cells(found, SETTINGS, reference)]
                    for name, found in sets.items()
                ],
            ),
            _error_table({**runs, **sets}, targets),
            _recipe_table(
                f"Tasks and width: error relative to '{DIRECTIONAL}' with {COMPARED}",
                of_tasks, task_runs, DIRECTIONAL, own,
            ),
            _error_table(task_runs, targets),
        ],
        reading=[
            f"Each recipe is trained for {trial.epochs} epochs on the same {trial.n_structures:,} "
            "crystals of the corpus, on one core; its error is that of kernel ridge in ten-fold "
            "cross-validation on rows that no random split of a table tests. Relative errors are "
            "geometric means over the targets of the third table.",
            f"The gain over '{BASE}', from which most recipes differ in one setting, is that "
            f"with layers and pooling '{COMPARED}'; there '{best}' has the lowest error.",
            *_spread_of_seeds(runs, BASE, reference),
            f"The last two tables are of other tasks in the recipe '{DIRECTIONAL}', and of a wider "
            f"network, trained for {of_tasks.epochs} epochs on {of_tasks.n_structures:,} crystals "
            f"less those of more than {of_tasks.max_sites} sites.",
            *_spread_of_seeds(task_runs, DIRECTIONAL, own),
        ],
    )  # fmt: skip


def _recipe_table(
    title: str, trial: Trial, runs: Runs, base: str, reference: Mapping[str, float]
) -> Table:
    """Cost, gain over `base` and relative errors of the recipes of a trial."""
    heads = ["recipe", "what", "seeds", "training, min", "ms a structure", f"gain over {base}, %"]
    start = np.mean(_relative(runs[base], COMPARED, reference))
    rows = []
    for recipe in trial.recipes:
        if recipe.name not in runs:  # of a report that is not of all recipes yet
            continue
        found = runs[recipe.name]
        minutes = np.mean([one["seconds"] for one in found]) / 60
        gain = 100 * (1 - np.mean(_relative(found, COMPARED, reference)) / start)
        head = [recipe.name, recipe.change, str(len(found)), f"{minutes:.1f}", _cost(found)]
        cells = _relative_cells(found, trial.settings, reference)
        rows.append([*head, f"{gain:.1f}", *cells])
    return Table(title, [*heads, *trial.settings], rows)


def _error_table(runs: Runs, targets: Sequence[str]) -> Table:
    rows = [
        [name, *(_spread([one["errors"][COMPARED][target] for one in found]) for target in targets)]
        for name, found in runs.items()
    ]
    return Table(f"MAE of cross-validation, {COMPARED}", ["recipe", *targets], rows)


def _spread_of_seeds(runs: Runs, base: str, reference: Mapping[str, float]) -> list[str]:
    seeds = _relative(runs[base], COMPARED, reference)
    if len(seeds) < 2:
        return []
    spread = f"Seeds of '{base}' differ by {100 * np.ptp(seeds) / np.mean(seeds):.1f} %"
    return [f"{spread}; smaller gains mean nothing."]


def _mean_errors(found: Sequence[Found], setting: str) -> dict[str, float]:
    """Mean over seeds, by target."""
    errors = [one["errors"][setting] for one in found]
    return {target: float(np.mean([one[target] for one in errors])) for target in errors[0]}


def _relative(found: Sequence[Found], setting: str, reference: Mapping[str, float]) -> list[float]:
    """Relative errors, one a seed."""
    return [relative_error(one["errors"][setting], reference) for one in found]


def _relative_cells(
    found: Sequence[Found], settings: Iterable[str], reference: Mapping[str, float]
) -> list[str]:
    return [_spread(_relative(found, setting, reference)) for setting in settings]


def _cost(found: Sequence[Found]) -> str:
    return f"{np.mean([one['milliseconds'] for one in found]):.2f}"


def _spread(values: list[float]) -> str:
    return cell(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)
