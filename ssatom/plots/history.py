"""Courses of trainings, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssatom.plots._style import COLORS, dress

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = {"train": "--", "validation": "-"}
_QUANTITIES = {"loss": "loss", "accuracy": "accuracy"}


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
        Two panels; the dotted line is the epoch whose weights are kept. Independent of pyplot,
        so nothing needs closing.

    Raises
    ------
    ValueError
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
    from matplotlib.figure import Figure

    prefix, suffix = "validation_", "_accuracy"
    tasks = [
        name.removeprefix(prefix).removesuffix(suffix)
        for name in map(str, history)
        if name.startswith(prefix) and name.endswith(suffix)
    ]
    if not tasks or history.empty:
        raise ValueError(
            "history needs at least one epoch, and columns such as 'validation_group_accuracy'; "
            f"got {len(history)} rows of {list(history.columns)}"
        )
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    best = history["epoch"].iloc[int(history["validation_loss"].argmin())]
    for axes, (quantity, label) in zip(figure.subplots(1, 2), _QUANTITIES.items(), strict=True):
        _draw(axes, history, tasks, quantity)
        axes.axvline(best, color="0.5", linestyle=":", linewidth=1, label="epoch kept")
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        dress(axes)
    figure.axes[1].set_ylim(0, 1)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
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
        Two panels; dotted lines are the epochs whose networks are kept. Independent of pyplot,
        so nothing needs closing.

    Raises
    ------
    ValueError
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
    from matplotlib.figure import Figure

    labels = {"loss": "loss", "mae": "mean absolute error", "accuracy": "accuracy"}
    quantities = [name for name in labels if f"validation_{name}" in history]
    if history.empty or "loss" not in quantities:
        raise ValueError(
            "history needs at least one epoch and the column 'validation_loss'; "
            f"got {len(history)} rows of {list(history.columns)}"
        )
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, len(quantities), squeeze=False)[0]
    for axes, quantity in zip(panels, quantities, strict=True):
        _draw_members(axes, history, quantity)
        if quantity != "accuracy" and (history[f"validation_{quantity}"] > 0).all():
            axes.set_yscale("log")
        axes.set(xlabel="epoch", ylabel=labels[quantity])
        dress(axes)
    panels[0].legend(frameon=False)
    return figure


def _draw_members(axes: Axes, history: pd.DataFrame, quantity: str) -> None:
    members = history["member"] if "member" in history else history["epoch"] * 0
    for i, (_, rows) in enumerate(history.groupby(members)):
        color = COLORS[i % len(COLORS)]
        for stage, style in _STYLES.items():
            if f"{stage}_{quantity}" in rows:
                label = stage.replace("train", "training") if i == 0 else None
                values = rows[f"{stage}_{quantity}"]
                axes.plot(rows["epoch"], values, color=color, linestyle=style, label=label)
        best = rows["epoch"].iloc[int(rows["validation_loss"].to_numpy().argmin())]
        axes.axvline(best, color=color, linestyle=":", linewidth=1)


def _draw(axes: Axes, history: pd.DataFrame, tasks: list[str], quantity: str) -> None:
    for i, task in enumerate(tasks):
        for stage, style in _STYLES.items():
            axes.plot(
                history["epoch"],
                history[f"{stage}_{task}_{quantity}"],
                color=COLORS[i % len(COLORS)],
                linestyle=style,
                marker="o" if len(history) == 1 else None,
                label=f"{task}, {stage.replace('train', 'training')}",
            )
