"""Figures 10 and 11: errors over layer settings, from the evaluations of Tables IV and V."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssatom.evaluation import Locality
from ssatom.plots import plot_layer_errors
from studies.context import Context
from studies.datasets import DATASETS
from studies.features import FeatureSet
from studies.kernel_tables import (
    ELASTIC,
    ENERGIES,
    TITLES,
    crystal_layers,
    evaluate_crystals,
    evaluate_moments,
)
from studies.printed import KERNEL_RIDGE, best_embedding
from studies.scores import KINDS, Results, as_numbers, mae_in, sentence_case
from studies.study import Report, Table


def run_fig10(context: Context) -> Report:
    """Formation energy and HSE gap over layer settings."""
    return _layer_figure(context, ENERGIES)


def run_fig11(context: Context) -> Report:
    """Elastic properties over layer settings."""
    return _layer_figure(context, ELASTIC)


def _layer_figure(context: Context, sources: Mapping[str, Sequence[str]]) -> Report:
    features, ranges = crystal_layers(context), _ranges(context)
    panels, labels, references, numbers, reading = {}, {}, {}, {}, []
    for source, targets in sources.items():
        for target, results in evaluate_crystals(context, source, targets, features).items():
            title = TITLES[target]
            panels[title] = errors_by_kind(results)
            labels[title] = mae_in(DATASETS[source].targets[target], "MAE ({})")
            best = str(best_embedding(target))
            references[title] = {f"paper, {best}": KERNEL_RIDGE[target][best]["mae"][0]}
            numbers[target] = as_numbers(results)
            locality = Locality({one.layers: results[one.label] for one in ranges})
            reading.append(f"{sentence_case(title)}: {locality.reading}")
    figure = plot_layer_errors(panels, ylabel=labels, references=references)
    return Report(results=numbers, reading=reading, figures={"": figure})


def _ranges(context: Context, level: str = "structure") -> list[FeatureSet]:
    """Layers 0, 01, 012 and so on, to all layers."""
    return [FeatureSet(layers, level) for layers in ("0", *context.joined_layers)]


def errors_by_kind(results: Results) -> dict[str, dict[str, Any]]:
    """Errors as `plot_layer_errors` takes them: a series for each kind of split."""
    kinds = next(iter(results.values())).kinds
    return {
        KINDS[kind]: {n: (r.mean("mae", kind), r.std("mae", kind)) for n, r in results.items()}
        for kind in kinds
    }


def run_locality(context: Context) -> Report:
    """The range of each property: errors over ranges in units of the lowest."""
    sites, ranges = _ranges(context, "site"), _ranges(context)
    results = evaluate_moments(context, sites)
    found = {"magmom": Locality({one.layers: results[one.label] for one in sites})}
    for source, targets in {**ENERGIES, **ELASTIC}.items():
        for target, results in evaluate_crystals(context, source, targets, ranges).items():
            found[target] = Locality({one.layers: results[one.label] for one in ranges})
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
            "The smallest range whose error exceeds the lowest by no more than one standard error "
            "of the difference over random splits. `ssatom.measure_locality` does the same for "
            "data of your own."
        ],
        figures={"": plot_layer_errors(series, ylabel="MAE / lowest MAE")},
    )
