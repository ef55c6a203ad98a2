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

_ALLOWED: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("n_conv", "hidden_dim", "n_hidden", "max_epochs", "n_members"), (_SIZE,)),
    "patience": (_SIZE, None),
    "batch_size": (Interval(Integral, 2, None, closed="left"),),
    "learning_rate": (_POSITIVE,),
    **dict.fromkeys(("gradient_clip", "time_budget", "encoder_learning_rate"), (_POSITIVE, None)),
    "dropout": (Interval(Real, 0, 1, closed="left"),),
    "weight_decay": (Interval(Real, 0, None, closed="left"),),
    "validation_fraction": (Interval(Real, 0, 1, closed="neither"),),
    "learning_rate_schedule": (StrOptions({"plateau", "cosine", "constant"}),),
    "loss": (StrOptions({"huber", "squared"}),),
    "encoder": (StrOptions({"frozen", "fine-tune"}),),
    "level": (StrOptions({"structure", "site"}),),
    "precision": (StrOptions({"auto", "float32", "bfloat16"}),),
}


def check_parameters(parameters: dict[str, Any]) -> None:
    """Refuse the first parameter, of those from ``get_params``, that is out of range."""
    for name, value in parameters.items():
        rules = [make_constraint(rule) for rule in _ALLOWED.get(name, ())]
        # Python takes True for 1, and none of these parameters is a flag.
        good = not isinstance(value, bool) and any(rule.is_satisfied_by(value) for rule in rules)
        if rules and not good:
            allowed = " or ".join(map(str, rules))
            raise ParameterError(f"{name}={value!r} is not allowed; give {allowed}")
