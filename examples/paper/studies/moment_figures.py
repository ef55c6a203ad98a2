"""Figures 5, 6, 8 and 9: errors of magnetic moments by layers, models and elements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from pymatgen.core import Element
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVR

from ssatom.evaluation import EvaluationResult
from ssatom.plots import Parity, plot_layer_errors, plot_parity
from studies.context import Context
from studies.datasets import Dataset
from studies.features import FeatureSet
from studies.figures import draw_grouped_bars
from studies.kernel_tables import evaluate_moments, moments, with_ofm
from studies.scores import KINDS, Results, as_numbers, cell, error_table
from studies.study import Report, Table

UNIT = "μB"
_AXIS = f"MAE ({UNIT})"
_NAMED = 6  # outliers named in a parity plot

SVR_GRID = {"C": [1.0, 10.0, 100.0], "gamma": [1e-4, 1e-3, 1e-2]}
"""Searched for each split by ten-fold cross-validation on its training part."""


def run_fig5(context: Context) -> Report:
    """Kernel ridge, support vectors and a random forest on single layers."""
    features = _site_features(context.single_layers)
    models = {
        "SVR": GridSearchCV(SVR(), SVR_GRID, cv=10, scoring="neg_mean_absolute_error"),
        "RF": RandomForestRegressor(300, max_features=1 / 3, random_state=0),
    }
    results = {"KRR": evaluate_moments(context, features)}
    target = {"magmom": moments(context)}
    for model_name, model in models.items():
        results[model_name] = {
            one.label: context.evaluate(one, target, model=model, model_name=model_name)["magmom"]
            for one in features
        }
    best = {model: min(r.mean() for r in of.values()) for model, of in results.items()}
    listed = ", ".join(f"{model} {error:.3f}" for model, error in best.items())
    return Report(
        results={model: as_numbers(of) for model, of in results.items()},
        tables=[error_table(f"{m}, MAE in {UNIT}", of, {}, {}) for m, of in results.items()],
        reading=[
            f"Lowest error over single layers: {listed} {UNIT} on random splits. The search of "
            f"SVR tries C {SVR_GRID['C']} and γ {SVR_GRID['gamma']} with ten folds; the forest "
            "has 300 trees and a third of the features at a split."
        ],
        figures={"": draw_grouped_bars(_bars(results), _AXIS)},
    )


def run_fig6(context: Context) -> Report:
    """Pretrained against random weights."""
    features = _site_features((*context.single_layers, *context.joined_layers))
    untrained = {one.label: replace(one, weights="random") for one in features}
    results = evaluate_moments(context, [*features, *untrained.values()])
    series = {
        "pretrained": {label: results[label] for label in untrained},
        "random": {label: results[one.label] for label, one in untrained.items()},
    }
    changes = [
        result.mean() / series["random"][label].mean() - 1
        for label, result in series["pretrained"].items()
    ]
    better = sum(change < 0 for change in changes)
    return Report(
        results={label: as_numbers(of) for label, of in series.items()},
        tables=[error_table(f"{t} weights, MAE in {UNIT}", of, {}, {}) for t, of in series.items()],
        reading=[
            f"On random splits the error with pretrained weights is below that with random ones "
            f"in {better} of {len(changes)} settings; it changes by {min(changes):+.0%} to "
            f"{max(changes):+.0%}. The paper finds it lower in all."
        ],
        figures={"": draw_grouped_bars(_bars(series), _AXIS)},
    )


def run_fig8(context: Context) -> Report:
    """Transition metals against lanthanides over layers."""
    settings = {
        "single-scale": _site_features(context.single_layers),
        "multi-scale": _site_features(context.joined_layers),
    }
    results = evaluate_moments(context, [one for features in settings.values() for one in features])
    dataset = moments(context)
    families = families_of(dataset)
    errors = {
        name: {f: _family_errors(result, dataset, families == f) for f in FAMILIES}
        for name, result in results.items()
    }
    panels = {
        title: {
            f: {one.label: _mean_std(errors[one.label][f]) for one in features} for f in FAMILIES
        }
        for title, features in settings.items()
    }
    rows = [[name, *(cell(*_mean_std(of[f])) for f in FAMILIES)] for name, of in errors.items()]
    counts = {f: int((families == f).sum()) for f in FAMILIES}
    best = {f: min(errors, key=lambda name: np.mean(errors[name][f])) for f in FAMILIES}
    return Report(
        results={"errors": errors, "n_sites": counts},
        tables=[Table(f"MAE in {UNIT} on test rows of random splits", ["", *FAMILIES], rows)],
        reading=[
            f"There are {counts[FAMILIES[0]]} sites of transition metals and "
            f"{counts[FAMILIES[1]]} of lanthanides. Best for the former is {best[FAMILIES[0]]}, "
            f"for the latter {best[FAMILIES[1]]}."
        ],
        figures={"": plot_layer_errors(panels, ylabel=_AXIS)},
    )


def run_fig9(context: Context) -> Report:
    """Predicted against experimental moments, with outliers named."""
    paper = FeatureSet("01", "site")
    results = evaluate_moments(context, [paper] if context.quick else [paper, with_ofm()])
    dataset = moments(context)
    families = families_of(dataset)
    shares = {
        name: {bound: _shares_within(result, dataset, bound) for bound in (0.5, 1.0)}
        for name, result in results.items()
    }
    panels: dict[str, Parity] = {}
    outliers: dict[int, str] = {}
    for name, result in results.items():
        [split] = [s for s in result.splits if s.kind == "random" and s.seed == 0]
        rows, predicted = np.array(split.test_rows), np.array(split.predictions)
        y = dataset.y[rows]
        if not outliers:
            worst = np.argsort(-np.abs(predicted - y))[:_NAMED]
            outliers = {int(i): _site_name(dataset, rows[i]) for i in worst}
        before = next(iter(panels.values())).predictions if panels else None
        panels[name] = Parity(y, predicted, families[rows], None, outliers, before)
    first = paper.label
    table = Table(
        "Shares of test rows, five random splits; the paper: 52.2 % and 76.9 % with NE01",
        ["features", "within 0.5 μB", "within 1.0 μB", "R²"],
        [
            [n, *(_percent(of[b]) for b in of), cell(results[n].mean("r2"), results[n].std("r2"))]
            for n, of in shares.items()
        ],
    )
    found = [
        {
            "site": label,
            "experiment": float(panels[first].y[i]),
            **{name: float(panel.predictions[i]) for name, panel in panels.items()},
        }
        for i, label in outliers.items()
    ]
    listed = "; ".join(f"{o['site']} {o['experiment']:.2f} → {o[first]:.2f}" for o in found)
    return Report(
        results={"shares": shares, "outliers": found, **as_numbers(results)},
        tables=[table],
        reading=[f"Largest errors of {first} in split 0, experiment → predicted: {listed}."],
        figures={"": plot_parity(panels, unit=UNIT, bounds=(0.5, 1.0))},
    )


FAMILIES = ("transition metals", "lanthanides")


def families_of(dataset: Dataset) -> np.ndarray:
    """Family of each site's element: one of `FAMILIES`, or "others"."""
    elements = [Element.from_Z(z) for z in site_numbers(dataset)]
    return np.array(
        [
            FAMILIES[1] if e.is_lanthanoid else FAMILIES[0] if e.is_transition_metal else "others"
            for e in elements
        ]
    )


def site_numbers(dataset: Dataset) -> list[int]:
    """Atomic number of each row's site."""
    return [structure[site].specie.Z for structure, site in dataset.rows]


def _site_features(layers: Iterable[str]) -> list[FeatureSet]:
    return [FeatureSet(one, "site") for one in layers]


def _bars(series: Mapping[str, Results]) -> dict:
    """Errors as `draw_grouped_bars` takes them: a panel for each kind of split."""
    kinds = next(iter(next(iter(series.values())).values())).kinds
    return {
        KINDS[kind]: {
            label: {name: (r.mean("mae", kind), r.std("mae", kind)) for name, r in of.items()}
            for label, of in series.items()
        }
        for kind in kinds
    }


def _family_errors(result: EvaluationResult, dataset: Dataset, of_family: np.ndarray) -> list:
    """Mean absolute error of a family's test rows in each random split."""
    errors = []
    for split in result.splits:
        rows = np.array(split.test_rows)
        if split.kind == "random" and of_family[rows].any():
            absolute = np.abs(np.array(split.predictions) - dataset.y[rows])
            errors.append(float(absolute[of_family[rows]].mean()))
    return errors


def _shares_within(result: EvaluationResult, dataset: Dataset, bound: float) -> list[float]:
    return [
        float(np.mean(np.abs(np.array(s.predictions) - dataset.y[s.test_rows]) <= bound))
        for s in result.splits
        if s.kind == "random"
    ]


def _mean_std(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _percent(values: list[float]) -> str:
    mean, std = _mean_std(values)
    return f"{100 * mean:.1f} ± {100 * std:.1f} %"


def _site_name(dataset: Dataset, row: int) -> str:
    structure, site = dataset.rows[row]
    return f"{structure[site].specie.symbol} in {structure.reduced_formula}"
