"""The protocol: splits, scaling, scores, and a result file that survives interruptions."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy.stats import pearsonr
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

import ssatom
from ssatom.embeddings import resolve_weights
from ssatom.evaluation import (
    EvaluationResult,
    KernelRidgeCV,
    evaluate,
    evaluate_columns,
    load_result,
    protocol,
    score_predictions,
    split_rows,
)
from ssatom.exceptions import MissingFileError, ParameterError

SMALL = KernelRidgeCV(["rbf"], gammas=[1e-2, 1e-1], alphas=[1e-4, 1e-2], cv=3)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) * [1, 10, 0.1] + 5
    groups = np.array([f"group {i}" for i in rng.integers(20, size=60)])
    return X, X @ [1, 0.1, 5] + 0.01 * rng.normal(size=60), groups


def run(rows, **options):
    X, y, groups = rows
    settings = {"groups": groups, "model": SMALL, "n_seeds": 2, "progress_bar": False, **options}
    return evaluate(X, y, **settings)


class Spy(RegressorMixin, BaseEstimator):
    """Remembers what it was fitted on and asked for."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y, groups=None):
        self.seen.append((X, y, groups))
        return self

    def predict(self, X):
        self.seen.append(X)
        return np.asarray(X)[:, 0]


def test_each_split_is_what_one_does_by_hand(data):
    X, y, _ = data
    result = run(data, keep_predictions=True)
    for split in result.splits[:2]:
        train, test = split_rows("random", split.seed, len(X))
        scaler = StandardScaler().fit(X[train])
        model = KernelRidgeCV(**{**SMALL.get_params(), "random_state": split.seed})
        predictions = model.fit(scaler.transform(X[train]), y[train]).predict(
            scaler.transform(X[test])
        )
        np.testing.assert_allclose(split.predictions, predictions)
        assert split.test_rows == test.tolist()
        assert split.mae == pytest.approx(np.abs(predictions - y[test]).mean())
        assert split.mse == pytest.approx(((predictions - y[test]) ** 2).mean())
        assert split.pcc == pytest.approx(pearsonr(predictions, y[test])[0])
        variance = ((y[test] - y[test].mean()) ** 2).mean()
        assert split.r2 == pytest.approx(1 - split.mse / variance)
        assert split.best_params == model.best_params_
        assert split.cv_score == model.best_score_


def test_splits_are_eight_to_two_differ_by_seed_and_keep_groups_whole(data):
    groups = data[2]
    tests = []
    for kind in ("random", "grouped"):
        for seed in range(3):
            train, test = split_rows(kind, seed, 60, groups)
            assert sorted([*train, *test]) == list(range(60))
            tests.append(tuple(test))
            if kind == "random":
                assert len(test) == 12
            else:
                assert not set(groups[train]) & set(groups[test])
                assert len(set(groups[test])) == math.ceil(0.2 * len(set(groups)))
    assert len(set(tests)) == 6


def test_scaler_and_model_never_see_a_test_row(data):
    X, y, groups = data
    Spy.seen.clear()
    result = run(data, model=Spy(), n_seeds=1)
    for kind, (fitted, asked) in zip(result.kinds, (Spy.seen[:2], Spy.seen[2:]), strict=True):
        train, test = split_rows(kind, 0, len(X), groups)
        np.testing.assert_allclose(fitted[0].mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(fitted[0].std(axis=0), 1)
        np.testing.assert_array_equal(fitted[1], y[train])
        spread = X[train].std(axis=0)
        np.testing.assert_allclose(asked, (X[test] - X[train].mean(axis=0)) / spread)
        if kind == "grouped":
            np.testing.assert_array_equal(fitted[2], groups[train])
        else:
            assert fitted[2] is None
    Spy.seen.clear()
    run(data, model=Spy(), n_seeds=1, scale=False, splits=["random"])
    np.testing.assert_array_equal(Spy.seen[1], X[split_rows("random", 0, len(X))[1]])


def test_models_get_the_names_of_columns(data):
    X, y, _ = data
    Spy.seen.clear()
    frame = pd.DataFrame(X, columns=["ssatom_L0_000", "ssatom_L0_001", "ssatom_L1_000"])
    named = run((frame, y, None), model=Spy(), n_seeds=1)
    assert list(Spy.seen[0][0].columns) == list(Spy.seen[1].columns) == list(frame.columns)
    plain = run(data, n_seeds=1, groups=None)
    assert named.identity["features_sha256"] != plain.identity["features_sha256"]
    weighed = run((frame, y, None), n_seeds=1)
    assert weighed.mean() != plain.mean()
    assert run((frame, y, None), n_seeds=1, model=clone(SMALL).set_params(blocks=None)).mean() == (
        pytest.approx(plain.mean())
    )


def test_means_and_deviations_are_over_seeds(data):
    result = run(data)
    values = [split.mae for split in result.splits if split.kind == "grouped"]
    assert result.mean("mae", "grouped") == np.mean(values)
    assert result.std("mae", "grouped") == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2))
    summary = result.summary()
    assert summary.loc["grouped", ("mae", "mean")] == result.mean("mae", "grouped")
    assert list(summary.index) == result.kinds == ["random", "grouped"]
    assert len(result.to_frame()) == 4
    assert math.isnan(run(data, n_seeds=1).std())
    with pytest.raises(ParameterError, match="allowed: 'mae', 'mse', 'r2', 'pcc'"):
        result.mean("rmse")
    with pytest.raises(ParameterError, match="unknown; allowed: 'random', 'grouped'"):
        result.mean(kind="temporal")


def test_any_regressor_and_several_workers(data):
    forest = RandomForestRegressor(n_estimators=3)
    one = run(data, model=forest)
    with parallel_config("threading"):  # processes would take long to start
        two = run(data, model=forest, n_jobs=2)
    assert [s.mae for s in one.splits] == [s.mae for s in two.splits]  # seeded by the split
    assert one.splits[0].best_params == {}
    assert math.isnan(one.splits[0].cv_score)


def test_several_labels_are_as_one_by_one_and_resume_apart(data, tmp_path, monkeypatch):
    X, y, groups = data
    targets = {"a": y, "b": X[:, 1] + 1}
    files = {name: tmp_path / f"{name}.json" for name in targets}
    settings = {"groups": groups, "model": SMALL, "n_seeds": 2, "progress_bar": False}
    first = run(data, result_file=files["a"], n_seeds=1)
    together = evaluate_columns(X, targets, result_files=files, **settings)
    assert together["a"].splits[0] == first.splits[0]
    for name in targets:
        alone = run((X, targets[name], groups))
        assert [s.key for s in alone.splits] == [s.key for s in together[name].splits]
        for one, other in zip(alone.splits, together[name].splits, strict=True):
            assert one.mae == pytest.approx(other.mae, rel=1e-9)
            assert one.best_params == other.best_params
        assert load_result(files[name]).splits == together[name].splits
    monkeypatch.setattr(protocol._Run, "split", None)  # nothing is left to do
    assert evaluate_columns(X, targets, result_files=files, **settings) == together


def test_result_file_names_everything_and_reads_back(data, tmp_path):
    weights = resolve_weights("random")
    path = tmp_path / "new" / "result.json"
    settings = {"name": "GE012", "data": {"name": "mine", "sha256": "ab"}, "weights": weights}
    result = run(data, result_file=path, **settings)
    kept = json.loads(path.read_text())
    assert kept["settings"]["features"] == "GE012"
    assert kept["settings"]["data"] == {"name": "mine", "sha256": "ab"}
    assert kept["settings"]["weights"] == {"name": weights.name, "sha256": weights.sha256}
    assert kept["settings"]["ssatom"] == ssatom.__version__
    assert kept["identity"]["model"] == "KernelRidgeCV"
    assert kept["identity"]["model_params"]["gammas"] == [1e-2, 1e-1]
    assert all(split["seconds"] > 0 for split in kept["splits"])
    back = load_result(path)
    assert back.splits == result.splits
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_finished_splits_are_saved_at_once_and_not_done_again(data, tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    original = protocol._Run.split
    calls = []

    def stops_at_the_third(self, kind, seed, targets):
        calls.append((kind, seed))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, kind, seed, targets)

    monkeypatch.setattr(protocol._Run, "split", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(data, result_file=path)
    assert [s.key for s in load_result(path).splits] == [("random", 0), ("random", 1)]
    result = run(data, result_file=path)
    assert calls[3:] == [("grouped", 0), ("grouped", 1)]
    assert [s.mae for s in result.splits] == [s.mae for s in run(data).splits]
    del calls[:]
    assert len(run(data, result_file=path, n_seeds=1, splits="random").splits) == 1
    assert calls == []
    assert len(load_result(path).splits) == 4
    run(data, result_file=path, n_seeds=3, splits="random")
    assert calls == [("random", 2)]
    assert len(load_result(path).splits) == 5


@pytest.mark.parametrize("length", [0, 10, 300, -5])
def test_half_written_files_are_done_again(data, tmp_path, length):
    path = tmp_path / "result.json"
    whole = run(data, result_file=path, n_seeds=1)
    path.write_text(path.read_text()[:length])
    with pytest.raises(ParameterError, match="half-written result file"):
        load_result(path)
    with pytest.warns(UserWarning, match="half-written; its evaluation is done again"):
        again = run(data, result_file=path, n_seeds=1)
    assert [s.mae for s in again.splits] == [s.mae for s in whole.splits]
    assert load_result(path).splits == again.splits


def test_files_of_others_and_of_other_evaluations_are_refused(data, tmp_path):
    X, y, _ = data
    path = tmp_path / "result.json"
    run(data, result_file=path, n_seeds=1)
    before = path.read_text()
    for changed, name in (
        ({"test_size": 0.3}, "test_size: there 0.2, here 0.3"),
        ({"scale": False}, "scaler"),
        ({"model": Ridge()}, "model: there 'KernelRidgeCV', here 'Ridge'"),
        ({"groups": None}, "groups_sha256"),
    ):
        with pytest.raises(ParameterError, match=f"result of another evaluation .*{name}"):
            run(data, result_file=path, **changed)
    with pytest.raises(ParameterError, match="features_sha256"):
        run((X + 1, y, data[2]), result_file=path)
    assert path.read_text() == before
    path.write_text('{"mine": 1}')
    with pytest.raises(ParameterError, match="no result file of ssatom, and is left alone"):
        run(data, result_file=path)
    assert path.read_text() == '{"mine": 1}'
    path.write_text(before.replace('"version": 1', '"version": 2', 1))
    with pytest.raises(ParameterError, match="version 2 of the format"):
        load_result(path)
    with pytest.raises(MissingFileError, match="no such file"):
        load_result(tmp_path / "none.json")


def test_undefined_scores_pass_through_the_file(tmp_path):
    scores = score_predictions(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    assert math.isnan(scores["pcc"])
    result = EvaluationResult({"a": (1, np.int64(2))})
    path = tmp_path / "r.json"
    evaluate(np.eye(20), np.arange(20.0), model=Constant(), n_seeds=1, result_file=path,
             progress_bar=False)  # fmt: skip
    [split] = load_result(path).splits
    assert math.isnan(split.pcc)
    assert split.mae > 0
    result.save(path)
    assert load_result(path).identity == {"a": [1, 2]}


class Constant(RegressorMixin, BaseEstimator):
    """Predicts 1."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.ones(len(X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": ["temporal"]}, "allowed are different ones of 'random', 'grouped'"),
        ({"splits": []}, "allowed are different ones"),
        ({"groups": None, "splits": ["grouped"]}, "needs groups"),
        ({"groups": ["a"]}, r"groups has shape \(1,\); allowed is one a row"),
        ({"folds": [1] * 60}, "folds are all the same"),
        ({"splits": ["official"]}, "needs folds"),
        ({"groups": ["a"] * 60}, "at least two"),
        ({"n_seeds": 0}, "n_seeds=0"),
        ({"test_size": 1.5}, "test_size=1.5"),
    ],
)
def test_options_that_are_not_allowed(data, options, message):
    with pytest.raises(ParameterError, match=message):
        run(data, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y[1:], "59 values for 60 rows"),
        (lambda y: y * 0 + 2, "constant .2 in all 60 rows"),
        (lambda y: np.where(y == y.max(), np.nan, y), r"is nan \(1 of 60"),
        (lambda y: y[:, None], r"shape \(60, 1\)"),
        (lambda y: ["high"] * 60, "must hold numbers"),
        (lambda y: y * 1j, "real numbers"),
    ],
)
def test_labels_that_are_refused(data, change, message):
    with pytest.raises(ParameterError, match=message):
        run((data[0], change(data[1]), data[2]))


def test_structures_themselves_for_a_model_that_takes_them(tmp_path):
    from ssatom import CGCNNRegressor, load_example_crystals

    table = load_example_crystals().dropna(subset="bulk_modulus_GPa")[:24]
    rows, y = list(table["structure"]), table["bulk_modulus_GPa"].to_numpy()
    model = CGCNNRegressor(hidden_dim=8, n_conv=1, max_epochs=1)
    options = {"model": model, "n_seeds": 1, "progress_bar": False}
    whole = evaluate(rows, y, result_file=tmp_path / "a.json", **options)
    assert whole.settings["n_features"] is None
    assert whole.identity["scaler"] is None
    again = evaluate(list(rows), y, result_file=tmp_path / "a.json", **options)
    assert again.values().tolist() == whole.values().tolist()
    assert again.splits[0].seconds == whole.splits[0].seconds  # read, not computed
    sites = evaluate(
        [(s, 0) for s in rows], y, **(options | {"model": model.set_params(level="site")})
    )
    assert sites.identity["features_sha256"] != whole.identity["features_sha256"]
    with pytest.raises(ParameterError, match="another evaluation"):
        evaluate(rows[::-1], y, result_file=tmp_path / "a.json", **options)


def test_official_folds_are_tested_once_each(data, tmp_path):
    X, y, _ = data
    folds = np.array(["fold2", "fold0", "fold1"])[np.arange(len(y)) % 3]
    options = {"model": Ridge(), "folds": folds, "keep_predictions": True, "progress_bar": False}
    result = evaluate(X, y, result_file=tmp_path / "r.json", **options)
    assert [(s.kind, s.seed) for s in result.splits] == [("official", i) for i in range(3)]
    for i, split in enumerate(result.splits):
        assert set(folds[split.test_rows]) == {f"fold{i}"}
        assert split.n_train + split.n_test == len(y)
    with pytest.raises(ParameterError, match="another evaluation"):
        evaluate(X, y, result_file=tmp_path / "r.json", **{**options, "folds": folds[::-1]})
