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

CHOSEN, UNTRAINED = "chosen", "chosen, untrained"
"""Names of the rows whose layers and pooling were chosen."""

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
    descriptors: Sequence[str]
    ours: Sequence[str]
    union: str
    splits: Sequence[str]
    keep_predictions: bool = False


def run_best(context: Context) -> Report:
    """Kernel ridge on everything that needs no labels, on all data sets of the project."""
    numbers, tables, rows = {}, [], []
    notes = {name: d.description for name, d in {**SITE_DESCRIPTORS, **DESCRIPTORS}.items()}
    notes[CHOSEN] = "of the embeddings, the best in cross-validation on each training part"
    notes[UNTRAINED] = "the same of an encoder of the same sizes with random weights"
    for source, field in _fields(context).items():
        untrained = [f"random-{name}" for name in field.ours]
        by_name = {
            name: context.evaluate(
                name, field.sets, splits=field.splits, keep_predictions=field.keep_predictions
            )
            for name in (*field.descriptors, *untrained, *field.ours, field.union)
        }
        notes[field.union] = "both side by side; not among those chosen from"
        notes |= {name: _what(name) for name in (*untrained, *field.ours)}
        for target in field.sets:
            results = {name: found[target] for name, found in by_name.items()}
            results[UNTRAINED] = choose({name: results[name] for name in untrained})
            results[CHOSEN] = choose({name: results[name] for name in field.ours})
            numbers[target] = as_numbers(results)
            unit = DATASETS[source].targets[target]
            title = f"{sentence_case(TITLES[target])}, {mae_in(unit)}"
            tables.append(error_table(title, results, KERNEL_RIDGE.get(target, {}), notes))
            rivals = (*field.descriptors, UNTRAINED)
            rows += [_summary(title, kind, target, results, rivals) for kind in field.splits]
    heads = ["property", "splits", "paper's best", "best rival", "ours", "ours is lower by"]
    summary = Table("Layers and pooling chosen on training rows", heads, rows)
    return Report(
        results=numbers,
        tables=[summary, *tables],
        reading=[
            "Rivals are descriptors, and an encoder of the same sizes with random weights. For "
            "each split, layers and pooling, of both encoders, are those with the best ten-fold "
            "cross-validation on its training part; test rows choose nothing. The paper's best "
            "are its embeddings, on random splits. The last column is the mean over splits of the "
            "difference to the best rival, and its standard deviation."
        ],
    )


def _what(embedding: str) -> str:
    """Pooling and weights of an embedding, by its name."""
    pooling = [", ".join(how) for end, how in POOLINGS.items() if end and embedding.endswith(end)]
    return "; ".join(pooling + ["random weights"] * embedding.startswith("random"))


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
            context.site_descriptors,
            [f"NE{n}" for n in joined],
            "NE01 + EF+RD",
            ("random", "grouped"),
            keep_predictions=True,  # as the figures of moments do, whose files these are
        )
    }
    for source, targets in SOURCES.items():
        official = source.startswith("matbench")
        fields[source] = _Field(
            crystals(context, source, targets),
            context.descriptors,
            [f"GE{n}{pooling}" for n in layers for pooling in POOLINGS],
            f"GE{layers[0]}-ions + EF+RD",
            ("official",) if official else ("random", "grouped"),
        )
    return fields


def _summary(
    title: str, kind: str, target: str, results: Results, rivals: Sequence[str]
) -> list[str]:
    """One line: the paper's best, the best rival, and ours against it."""
    ours = results[CHOSEN]
    rival = min(rivals, key=lambda name: results[name].mean("mae", kind))
    digits = digits_for([ours.mean("mae", kind)])
    gain = results[rival].values("mae", kind) - ours.values("mae", kind)
    spread = gain.std(ddof=1) if len(gain) > 1 else None
    printed = {n: s["mae"] for n, s in KERNEL_RIDGE.get(target, {}).items() if n[1:2] == "E"}
    paper = min(printed, key=lambda name: printed[name][0], default=None)
    return [
        title,
        kind,
        "–" if paper is None or kind != "random" else f"{cell(*printed[paper])} ({paper})",
        f"{cell(results[rival].mean('mae', kind), results[rival].std('mae', kind), digits)} "
        f"({rival})",
        cell(ours.mean("mae", kind), ours.std("mae", kind), digits),
        cell(gain.mean(), spread, digits),
    ]
