"""KernelRidgeCV gives what a grid search over KernelRidge gives, without solving fold by fold."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import eigh
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.gaussian_process.kernels import Matern
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from ssatom.evaluation import KernelRidgeCV, kernel_algebra
from ssatom.evaluation.kernel_algebra import KERNELS, grid_line, pairwise_distances
from ssatom.evaluation.kernel_blocks import CrossValidation, blocks_of_names
from ssatom.evaluation.kernel_ridge import DECADES
from ssatom.exceptions import ParameterError

GAMMAS = [1e-3, 1e-2, 1e-1, 1.0]
ALPHAS = [1e-5, 1e-3, 1e-1]
PAPER = ["laplacian", "rbf"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(83, 6))  # folds of two sizes
    return X, np.sin(X[:, 0]) + X[:, 1] ** 2 + 0.1 * rng.normal(size=83) + 3


def reference(X, y, cv, gammas=GAMMAS, alphas=ALPHAS, groups=None):
    grid = {"kernel": PAPER, "gamma": gammas, "alpha": alphas}
    search = GridSearchCV(KernelRidge(), grid, cv=cv, scoring="neg_mean_absolute_error")
    return search.fit(X, y, groups=groups)


@pytest.mark.parametrize("seed", [0, 1])
def test_scores_and_choice_equal_those_of_a_grid_search(data, seed):
    X, y = data
    ours = KernelRidgeCV(PAPER, gammas=GAMMAS, alphas=ALPHAS, random_state=seed).fit(X, y)
    theirs = reference(X, y, KFold(10, shuffle=True, random_state=seed))
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    for name in ("mean_test_score", "std_test_score", *(f"split{k}_test_score" for k in range(10))):
        np.testing.assert_allclose(ours.cv_results_[name], theirs.cv_results_[name], rtol=1e-6)
    np.testing.assert_array_equal(
        ours.cv_results_["rank_test_score"], theirs.cv_results_["rank_test_score"]
    )
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_index_ == theirs.best_index_
    assert ours.best_score_ == pytest.approx(theirs.best_score_, rel=1e-6)
    np.testing.assert_allclose(ours.predict(X + 0.1), theirs.predict(X + 0.1), rtol=1e-6)


def test_the_whole_of_table_one(data):
    X, y = data
    ours = KernelRidgeCV(PAPER).fit(X, y).cv_results_
    assert len(ours["params"]) == 2 * 11 * 11
    assert np.isfinite(ours["mean_test_score"]).all()
    # Where α is not tiny, both ways of computing keep their digits.
    theirs = reference(X, y, KFold(10, shuffle=True, random_state=0), DECADES[::5], DECADES[4::3])
    for params, score in zip(
        theirs.cv_results_["params"], theirs.cv_results_["mean_test_score"], strict=True
    ):
        place = ours["params"].index(params)
        assert ours["mean_test_score"][place] == pytest.approx(score, rel=1e-6)


def test_repeated_rows_cost_digits_at_the_smallest_alpha_and_nothing_else(data):
    X, y = data
    X, y = np.vstack([X, X]), np.concatenate([y, y + 0.1])
    ours = KernelRidgeCV(["laplacian"], gammas=[0.1], alphas=[1e-10, 1e-2]).fit(X, y)
    theirs = GridSearchCV(
        KernelRidge(kernel="laplacian", gamma=0.1),
        {"alpha": [1e-10, 1e-2]},
        cv=KFold(10, shuffle=True, random_state=0),
        scoring="neg_mean_absolute_error",
    ).fit(X, y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-4
    )


def test_splitters_and_groups(data):
    X, y = data
    groups = np.arange(len(y)) % 13
    grouped = KernelRidgeCV(PAPER, gammas=GAMMAS, alphas=ALPHAS, cv=5).fit(X, y, groups=groups)
    splitter = GroupKFold(5, shuffle=True, random_state=0)
    theirs = reference(X, y, splitter, groups=groups)
    assert grouped.best_score_ == pytest.approx(theirs.best_score_, rel=1e-6)
    same = KernelRidgeCV(PAPER, gammas=GAMMAS, alphas=ALPHAS, cv=splitter).fit(X, y, groups=groups)
    assert same.best_score_ == grouped.best_score_
    halves = KernelRidgeCV(PAPER, gammas=GAMMAS, alphas=ALPHAS, cv=ShuffleSplit(3, random_state=0))
    theirs = reference(X, y, ShuffleSplit(3, random_state=0))
    assert halves.fit(X, y).best_score_ == pytest.approx(theirs.best_score_, rel=1e-6)


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(660, 5))
    return X, np.sin(X[:, 0]) + X[:, 1] ** 2 + 0.1 * rng.normal(size=660) + 3


def test_coarse_to_fine_ends_at_a_point_that_no_neighbour_betters(many):
    X, y = many
    gammas, alphas = DECADES[4:], DECADES[4:]
    full = KernelRidgeCV(PAPER, gammas=gammas, alphas=alphas).fit(X, y)
    model = KernelRidgeCV(PAPER, gammas=gammas, alphas=alphas, search="coarse-to-fine").fit(X, y)
    tried = model.cv_results_["params"]
    assert 9 < len(tried) < 40
    assert {params["kernel"] for params in tried} == set(PAPER)
    for i, params in enumerate(tried):
        j = full.cv_results_["params"].index(params)
        here, there = (m.cv_results_["mean_test_score"] for m in (model, full))
        assert here[i] == pytest.approx(there[j], rel=1e-8)
    assert model.best_params_ == full.best_params_
    np.testing.assert_allclose(model.predict(X + 0.1), full.predict(X + 0.1), rtol=1e-7)


def test_coarse_to_fine_is_the_full_search_where_rows_are_few(data):
    X, y = data
    full, fine = (
        KernelRidgeCV(PAPER, gammas=GAMMAS, alphas=ALPHAS, search=search).fit(X, y)
        for search in ("full", "coarse-to-fine")
    )
    assert full.cv_results_["params"] == fine.cv_results_["params"]
    np.testing.assert_array_equal(full.predict(X), fine.predict(X))


def test_inverses_and_decompositions_give_the_same_errors(data):
    X, y = data
    folds = [np.arange(i, len(y), 5) for i in range(5)]
    distances = pairwise_distances(X, "cityblock")
    Y = np.column_stack([y, y**2])
    many = grid_line(distances, "laplacian", 0.1, Y, folds, DECADES[4:])
    few = grid_line(distances, "laplacian", 0.1, Y, folds, DECADES[4:8])
    for all_alphas, some in zip(many, few, strict=True):
        axis = 1 if all_alphas.ndim == 3 and all_alphas.shape[1] == 7 else 2
        np.testing.assert_allclose(np.take(all_alphas, range(4), axis), some, rtol=1e-7)


def test_indefinite_kernels_are_decomposed(data):
    X, y = data
    distances = pairwise_distances(np.vstack([X, X]), "sqeuclidean")
    errors, _ = grid_line(distances, "rbf", 1e-10, np.tile(y, 2)[:, None], [np.arange(9)], [1e-18])
    assert np.isfinite(errors).all()


def test_a_failing_divide_and_conquer_is_made_good(data, monkeypatch):
    X, y = data
    arguments = (pairwise_distances(X, "sqeuclidean"), "rbf", 0.1, y[:, None],
                 [np.arange(20), np.arange(20, len(X))], DECADES)  # fmt: skip
    expected = grid_line(*arguments)

    def fail(matrix, driver, **settings):
        if driver == "evd":
            matrix[...] = np.nan
            raise np.linalg.LinAlgError
        return eigh(matrix, driver=driver, **settings)

    monkeypatch.setattr(kernel_algebra, "eigh", fail)
    for found, wanted in zip(grid_line(*arguments), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("search", ["full", "coarse-to-fine"])
def test_several_labels_at_once_are_as_one_by_one(data, search):
    X, y = data
    Y = np.column_stack([y, X[:, 2] + 1, np.sign(X[:, 0])])
    model = KernelRidgeCV(gammas=DECADES[3:], alphas=ALPHAS, search=search)
    groups = np.arange(len(y)) % 20
    for column, together in zip(Y.T, model.fit_columns(X, Y, groups), strict=True):
        alone = clone(model).fit(X, column, groups)
        assert together.best_params_ == alone.best_params_
        assert together.cv_results_["params"] == alone.cv_results_["params"]
        for name in ("mean_test_score", "split3_test_score"):
            np.testing.assert_allclose(together.cv_results_[name], alone.cv_results_[name])
        np.testing.assert_allclose(together.predict(X), alone.predict(X))
    assert not hasattr(model, "best_params_")
    with pytest.raises(ParameterError, match=r"Y has shape \(83,\)"):
        model.fit_columns(X, y)
    with pytest.raises(ParameterError, match=r"Y\[:, 1\] is constant"):
        model.fit_columns(X, np.column_stack([y, y * 0]))


@pytest.fixture(scope="module")
def diluted():
    """Two columns that decide beside eighty that do not."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(150, 82))
    names = [f"ssatom_L0_{i:03d}" for i in range(2)] + [f"ssatom_L1_{i:03d}" for i in range(80)]
    return pd.DataFrame(X, columns=names), np.sin(X[:, 0]) + X[:, 1] ** 2


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_blocks_that_say_nothing_lose_their_weight(diluted, kernel):
    X, y = diluted
    one, blocks = (
        KernelRidgeCV([kernel], cv=5, blocks=blocks).fit(X[:100], y[:100])
        for blocks in (None, "auto")
    )
    weights = blocks.block_weights_
    assert list(weights) == ["ssatom_L0", "ssatom_L1"]
    assert weights["ssatom_L0"] > 20 * weights["ssatom_L1"]
    assert one.block_weights_ == {0: 1.0}
    here, there = (np.abs(m.predict(X[100:]) - y[100:]).mean() for m in (blocks, one))
    assert here < 0.6 * there


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_weights_are_those_of_the_columns_of_the_scaled_features(diluted, kernel):
    X, y = diluted
    model = KernelRidgeCV([kernel], GAMMAS, ALPHAS, cv=5).fit(X, y)
    root = 1 if kernel == "laplacian" else 0.5
    scaled = X.to_numpy() * model.column_weights_**root
    plain = KernelRidgeCV([kernel], GAMMAS, ALPHAS, cv=5).fit(scaled, y)
    assert plain.best_params_ == model.best_params_
    assert plain.best_score_ == pytest.approx(model.best_score_)
    between = X[:9] + 0.1
    expected = plain.predict(between.to_numpy() * model.column_weights_**root)
    np.testing.assert_allclose(model.predict(between), expected)


def test_blocks_come_from_names_or_are_given(diluted):
    X, y = diluted
    model = KernelRidgeCV(["rbf"], [1e-2], ALPHAS, cv=3)
    named = model.fit(X, y).block_weights_
    numbers = {"few": [0, 1], "many": range(2, 82)}
    by_hand = clone(model).set_params(blocks=numbers).fit(X.to_numpy(), y).block_weights_
    assert list(named.values()) == list(by_hand.values())
    assert list(by_hand) == ["few", "many"]
    in_a_row = clone(model).set_params(blocks=list(numbers.values())).fit(X.to_numpy(), y)
    assert list(in_a_row.block_weights_) == [0, 1]
    assert clone(model).fit(X.to_numpy(), y).block_weights_ == {0: 1.0}
    prefixed = X.add_prefix("ge__").rename(columns={"ge__ssatom_L1_079": "density"})
    assert list(clone(model).fit(prefixed, y).block_weights_) == [
        "ge__ssatom_L0",
        "ge__ssatom_L1",
        "other columns",
    ]


@pytest.mark.parametrize(
    "blocks", [[[0, 1]], [[0, 1], [1]], "L0", [[0, 1, 2], list(range(4, 83))], 3, [["a"]]]
)
def test_blocks_that_are_no_parts_of_the_columns(diluted, blocks):
    X, y = diluted
    with pytest.raises(ParameterError, match="each of the 82 columns"):
        KernelRidgeCV(blocks=blocks).fit(X, y)


def test_units_of_a_block_and_constant_blocks_change_nothing(diluted):
    X, y = diluted
    groups = np.arange(len(y)) // 2
    model = KernelRidgeCV(["matern32"], cv=4, search="coarse-to-fine")
    plain = clone(model).fit(X, y, groups)
    shifted = X.assign(ssatom_radial_000=1.0)
    shifted.loc[:, X.columns[2:]] *= 1e3
    other = clone(model).fit(shifted, y, groups)
    np.testing.assert_allclose(other.predict(shifted), plain.predict(X), rtol=1e-3, atol=1e-3)
    assert other.block_weights_["ssatom_radial"] == 1


def test_models_with_blocks_are_estimators_like_others(diluted):
    X, y = diluted
    model = KernelRidgeCV(["matern12"], [1e-2, 0.1], ALPHAS, cv=3)
    fitted = clone(model).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))
    np.testing.assert_array_equal(clone(fitted).fit(X, y).predict(X), fitted.predict(X))
    Y = np.column_stack([y, X.iloc[:, 40]])
    for column, together in zip(Y.T, model.fit_columns(X, Y), strict=True):
        alone = clone(model).fit(X, column)
        assert together.block_weights_ == alone.block_weights_
        np.testing.assert_array_equal(together.predict(X), alone.predict(X))
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"), model)
    search = GridSearchCV(pipe, {"kernelridgecv__blocks": ["auto", None]}, cv=3).fit(X, y)
    assert search.best_params_ == {"kernelridgecv__blocks": "auto"}


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_the_gradient_is_the_error_s_slope(data, kernel):
    X, y = data
    metric = KERNELS[kernel].metric
    distances = np.array([pairwise_distances(X[:, b], metric) for b in ([0, 1, 2], [3], [4, 5])])
    error = CrossValidation(KERNELS[kernel], distances, y, [np.arange(i, 83, 5) for i in range(5)])
    place = np.log([0.3, 0.2, 0.1, 0.05])
    slope = [(error(place + h)[0] - error(place - h)[0]) / 2e-5 for h in 1e-5 * np.eye(4)]
    np.testing.assert_allclose(error(place)[1], slope, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "nu"), [("matern12", 0.5), ("matern32", 1.5)])
def test_matern_kernels_are_those_of_scikit_learn(data, kernel, nu):
    X, y = data
    ours = KernelRidgeCV([kernel], [0.25], [1e-3]).fit(X, y)
    theirs = KernelRidge(kernel="precomputed", alpha=1e-3)
    matern = Matern(length_scale=2.0, nu=nu)
    theirs.fit(matern(X), y)
    np.testing.assert_allclose(ours.predict(X + 0.1), theirs.predict(matern(X + 0.1, X)))


def test_threads_and_blocks_change_nothing():
    X = np.random.default_rng(1).normal(size=(600, 3))
    one = pairwise_distances(X, "cityblock")
    np.testing.assert_array_equal(one, pairwise_distances(X, "cityblock", n_jobs=2))
    np.testing.assert_array_equal(one, one.T)
    np.testing.assert_allclose(one[7], np.abs(X - X[7]).sum(axis=1))


def test_parameters_are_kept_as_given_and_clones_are_equal(data):
    X, y = data
    model = KernelRidgeCV(["rbf"], gammas=(0.1, 0.01), alphas=(1e-3,), cv=3)
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(cv=4).fit(X, y).n_splits_ == 4
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), model.predict(X))
    assert model.score(X, y) > 0.5
    assert set(model.seconds_) == {"weights", "distances", "search"}


def test_contract_of_scikit_learn():
    check_estimator(KernelRidgeCV(gammas=[0.01, 0.1], alphas=[1e-3, 1.0], cv=2), on_skip=None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernels": ["cosine"]}, "allowed are different ones of 'laplacian', 'rbf'"),
        ({"kernels": []}, "allowed are different ones"),
        ({"gammas": [0.0]}, "gammas=.*different positive numbers"),
        ({"alphas": [1.0, 1.0]}, "alphas=.*different positive numbers"),
        ({"alphas": "abc"}, "alphas=.*different positive numbers"),
        ({"search": "random"}, "allowed: 'full', 'coarse-to-fine'"),
        ({"cv": 1}, "cv=1 with 83 rows; allowed is a number of folds from 2 to 83"),
        ({"cv": 84}, "from 2 to 83"),
        ({"cv": "ten"}, "number of folds or a splitter"),
        ({"cv": ShuffleSplit(2, train_size=0.5, test_size=0.1)}, "trains on 41 and tests on 9"),
    ],
)
def test_parameters_that_are_not_allowed(data, settings, message):
    with pytest.raises(ParameterError, match=message):
        KernelRidgeCV(**settings).fit(*data)


def test_labels_and_groups_that_cannot_be_used(data):
    X, y = data
    model = KernelRidgeCV()
    with pytest.raises(ParameterError, match=r"constant .1 in all 83 rows"):
        model.fit(X, np.ones(83))
    with pytest.raises(ParameterError, match=r"y\[2\] is nan \(1 of 83 values"):
        model.fit(X, np.where(np.arange(83) == 2, np.nan, y))
    with pytest.raises(ParameterError, match="82 values for 83 rows"):
        model.fit(X, y[1:])
    with pytest.raises(ParameterError, match="allowed is one a row"):
        model.fit(X, y, groups=[1, 2])
    with pytest.raises(ParameterError, match="cv=10 with 3 groups"):
        model.fit(X, y, groups=np.arange(83) % 3)


@pytest.mark.parametrize("labels", [pd.array, pd.Categorical, list])
def test_labels_of_any_container(data, labels):
    X, y = data
    y = np.round(y)
    model = KernelRidgeCV(("matern12",), (1e-2,), (1e-2,), cv=2)
    expected = model.fit(X, y).predict(X)
    np.testing.assert_array_equal(model.fit(X, labels(y)).predict(X), expected)
    with pytest.raises(ParameterError, match=r"y\[0\] is .*Timestamp"):
        model.fit(X, pd.Series(pd.date_range("2020", periods=len(X), tz="UTC")))
    with pytest.raises(ParameterError, match=r"y has shape \(83, 2\)"):
        model.fit(X, np.column_stack([y, y]))
    with pytest.warns(DataConversionWarning):
        model.fit(X.tolist(), y[:, None])


def test_blocks_follow_from_names() -> None:
    names = [
        "ssatom_L0_mean_000", "ssatom_L0_mean_001", "ssatom_L0_std_000", "ssatom_radial_mean_000",
        "ssatom_directional_000", "ge__ssatom_mine_L2_007", "ssatom_electrons_charge_std",
        "ssatom_electrons_d_width_mean", "ssatom_electrons_gap", "ssatom_electrons_odd_electrons",
        "density",
    ]  # fmt: skip
    found = {name: places.tolist() for name, places in blocks_of_names(names).items()}
    assert found == {
        "ssatom_L0_mean": [0, 1], "ssatom_L0_std": [2], "ssatom_radial_mean": [3],
        "ssatom_directional": [4], "ge__ssatom_mine_L2": [5], "ssatom_electrons_std": [6],
        "ssatom_electrons_mean": [7], "ssatom_electrons": [8, 9], "other columns": [10],
    }  # fmt: skip
