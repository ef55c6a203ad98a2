"""What parameters, targets and sample weights may be; all else is a ParameterError."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ssatom.exceptions import ParameterError
from ssatom.validation import (
    finite_numbers,
    obey,
    place_of,
    plain_array,
    refuse_constant,
    refuse_missing,
)

PARAMETER_GRID: dict[str, list[Any]] = {
    "learning_rate": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
    "n_conv": [2, 3, 4, 5],
    "n_hidden": [1, 2, 3, 4],
    "hidden_dim": [32, 64, 96, 128],
}
"""Ranges of the paper's Table I, for `GridSearchCV` or `RandomizedSearchCV`."""

_RULES: dict[str, tuple[Any, ...]] = {  # and whether it may be None
    **dict.fromkeys(("n_conv", "hidden_dim", "n_hidden", "max_epochs", "n_members"), (1,)),
    "patience": (1, True),
    "batch_size": (2,),
    "learning_rate": ("(0, inf)",),
    **dict.fromkeys(("gradient_clip", "time_budget", "encoder_learning_rate"), ("(0, inf)", True)),
    "dropout": ("[0, 1)",),
    "weight_decay": ("[0, inf)",),
    "validation_fraction": ("(0, 1)",),
    "learning_rate_schedule": (("plateau", "cosine", "constant"),),
    "loss": (("huber", "squared"),),
    "encoder": (("frozen", "fine-tune"),),
    "level": (("structure", "site"),),
    "precision": (("auto", "float32", "bfloat16"),),
}


def check_parameters(parameters: dict[str, Any]) -> None:
    """Refuse the first parameter, of those from ``get_params``, that is out of range."""
    for name, value in parameters.items():
        if name in _RULES:
            obey(name, value, *_RULES[name])


def refuse_constant_targets(columns: np.ndarray) -> None:
    """Refuse targets of fewer than two rows, or with a column that is the same in all."""
    if len(columns) < 2:
        raise ParameterError(
            f"y has {len(columns)} rows (of weight above 0); give at least 2, and 20 or more to "
            "learn anything"
        )
    refuse_constant("y", columns)


def check_classes(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and the class of each row as a number from 0 on."""
    labels = plain_labels(y)
    check_classification_targets(labels)  # warns of many classes
    classes, codes = np.unique(labels, return_inverse=True)
    return classes, codes.astype(np.int64)


def plain_labels(y: Any) -> np.ndarray:
    """Labels of rows as an array of booleans, whole numbers or texts, shape (n_rows,)."""
    y = plain_array("y", y)
    try:
        y = column_or_1d(y, warn=True)
    except (TypeError, ValueError) as error:  # scikit-learn's own
        raise ParameterError(str(error)) from None
    refuse_missing("y", y, np.asarray(pd.isna(y)), "missing")
    if y.dtype.kind in "biuU":
        return y
    kinds = [_kind_of_label(value) for value in y]
    for i, kind in enumerate(kinds):
        if kind is None or kind != kinds[0]:
            why = "" if kind is None else f", but {place_of('y', y, (0,))}"
            raise ParameterError(
                f"Unknown label type: {place_of('y', y, (i,))}{why}; allowed are booleans, whole "
                "numbers or texts, all of one type; make texts of them with "
                "pd.Series(y).astype(str), or take a regressor for continuous numbers"
            )
    return np.array(y.tolist())


def _kind_of_label(value: Any) -> type | None:
    """Type of a label that is allowed, float for all numbers; None for others."""
    if isinstance(value, bool | np.bool_):
        return bool
    if isinstance(value, str):
        return str
    number = isinstance(value, int | float | np.number) and np.isrealobj(value)
    if not number or isinstance(value, np.timedelta64):
        return None
    return float if value % 1 == 0 and abs(value) < 2**63 else None


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
    weights = finite_numbers("sample_weight", sample_weight)
    if weights.shape != (n_rows,):
        raise ParameterError(
            f"sample_weight has shape {weights.shape}; allowed: ({n_rows},), one for each y"
        )
    bad = weights < 0
    if bad.any() or (n_rows and not weights.any()):
        i = int(np.argmax(bad))
        raise ParameterError(
            f"sample_weight[{i}] is {weights[i]:g}; weights must be from 0 on, and not all 0"
        )
    return weights
