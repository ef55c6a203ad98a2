"""Results that do not depend on the weights, taken from earlier reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ssatom.evaluation import EvaluationResult, SplitScores
from studies.datasets import Dataset
from studies.report_files import read_report

_OF_A_RUN = ("progress_bar", "random_state", "n_jobs")
"""Parameters that make no other model."""


def earlier_results(
    folder: Path, label: str, targets: Mapping[str, Dataset], model: BaseEstimator
) -> dict[str, EvaluationResult] | None:
    """Results on all of these labels, if one report has them.

    Parameters
    ----------
    folder : Path
        Of the reports.
    label : str
        Of the features or the network; features are not computed, so they cannot be compared.
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
        entries = {t: report["results"].get(t, {}).get(label) for t in targets}
        if all(_is_same(entries[t], targets[t], model) for t in targets):
            return {target: _result(entry) for target, entry in entries.items()}
    return None


def _is_same(entry: Any, dataset: Dataset, model: BaseEstimator) -> bool:
    """Whether an entry of a report is of this file, of these rows and of this model."""
    if not isinstance(entry, dict) or "model_params" not in entry.get("settings", {}):
        return False
    settings, params = entry["settings"], model.get_params()
    named = settings["model_params"]
    return (
        settings["data"]["sha256"] == dataset.sha256
        and settings["data"]["target"] == dataset.target
        and settings["model"] == type(model).__name__
        and all(
            _is_equal(params[name], value)
            for name, value in named.items()
            if name.split("__")[-1] not in _OF_A_RUN
        )
    )


def _is_equal(parameter: Any, named: Any) -> bool:
    """Whether a report names this parameter; of an estimator it has the representation."""
    if isinstance(parameter, BaseEstimator):
        parameter = repr(parameter)
    return np.array_equal(np.asarray(parameter), named)


def _result(entry: Mapping[str, Any]) -> EvaluationResult:
    splits = [SplitScores(**split) for split in entry["splits"]]
    return EvaluationResult({}, dict(entry["settings"]), splits=splits)
