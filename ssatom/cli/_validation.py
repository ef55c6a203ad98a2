"""The report of `ssatom fit` on what was held out: numbers, tables and figures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from ssatom.cli._fitting import Rows
from ssatom.cli._prediction import column_names, columns_of, predict_rows
from ssatom.exceptions import GraphWarning, StructureError
from ssatom.files import write_json
from ssatom.plots import Parity, plot_confusion, plot_parity

FIGURES = {False: "parity.png", True: "confusion.png"}
"""Figure of numbers, and of classes."""

PROBLEMS = "problems.csv"
"""Table of what there is to say of rows, if anything."""

REPORT_FILES = (
    *("report.json", "report.md", "predictions.csv", "history.png", PROBLEMS),
    *FIGURES.values(),
)
"""All that a report may have."""

NAMES = {
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "r2": "R²",
    "mae_of_mean": "mean absolute error of always giving the training mean",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "area under the ROC curve (each class against the others)",
    "accuracy_of_commonest": "accuracy of always giving the commonest class",
}
"""What the keys of the metrics mean."""


def predict_held(
    model: Any, rows: Rows, test: np.ndarray, targets: Sequence[str], y: np.ndarray
) -> pd.DataFrame:
    """A row for each crystal held out: labels, true values, predictions."""
    predicted: list[np.ndarray] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)  # reading noted them with their sources
        for row in predict_rows(model, [rows.arrays[i] for i in test]):
            assert not isinstance(row, StructureError)
            predicted.append(row)
    frame = pd.DataFrame(
        {
            "source": [rows.sources[i] for i in test],
            "formula": [rows.formulas[i] for i in test],
        }
    )
    for name, column in zip(targets, y[test].reshape(len(test), -1).T, strict=True):
        frame[name] = column
    names = column_names(targets, len(model.networks_), getattr(model, "classes_", ()))
    for name, values in zip(names, columns_of(model, predicted), strict=True):
        frame[f"{name}_predicted" if name in targets else name] = values.to_pylist()
    return frame


def regression_metrics(held: pd.DataFrame, target: str, mean: float) -> dict[str, float | None]:
    """Errors of one target; `mean` is that of the training rows."""
    true, predicted = held[target].to_numpy(), held[f"{target}_predicted"].to_numpy()
    return {
        "mae": float(metrics.mean_absolute_error(true, predicted)),
        "rmse": float(metrics.root_mean_squared_error(true, predicted)),
        "r2": float(metrics.r2_score(true, predicted)) if np.ptp(true) > 0 else None,
        "mae_of_mean": float(np.abs(true - mean).mean()),
    }


def classification_metrics(
    held: pd.DataFrame, target: str, classes: np.ndarray, trained: np.ndarray
) -> dict[str, float | None]:
    """Scores of a classifier; `trained` are the classes of the training rows."""
    true, predicted = held[target].to_numpy(), held[f"{target}_predicted"].to_numpy()
    hits = true == predicted
    areas = [
        metrics.roc_auc_score(true == name, held[f"{target}_probability_{name}"])
        for name in classes
        if 0 < (true == name).sum() < len(true)
    ]
    values, counts = np.unique(trained, return_counts=True)
    return {
        "accuracy": float(hits.mean()),
        "balanced_accuracy": float(
            np.mean([hits[true == name].mean() for name in pd.unique(true)])
        ),
        "roc_auc": float(np.mean(areas)) if areas else None,
        "accuracy_of_commonest": float((true == values[counts.argmax()]).mean()),
    }


def draw(held: pd.DataFrame, targets: Sequence[str], model: Any) -> Any:
    """The parity plot, or the confusion matrix."""
    if hasattr(model, "classes_"):
        true, predicted = held[targets[0]], held[f"{targets[0]}_predicted"]
        names = model.classes_  # a rare class may have been held out only, and is left out
        counts = pd.crosstab(true, predicted).reindex(index=names, columns=names, fill_value=0)
        return plot_confusion(counts.to_numpy(), list(map(str, model.classes_)), targets[0])
    panels = {
        name: Parity(
            held[name].to_numpy(),
            held[f"{name}_predicted"].to_numpy(),
            std=held[f"{name}_std"].to_numpy() if f"{name}_std" in held else None,
        )
        for name in targets
    }
    return plot_parity(panels, unit="")


def write_report(
    folder: Path, report: dict[str, Any], held: pd.DataFrame, targets: Sequence[str], model: Any
) -> None:
    """Write report.json, report.md, predictions.csv and the figures into the folder of a model."""
    from ssatom.plots import plot_history

    classify = hasattr(model, "classes_")
    held.to_csv(folder / "predictions.csv", index=False, lineterminator="\n")
    draw(held, targets, model).savefig(folder / FIGURES[classify], dpi=150)
    plot_history(model.history_).savefig(folder / "history.png", dpi=150)
    write_json(folder / "report.json", report, default=str, ensure_ascii=False)
    (folder / "report.md").write_text(_markdown(report, FIGURES[classify]), encoding="utf-8")


def _markdown(report: dict[str, Any], figure: str) -> str:
    rows = report["rows"]
    metrics = report["metrics"]
    keys = list(next(iter(metrics.values())))
    lines = [
        f"# {report['estimator']}: {', '.join(metrics)}",
        "",
        f"Trained on {rows['train']:,} crystals, tested on {rows['test']:,} held out at random "
        f"(random_state {report['settings']['random_state']}"
        f"{', classes in proportion' if 'accuracy' in keys else ''}). "
        f"{rows['test_formula_in_training']:,} of those have a formula that crystals trained on "
        "have too; on new chemistry expect larger errors.",
        "",
        "| held out | " + " | ".join(metrics) + " |",
        "|---|" + "---|" * len(metrics),
    ]
    for key in keys:
        cells = [_text(values[key]) for values in metrics.values()]
        lines.append(f"| {NAMES[key]} | {' | '.join(cells)} |")
    lines += ["", f"![held out]({figure})", "", "![training](history.png)", "", "## Settings", ""]
    settings = {**report["settings"], **report["training"], "data": _data_text(report["data"])}
    if report["weights"]:
        settings["weights"] = "{name}, sha256 {sha256:.12}".format(**report["weights"])
    settings |= {f"seconds of {name}": value for name, value in report["seconds"].items()}
    settings["ssatom"] = report["ssatom"]
    lines += [f"- {name.replace('_', ' ')}: {_text(value)}" for name, value in settings.items()]
    if report["left_out"]:
        lines += ["", f"## {len(report['left_out']):,} rows left out", ""]
        lines += [f"- {source}: {reason}" for source, reason in report["left_out"]]
    return "\n".join(lines) + "\n"


def _data_text(data: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{one['path']} (sha256 {one['sha256'][:12]})" if one["sha256"] else one["path"]
        for one in data
    )


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
