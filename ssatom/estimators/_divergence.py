"""Trainings whose networks predict worse than the mean of the targets would."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ssatom.estimators._data import TrainingData
from ssatom.estimators._module import PropertyModule
from ssatom.exceptions import TrainingWarning
from ssatom.training import VALIDATION_LOSS
from ssatom.warn import warn_user

_FACTOR, _CHANCE = 2.0, 32.0  # a loss of 2 + 32 / n times that of the mean, n crystals held back
_SETTLED = 50  # steps after which the statistics of normalisation are those of the data


def worse_than_mean(
    history: pd.DataFrame,
    module: PropertyModule,
    data: TrainingData,
    rows: tuple[np.ndarray, np.ndarray],
    n_steps: int,
) -> float | None:
    """How many times the validation loss of the kept epoch is that of no knowledge.

    Outputs of zero are the mean of scaled targets, or the same chance for each class. Their loss
    is that over the crystals held back, that over the others or that of an error of one standard
    deviation, whichever is largest, so that crystals near the mean make no bad network.

    Parameters
    ----------
    history : DataFrame
        Of one network.
    module : PropertyModule
        The network with its loss.
    data : TrainingData
        The crystals.
    rows : tuple of ndarray of int
        Crystals for training, and held back.
    n_steps : int
        Steps of an epoch.

    Returns
    -------
    float or None
        None if it is not larger by more than what few crystals and few steps may cause.
    """
    unknowing = []
    for crystals in rows:
        targets, weights = data.targets_of(crystals)
        nothing = torch.zeros(len(targets), module.network.config.n_outputs)
        losses = module.row_loss(nothing, targets) * weights
        unknowing.append(float(losses.sum() / weights.sum()))
        one_off = module.row_loss(nothing[:1], torch.ones_like(targets[:1]))
    unknowing_loss = max(*unknowing, float(one_off))
    best = history.iloc[int(history[VALIDATION_LOSS].argmin())]
    times = float(best[VALIDATION_LOSS]) / unknowing_loss
    if times <= _FACTOR + _CHANCE / len(rows[1]):
        return None
    # In the first steps validation normalises by statistics that are not those of the data yet.
    learned = best["train_loss"] <= _FACTOR * unknowing_loss
    return None if learned and best["epoch"] * n_steps < _SETTLED else times


def tell_of_diverged(times: Sequence[float | None], rate: float, clip: float | None) -> None:
    """Warn once of all networks that are worse than the mean.

    Parameters
    ----------
    times : sequence of float or None
        From `worse_than_mean`, one a member.
    rate, clip : float
        Parameters `learning_rate` and `gradient_clip`.

    Warns
    -----
    TrainingWarning
        If there are any.
    """
    diverged = {i: t for i, t in enumerate(times) if t is not None}
    if not diverged:
        return
    which = f" of members {', '.join(map(str, diverged))} (of {len(times)})" if times[1:] else ""
    remedy = "a lower learning_rate" + (" or a gradient_clip" if clip is None else "")
    warn_user(
        TrainingWarning(
            f"training{which} diverged: in the best epoch the validation loss is "
            f"{max(diverged.values()):.3g} times that of predicting the mean; "
            f"give {remedy} (they are {rate:g} and {clip}), or more max_epochs"
        )
    )
