"""What parameters, targets and sample weights may be; all else is a ParameterError."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ssatom.exceptions import ParameterError
from ssatom.validation import finite_numbers, obey, refuse_constant, refuse_missing

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
    if y is None:
        raise ParameterError("requires y to be passed, but the target y is None")
    try:
        y = column_or_1d(y, warn=True)
        refuse_missing("y", y, np.asarray(pd.isna(y)), "missing")
        check_classification_targets(y)
    except (TypeError, ValueError) as error:  # scikit-learn's own
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
