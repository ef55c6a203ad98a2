"""The report of `ssatom fit` on what was held out: numbers, tables and figures."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics
from sklearn.base import BaseEstimator

import ssatom
from ssatom.cli import _intervals, _prediction
from ssatom.cli._fitting import Rows
from ssatom.cli._models import Fitted
from ssatom.cli._screen import PROBLEMS, plain_cell, write_problems
from ssatom.exceptions import unwrap
from ssatom.files import file_sha256, write_json
from ssatom.plots import Parity, plot_confusion, plot_history, plot_parity
from ssatom.storage import CARD, FORMAT, encoder_in, parts_of, save_estimator
from ssatom.structures._text import printable
from ssatom.warn import told_already

_PARTS = (BaseEstimator, list)
_FIGURES = {False: "parity.png", True: "confusion.png"}  # of numbers, and of classes
REPORT_FILES = (
    *("report.json", "report.md", "predictions.csv", "history.csv", "history.png"),
    *(PROBLEMS, _intervals.INTERVALS),
    *_FIGURES.values(),
)
"""All that a report may have."""

_NAMES = {
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "r2": "R²",
    "mae_of_mean": "mean absolute error of always giving the training mean",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "area under the ROC curve (each class against the others)",
    "accuracy_of_commonest": "accuracy of always giving the commonest class",
}


def write_report(
    folder: Path,
    fitted: Fitted,
    rows: Rows,
    paths: Sequence[Path],
    settings: dict[str, Any],
    reading: float,
) -> dict[str, Any]:
    """Test a saved model on rows that were held out, write its report beside it, and return it."""
    started, model = time.perf_counter(), fitted.model
    _scale_std(folder, model, rows)
    held = predict_held(model, rows)
    bars = _error_bars(folder, model, rows, held)
    trained = rows.table["formula"].iloc[rows.train]
    encoder, choice = encoder_in(model), fitted.choice
    error = "log loss" if rows.classify else "mean absolute error"
    report = {
        "settings": {"targets": rows.targets, **settings},
        "model": fitted.name,
        "choice": choice
        and {"how": choice.how, "error": error, "models": choice.table(rows.targets)},
        "metrics": _metrics(held, model, rows),
        "intervals": _intervals.coverage_table(held, rows.targets, bars),
        "rows": {
            "read": len(rows.table) + len(rows.bad),
            "left_out": len(rows.bad),
            "train": len(rows.train),
            "test": len(rows.test),
            "test_formula_in_training": int(held["formula"].isin(trained).sum()),
        },
        "left_out": rows.bad,
        "parameters": {  # of all parts of the model, without the parts themselves
            name: x for name, x in model.get_params().items() if not isinstance(x, _PARTS)
        },
        "training": _training(model),
        "weights": encoder and {"name": encoder.name, "sha256": encoder.sha256},
        "data": [
            {"path": printable(str(p)), "sha256": file_sha256(p) if p.is_file() else None}
            for p in paths
        ],
        "seconds": {"reading": reading, **fitted.seconds, "testing": time.perf_counter() - started},
        "ssatom": ssatom.__version__,
    }
    _write_files(folder, report, held, model, rows)
    return report


def remove_report(folder: Path) -> None:
    """Remove the files of a report that failed, except those that the model's card lists."""
    kept = FORMAT.read(folder / CARD)["files"]
    for name in REPORT_FILES:
        if name not in kept:
            (folder / name).unlink(missing_ok=True)


def _training(model: Any) -> dict[str, Any]:
    """What fitting found: epochs of networks, or kernels, one for each target."""
    if hasattr(model, "networks_"):
        epochs = model.history_.groupby("member").size().tolist()
        return {"epochs": epochs, "best_epochs": model.best_epochs_}
    kernels = [part for part in parts_of(model) if hasattr(part, "block_weights_")]
    if not kernels:
        return {}
    return {"kernels": [{**k.best_params_, "weights of blocks": k.block_weights_} for k in kernels]}


def _scale_std(folder: Path, model: Any, rows: Rows) -> None:
    """Scale the standard deviations of an ensemble, and save the model again."""
    if not rows.classify and _prediction.n_members(model) > 1:
        with told_already():
            model.scale_std(rows.structures_of(rows.test), rows.y[rows.test])
        save_estimator(model, folder, target_names=rows.targets)


def _error_bars(folder: Path, model: Any, rows: Rows, held: pd.DataFrame) -> _intervals.ErrorBars:
    """Error bars of the model, written beside it and added to the table."""
    targets = [] if rows.classify else rows.targets
    true, predicted = (held[[t + end for t in targets]].to_numpy() for end in ("", "_predicted"))
    learned, tested = map(rows.structures_of, (rows.train, rows.test))
    bars = _intervals.calibrate(model, learned, tested, true, predicted)
    bars.save(folder)
    _intervals.add_columns(held, targets, bars, tested)
    return bars


def _write_files(
    folder: Path, report: dict[str, Any], held: pd.DataFrame, model: Any, rows: Rows
) -> None:
    figure = _FIGURES[rows.classify]
    plain = held.map(lambda cell: plain_cell(cell) if isinstance(cell, str) else cell)
    plain.to_csv(folder / "predictions.csv", index=False, lineterminator="\n")
    _draw(held, rows.targets, model).savefig(folder / figure, dpi=150)
    if hasattr(model, "history_"):
        model.history_.to_csv(folder / "history.csv", index=False, lineterminator="\n")
        plot_history(model.history_).savefig(folder / "history.png", dpi=150)
    write_json(folder / "report.json", report, default=str, ensure_ascii=False)
    (folder / "report.md").write_text(_markdown(report, figure), encoding="utf-8")
    if rows.problems:
        write_problems(folder / PROBLEMS, rows.problems)


def predict_held(model: Any, rows: Rows) -> pd.DataFrame:
    """A row for each crystal held out: labels, true values, predictions."""
    with told_already():  # by reading, with their sources
        found = _prediction.predict_rows(model, rows.structures_of(rows.test))
        predicted = [unwrap(row) for row in found]
    held = rows.table[["source", "formula"]].iloc[rows.test].reset_index(drop=True)
    held[rows.targets] = rows.y[rows.test].reshape(len(rows.test), -1)
    classes = getattr(model, "classes_", ())
    names = _prediction.column_names(rows.targets, _prediction.n_members(model), classes)
    columns = _prediction.columns_of(model, predicted, len(names) - bool(len(classes)))
    for name, values in zip(names, columns, strict=True):
        held[f"{name}_predicted" if name in rows.targets else name] = values.to_pylist()
    return held


def _metrics(held: pd.DataFrame, model: Any, rows: Rows) -> dict[str, dict[str, float | None]]:
    """Scores by target."""
    found, trained = {}, rows.y[rows.train]
    for i, target in enumerate(rows.targets):
        true, predicted = held[target].to_numpy(), held[f"{target}_predicted"].to_numpy()
        if rows.classify:
            areas = {name: held[f"{target}_probability_{name}"] for name in model.classes_}
            found[target] = _class_scores(true, predicted, areas, trained)
        else:
            mean = trained.reshape(len(trained), -1)[:, i].mean()
            found[target] = {
                "mae": float(metrics.mean_absolute_error(true, predicted)),
                "rmse": float(metrics.root_mean_squared_error(true, predicted)),
                "r2": float(metrics.r2_score(true, predicted)) if np.ptp(true) > 0 else None,
                "mae_of_mean": float(np.abs(true - mean).mean()),
            }
    return found


def _class_scores(
    true: np.ndarray, predicted: np.ndarray, probabilities: dict[Any, Any], trained: np.ndarray
) -> dict[str, float | None]:
    hits = pd.Series(true == predicted)
    areas = [
        metrics.roc_auc_score(true == name, column)
        for name, column in probabilities.items()
        if 0 < (true == name).sum() < len(true)
    ]
    return {
        "accuracy": float(hits.mean()),
        "balanced_accuracy": float(hits.groupby(true).mean().mean()),
        "roc_auc": float(np.mean(areas)) if areas else None,
        "accuracy_of_commonest": float((true == pd.Series(trained).mode()[0]).mean()),
    }


def _draw(held: pd.DataFrame, targets: Sequence[str], model: Any) -> Any:
    """The parity plot, or the confusion matrix."""
    if hasattr(model, "classes_"):
        true, predicted = held[targets[0]], held[f"{targets[0]}_predicted"]
        names = model.classes_  # a rare class may have been held out only, and is left out
        counts = pd.crosstab(true, predicted).reindex(index=names, columns=names, fill_value=0)
        return plot_confusion(counts.to_numpy(), list(map(str, model.classes_)), targets[0])
    panels = {
        name: Parity(held[name], held[f"{name}_predicted"], std=held.get(f"{name}_std"))
        for name in targets
    }
    return plot_parity(panels, unit="")


def _markdown(report: dict[str, Any], figure: str) -> str:
    rows, scores = report["rows"], report["metrics"]
    keys = list(next(iter(scores.values())))
    lines = [
        f"# {report['model']}: {', '.join(scores)}",
        "",
        f"Trained on {rows['train']:,} crystals, tested on {rows['test']:,} held out at random "
        f"(random_state {report['settings']['random_state']}"
        f"{', classes in proportion' if 'accuracy' in keys else ''}). "
        f"{rows['test_formula_in_training']:,} of those have a formula that crystals trained on "
        "have too; on new chemistry expect larger errors.",
        "",
    ]
    cells = [[_NAMES[key], *(_text(values[key]) for values in scores.values())] for key in keys]
    lines += _table(["held out", *scores], cells)
    lines += _choice_lines(report["choice"], list(scores)) if report["choice"] else []
    if "accuracy" not in keys:  # classes have no intervals
        lines += _interval_lines(report["intervals"])
    lines += ["", f"![held out]({figure})"]
    lines += ["", "![training](history.png)"] if "epochs" in report["training"] else []
    lines += ["", "## Settings", ""]
    data = [
        f"{one['path']} (sha256 {one['sha256'][:12]})" if one["sha256"] else one["path"]
        for one in report["data"]
    ]
    settings = {**report["settings"], **report["training"], "data": data}
    if report["weights"]:
        settings["weights"] = "{name}, sha256 {sha256:.12}".format(**report["weights"])
    settings |= {f"seconds of {name}": value for name, value in report["seconds"].items()}
    settings["ssatom"] = report["ssatom"]
    lines += [f"- {name.replace('_', ' ')}: {_text(value)}" for name, value in settings.items()]
    if report["left_out"]:
        lines += ["", f"## {len(report['left_out']):,} rows left out", ""]
        lines += [f"- {source}: {reason}" for source, reason in report["left_out"]]
    return "\n".join(lines) + "\n"


def _choice_lines(choice: dict[str, Any], targets: list[str]) -> list[str]:
    """Section of the report on the choice between models."""
    names = [f"{target}: {choice['error']}" for target in targets]
    rows = [
        [row["model"], *map(_text, row["errors"].values()), _text(row["seconds"]), row["remark"]]
        for row in choice["models"]
    ]
    return [
        *("", "## Choice of the model", ""),
        *(f"Chosen by {choice['how']}, of the training part.", ""),
        *_table(["model", *names, "seconds", ""], rows),
    ]


def _interval_lines(table: list[dict[str, Any]]) -> list[str]:
    """Section of the report on the error bars."""
    lines = ["", "## Error bars", ""]
    if not table:
        text = "No intervals: too few crystals were held out; give more, or a larger `--test-size`."
        return [*lines, text]
    rows = [
        [f"{x:.1%}" if name in ("stated", "observed") else _text(x) for name, x in row.items()]
        for row in table
    ]
    return [
        *lines,
        f"`ssatom predict` gives intervals for {_intervals.COVERAGE:.0%} of the values, by the "
        "errors on the crystals held out and the distance to the nearest crystals trained on. Here "
        "each crystal held out is tested with the intervals that the others give.",
        "",
        *_table(list(table[0]), rows),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table in Markdown."""
    first, *others = (f"| {' | '.join(row)} |" for row in (head, *rows))
    return [first, "|---" * len(head) + "|", *others]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
