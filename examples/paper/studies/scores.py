"""Scores of several evaluations as tables, beside the printed ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ssatom.evaluation import EvaluationResult
from studies.printed import Scores
from studies.study import Table

METRICS = {"mae": "MAE", "mse": "MSE", "r2": "R²", "pcc": "PCC"}
KINDS = {"random": "random split", "grouped": "split by formula", "official": "official folds"}

Results = Mapping[str, EvaluationResult]
"""By label of the features, or by network."""


def as_numbers(results: Results) -> dict[str, Any]:
    """Scores and hyper-parameters of every split, for the report's file."""
    return {
        name: {
            "settings": {**result.identity, **result.settings},
            "splits": [
                {k: v for k, v in vars(split).items() if k not in ("test_rows", "predictions")}
                for split in result.splits
            ],
        }
        for name, result in results.items()
    }


def cell(mean: float, std: float | None = None, digits: int = 3) -> str:
    """A number with its standard deviation, as tables show it."""
    if math.isnan(mean):
        return "–"
    spread = "" if std is None or math.isnan(std) else f" ± {std:.{digits}f}"
    return f"{mean:.{digits}f}{spread}"


def sentence_case(title: str) -> str:
    """The title with a capital first letter; abbreviations are kept."""
    return title[:1].upper() + title[1:]


def mae_in(unit: str, form: str = "MAE in {}") -> str:
    """The heading of mean absolute errors, with the unit if there is one."""
    return "MAE" if unit == "1" else form.format(unit)


def digits_for(values: list[float]) -> int:
    """Decimal places that show three digits of the smallest error; at most four."""
    smallest = min((abs(v) for v in values if v and not math.isnan(v)), default=1.0)
    return int(np.clip(2 - math.floor(math.log10(smallest)), 1, 4))


def error_table(
    title: str, results: Results, printed: Mapping[str, Scores], descriptions: Mapping[str, str]
) -> Table:
    """Mean absolute errors of all features: printed, and here on each kind of split.

    The lowest of a column is bold. Columns without content are left out.
    """
    kinds = next(iter(results.values())).kinds
    digits = digits_for([r.mean("mae", kind) for r in results.values() for kind in kinds])
    best = {kind: min(results, key=lambda n: results[n].mean("mae", kind)) for kind in kinds}
    rows = []
    for name, result in results.items():
        cells = {KINDS[k]: _shown(result, "mae", k, digits, best[k] == name) for k in kinds}
        if printed.keys() & results.keys():
            paper = printed.get(name, {}).get("mae")
            cells = {"paper": "–" if paper is None else cell(*paper), **cells}
        if descriptions.keys() & results.keys():
            cells["what they are"] = descriptions.get(name, "")
        rows.append({"features": name, **cells})
    return Table(title, list(rows[0]), [list(row.values()) for row in rows])


def metric_table(title: str, results: Results, printed: Mapping[str, Scores]) -> Table:
    """All four metrics of the features that the paper has: printed, then ours."""
    rows = []
    for name in results:
        if name not in printed:
            continue
        cells = []
        for metric in METRICS:
            paper = printed[name].get(metric)
            digits = digits_for([results[name].mean(metric)])
            ours = _shown(results[name], metric, "random", digits, bold=False)
            cells.append(f"{'–' if paper is None else cell(*paper)} → {ours}")
        rows.append([name, *cells])
    return Table(title, ["features", *(f"{m}: paper → here" for m in METRICS.values())], rows)


def _shown(result: EvaluationResult, metric: str, kind: str, digits: int, bold: bool) -> str:
    text = cell(result.mean(metric, kind), result.std(metric, kind), digits)
    return f"**{text}**" if bold else text
