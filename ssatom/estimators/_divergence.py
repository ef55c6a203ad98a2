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


def times_worse_than_mean(
    history: pd.DataFrame,
    objective: Objective,
    data: TrainingData,
    folds: tuple[np.ndarray, np.ndarray],
) -> float:
    return 0.0


def warn_of_diverged(times, rate: float, clip: float | None) -> None:
    pass
