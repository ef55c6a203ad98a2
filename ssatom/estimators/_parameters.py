"""What the parameters of the estimators may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from ssatom.exceptions import ParameterError

PARAMETER_GRID: dict[str, list[Any]] = {
    "learning_rate": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
    "n_conv": [2, 3, 4, 5],
    "n_hidden": [1, 2, 3, 4],
    "hidden_dim": [32, 64, 96, 128],
}
"""Ranges of the paper's Table I, for `GridSearchCV` or `RandomizedSearchCV`."""


def _whole(least: int) -> tuple[Callable[[Any], bool], str]:
    def allowed(value: Any) -> bool:
        return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least

    return allowed, f"an int from {least} on"


def _real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _positive(value: Any) -> bool:
    return _real(value) and value > 0


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    allowed = frozenset(names)
    return lambda value: isinstance(value, str) and value in allowed, " or ".join(map(repr, names))


def _or_none(rule: tuple[Callable[[Any], bool], str]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value is None or rule[0](value), f"{rule[1]}, or None"


_POSITIVE = (_positive, "a number above 0")

_RULES = {
    "n_conv": _whole(1),
    "hidden_dim": _whole(1),
    "n_hidden": _whole(1),
    "dropout": (lambda value: _real(value) and 0 <= value < 1, "a number in [0, 1)"),
    "learning_rate": _POSITIVE,
    "learning_rate_schedule": _one_of("plateau", "cosine", "constant"),
    "weight_decay": (lambda value: _real(value) and value >= 0, "a number from 0 on"),
    "loss": _one_of("huber", "squared"),
    "gradient_clip": _or_none(_POSITIVE),
    "batch_size": _whole(2),
    "max_epochs": _whole(1),
    "patience": _or_none(_whole(1)),
    "validation_fraction": (lambda value: _real(value) and 0 < value < 1, "a number in (0, 1)"),
    "time_budget": _or_none(_POSITIVE),
    "encoder": _one_of("frozen", "fine-tune"),
    "encoder_learning_rate": _or_none(_POSITIVE),
    "n_members": _whole(1),
    "level": _one_of("structure", "site"),
    "precision": _one_of("auto", "float32", "bfloat16"),
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
        if name in _RULES:
            allowed, words = _RULES[name]
            if not allowed(value):
                raise ParameterError(f"{name}={value!r} is not allowed; give {words}")
