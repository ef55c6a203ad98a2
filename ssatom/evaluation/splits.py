"""Splits into training and test rows, and the scores of what is predicted for the latter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

from ssatom.exceptions import ParameterError

KINDS = ("random", "grouped", "official")
"""Kinds of splits: by chance, by groups, and the folds that a data set comes with."""


def split_rows(
    kind: str,
    seed: int,
    n_rows: int,
    groups: np.ndarray | None = None,
    test_size: float = 0.2,
    folds: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows of one split, the same for all features of one data set.

    Parameters
    ----------
    kind : {"random", "grouped", "official"}
        Of the split.
    seed : int
        From 0 on; for official folds the place of the fold tested.
    n_rows : int
        Number of rows.
    groups : ndarray, shape (n_rows,), default=None
        For grouped splits.
    test_size : float, default=0.2
        Share of rows, or of groups, in the test part.
    folds : ndarray, shape (n_rows,), default=None
        For official folds: the fold in which each row is tested.

    Returns
    -------
    train, test : ndarray of int
        Row numbers.

    Examples
    --------
    >>> from ssatom.evaluation import split_rows
    >>> train, test = split_rows("random", seed=0, n_rows=10)
    >>> len(train), len(test)
    (8, 2)
    """
    if kind == "official":
        tested = folds == np.unique(folds)[seed]  # type: ignore[arg-type]
        return np.flatnonzero(~tested), np.flatnonzero(tested)
    splitter = (GroupShuffleSplit if kind == "grouped" else ShuffleSplit)(
        1, test_size=test_size, random_state=seed
    )
    rows = np.zeros((n_rows, 1))
    train, test = next(splitter.split(rows, groups=groups if kind == "grouped" else None))
    return np.sort(train), np.sort(test)


def score_predictions(y: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """The paper's four metrics.

    Parameters
    ----------
    y, predictions : ndarray of float, shape (n_rows,)
        Labels, and what was predicted.

    Returns
    -------
    dict of float
        "mae", "mse", "r2" and "pcc"; the last is NaN where either is constant, R² where there
        are fewer than two rows.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.evaluation import score_predictions
    >>> score_predictions(np.array([0.0, 1.0]), np.array([0.0, 2.0]))["mae"]
    0.5
    """
    constant = np.ptp(y) == 0 or np.ptp(predictions) == 0
    return {
        "mae": float(mean_absolute_error(y, predictions)),
        "mse": float(mean_squared_error(y, predictions)),
        "r2": float(r2_score(y, predictions)) if len(y) > 1 else np.nan,
        "pcc": np.nan if constant else float(np.corrcoef(y, predictions)[0, 1]),
    }


def check_column(values: Any, n_rows: int, name: str) -> np.ndarray:
    """Groups or folds as an array of one a row, or a ParameterError."""
    values = np.asarray(values)
    if values.shape != (n_rows,):
        raise ParameterError(f"{name} has shape {values.shape}; allowed is one a row, ({n_rows},)")
    return values


def check_kinds(
    splits: Sequence[str] | None, groups: np.ndarray | None, folds: np.ndarray | None = None
) -> list[str]:
    """Kinds of splits of a `splits` argument, or a ParameterError."""
    needed = {"random": True, "grouped": groups is not None, "official": folds is not None}
    if splits is None:
        splits = ["official"] if folds is not None else [k for k in KINDS if needed[k]]
    kinds = [splits] if isinstance(splits, str) else list(splits)
    if not kinds or len(set(kinds)) < len(kinds) or set(kinds) - set(KINDS):
        raise ParameterError(
            f"splits={splits!r}; allowed are different ones of {', '.join(map(repr, KINDS))}"
        )
    for kind, source, what in (
        ("grouped", groups, "groups, such as reduced formulas"),
        ("official", folds, "folds, the fold in which each row is tested"),
    ):
        if kind in kinds and source is None:
            raise ParameterError(f"splits has {kind!r}, which needs {what}")
        if kind in kinds and len(np.unique(source)) < 2:  # type: ignore[arg-type]
            name = what.split(",")[0]
            raise ParameterError(f"{name} are all the same; splits {kind!r} need at least two")
    return kinds
