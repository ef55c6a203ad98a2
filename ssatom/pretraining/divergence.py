"""The warning of a pretraining that learned nothing."""

from __future__ import annotations

import math

import pandas as pd

from ssatom.exceptions import ParameterError, TrainingWarning
from ssatom.training import VALIDATION_LOSS
from ssatom.warn import warn_user

_MARGIN = 2.0  # masks and crystals differ
_SETTLED = 50  # steps after which the statistics of normalisation are those of the data


def warn_if_diverged(history: pd.DataFrame, untrained: float, rate: float, n_steps: int) -> None:
    """Warn where the best epoch is no better than untrained weights.

    Parameters
    ----------
    history : DataFrame
        One row an epoch.
    untrained : float
        Loss of the untrained weights on the first batches; 0 where nothing was masked.
    rate : float
        Parameter `learning_rate`.
    n_steps : int
        Training steps in an epoch.

    Raises
    ------
    ParameterError
        If no epoch had a finite loss.

    Warns
    -----
    TrainingWarning
        If neither the loss of validation nor, in the first steps, that of training fell.
    """
    remedy = f"give a lower learning_rate than {rate:g}"
    losses = history[VALIDATION_LOSS]
    if not math.isfinite(losses.min()):
        raise ParameterError(
            f"pretraining diverged: the validation loss was never finite; {remedy}"
        )
    if not untrained:
        return
    best = history.iloc[int(losses.argmin())]
    # In the first steps validation normalises by statistics that are not those of the data yet.
    learned = best["train_loss"] <= _MARGIN * untrained
    unsettled = learned and best["epoch"] * n_steps < _SETTLED
    loss = best[VALIDATION_LOSS]
    if not loss:  # nothing is masked where few sites are held back
        loss, unsettled = history["train_loss"].iloc[-1], False
    if not (loss <= _MARGIN * untrained or unsettled):
        warn_user(
            TrainingWarning(
                f"pretraining diverged: its loss is {loss:.3g}, and {untrained:.3g} with untrained "
                f"weights; {remedy}, or more max_epochs"
            )
        )
