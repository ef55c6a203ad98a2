"""Trainings whose networks predict worse than the mean of the targets would."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ssatom.estimators._data import TrainingData
from ssatom.estimators._module import Objective
from ssatom.exceptions import TrainingWarning
from ssatom.training import VALIDATION_LOSS
from ssatom.warn import warn_user

_FACTOR, _CHANCE = 2.0, 32.0  # allowed: 2 + 32 / n times the loss of the mean, n held back
_SETTLED = 50  # steps after which running means and variances are those of the data
_OVERSHOOT = 10.0  # times the loss of the mean that training reaches in its first steps
_OVERFLOW = 1e10  # times the loss of the mean: no training that goes on reaches it


def times_worse_than_mean(
    history: pd.DataFrame,
    objective: Objective,
    data: TrainingData,
    folds: tuple[np.ndarray, np.ndarray],
    n_steps: int,
) -> float:
    """Validation loss of the best epoch over that of the mean, if the training diverged; else 0.

    The loss of the mean is that of outputs of zero (for classes, of equal chances), over the
    training or the validation crystals or for a target of one standard deviation, whichever is
    largest: targets near the mean make no bad network. Until `_SETTLED` steps, of `n_steps` an
    epoch, validation normalises by running means that are still far from those of the data, so
    the training loss has to be high too, or the validation loss beyond all reason.
    """
    of_mean = []
    for crystals in folds:
        targets, weights = data.targets_of(crystals)
        zeros = torch.zeros(len(targets), objective.n_outputs)
        of_mean.append(float((objective.loss(zeros, targets) * weights).sum() / weights.sum()))
    of_mean.append(float(objective.loss(zeros[:1], torch.ones_like(targets[:1]))))
    best = history.iloc[int(history[VALIDATION_LOSS].argmin())]
    times = float(best[VALIDATION_LOSS]) / max(of_mean)
    settled = best["epoch"] * n_steps >= _SETTLED
    high = not history["train_loss"].iloc[-1] <= _OVERSHOOT * max(of_mean)
    sure = settled or high or times > _OVERFLOW
    return times if sure and times > _FACTOR + _CHANCE / len(folds[1]) else 0.0


def warn_of_diverged(times: Sequence[float], rate: float, clip: float | None) -> None:
    """Warn once of all members that diverged.

    Parameters
    ----------
    times : sequence of float
        From `times_worse_than_mean`, one a member.
    rate, clip : float
        Parameters `learning_rate` and `gradient_clip`.

    Warns
    -----
    TrainingWarning
        If one is not 0.
    """
    diverged = [i for i, factor in enumerate(times) if factor]
    if not diverged:
        return
    which = f" of members {', '.join(map(str, diverged))} (of {len(times)})" if times[1:] else ""
    remedy = "a lower learning_rate" + (" or a gradient_clip" if clip is None else "")
    warn_user(
        TrainingWarning(
            f"training{which} diverged: in the best epoch the validation loss is "
            f"{max(times):.3g} times that of predicting the mean; "
            f"give {remedy} (they are {rate:g} and {clip}), or more max_epochs"
        )
    )
