"""Splits into training and test rows, and the scores of what is predicted for the latter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

from ssatom.exceptions import ParameterError

SPLITTERS = {"random": ShuffleSplit, "grouped": GroupShuffleSplit}
"""Kinds of splits."""


def split_rows(
    kind: str, seed: int, n_rows: int, groups: np.ndarray | None = None, test_size: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows of one split, the same for all features of one data set.

    Parameters
    ----------
    kind : {"random", "grouped"}
        Of the split.
    seed : int
        From 0 on.
    n_rows : int
        Number of rows.
    groups : ndarray, shape (n_rows,), default=None
        For grouped splits.
    test_size : float, default=0.2
        Share of rows, or of groups, in the test part.

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
    splitter = SPLITTERS[kind](1, test_size=test_size, random_state=seed)
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


def check_groups(groups: Any, n_rows: int) -> np.ndarray:
    """Groups as an array of one a row, or a ParameterError."""
    groups = np.asarray(groups)
    if groups.shape != (n_rows,):
        raise ParameterError(
            f"groups has shape {groups.shape}; allowed is one group a row, ({n_rows},)"
        )
    return groups


def check_kinds(splits: Sequence[str] | None, groups: np.ndarray | None) -> list[str]:
    """Kinds of splits of a `splits` argument, or a ParameterError."""
    if splits is None:
        splits = ["random"] if groups is None else ["random", "grouped"]
    kinds = [splits] if isinstance(splits, str) else list(splits)
    if not kinds or len(set(kinds)) < len(kinds) or set(kinds) - set(SPLITTERS):
        raise ParameterError(
            f"splits={splits!r}; allowed are different ones of 'random', 'grouped'"
        )
    if "grouped" in kinds and groups is None:
        raise ParameterError("splits has 'grouped', which needs groups, such as reduced formulas")
    if "grouped" in kinds and len(np.unique(groups)) < 2:  # type: ignore[arg-type]
        raise ParameterError("groups are all the same; a grouped split needs at least two")
    return kinds
