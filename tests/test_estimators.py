"""The estimators: scikit-learn's contract, and what is refused."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from estimator_cases import is_class, make, outputs, target
from numpy.testing import assert_array_equal
from pymatgen.core import Lattice, Structure
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils import estimator_checks, get_tags

from ssatom import CGCNNClassifier, CGCNNRegressor, NEGNNClassifier, NEGNNRegressor
from ssatom.estimators import PARAMETER_GRID
from ssatom.exceptions import ParameterError, StructureError, WeightsError

# Parameters ------------------------------------------------------------------------------------


def test_init_stores_arguments_and_nothing_else(cls: type) -> None:
    arguments = {name: object() for name in inspect.signature(cls).parameters}
    assert vars(cls(**arguments)) == arguments


def test_get_params_names_every_argument(cls: type) -> None:
    assert set(cls().get_params()) == set(inspect.signature(cls).parameters)


def test_the_networks_of_both_kinds_have_the_same_parameters() -> None:
    of_embeddings = {"layers", "weights", "encoder", "encoder_learning_rate", "memory"}
    for negnn, cgcnn in ((NEGNNRegressor, CGCNNRegressor), (NEGNNClassifier, CGCNNClassifier)):
        mine, theirs = negnn().get_params(), cgcnn().get_params()
        assert set(mine) - set(theirs) == of_embeddings
        assert all(mine[name] == theirs[name] for name in theirs)


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_get_params_invariance",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_passes_the_checks_of_scikit_learn_that_need_no_arrays(cls: type, check: str) -> None:
    estimator = make(cls)
    getattr(estimator_checks, check)(cls.__name__, estimator)
    assert repr(estimator) == repr(make(cls))


def test_tags(cls: type) -> None:
    tags = get_tags(make(cls))
    assert tags.no_validation
    assert tags.requires_fit
    assert tags.target_tags.required
    assert tags.target_tags.multi_output == (not is_class(cls))
    assert not tags.input_tags.two_d_array
    assert not tags.non_deterministic
    assert (is_classifier if is_class(cls) else is_regressor)(make(cls))


@pytest.mark.parametrize(
    "parameter",
    [
        {"n_conv": 0},
        {"hidden_dim": 2.5},
        {"n_hidden": True},
        {"dropout": 1.0},
        {"learning_rate": 0.0},
        {"learning_rate_schedule": "step"},
        {"weight_decay": -1},
        {"loss": "absolute"},
        {"gradient_clip": 0},
        {"batch_size": 1},
        {"max_epochs": 0},
        {"patience": 0},
        {"validation_fraction": 1.0},
        {"time_budget": -1},
        {"encoder": "thawed"},
        {"encoder_learning_rate": 0},
        {"n_members": 0},
        {"level": "atom"},
        {"precision": "float16"},
        {"layers": "06"},
    ],
    ids=lambda parameter: next(iter(parameter)),
)
def test_parameters_are_checked_in_fit(structures: list, volumes: Any, parameter: dict) -> None:
    [(name, value)] = parameter.items()
    with pytest.raises(ParameterError, match=f"{name}={value!r}.*(must be|allowed)"):
        make(**parameter).fit(structures, volumes)


def test_grid_is_that_of_table_1() -> None:
    assert set(PARAMETER_GRID) <= set(CGCNNRegressor().get_params())
    assert [len(PARAMETER_GRID[name]) for name in ("learning_rate", "n_conv")] == [5, 4]
    assert PARAMETER_GRID["hidden_dim"] == [32, 64, 96, 128]


# scikit-learn ----------------------------------------------------------------------------------


def test_fit_returns_itself_and_leaves_the_parameters(fitted: dict, cls: type) -> None:
    model = fitted[cls]
    assert isinstance(model, cls)
    assert model.get_params() == make(cls).get_params()


def test_predictions_have_the_shape_and_kind_of_the_target(
    fitted: dict, cls: type, structures: list
) -> None:
    predicted = fitted[cls].predict(structures[:5])
    assert predicted.shape == (5,)
    if is_class(cls):
        assert set(predicted) <= {"dense", "loose"}
    else:
        assert predicted.dtype == np.float64
        assert np.isfinite(predicted).all()


def test_score(fitted: dict, cls: type, structures: list, volumes: np.ndarray) -> None:
    y = target(cls, volumes)
    score = (accuracy_score if is_class(cls) else r2_score)(y, fitted[cls].predict(structures))
    assert fitted[cls].score(structures, y) == pytest.approx(score)


def test_clone_is_not_fitted_and_fits_alike(
    fitted: dict, cls: type, structures: list, volumes: np.ndarray
) -> None:
    copy = clone(fitted[cls])
    with pytest.raises(NotFittedError, match=f"This {cls.__name__} instance is not fitted"):
        copy.predict(structures)
    copy.fit(structures, target(cls, volumes))
    assert_array_equal(outputs(copy, structures), outputs(fitted[cls], structures))


def test_pickle_is_small_and_predicts_the_same(fitted: dict, cls: type, structures: list) -> None:
    pickled = pickle.dumps(fitted[cls])
    assert len(pickled) < 60_000  # mostly module objects; the network itself has 6,000 numbers
    assert_array_equal(outputs(pickle.loads(pickled), structures), outputs(fitted[cls], structures))


def test_joblib_dump(fitted: dict, cls: type, structures: list, tmp_path: Path) -> None:
    joblib.dump(fitted[cls], tmp_path / "model")
    loaded = joblib.load(tmp_path / "model")
    assert_array_equal(outputs(loaded, structures), outputs(fitted[cls], structures))


def test_cross_val_score(cls: type, structures: list, volumes: np.ndarray) -> None:
    scores = cross_val_score(make(cls), structures, target(cls, volumes), cv=2)
    assert np.isfinite(scores).all()


def test_grid_search_in_a_pipeline(structures: list, volumes: np.ndarray) -> None:
    search = GridSearchCV(
        Pipeline([("model", make())]), {"model__n_hidden": [1, 2]}, cv=2, error_score="raise"
    )
    search.fit(structures, volumes)
    assert search.best_params_["model__n_hidden"] in (1, 2)
    assert search.predict(structures[:3]).shape == (3,)


def test_structures_may_come_in_any_container(
    fitted: dict, structures: list, volumes: np.ndarray
) -> None:
    frame = pd.DataFrame({"structure": structures, "y": volumes}, index=range(7, 31))
    expected = fitted[NEGNNRegressor].predict(structures)
    for X in (frame["structure"], frame[["structure"]], tuple(structures), iter(structures)):
        model = make().fit(X, frame["y"])
        assert_array_equal(model.predict(structures), expected)


def test_refitting_forgets(structures: list, volumes: np.ndarray, fitted: dict) -> None:
    model = make(n_members=2).fit(structures, np.stack([volumes, -volumes], axis=1))
    model.set_params(n_members=1).fit(structures, volumes)
    assert_array_equal(model.predict(structures), fitted[NEGNNRegressor].predict(structures))


# Errors ----------------------------------------------------------------------------------------


def test_not_fitted(cls: type, structures: list) -> None:
    methods = ["predict", "plot_history"]
    methods += ["iter_predict", "predict_proba"][: 1 + is_class(cls)]
    for method in methods:
        arguments = [] if method == "plot_history" else [structures]
        with pytest.raises(NotFittedError, match=cls.__name__):
            getattr(make(cls), method)(*arguments)


def test_lengths_must_agree(cls: type, structures: list, volumes: np.ndarray) -> None:
    for X in (structures, iter(structures)):
        with pytest.raises(ParameterError, match="X has 24 structures and y has 23 rows; give one"):
            make(cls).fit(X, target(cls, volumes)[:23])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: np.where(np.arange(24) == 3, np.nan, y), r"y\[3\] is nan \(1 of 24.*dropna"),
        (lambda y: np.where(np.arange(24) == 3, np.inf, y), r"y\[3\] is inf"),
        (lambda y: np.full(24, 2.5), r"y is constant \(2.5 in all 24 rows\)"),
        (lambda y: np.stack([y, 0 * y], axis=1), r"y\[:, 1\] is constant"),
        (lambda y: None, "requires y to be passed, but the target y is None"),
        (lambda y: ["a"] * 24, "y must hold numbers"),
        (lambda y: np.ones((24, 1, 1)), r"y has shape \(24, 1, 1\); allowed"),
    ],
)
def test_targets_of_regressors(
    structures: list, volumes: np.ndarray, change: Any, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        make().fit(structures, change(volumes))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["metal"] * 24, r"y has 1 class \('metal'\) in 24 rows of weight above 0; give at"),
        (["a", None] * 12, r"y\[1\] is None \(12 of 24 values are missing"),
        ([1.0, np.nan] * 12, r"y\[1\] is nan \(12 of 24 values are missing"),
        (np.ones((24, 2)), "1d"),
        (None, "requires y to be passed"),
        (np.linspace(0, 1, 24), "continuous"),
    ],
)
def test_targets_of_classifiers(structures: list, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(NEGNNClassifier).fit(structures, y)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(23), r"shape \(23,\); allowed: \(24,\)"),
        (np.where(np.arange(24) == 2, -1.0, 1.0), r"sample_weight\[2\] is -1; weights must"),
        (np.where(np.arange(24) == 2, np.nan, 1.0), r"sample_weight\[2\] is nan"),
        (np.zeros(24), "not all 0"),
        (["heavy"] * 24, "sample_weight must hold numbers"),
    ],
)
def test_sample_weights_are_checked(
    structures: list, volumes: np.ndarray, weights: np.ndarray, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        make().fit(structures, volumes, sample_weight=weights)


def test_too_few_structures(structures: list, volumes: np.ndarray) -> None:
    for n in (0, 1):
        with pytest.raises(ParameterError, match=f"y has {n} rows"):
            make().fit(structures[:n], volumes[:n])
    with pytest.raises(ParameterError, match="3 different structures are too few"):
        make().fit(structures[:3], volumes[:3])
    assert make().fit(structures[:4], volumes[:4]).n_structures_ == 4


def test_bad_structures_are_named(fitted: dict, cls: type, volumes: Any, structures: list) -> None:
    alloy = Structure(Lattice.cubic(2.87), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    rows = [*structures[:3], alloy, *structures[4:]]
    message = r"structures\[3\].*Fe.*partial occupancy"
    with pytest.raises(StructureError, match=message):
        make(cls).fit(rows, target(cls, volumes))
    with pytest.raises(StructureError, match=message):
        fitted[cls].predict(rows)


def test_bad_sites_are_named(structures: list) -> None:
    pairs = [(structure, 0) for structure in structures]
    pairs[4] = (structures[4], 99)
    with pytest.raises(StructureError, match=r"sites\[4\].*site index 99 is out of range"):
        make(level="site").fit(pairs, np.arange(24))


@pytest.mark.parametrize("X", [None, "nacl.cif", 3])
def test_wrong_containers_are_refused(fitted: dict, X: Any) -> None:
    with pytest.raises(StructureError, match="list"):
        make().fit(X, [1.0, 2.0])
    with pytest.raises(StructureError, match="list"):
        fitted[NEGNNRegressor].predict(X)


def test_one_structure_where_a_list_belongs(structures: list) -> None:
    with pytest.raises(StructureError, match="one Structure"):
        make().fit(structures[0], [1.0, 2.0])


def test_missing_weights(structures: list, volumes: np.ndarray) -> None:
    with pytest.raises(WeightsError, match="no-such-set"):
        make(weights="no-such-set").fit(structures, volumes)
