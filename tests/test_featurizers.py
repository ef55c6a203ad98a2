"""scikit-learn's contract, each check once for every public featurizer."""

from __future__ import annotations

import inspect
import pickle
import warnings
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from featurizer_cases import CASES, Case, alloy, crystals, overlapping, rock_salt
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.validation import check_is_fitted

from ssatom import ElectronicFeaturizer, GraphEmbeddingFeaturizer
from ssatom.electrons import electronic_descriptors
from ssatom.embeddings import clear_cache
from ssatom.exceptions import ParameterError, StructureError, WeightsError
from ssatom.weights import random_weights


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


# Parameters


def test_init_stores_arguments_and_nothing_else(case: Case) -> None:
    arguments = {name: object() for name in inspect.signature(case.cls).parameters}
    assert vars(case.cls(**arguments)) == arguments


def test_get_params_names_every_argument(case: Case) -> None:
    assert set(case.make().get_params()) == set(inspect.signature(case.cls).parameters)


def test_set_params_leaves_nothing_stale(case: Case) -> None:
    changed = case.make()
    changed.fit_transform(case.rows())
    changed.set_params(**case.changed)
    fresh = case.make(**case.changed)
    assert_array_equal(changed.transform(case.rows()), fresh.transform(case.rows()))
    assert changed.feature_labels() == fresh.feature_labels()
    assert changed.feature_labels() != case.make().feature_labels()


def test_set_params_refuses_unknown_names(case: Case) -> None:
    with pytest.raises(ValueError, match="Invalid parameter 'layer'"):
        case.make().set_params(layer="0")


def test_clone_has_the_parameters_and_the_features(case: Case) -> None:
    original = case.make(**case.changed)
    original.fit(case.rows())
    copy = clone(original)
    assert copy is not original
    assert copy.get_params() == original.get_params()
    assert_array_equal(copy.transform(case.rows()), original.transform(case.rows()))


def test_pickles_are_small_and_give_the_same_features(case: Case) -> None:
    featurizer = case.make(**case.changed)
    features = featurizer.fit_transform(case.rows())
    pickled = pickle.dumps(featurizer)
    assert len(pickled) < 1000
    clear_cache()
    assert_array_equal(pickle.loads(pickled).transform(case.rows()), features)


def test_repr_shows_changed_parameters(case: Case) -> None:
    [(name, value)] = case.changed.items()
    featurizer = case.make(**case.changed)
    assert f"{name}={value!r}" in repr(featurizer)
    assert case.cls.__name__ in featurizer._repr_html_()


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_get_params_invariance",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_passes_the_checks_of_scikit_learn_that_need_no_arrays(case: Case, check: str) -> None:
    estimator = case.make()
    getattr(estimator_checks, check)(case.cls.__name__, estimator)
    assert repr(estimator) == repr(case.make())


def test_tags_say_that_rows_are_no_arrays_and_fitting_is_not_needed(case: Case) -> None:
    tags = get_tags(case.make())
    assert tags.no_validation
    assert not tags.requires_fit
    assert not tags.target_tags.required
    assert not tags.input_tags.two_d_array
    assert tags.transformer_tags is not None
    check_is_fitted(case.make())


@pytest.mark.parametrize("method", ["fit", "transform", "featurize_many"])
def test_errors_must_be_known(case: Case, method: str) -> None:
    with pytest.raises(ParameterError, match="errors='ignore' is unknown; allowed: 'raise', 'nan'"):
        getattr(case.make(errors="ignore"), method)(case.rows())


@pytest.mark.parametrize(
    ("name", "parameter", "message"),
    [
        ("graph", {"layers": "06"}, "no layer 6; allowed: .* 0 to 5"),
        ("graph", {"layers": "00"}, "twice"),
        ("graph", {"layers": ""}, "is empty"),
        ("graph", {"layers": []}, "empty"),
        ("graph", {"pooling": "median"}, "mean, sum, max, min, std"),
        ("graph", {"batch_size": 0}, "batch_size=0"),
        ("graph", {"memory": 3}, "memory=3"),
        ("graph", {"random_state": -1}, "random_state=-1"),
        ("site", {"layers": "6"}, "no layer 6"),
        ("electronic", {"pooling": "median"}, "mean, sum, max, min, std"),
        ("ofm", {"level": "atom"}, "allowed: 'structure', 'site'"),
        ("ofm", {"extra_row": "row"}, "allowed: 'period', 'center', None"),
    ],
)
def test_parameters_are_checked_when_used(name: str, parameter: Any, message: str) -> None:
    featurizer = CASES[name].make(**parameter)
    for use in (featurizer.fit, featurizer.transform):
        with pytest.raises(ParameterError, match=message):
            use(CASES[name].rows())


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(WeightsError, match="no-such-set"):
        GraphEmbeddingFeaturizer(weights="no-such-set").fit(crystals())


def test_weights_may_be_loaded_ones() -> None:
    loaded = clone(GraphEmbeddingFeaturizer(weights=random_weights(0)))
    named = GraphEmbeddingFeaturizer(weights="random", random_state=0)
    assert_array_equal(loaded.transform(crystals()), named.transform(crystals()))


def test_random_state_makes_other_random_weights() -> None:
    one, other = (CASES["graph"].make(random_state=i).transform(crystals()) for i in (0, 1))
    assert not np.allclose(one, other)


# Features


def test_transform_gives_two_dimensional_float32(case: Case) -> None:
    features = case.make().transform(case.rows())
    assert type(features) is np.ndarray
    assert features.dtype == np.float32
    assert features.shape == (4, len(case.make().feature_labels()))
    assert np.isfinite(features).all()
    assert len(np.unique(features, axis=0)) == 4


def test_fit_returns_self_and_learns_nothing(case: Case) -> None:
    featurizer = case.make()
    before = dict(vars(featurizer))
    assert featurizer.fit(case.rows(), np.arange(4.0)) is featurizer
    assert vars(featurizer) == before
    assert not hasattr(featurizer, "n_features_in_")


def test_fit_transform_is_transform(case: Case) -> None:
    features = case.make().transform(case.rows())
    assert_array_equal(case.make().fit_transform(case.rows()), features)
    assert_array_equal(case.make().fit_transform(case.rows(), np.arange(4.0)), features)


def test_generators_are_read_once(case: Case) -> None:
    generated = case.make().fit_transform(row for row in case.rows())
    assert_array_equal(generated, case.make().transform(case.rows()))


def test_containers_are_equal(case: Case) -> None:
    frame = case.frame()
    containers = [tuple(case.rows()), frame, frame.to_numpy()]
    if not case.sites:
        containers += [frame["structure"], frame["structure"].to_numpy()]
    features = case.make().transform(case.rows())
    for container in containers:
        assert_array_equal(case.make().transform(container), features)


def test_rows_do_not_depend_on_order_or_company(case: Case) -> None:
    features = case.make().transform(case.rows())
    clear_cache()
    assert_allclose(case.make().transform(case.rows()[::-1]), features[::-1], 1e-5, 1e-6)
    clear_cache()
    alone = [case.make().transform([row])[0] for row in case.rows()]
    assert_allclose(alone, features, 1e-5, 1e-6)


def test_structures_are_left_as_they_were(case: Case) -> None:
    rows = case.rows()
    case.make().fit_transform(rows)
    assert pickle.dumps(rows) == pickle.dumps(case.rows())


def test_no_rows_give_no_features(case: Case) -> None:
    features = case.make().transform([])
    assert features.shape == (0, len(case.make().feature_labels()))
    assert features.dtype == np.float32


@pytest.mark.parametrize("name", ["graph", "site"])
def test_columns_of_a_layer_do_not_depend_on_the_others(name: str) -> None:
    case = CASES[name]
    full = case.make(layers="012345").set_output(transform="pandas").transform(case.rows())
    for layers in ("13", [1, 3], (1, 3), np.array([1, 3]), "31", 3):
        some = case.make(layers=layers)
        assert_array_equal(some.transform(case.rows()), full[some.feature_labels()])


def test_several_poolings_stand_side_by_side() -> None:
    case = CASES["graph"]
    both = case.make(layers="1", pooling=("std", "sum")).set_output(transform="pandas")
    features = both.transform(case.rows())
    assert list(features.columns[[0, 64]]) == [
        "ssatom_random-0_L1_std_000",
        "ssatom_random-0_L1_sum_000",
    ]
    sizes = np.array([[len(structure)] for structure in crystals()])
    mean = case.make(layers="1").transform(case.rows())
    assert_allclose(features.iloc[:, 64:], sizes * mean, 1e-5)


@pytest.mark.parametrize("name", ["graph", "site"])
def test_memory_keeps_rows_on_disk(name: str, tmp_path: Any) -> None:
    case = CASES[name]
    for _ in range(2):
        features = case.make(memory=tmp_path).fit_transform(case.rows())
        assert_allclose(features, case.make().transform(case.rows()), 1e-5, 1e-6)
        clear_cache()
    assert any(tmp_path.rglob("*.sqlite"))


def test_columns_of_electrons_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["electronic"]
    clear_cache()
    features = case.make().fit_transform(case.rows())

    def refuse(*args: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr("ssatom.electrons.electronic_descriptors", refuse)
    for pooling in ("mean", lambda states, numbers: states.mean(axis=0)):
        again = clone(case.make(pooling=pooling)).fit_transform([s.copy() for s in case.rows()])
        assert_allclose(again[:, -30:], features[:, -30:])
    clear_cache()
    with pytest.raises(AssertionError, match="again"):
        case.make().fit_transform(case.rows())


def test_columns_of_electrons_are_those_of_their_names() -> None:
    found = electronic_descriptors(crystals())
    frame = CASES["electronic"].make().set_output(transform="pandas").transform(crystals())
    start = "ssatom_electrons_"
    for i, of_sites in enumerate(found.sites):
        gap, electrons = (frame[start + name].iloc[i] for name in ("gap", "s_electrons_std"))
        assert gap == pytest.approx(found.crystals[i, 0], rel=1e-5)
        assert electrons == pytest.approx(of_sites[:, 1].std(), rel=1e-5, abs=1e-5)
    assert start + "charge_mean" not in frame  # 0 in every crystal
    assert start + "charge_std" in frame
    charges = ElectronicFeaturizer("max").feature_labels()
    assert start + "charge_max" in charges


# Names and containers that come out


def test_feature_names_are_unique_and_fresh(case: Case) -> None:
    featurizer = case.make()
    names = featurizer.get_feature_names_out()
    assert names.dtype == object
    assert list(names) == featurizer.feature_labels()
    assert len(set(names)) == len(names)
    featurizer.feature_labels().append("an error")
    assert list(featurizer.get_feature_names_out(["structure"])) == list(names)


def test_set_output_gives_frames_with_names_and_index(case: Case) -> None:
    featurizer = case.make().set_output(transform="pandas")
    frame = featurizer.fit_transform(case.frame())
    assert list(frame.columns) == featurizer.feature_labels()
    assert list(frame.index) == list(case.frame().index)
    assert (frame.dtypes == np.float32).all()
    assert isinstance(clone(featurizer).transform(case.rows()), pd.DataFrame)
    assert isinstance(featurizer.set_output(transform="default").transform(case.rows()), np.ndarray)


def test_output_may_be_set_for_all_of_scikit_learn(case: Case) -> None:
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(case.make().transform(case.rows()), pd.DataFrame)


# Bad rows


def test_the_first_bad_row_raises_with_index_and_formula(case: Case) -> None:
    rows = [*case.rows(), case.row(alloy()), None]
    with pytest.raises(StructureError, match=r"\[4\] \(Fe0.5Co0.5\).*partial occupancy"):
        case.make().transform(rows)


def test_bad_rows_become_nan_with_one_warning(case: Case) -> None:
    rows = [case.row(alloy()), *case.rows(), None]
    with pytest.warns(UserWarning, match="rows of NaN") as caught:
        features = case.make(errors="nan").fit_transform(rows)
    assert_array_equal(np.isnan(features).all(axis=1), [True, *[False] * 4, True])
    assert_array_equal(features[1:5], case.make().transform(case.rows()))
    [message] = [str(warning.message) for warning in caught]
    assert "2 rows of NaN: [0, 5]" in message
    assert "(Fe0.5Co0.5)" in message
    assert "[5]: this row is" in message


def test_a_warning_of_many_rows_stays_readable(case: Case) -> None:
    with pytest.warns(UserWarning, match="and 30 more"):
        case.make(errors="nan").transform([None] * 50)


def test_good_rows_do_not_warn(case: Case) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        features = case.make(errors="nan").transform(case.rows())
    assert not [str(w.message) for w in caught if w.category is UserWarning]
    assert np.isfinite(features).all()


@pytest.mark.parametrize("wrong", [None, rock_salt(), "NaCl.cif", 3, np.array([list(rock_salt())])])
@pytest.mark.parametrize("errors", ["raise", "nan"])
def test_wrong_containers_raise_at_once(case: Case, wrong: Any, errors: str) -> None:
    with pytest.raises(StructureError):
        case.make(errors=errors).transform(wrong)


def test_overlapping_atoms_are_bad(case: Case) -> None:
    with pytest.raises(StructureError, match=r"\[0\] \(NaCl2\).*overlap"):
        case.make().transform([case.row(overlapping())])


@pytest.mark.parametrize("name", ["site", "ofm-site"])
@pytest.mark.parametrize("index", [-1, 2, 0.0, "0", None, True])
def test_wrong_site_indices_are_refused(name: str, index: Any) -> None:
    with pytest.raises(StructureError, match=r"sites\[1\] \(NaCl\)"):
        CASES[name].make().transform([(rock_salt(), 0), (rock_salt(), index)])


# In scikit-learn's company


def model(case: Case, **kwargs: Any) -> Pipeline:
    return make_pipeline(case.make(**kwargs), StandardScaler(), KernelRidge(kernel="laplacian"))


def test_feature_union(case: Case) -> None:
    union = FeatureUnion([("one", case.make()), ("two", case.make(**case.changed))])
    parts = [case.make().transform(case.rows()), case.make(**case.changed).transform(case.rows())]
    assert_array_equal(union.fit_transform(case.rows()), np.hstack(parts))
    assert union.get_feature_names_out()[0] == f"one__{case.make().feature_labels()[0]}"
    frame = union.set_output(transform="pandas").fit_transform(case.rows())
    assert frame.shape == (4, sum(part.shape[1] for part in parts))


def test_column_transformer(case: Case) -> None:
    frame = case.frame().assign(density=[1.0, 2.0, 3.0, 4.0])
    columns: list[Any] = [case.columns()] if case.sites else [["structure"], "structure"]
    for chosen in columns:
        transformer = ColumnTransformer(
            [("crystal", case.make(), chosen), ("number", StandardScaler(), ["density"])]
        )
        features = transformer.fit_transform(frame)
        assert_array_equal(features[:, :-1], case.make().transform(case.rows()))
        assert transformer.get_feature_names_out()[-1] == "number__density"


def test_pipeline_with_memory(case: Case, tmp_path: Any) -> None:
    y = np.arange(4.0)
    cached = model(case).set_params(memory=str(tmp_path))
    for _ in range(2):
        assert_allclose(
            cached.fit(case.rows(), y).predict(case.rows()),
            model(case).fit(case.rows(), y).predict(case.rows()),
        )


def test_pipeline_names_features(case: Case) -> None:
    pipe = model(case).fit(case.rows(), np.arange(4.0))
    assert list(pipe[:-1].get_feature_names_out()) == case.make().feature_labels()


def test_cross_val_score(case: Case) -> None:
    y = np.linspace(0.0, 1.0, 8)
    scores = cross_val_score(
        model(case), case.rows(8), y, cv=2, scoring="neg_mean_absolute_error", error_score="raise"
    )
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_grid_search(case: Case, n_jobs: int) -> None:
    [(name, value)] = case.changed.items()
    step = case.cls.__name__.lower()
    grid = {f"{step}__{name}": [getattr(case.make(), name), value]}
    search = GridSearchCV(model(case), grid, cv=2, n_jobs=n_jobs, error_score="raise")
    search.fit(case.rows(8), np.linspace(0.0, 1.0, 8))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(case.rows(2)).shape == (2,)


def test_grid_search_over_layers_and_threads() -> None:
    grid = {"graphembeddingfeaturizer__layers": ["0", "01", "012", "0123", "01234", "012345"]}
    search = GridSearchCV(model(CASES["graph"]), grid, cv=2, error_score="raise")
    rows, y = CASES["graph"].rows(8), np.linspace(0.0, 1.0, 8)
    scores = search.fit(rows, y).cv_results_["mean_test_score"]
    clear_cache()
    with joblib.parallel_backend("threading", n_jobs=4):
        assert_allclose(search.fit(rows, y).cv_results_["mean_test_score"], scores, rtol=1e-4)
