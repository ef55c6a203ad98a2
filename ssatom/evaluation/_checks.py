"""Checks of labels and of predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssatom.exceptions import ParameterError
from ssatom.validation import finite_numbers, refuse_constant


def check_target(y: Any, n_rows: int, name: str = "y") -> np.ndarray:
    """Labels as a new float64 array: finite, one a row, and not all equal."""
    target = finite_numbers(name, y)
    if len(target) != n_rows:
        raise ParameterError(
            f"{name} has {len(target)} values for {n_rows} rows of features; give one value a row, "
            "in the same order"
        )
    if n_rows:
        refuse_constant(name, target)
    return target


def one_a_row(predictions: Any, n_rows: int) -> np.ndarray:
    """Predictions of one number a row, shape (n_rows,), also from models that give a column."""
    found = np.asarray(predictions, dtype=np.float64).reshape(n_rows, -1)
    if found.shape[1] != 1:
        raise ParameterError(f"model predicts {found.shape[1]} numbers; fit one for each")
    return found[:, 0]
