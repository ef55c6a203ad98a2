"""Checks of labels and of predictions, and warnings that were given before."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ssatom.exceptions import GraphWarning, ParameterError, StructureWarning


def check_target(y: Any, n_rows: int, name: str = "y") -> np.ndarray:
    """Labels as a new float64 array: finite, one a row, and not all equal."""
    if np.iscomplexobj(y):
        raise ParameterError(f"Complex data not supported: {name} must hold real numbers")
    try:
        target = np.array(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"{name} holds something that is no number ({error})") from None
    if target.ndim != 1:
        raise ParameterError(
            f"{name} has shape {target.shape}; allowed is one number a row, shape ({n_rows},)"
        )
    if len(target) != n_rows:
        raise ParameterError(
            f"{name} has {len(target)} values for {n_rows} rows of features; give one value a row, "
            "in the same order"
        )
    if (bad := np.flatnonzero(~np.isfinite(target))).size:
        raise ParameterError(
            f"{name}[{bad[0]}] is {target[bad[0]]}, as are {bad.size} of {n_rows} values; labels "
            "must be finite: leave these rows out, of the features too"
        )
    if n_rows and np.ptp(target) == 0:
        raise ParameterError(
            f"{name} is constant ({target[0]:g} in all {n_rows} rows); there is nothing to learn: "
            "is this the right column?"
        )
    return target


def one_a_row(predictions: Any, n_rows: int) -> np.ndarray:
    """Predictions of one number a row, shape (n_rows,), also from models that give a column."""
    found = np.asarray(predictions, dtype=np.float64).reshape(n_rows, -1)
    if found.shape[1] != 1:
        raise ParameterError(f"model predicts {found.shape[1]} numbers; fit one for each")
    return found[:, 0]


@contextmanager
def told_already() -> Iterator[None]:
    """Without warnings of crystals, which an earlier step has given by row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        warnings.simplefilter("ignore", StructureWarning)
        yield
