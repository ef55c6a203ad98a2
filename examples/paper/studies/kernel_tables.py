"""Tables II to V: kernel ridge on embeddings and on rival descriptors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssatom.evaluation import DATASETS, Dataset, EvaluationResult
from ssatom.reproduction.context import Context
from ssatom.reproduction.features import DESCRIPTORS, SITE_DESCRIPTORS
from ssatom.reproduction.printed import KERNEL_RIDGE
from ssatom.reproduction.scores import (
    as_numbers,
    cell,
    digits_for,
    error_table,
    mae_in,
    metric_table,
    sentence_case,
)
from ssatom.reproduction.study import Report

TITLES = {
    "magmom": "magnetic moment",
    "formation_energy_per_atom": "formation energy",
    "hse_gap": "HSE band gap",
    "log10_K": "bulk modulus",
    "log10_G": "shear modulus",
    "poisson": "Poisson ratio",
    "band_gap": "PBE band gap",
    "last_phdos_peak_cm1": "last phonon peak",
}


def run_table2(context: Context) -> Report:
    """Magnetic moments, single layers and descriptors."""
    names = [f"NE{layer}" for layer in context.single_layers]
    return _site_table(context, [*context.site_descriptors, *names])


def run_table3(context: Context) -> Report:
    """Magnetic moments, layers joined."""
    names = [f"NE{layers}" for layers in context.joined_layers]
    return _site_table(context, names if context.quick else [*names, "NE01 + OFM"])


def run_table4(context: Context) -> Report:
    """Formation energy and HSE gap."""
    return _crystal_tables(
        context,
        {
            "paper_formation": ["formation_energy_per_atom"],
            "paper_hse_gap": ["hse_gap"],
        },
    )


def run_table5(context: Context) -> Report:
    """Bulk modulus, shear modulus and Poisson ratio."""
    return _crystal_tables(context, {"paper_elastic": ["log10_K", "log10_G", "poisson"]})


def moments(context: Context) -> Dataset:
    """The magnetic moments, on rows for which all descriptors of sites exist."""
    dataset = context.dataset("paper_magmom")
    return context.common(dataset, context.site_descriptors)


def evaluate_moments(context: Context, names: Sequence[str]) -> dict[str, EvaluationResult]:
    """Kernel ridge on features of the magnetic sites, predictions kept for the figures."""
    dataset = moments(context)
    return {
        name: context.evaluate(name, {"magmom": dataset}, keep_predictions=True)["magmom"]
        for name in names
    }


def crystals(context: Context, name: str, targets: Sequence[str]) -> dict[str, Dataset]:
    """A data set of crystals by target, on rows where all targets and descriptors exist."""
    whole = context.datasets(name, targets)
    return {t: context.common(d, context.descriptors) for t, d in whole.items()}


def evaluate_crystals(
    context: Context, name: str, targets: Sequence[str], features: Sequence[str]
) -> dict[str, dict[str, EvaluationResult]]:
    """Kernel ridge on features of crystals: results by target and features."""
    sets = crystals(context, name, targets)
    by_features = {feature: context.evaluate(feature, sets) for feature in features}
    return {target: {f: results[target] for f, results in by_features.items()} for target in sets}


def _site_table(context: Context, names: Sequence[str]) -> Report:
    results = evaluate_moments(context, names)
    printed = KERNEL_RIDGE["magmom"]
    notes = {name: d.description for name, d in SITE_DESCRIPTORS.items()}
    return Report(
        results={"magmom": as_numbers(results)},
        tables=[
            error_table("Magnetic moment, MAE in μB", results, printed, notes),
            metric_table("All metrics, random splits", results, printed),
        ],
        reading=[reading("magmom", results)],
    )


def _crystal_tables(context: Context, sources: Mapping[str, Sequence[str]]) -> Report:
    layers = [f"GE{n}" for n in (*context.single_layers, *context.joined_layers)]
    untrained = dict.fromkeys(f"random-GE{n}" for n in ("012", context.joined_layers[-1]))
    names = [*context.descriptors, *untrained, *layers]
    notes = {name: d.description for name, d in DESCRIPTORS.items()}
    notes |= dict.fromkeys(untrained, "the same encoder, untrained")
    numbers, tables, paragraphs = {}, [], []
    for source, targets in sources.items():
        for target, results in evaluate_crystals(context, source, targets, names).items():
            unit = DATASETS[source].targets[target]
            title = sentence_case(TITLES[target])
            numbers[target] = as_numbers(results)
            printed = KERNEL_RIDGE[target]
            tables.append(error_table(f"{title}, {mae_in(unit)}", results, printed, notes))
            tables.append(metric_table(f"{title}, all metrics", results, printed))
            paragraphs.append(reading(target, results))
    return Report(results=numbers, tables=tables, reading=paragraphs)


def reading(target: str, results: Mapping[str, EvaluationResult]) -> str:
    """One paragraph: the best embedding, the paper's best, and the best rival."""
    learned = [n for n in results if n.startswith(("NE", "GE")) and "+" not in n]
    others = [n for n in results if not n.startswith(("NE", "GE"))]
    kind, *_ = results[learned[0]].kinds

    def error(name: str, of: str = kind) -> float:
        return results[name].mean("mae", of)

    best = min(learned, key=error)
    digits = digits_for([error(best)])
    text = (
        f"{sentence_case(TITLES[target])}: of the embeddings {best} is best, "
        f"{cell(error(best), results[best].std('mae', kind), digits)} on {kind} splits"
    )
    if "grouped" in results[best].kinds:
        by_formula = min(learned, key=lambda n: error(n, "grouped"))
        apart = error(by_formula, "grouped")
        text += f" ({by_formula} with {apart:.{digits}f} where no formula is on both sides)"
    embeddings = {n: s for n, s in KERNEL_RIDGE.get(target, {}).items() if n in learned}
    if embeddings:
        paper = min(embeddings, key=lambda n: embeddings[n]["mae"][0])
        text += f"; the paper printed {cell(*embeddings[paper]['mae'])} for {paper}"
    if others:
        rival = min(others, key=error)
        text += f". The best without them is {rival}, {error(rival):.{digits}f}"
    return text + "."
