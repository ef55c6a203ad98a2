"""Results of rivals taken from earlier reports: they do not depend on the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ssatom.evaluation import EvaluationResult, SplitScores
from studies.datasets import Dataset
from studies.report_files import read_report
from studies.rivals import Rival


def earlier_results(
    folder: Path, rival: Rival, targets: Mapping[str, Dataset], model: BaseEstimator
) -> dict[str, EvaluationResult] | None:
    """A rival's results on all of these labels, if one report has them.

    Parameters
    ----------
    folder : Path
        Of the reports.
    rival : Rival
        Found by its label; its features are not computed, so they cannot be compared.
    targets : mapping of str to Dataset
        Labels; file, number of rows and rows left out must be those of the report.
    model : estimator
        The parameters that the report names must be the same.

    Returns
    -------
    dict of EvaluationResult or None
        By target, all splits of the report.
    """
    for path in sorted(folder.glob("*.json")):
        report = read_report(path)
        if report is None or report["settings"].get("quick"):
            continue
        entries = {t: report["results"].get(t, {}).get(rival.label) for t in targets}
        if all(_is_same(entries[t], targets[t], model) for t in targets):
            return {target: _result(entry) for target, entry in entries.items()}
    return None


def _is_same(entry: Any, dataset: Dataset, model: BaseEstimator) -> bool:
    """Whether an entry of a report is of this file, of these rows and of this model."""
    if not isinstance(entry, dict) or "settings" not in entry:
        return False
    settings, params = entry["settings"], model.get_params()
    named = settings["model_params"]
    return (
        settings["data"]["sha256"] == dataset.sha256
        and settings["data"]["target"] == dataset.target
        and settings["model"] == type(model).__name__
        and all(np.array_equal(np.asarray(params[name]), value) for name, value in named.items())
    )


def _result(entry: Mapping[str, Any]) -> EvaluationResult:
    splits = [SplitScores(**split) for split in entry["splits"]]
    return EvaluationResult({}, dict(entry["settings"]), splits=splits)
