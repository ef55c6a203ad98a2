"""Training curves, epoch by epoch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ssatom.exceptions import ParameterError
from ssatom.plots._style import dress, mark

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = {"train": "--", "validation": "-"}


def plot_curves(history: pd.DataFrame) -> Figure:
    """Loss and accuracy of each pretraining task, in training and validation.

    Parameters
    ----------
    history : DataFrame
        One row an epoch, as in ``MaskedPretrainer.history_`` or the ``curve.csv`` of a folder of
        weights: ``epoch``, ``validation_loss``, and for each task ``train_<task>_loss``,
        ``validation_<task>_loss`` and the same of ``accuracy``.

    Returns
    -------
    Figure
        Two panels; the dotted line is the epoch whose weights are kept.

    Raises
    ------
    ParameterError
        If there is no epoch or no task in the table.

    Examples
    --------
    >>> import pandas as pd
    >>> from ssatom.plots import plot_curves
    >>> history = pd.DataFrame({"epoch": [1, 2], "validation_loss": [2.0, 1.5]})
    >>> for name in ("train_group_loss", "validation_group_loss"):
    ...     history[name] = [2.0, 1.5]
    >>> for name in ("train_group_accuracy", "validation_group_accuracy"):
    ...     history[name] = [0.4, 0.6]
    >>> plot_curves(history).axes[1].get_ylabel()
    'accuracy'
    """
    found = (re.fullmatch("validation_(.+)_accuracy", str(name)) for name in history)
    tasks = [match[1] for match in found if match]
    losses = [f"{stage}_{task}_loss" for task in tasks for stage in _STYLES]
    _check(history, ["epoch", "validation_loss", *(losses or ["validation_group_accuracy"])])
    figure, panels = _panels(["loss", "accuracy"])
    for axes, quantity in zip(panels, ("loss", "accuracy"), strict=True):
        for i, task in enumerate(tasks):
            _draw(axes, history, f"{task}_{quantity}", i, f"{task}, ")
        _mark_best(axes, history, color="0.5", label="epoch kept")
        axes.locator_params(axis="x", integer=True)
    panels[1].set_ylim(0, 1)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def plot_history(history: pd.DataFrame) -> Figure:
    """Loss of an estimator's training, and its error or accuracy, epoch by epoch.

    Parameters
    ----------
    history : DataFrame
        One row an epoch, as in ``NEGNNRegressor.history_``: ``epoch``, ``train_loss``,
        ``validation_loss`` and the same of ``mae`` or ``accuracy``; ``member`` where several
        networks were trained.

    Returns
    -------
    Figure
        Two panels; dotted lines are the epochs whose networks are kept.

    Raises
    ------
    ParameterError
        If there is no epoch, or no column of losses.

    Examples
    --------
    >>> import pandas as pd
    >>> from ssatom.plots import plot_history
    >>> history = pd.DataFrame({"epoch": [1, 2], "train_loss": [2, 1], "validation_loss": [2, 1.5]})
    >>> history[["train_mae", "validation_mae"]] = [[0.4, 0.5], [0.3, 0.4]]
    >>> plot_history(history).axes[1].get_ylabel()
    'mean absolute error'
    """
    labels = {"loss": "loss", "mae": "mean absolute error", "accuracy": "accuracy"}
    _check(history, ["epoch", "validation_loss"])
    quantities = [name for name in labels if f"validation_{name}" in history]
    figure, panels = _panels([labels[name] for name in quantities])
    members = history["member"] if "member" in history else history["epoch"] * 0
    for axes, quantity in zip(panels, quantities, strict=True):
        for i, (_, rows) in enumerate(history.groupby(members)):
            _draw(axes, rows, quantity, i, "" if i == 0 else None)
            _mark_best(axes, rows, color=mark(i)["color"])
        if quantity != "accuracy" and (history[f"validation_{quantity}"] > 0).all():
            axes.set_yscale("log")
    panels[0].legend(frameon=False)
    return figure


def _check(history: pd.DataFrame, columns: list[str]) -> None:
    missing = [name for name in columns if name not in history]
    if missing or history.empty:
        raise ParameterError(
            f"history needs at least one epoch and the columns {columns}; "
            f"got {len(history)} rows of {list(history.columns)}"
        )


def _panels(ylabels: list[str]) -> tuple[Figure, list[Axes]]:
    """Panels over the epochs; one alone where there is one quantity."""
    from ssatom.plots._figure import ShownFigure

    figure = ShownFigure(figsize=(9, 3.8), layout="constrained")
    panels = list(figure.subplots(1, len(ylabels), squeeze=False)[0])
    for axes, label in zip(panels, ylabels, strict=True):
        axes.set(xlabel="epoch", ylabel=label)
        dress(axes)
    return figure, panels


def _mark_best(axes: Axes, rows: pd.DataFrame, **style: Any) -> None:
    best = rows["epoch"].iloc[int(rows["validation_loss"].to_numpy().argmin())]
    axes.axvline(best, linestyle=":", linewidth=1, **style)


def _draw(axes: Axes, rows: pd.DataFrame, quantity: str, i: int, name: str | None) -> None:
    """Lines of training and validation; without a name they are not in the legend."""
    for stage, style in _STYLES.items():
        if f"{stage}_{quantity}" in rows:
            axes.plot(
                rows["epoch"],
                rows[f"{stage}_{quantity}"],
                color=mark(i)["color"],
                linestyle=style,
                marker="o" if len(rows) == 1 else None,
                label=None if name is None else name + stage.replace("train", "training"),
            )
