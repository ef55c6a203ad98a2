"""What the parameters of the estimators may be."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions, make_constraint

from ssatom.exceptions import ParameterError

PARAMETER_GRID: dict[str, list[Any]] = {
    "learning_rate": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
    "n_conv": [2, 3, 4, 5],
    "n_hidden": [1, 2, 3, 4],
    "hidden_dim": [32, 64, 96, 128],
}
"""Ranges of the paper's Table I, for `GridSearchCV` or `RandomizedSearchCV`."""

_SIZE = Interval(Integral, 1, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")

_ALLOWED: dict[str, list[Any]] = {
    "n_conv": [_SIZE],
    "hidden_dim": [_SIZE],
    "n_hidden": [_SIZE],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "learning_rate": [_POSITIVE],
    "learning_rate_schedule": [StrOptions({"plateau", "cosine", "constant"})],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "loss": [StrOptions({"huber", "squared"})],
    "gradient_clip": [_POSITIVE, None],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "max_epochs": [_SIZE],
    "patience": [_SIZE, None],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "time_budget": [_POSITIVE, None],
    "encoder": [StrOptions({"frozen", "fine-tune"})],
    "encoder_learning_rate": [_POSITIVE, None],
    "n_members": [_SIZE],
    "level": [StrOptions({"structure", "site"})],
    "precision": [StrOptions({"auto", "float32", "bfloat16"})],
}


def check_parameters(parameters: dict[str, Any]) -> None:
    """Refuse the first parameter that is out of range.

    Parameters
    ----------
    parameters : dict of str to object
        As from ``get_params``; names without a rule pass.

    Raises
    ------
    ParameterError
        Naming the parameter, its value and what is allowed.
    """
    for name, value in parameters.items():
        if name not in _ALLOWED:
            continue
        rules = [make_constraint(rule) for rule in _ALLOWED[name]]
        # Python takes True for 1, and none of these parameters is a flag.
        if isinstance(value, bool) or not any(rule.is_satisfied_by(value) for rule in rules):
            allowed = " or ".join(map(str, rules))
            raise ParameterError(f"{name}={value!r} is not allowed; give {allowed}")
