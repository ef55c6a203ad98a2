"""Checks of targets and sample weights, each refused with a ParameterError."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ssatom.exceptions import ParameterError


def check_continuous(y: Any) -> np.ndarray:
    """Targets of a regressor as finite float64, shape (n_rows,) or (n_rows, n_targets)."""
    y = _as_numbers(y, "y")
    if y.ndim not in (1, 2) or (y.ndim == 2 and y.shape[1] == 0):
        raise ParameterError(
            f"y has shape {y.shape}; allowed: (n_rows,), or (n_rows, n_targets) for several targets"
        )
    _refuse_missing(y, ~np.isfinite(y), "not finite")
    return y


def refuse_constant(columns: np.ndarray) -> None:
    """Refuse targets with a column that is the same in all rows."""
    if len(columns) < 2:
        raise ParameterError(
            f"y has {len(columns)} rows (of weight above 0); give at least 2, and 20 or more to "
            "learn anything"
        )
    constant = np.ptp(columns, axis=0) <= 1e-12 * np.abs(columns).max(axis=0)
    if constant.any():
        column = int(np.argmax(constant))
        which = "y" if columns.shape[1] == 1 else f"y[:, {column}]"
        raise ParameterError(
            f"{which} is constant ({columns[0, column]:g} in all {len(columns)} rows); "
            "there is nothing to learn, give a target that varies"
        )


def check_classes(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and the class of each row as a number from 0 on."""
    _refuse_none(y)
    try:
        y = column_or_1d(y, warn=True)
        _refuse_missing(y, np.asarray(pd.isna(y)), "missing")
        check_classification_targets(y)
    except ValueError as error:  # scikit-learn's own
        raise ParameterError(str(error)) from None
    classes, codes = np.unique(y, return_inverse=True)
    return classes, codes.astype(np.int64)


def refuse_one_class(classes: np.ndarray, codes: np.ndarray) -> None:
    """Refuse rows that are all of one class."""
    present = classes[np.unique(codes)]
    if len(present) < 2:
        names = ", ".join(map(repr, present.tolist()))
        raise ParameterError(
            f"y has {len(present)} class ({names}) in {len(codes)} rows of weight above 0; give at "
            "least two classes"
        )


def check_sample_weight(sample_weight: Any, n_rows: int) -> np.ndarray:
    """Weights as finite float64 from 0 on, shape (n_rows,); ones for None."""
    if sample_weight is None:
        return np.ones(n_rows)
    weights = _as_numbers(sample_weight, "sample_weight")
    if weights.shape != (n_rows,):
        raise ParameterError(
            f"sample_weight has shape {weights.shape}; allowed: ({n_rows},), one for each y"
        )
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any() or (n_rows and not weights.any()):
        i = int(np.argmax(bad))
        raise ParameterError(
            f"sample_weight[{i}] is {weights[i]:g}; weights must be finite, from 0 on, "
            "and not all 0"
        )
    return weights


def _refuse_none(y: Any) -> None:
    if y is None:
        raise ParameterError("requires y to be passed, but the target y is None")


def _refuse_missing(y: np.ndarray, bad: np.ndarray, what: str) -> None:
    if bad.any():
        place = tuple(np.argwhere(bad)[0].tolist())
        raise ParameterError(
            f"y[{', '.join(map(str, place))}] is {y[place]} ({bad.sum()} of {y.size} values are "
            f"{what}); leave these rows out, for instance with df.dropna(subset=[target])"
        )


def _as_numbers(values: Any, name: str) -> np.ndarray:
    _refuse_none(values)
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"{name} must hold numbers, one a row; got {type(values).__name__}: {error}"
        ) from None
