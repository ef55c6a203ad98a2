"""Tables II to V: kernel ridge on embeddings and on rival descriptors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssatom.evaluation import EvaluationResult
from studies.context import Context
from studies.datasets import DATASETS, Dataset
from studies.features import Features, FeatureSet, JoinedFeatures, find
from studies.printed import KERNEL_RIDGE
from studies.rivals import SITE_RIVALS, Rival
from studies.scores import (
    Results,
    as_numbers,
    cell,
    digits_for,
    error_table,
    mae_in,
    metric_table,
    sentence_case,
)
from studies.study import Report

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

ENERGIES = {"paper_formation": ["formation_energy_per_atom"], "paper_hse_gap": ["hse_gap"]}
ELASTIC = {"paper_elastic": ["log10_K", "log10_G", "poisson"]}
"""Targets of each data set."""

UNTRAINED = "the same encoder, untrained"


def run_table2(context: Context) -> Report:
    """Magnetic moments from single layers and descriptors."""
    embeddings = [FeatureSet(layer, "site") for layer in context.single_layers]
    return _site_table(context, [*context.site_rivals, *embeddings])


def run_table3(context: Context) -> Report:
    """Magnetic moments from several layers together."""
    embeddings = [FeatureSet(layers, "site") for layers in context.joined_layers]
    return _site_table(context, embeddings if context.quick else [*embeddings, with_ofm()])


def run_table4(context: Context) -> Report:
    """Formation energy and HSE gap."""
    return _crystal_tables(context, ENERGIES)


def run_table5(context: Context) -> Report:
    """Bulk modulus, shear modulus and Poisson ratio."""
    return _crystal_tables(context, ELASTIC)


def with_ofm() -> JoinedFeatures:
    """The paper's NE01 beside the orbital field matrix."""
    return JoinedFeatures((FeatureSet("01", "site"), find(SITE_RIVALS, "OFM")))


def crystal_layers(context: Context) -> list[FeatureSet]:
    """Embeddings of crystals from single layers, then from several."""
    return [FeatureSet(layers) for layers in (*context.single_layers, *context.joined_layers)]


def moments(context: Context) -> Dataset:
    """The magnetic moments, on rows for which all descriptors of sites exist."""
    return context.common(context.dataset("paper_magmom"), context.site_rivals)


def evaluate_moments(context: Context, features: Sequence[Features]) -> dict[str, EvaluationResult]:
    """Kernel ridge on features of the magnetic sites, by label; predictions are kept."""
    dataset = moments(context)
    return {
        one.label: context.evaluate(one, {"magmom": dataset}, keep_predictions=True)["magmom"]
        for one in features
    }


def crystals(
    context: Context, name: str, targets: Sequence[str], rivals: Sequence[Rival]
) -> dict[str, Dataset]:
    """A data set of crystals by target, on rows where all targets and descriptors exist."""
    whole = context.datasets(name, targets)
    return {target: context.common(data, rivals) for target, data in whole.items()}


def evaluate_crystals(
    context: Context, name: str, targets: Sequence[str], features: Sequence[Features]
) -> dict[str, dict[str, EvaluationResult]]:
    """Kernel ridge on features of crystals: results by target and label."""
    sets = crystals(context, name, targets, context.rivals)
    found = {one.label: context.evaluate(one, sets) for one in features}
    return {t: {label: results[t] for label, results in found.items()} for t in sets}


def legend(features: Sequence[Features]) -> dict[str, str]:
    """What rivals are, by label."""
    known = {one.label: one.description for one in features if isinstance(one, Rival)}
    return known | {one.label: UNTRAINED for one in features if _is_untrained(one)}


def _is_untrained(features: Features) -> bool:
    return isinstance(features, FeatureSet) and features.weights == "random"


def _site_table(context: Context, features: Sequence[Features]) -> Report:
    results = evaluate_moments(context, features)
    printed = KERNEL_RIDGE["magmom"]
    return Report(
        results={"magmom": as_numbers(results)},
        tables=[
            error_table("Magnetic moment, MAE in μB", results, printed, legend(features)),
            metric_table("All metrics, random splits", results, printed),
        ],
        reading=[reading("magmom", features, results)],
    )


def _crystal_tables(context: Context, sources: Mapping[str, Sequence[str]]) -> Report:
    layers = dict.fromkeys(("012", context.joined_layers[-1]))
    untrained = [FeatureSet(n, weights="random") for n in layers]
    features: list[Features] = [*context.rivals, *untrained, *crystal_layers(context)]
    numbers, tables, paragraphs = {}, [], []
    for source, targets in sources.items():
        for target, results in evaluate_crystals(context, source, targets, features).items():
            unit = DATASETS[source].targets[target]
            title = sentence_case(TITLES[target])
            numbers[target] = as_numbers(results)
            printed = KERNEL_RIDGE[target]
            notes = legend(features)
            tables.append(error_table(f"{title}, {mae_in(unit)}", results, printed, notes))
            tables.append(metric_table(f"{title}, all metrics", results, printed))
            paragraphs.append(reading(target, features, results))
    return Report(results=numbers, tables=tables, reading=paragraphs)


def reading(target: str, features: Sequence[Features], results: Results) -> str:
    """One paragraph: the best embedding, the paper's best, and the best rival."""
    learned = [f.label for f in features if isinstance(f, FeatureSet) and not _is_untrained(f)]
    rivals = [f.label for f in features if isinstance(f, Rival) or _is_untrained(f)]
    kind, *_ = results[learned[0]].kinds

    def error(label: str, of: str = kind) -> float:
        return results[label].mean("mae", of)

    best = min(learned, key=error)
    digits = digits_for([error(best)])
    text = (
        f"{sentence_case(TITLES[target])}: of the embeddings {best} is best, "
        f"{cell(error(best), results[best].std('mae', kind), digits)} on {kind} splits"
    )
    if "grouped" in results[best].kinds:
        by_formula = min(learned, key=lambda label: error(label, "grouped"))
        apart = error(by_formula, "grouped")
        text += f" ({by_formula} with {apart:.{digits}f} where no formula is on both sides)"
    printed = {n: s for n, s in KERNEL_RIDGE.get(target, {}).items() if n in learned}
    if printed:
        paper = min(printed, key=lambda label: printed[label]["mae"][0])
        text += f"; the paper printed {cell(*printed[paper]['mae'])} for {paper}"
    if rivals:
        rival = min(rivals, key=error)
        text += f". The best without them is {rival}, {error(rival):.{digits}f}"
    return text + "."
