"""Arrays that compiled code follows unchecked are refused where a file changed them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.testing import assert_array_equal
from sklearn.base import is_classifier
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR, NuSVR, OneClassSVM
from sklearn.tree import DecisionTreeRegressor

from ssatom import ParameterError, WeightsError, load_estimator, save_estimator
from ssatom.storage.trusted import dumped, loaded

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))
CLASSES = np.digitize(X[:, 0], [-0.5, 0.5])

BRUTE = partial(KNeighborsRegressor, algorithm="brute")
MODELS: dict[str, Callable[[], Any]] = {
    "support vectors": SVR,
    "nu": partial(NuSVR, kernel="linear"),
    "three classes": SVC,
    "one class": OneClassSVM,
    "neighbours": BRUTE,
    "neighbours of classes": partial(KNeighborsClassifier, algorithm="brute"),
    "means": partial(KMeans, 3, n_init=1, random_state=0),
}


def fitted(model: Any) -> Any:
    return model.fit(X, CLASSES if is_classifier(model) else X[:, 0])


@pytest.mark.parametrize("name", MODELS)
def test_arrays_come_back(name: str, tmp_path: Path) -> None:
    model = fitted(MODELS[name]())
    again = load_estimator(save_estimator(model, tmp_path / "model"))
    assert_array_equal(again.predict(X), model.predict(X))


def test_kernel_given_as_matrix_comes_back(tmp_path: Path) -> None:
    model = SVR(kernel="precomputed").fit(X @ X.T, X[:, 0])
    again = load_estimator(save_estimator(model, tmp_path / "model"))
    assert_array_equal(again.predict(X @ X.T), model.predict(X @ X.T))


CHANGED: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "more vectors": (SVR, {"support_": np.zeros(10**6, dtype=np.int32)}),
    "fewer coefficients": (SVR, {"_dual_coef_": np.zeros((1, 1))}),
    "narrow vectors": (SVR, {"support_vectors_": np.zeros((60, 1))}),
    "vectors of a class": (SVC, {"_n_support": np.array([-(10**8), 10**8, 9], dtype=np.int32)}),
    "fewer pairs": (SVC, {"_intercept_": np.zeros(1)}),
    "one probability": (SVC, {"_probA": np.zeros(1)}),
    "narrow rows": (BRUTE, {"_fit_X": np.zeros((60, 1))}),
    "fewer labels": (BRUTE, {"_y": np.zeros(3)}),
    "label of no class": (MODELS["neighbours of classes"], {"_y": np.full(60, 10**9)}),
    "wide means": (MODELS["means"], {"cluster_centers_": np.zeros((3, 10**6))}),
    "method": (DecisionTreeRegressor, {"_validate_X_predict": np.multiply}),
}


@pytest.mark.parametrize("name", CHANGED)
def test_changed_arrays_are_refused(name: str) -> None:
    make, changes = CHANGED[name]
    model = fitted(make())
    vars(model).update(changes)
    with pytest.raises(WeightsError, match=r"model\.skops was changed"):
        loaded(skops.io.dumps(model), "model.skops")
    with pytest.raises(ParameterError, match="would refuse the model"):
        dumped(model)


def test_kernel_columns_beyond_are_refused() -> None:
    model = SVR(kernel="precomputed").fit(X @ X.T, X[:, 0])
    model.support_ = model.support_ + 10**8
    with pytest.raises(WeightsError, match="arrays of SVR do not fit together"):
        loaded(skops.io.dumps(model), "model.skops")
