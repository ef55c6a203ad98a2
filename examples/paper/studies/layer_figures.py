"""Figures 10 and 11: errors over layer settings, from the evaluations of Tables IV and V."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssatom.evaluation import DATASETS, EvaluationResult, Locality
from ssatom.plots import plot_layer_errors
from ssatom.reproduction.context import Context
from ssatom.reproduction.kernel_tables import (
    TITLES,
    evaluate_crystals,
    evaluate_moments,
)
from ssatom.reproduction.printed import KERNEL_RIDGE
from ssatom.reproduction.scores import KINDS, as_numbers, mae_in, sentence_case
from ssatom.reproduction.study import Report, Table


def run_fig10(context: Context) -> Report:
    """Formation energy and HSE gap over layer settings."""
    sources = {"paper_formation": ["formation_energy_per_atom"], "paper_hse_gap": ["hse_gap"]}
    return _layer_figure(context, sources)


def run_fig11(context: Context) -> Report:
    """Elastic properties over layer settings."""
    return _layer_figure(context, {"paper_elastic": ["log10_K", "log10_G", "poisson"]})


def _layer_figure(context: Context, sources: Mapping[str, Sequence[str]]) -> Report:
    names = [f"GE{layers}" for layers in (*context.single_layers, *context.joined_layers)]
    panels, labels, references, numbers, reading = {}, {}, {}, {}, []
    for source, targets in sources.items():
        for target, results in evaluate_crystals(context, source, targets, names).items():
            title = TITLES[target]
            panels[title] = errors_by_kind(results)
            labels[title] = mae_in(DATASETS[source].targets[target], "MAE ({})")
            paper = KERNEL_RIDGE[target]
            best = min((n for n in paper if n.startswith("GE")), key=lambda n: paper[n]["mae"][0])
            references[title] = {f"paper, {best}": paper[best]["mae"][0]}
            numbers[target] = as_numbers(results)
            joined = {layers: results[f"GE{layers}"] for layers in ("0", *context.joined_layers)}
            reading.append(f"{sentence_case(title)}: {Locality(joined).reading}")
    figure = plot_layer_errors(panels, ylabel=labels, references=references)
    return Report(results=numbers, reading=reading, figures={"": figure})


def errors_by_kind(results: Mapping[str, EvaluationResult]) -> dict:
    """Errors as `plot_layer_errors` takes them, a series a kind of split."""
    kinds = next(iter(results.values())).kinds
    return {
        KINDS[kind]: {n: (r.mean("mae", kind), r.std("mae", kind)) for n, r in results.items()}
        for kind in kinds
    }


def run_locality(context: Context) -> Report:
    """How far each property reaches: joined layers, all properties in units of the best error."""
    sources = {
        "paper_formation": ["formation_energy_per_atom"],
        "paper_hse_gap": ["hse_gap"],
        "paper_elastic": ["log10_K", "log10_G", "poisson"],
    }
    found = {}
    moments = evaluate_moments(context, [f"NE{layers}" for layers in ("0", *context.joined_layers)])
    found["magmom"] = Locality({name[2:]: result for name, result in moments.items()})
    for source, targets in sources.items():
        names = [f"GE{layers}" for layers in ("0", *context.joined_layers)]
        for target, results in evaluate_crystals(context, source, targets, names).items():
            found[target] = Locality({name[2:]: result for name, result in results.items()})
    series = {}
    for target, locality in found.items():
        lowest = min(result.mean() for result in locality.results.values())
        series[TITLES[target]] = {s: r.mean() / lowest for s, r in locality.results.items()}
    rows = [[TITLES[t], str(one.n_steps), one.reading] for t, one in found.items()]
    return Report(
        results={
            target: {"n_steps": one.n_steps, "reading": one.reading, **as_numbers(one.results)}
            for target, one in found.items()
        },
        tables=[Table("Range of each property", ["property", "steps", "reading"], rows)],
        reading=[
            "The smallest range whose error is above the best by no more than one standard error "
            "of the difference over random splits. `ssatom.measure_locality` does the same for "
            "data of your own."
        ],
        figures={"": plot_layer_errors(series, ylabel="MAE / lowest MAE")},
    )
