"""Label-free features against each other, ours with layers and pooling chosen on training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ssatom.evaluation import DATASETS, Dataset, EvaluationResult, SplitScores
from ssatom.reproduction.context import POOLINGS, Context
from ssatom.reproduction.features import DESCRIPTORS, SITE_DESCRIPTORS
from ssatom.reproduction.kernel_tables import TITLES, crystals, moments
from ssatom.reproduction.printed import KERNEL_RIDGE
from ssatom.reproduction.scores import (
    as_numbers,
    cell,
    digits_for,
    error_table,
    mae_in,
    sentence_case,
)
from ssatom.reproduction.study import Report, Table

CHOSEN = "chosen"
"""Name of the row whose layers and pooling were chosen."""

SOURCES = {
    "paper_formation": ["formation_energy_per_atom"],
    "paper_hse_gap": ["hse_gap"],
    "paper_elastic": ["log10_K", "log10_G", "poisson"],
    "matbench_phonons": ["last_phdos_peak_cm1"],
}

Results = Mapping[str, EvaluationResult]
"""By features."""


@dataclass(frozen=True)
class _Field:
    """Rows on which features meet, and who meets there."""

    sets: Mapping[str, Dataset]
    rivals: Sequence[str]
    ours: Sequence[str]
    splits: Sequence[str]


def run_best(context: Context) -> Report:
    """Kernel ridge on everything that needs no labels, on all data sets of the project."""
    numbers, tables, rows = {}, [], []
    notes = {name: d.description for name, d in {**SITE_DESCRIPTORS, **DESCRIPTORS}.items()}
    notes[CHOSEN] = "of the rows above, the best in cross-validation on each training part"
    for source, field in _fields(context).items():
        by_name = {
            name: context.evaluate(name, field.sets, splits=field.splits)
            for name in (*field.rivals, *field.ours)
        }
        for target in field.sets:
            results = {name: found[target] for name, found in by_name.items()}
            results[CHOSEN] = choose({name: results[name] for name in field.ours})
            numbers[target] = as_numbers(results)
            unit = DATASETS[source].targets[target]
            title = f"{sentence_case(TITLES[target])}, {mae_in(unit)}"
            tables.append(error_table(title, results, KERNEL_RIDGE.get(target, {}), notes))
            rows.append(_summary(title, target, results, field.rivals))
    heads = ["property", "paper's best without labels", "best rival", "ours", "ours is lower by"]
    summary = Table("Layers and pooling chosen on training rows", heads, rows)
    return Report(
        results=numbers,
        tables=[summary, *tables],
        reading=[
            "Rivals are descriptors and the same encoder untrained. For each split, layers and "
            "pooling are those with the best ten-fold cross-validation on its training part; test "
            "rows choose nothing. The last column is the mean over splits of the difference to "
            "the best rival, and its standard deviation."
        ],
    )


def choose(results: Results) -> EvaluationResult:
    """For each split the features with the best cross-validation on its training rows.

    Parameters
    ----------
    results : mapping of str to EvaluationResult
        By features; of models that have a `cv_score`, on the same splits.

    Returns
    -------
    EvaluationResult
        With the features' name among the `best_params`, and the time of all.
    """
    splits = []
    for of_split in zip(*(result.splits for result in results.values()), strict=True):
        by_name: dict[str, SplitScores] = dict(zip(results, of_split, strict=True))
        best = max(by_name, key=lambda name: by_name[name].cv_score)
        splits.append(
            replace(
                by_name[best],
                best_params={"features": best, **by_name[best].best_params},
                seconds=sum(split.seconds for split in of_split),
            )
        )
    return EvaluationResult({"chosen_from": list(results)}, splits=splits)


def _fields(context: Context) -> dict[str, _Field]:
    """What meets where, by data set."""
    joined = context.joined_layers
    layers = list(dict.fromkeys([*(n for n in joined if n == "012"), joined[-1]]))
    fields = {
        "paper_magmom": _Field(
            {"magmom": moments(context)},
            [*context.site_descriptors, *(f"random-NE{n}" for n in layers)],
            [f"NE{n}" for n in joined],
            ("random", "grouped"),
        )
    }
    for source, targets in SOURCES.items():
        official = source.startswith("matbench")
        fields[source] = _Field(
            crystals(context, source, targets),
            [*context.descriptors, *(f"random-GE{n}" for n in layers)],
            [f"GE{n}{pooling}" for n in layers for pooling in POOLINGS],
            ("official",) if official else ("random", "grouped"),
        )
    return fields


def _summary(title: str, target: str, results: Results, rivals: Sequence[str]) -> list[str]:
    """One line: the paper's best, the best rival, and ours against it."""
    ours = results[CHOSEN]
    kind, *_ = ours.kinds
    rival = min(rivals, key=lambda name: results[name].mean("mae", kind))
    digits = digits_for([ours.mean("mae", kind)])
    gain = results[rival].values("mae", kind) - ours.values("mae", kind)
    spread = gain.std(ddof=1) if len(gain) > 1 else None
    printed = {n: s["mae"] for n, s in KERNEL_RIDGE.get(target, {}).items() if n[1:2] == "E"}
    paper = min(printed, key=lambda name: printed[name][0], default=None)
    return [
        title,
        "–" if paper is None else f"{cell(*printed[paper])} ({paper})",
        f"{cell(results[rival].mean('mae', kind), results[rival].std('mae', kind), digits)} "
        f"({rival})",
        cell(ours.mean("mae", kind), ours.std("mae", kind), digits),
        cell(gain.mean(), spread, digits),
    ]
