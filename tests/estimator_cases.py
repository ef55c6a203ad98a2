"""What the tests of the estimators share: small settings, targets and outputs of any class."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssatom import CGCNNClassifier, CGCNNRegressor, NEGNNClassifier, NEGNNRegressor

TINY: dict[str, Any] = {"n_conv": 1, "hidden_dim": 8, "max_epochs": 2, "random_state": 0}
CLASSES = [NEGNNRegressor, CGCNNRegressor, NEGNNClassifier, CGCNNClassifier]


def make(cls: type = NEGNNRegressor, **settings: Any) -> Any:
    weights = {"weights": "random"} if cls.__name__.startswith("NEGNN") else {}
    return cls(**{**TINY, **weights, **settings})


def is_class(cls: type) -> bool:
    return cls.__name__.endswith("Classifier")


def target(cls: type, volumes: np.ndarray) -> np.ndarray:
    return np.where(volumes > np.median(volumes), "loose", "dense") if is_class(cls) else volumes


def outputs(model: Any, structures: Any) -> np.ndarray:
    return getattr(model, "predict_proba", model.predict)(structures)
