"""Transformers and meta-estimators of scikit-learn that people put beside the featurizers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy.stats import uniform
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_selection import (
    GenericUnivariateSelect,
    SelectFromModel,
    SelectKBest,
    SelectPercentile,
    chi2,
    f_classif,
    f_regression,
    mutual_info_classif,
    mutual_info_regression,
    r_regression,
)
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import IterativeImputer
from sklearn.linear_model import HuberRegressor, Lasso, LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    TimeSeriesSplit,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OutputCodeClassifier
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.random_projection import SparseRandomProjection

from ssatom import ParameterError, load_estimator, save_estimator
from ssatom.storage import parts_of
from ssatom.storage.trusted import TRUSTED

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(40, 4)), columns=list("abcd"))
Y = (X["a"] + X["b"] ** 2 + 0.1 * RNG.normal(size=40)).to_numpy()
CLASSES = np.digitize(Y, [0.0, 1.0])


def before_ridge(*steps: Any) -> Pipeline:
    return make_pipeline(*steps, Ridge())


def before_logistic(*steps: Any) -> Pipeline:
    return make_pipeline(MinMaxScaler(), *steps, LogisticRegression())


def calibrated(method: str) -> CalibratedClassifierCV:
    return CalibratedClassifierCV(LogisticRegression(), method=method, cv=2)


MODELS: dict[str, Any] = {
    "best by F": before_ridge(SelectKBest(f_regression, k=2)),
    "best by correlation": before_ridge(SelectPercentile(r_regression)),
    "best by information": before_ridge(SelectKBest(mutual_info_regression, k=2)),
    "best of classes by F": before_logistic(GenericUnivariateSelect(f_classif, param=0.1)),
    "best of classes by chi²": before_logistic(SelectKBest(chi2, k=2)),
    "best of classes by information": before_logistic(SelectKBest(mutual_info_classif, k=2)),
    "best of a model": before_ridge(SelectFromModel(Lasso(0.01))),
    "calibrated": calibrated("sigmoid"),
    "calibrated by steps": calibrated("isotonic"),
    "calibrated forest": CalibratedClassifierCV(RandomForestClassifier(2), cv=2),
    "Gaussian process of classes": GaussianProcessClassifier(),
    "threshold": make_pipeline(
        FunctionTransformer(np.arctan), TunedThresholdClassifierCV(LogisticRegression(), cv=2)
    ),
    "codes of classes": OutputCodeClassifier(LogisticRegression(), random_state=0),
    "filled": before_ridge(IterativeImputer(max_iter=2)),
    "selected by type": before_ridge(
        ColumnTransformer(
            [("a", StandardScaler(), make_column_selector(dtype_include=np.number))],
        ).set_output(transform="pandas")
    ),
    "both": before_ridge(
        FeatureUnion([("a", PowerTransformer()), ("b", QuantileTransformer(n_quantiles=9))])
    ).set_output(transform="pandas"),
    "target": TransformedTargetRegressor(HuberRegressor(), func=np.arcsinh, inverse_func=np.sinh),
    "least squares": PLSRegression(2),
    "search of selections": GridSearchCV(
        before_ridge(SelectKBest(k=2)),
        {"selectkbest__score_func": [f_regression, r_regression]},
        cv=TimeSeriesSplit(2),
        scoring=("r2", "neg_mean_absolute_percentage_error", "explained_variance"),
        refit="r2",
    ),
}


def fitted(model: Any) -> Any:
    y = CLASSES if is_classifier(model) else Y
    return model.fit(X, y > 1 if isinstance(model, Pipeline) and "arctan" in str(model) else y)


@pytest.mark.parametrize("name", MODELS)
def test_models_come_back(name: str, tmp_path: Path) -> None:
    model = fitted(MODELS[name])
    again = load_estimator(save_estimator(model, tmp_path / "model"))
    assert_array_equal(again.predict(X), model.predict(X))
    if hasattr(model, "predict_proba"):
        assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_temperatures_come_back(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", minversion="1.8")
    model = fitted(calibrated("temperature"))
    again = load_estimator(save_estimator(model, tmp_path / "model"))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    "name",
    [
        *("accuracy", "average_precision", "balanced_accuracy", "f1", "jaccard", "neg_brier_score"),
        *("matthews_corrcoef", "neg_log_loss", "precision", "recall", "roc_auc", "top_k_accuracy"),
        *("explained_variance", "neg_max_error", "neg_mean_absolute_error", "r2"),
        *("neg_mean_squared_error", "neg_mean_squared_log_error", "neg_root_mean_squared_error"),
        *("neg_median_absolute_error", "neg_mean_poisson_deviance", "neg_mean_gamma_deviance"),
    ],
)
def test_scores_by_their_names_are_read(name: str) -> None:
    function = get_scorer(name)._score_func
    assert f"{function.__module__}.{function.__name__}" in TRUSTED


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "neighbours": (KNeighborsRegressor, 'give the neighbours algorithm="brute"'),
    "splines": (lambda: before_ridge(SplineTransformer()), "KBinsDiscretizer or Polynomial"),
    "sparse": (lambda: before_ridge(SparseRandomProjection(2)), "take GaussianRandomProjection"),
    "distributions": (
        lambda: RandomizedSearchCV(Ridge(), {"alpha": uniform(0.1, 1)}, n_iter=1, cv=2),
        "save the best_estimator_ of the search",
    ),
    "categories": (
        lambda: HistGradientBoostingRegressor(max_iter=1, categorical_features=["a"]),
        "encode categories before the trees",
    ),
    "a function": (
        lambda: before_ridge(FunctionTransformer(np.nan_to_num)),
        "NumPy's functions of single numbers such as np.log1p",
    ),
    "linked nodes": (Birch, "Objects of type Birch are not supported yet"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_names_a_remedy(name: str, tmp_path: Path) -> None:
    make, remedy = REFUSED[name]
    table = X.assign(a=np.arange(40) % 3)
    model = make().fit(table, Y)
    with pytest.raises(ParameterError) as told:
        save_estimator(model, tmp_path / "model")
    assert remedy in str(told.value)
    assert not (tmp_path / "model").exists()


def test_lists_that_hold_themselves_are_walked_once() -> None:
    model, inner = Ridge(), Lasso()
    around: list[Any] = [inner]
    around.append(around)
    model.more_ = around
    assert list(parts_of(model)) == [model, inner]
