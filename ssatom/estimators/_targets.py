"""Targets and sample weights, checked and scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ssatom.exceptions import ParameterError


@dataclass(frozen=True)
class TargetScaler:
    """Mean and standard deviation of each target.

    Parameters
    ----------
    mean, scale : ndarray of float64, shape (n_outputs,)
        In the unit of the target.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, weights: np.ndarray) -> TargetScaler:
        """Of targets, shape (n_rows, n_outputs), each row with its weight."""
        mean = np.average(y, axis=0, weights=weights)
        return cls(mean, np.sqrt(np.average(np.square(y - mean), axis=0, weights=weights)))

    def scaled(self, y: np.ndarray) -> np.ndarray:
        """Targets with mean 0 and standard deviation 1, float32."""
        return ((y - self.mean) / self.scale).astype(np.float32)

    def unscaled(self, y: np.ndarray) -> np.ndarray:
        """Targets in their own unit, float64."""
        return y * self.scale + self.mean


def check_continuous(y: Any) -> np.ndarray:
    """Targets of a regressor as float64, shape (n_rows,) or (n_rows, n_outputs).

    Raises
    ------
    ParameterError
        If they are None, no numbers, of more than two dimensions or not finite.
    """
    _refuse_none(y)
    try:
        y = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"y must hold numbers, one a row; got {type(y).__name__}: {error}"
        ) from None
    if y.ndim not in (1, 2) or (y.ndim == 2 and y.shape[1] == 0):
        raise ParameterError(
            f"y has shape {y.shape}; allowed: (n_rows,), or (n_rows, n_targets) for several targets"
        )
    columns = as_columns(y)
    finite = np.isfinite(columns)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        where = f"y[{row}]" if y.ndim == 1 else f"y[{row}, {column}]"
        raise ParameterError(
            f"{where} is {columns[row, column]} ({(~finite).sum()} of {y.size} values are not "
            "finite); leave these rows out, for instance with df.dropna(subset=[target])"
        )
    return y


def as_columns(y: np.ndarray) -> np.ndarray:
    """Targets with one column each, shape (n_rows, n_outputs)."""
    return y[:, None] if y.ndim == 1 else y


def refuse_constant(columns: np.ndarray) -> None:
    """Raise ParameterError for the first column that is the same in all rows."""
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
    """Classes and the class of each row as a number from 0 on.

    Raises
    ------
    ParameterError
        If `y` is None, has missing values or one class only.
    ValueError
        scikit-learn's own, if `y` is continuous or has several columns.
    """
    _refuse_none(y)
    y = column_or_1d(y, warn=True)
    missing = pd.isna(y)
    if missing.any():
        raise ParameterError(
            f"y[{int(np.argmax(missing))}] is missing ({missing.sum()} of {len(y)} values are); "
            "leave these rows out, for instance with df.dropna(subset=[target])"
        )
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    refuse_one_class(classes, codes)
    return classes, codes.astype(np.int64)


def refuse_one_class(classes: np.ndarray, codes: np.ndarray) -> None:
    """Raise ParameterError where the rows are all of one class, or there is none."""
    there = classes[np.unique(codes)]
    if len(there) < 2:
        names = ", ".join(map(repr, there.tolist()))
        raise ParameterError(
            f"y has {len(there)} class ({names}) in {len(codes)} rows of weight above 0; give at "
            "least two classes"
        )


def check_sample_weight(sample_weight: Any, n_rows: int) -> np.ndarray:
    """Weights as float64, shape (n_rows,); ones for None.

    Raises
    ------
    ParameterError
        If there are not `n_rows`, or one is negative or not finite, or all are 0.
    """
    if sample_weight is None:
        return np.ones(n_rows)
    weights = np.asarray(sample_weight, dtype=np.float64)
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
