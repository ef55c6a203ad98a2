"""Warnings about trainings whose networks predict worse than the mean of the targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from ssatom.estimators._data import Crystals
from ssatom.estimators._module import PropertyModule
from ssatom.exceptions import TrainingWarning
from ssatom.training import VALIDATION_LOSS, BatchLoader
from ssatom.warn import warn_user

_FACTOR, _CHANCE = 2.0, 32.0  # allowed: 2 + 32 / n times the loss of the mean, n held back
_AFTER_OVERSHOOT = 1.2  # allowed where the training loss had been high
_BEGUN = 20  # steps before which running means and variances are mostly not those of the data
_OVERSHOOT = 10.0  # times the loss of the mean: no training that goes well reaches it
_OVERFLOW = 1e4  # times the loss of the mean: no network reaches it by too few steps alone
_SAMPLED, _BATCH = 256, 64  # training crystals that are looked at, and how many at a time


class Verdict(NamedTuple):
    """How a member's training ended."""

    times: float  # loss of the kept network over that of the mean
    diverged: bool
    poor: bool  # worse than the mean for another reason
    n_epochs: int


def judge(
    module: PropertyModule,
    history: pd.DataFrame,
    data: Crystals,
    folds: tuple[np.ndarray, np.ndarray],
    n_steps: int,
) -> Verdict:
    """Compare the kept network with the mean, on training and on validation crystals.

    The few validation crystals may look fine by chance, so a sample of the training crystals is
    predicted too, in evaluation mode. The loss of the mean is that of outputs of zero (for
    classes, of equal chances), over the training or the validation crystals or for a target of
    one standard deviation, whichever is largest: targets near the mean make no bad network.
    `n_steps` are those of an epoch.
    """
    objective, of_mean = module.objective, []
    for crystals in folds:
        targets, weights = data.targets_of(crystals)
        zeros = torch.zeros(len(targets), objective.n_outputs)
        of_mean.append(float((objective.loss(zeros, targets) * weights).sum() / weights.sum()))
    of_mean.append(float(objective.loss(zeros[:1], torch.ones_like(targets[:1]))))
    sample = folds[0][:: 1 + (len(folds[0]) - 1) // _SAMPLED]
    on_training = module.loss_of(BatchLoader(data.batch, sample, _BATCH)) / max(of_mean)
    on_training = np.inf if np.isnan(on_training) else on_training
    held_back = history[VALIDATION_LOSS].min() / max(of_mean)
    overshot = not history["train_loss"].max(skipna=False) <= _OVERSHOOT * max(of_mean)
    times = float(max(on_training, held_back))
    bad = on_training > _FACTOR or held_back > _FACTOR + _CHANCE / len(folds[1])
    diverged = times > _OVERFLOW or (overshot and (bad or on_training > _AFTER_OVERSHOOT))
    return Verdict(times, diverged, bad and len(history) * n_steps >= _BEGUN, len(history))


def warn_of_failed(verdicts: Sequence[Verdict], rate: float, clip: float | None) -> None:
    """Warn once of all members that diverged or else predict worse than the mean.

    `rate` and `clip` are the parameters `learning_rate` and `gradient_clip`.
    """
    diverged = [i for i, verdict in enumerate(verdicts) if verdict.diverged]
    named = diverged or [i for i, verdict in enumerate(verdicts) if verdict.poor]
    if not named:
        return
    which = f" of members {', '.join(map(str, named))} (of {len(verdicts)})"
    which = which if len(verdicts) > 1 else ""
    times = max(verdicts[i].times for i in named)
    compared = f"the loss of the kept network is {times:.3g} times that of predicting the mean"
    lower = "a lower learning_rate" + (" or a gradient_clip" if clip is None else "")
    lower += f" (they are {rate:g} and {clip})"
    if diverged:
        text = f"diverged: {compared}; give {lower}, or more max_epochs"
    else:
        n_epochs = min(verdicts[i].n_epochs for i in named)
        text = (
            f"ended with predictions that are worse than the mean after {n_epochs} epochs: "
            f"{compared}; raise max_epochs, or give {lower}"
        )
    warn_user(TrainingWarning(f"training{which} {text}"))
