"""The choice between models: folds, errors, what is not tried, and what is recommended."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.pipeline import make_pipeline

from ssatom.evaluation.choice import Candidate, choose_model, n_folds_of
from ssatom.evaluation.recommended import (
    GROUPS,
    GROUPS_OF_CLASSES,
    kernel_ridge_pipeline,
    logistic_pipeline,
)
from ssatom.exceptions import ParameterError


class Recall(RegressorMixin, BaseEstimator):
    """Predicts a known function of the rows, and remembers what it was fitted to."""

    seen: list[Any] = []  # noqa: RUF012

    def __init__(self, shift: float = 0.0, fails: bool = False) -> None:
        self.shift = shift
        self.fails = fails

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        if self.fails:
            raise ParameterError("it never works")
        self.seen.append((list(X), groups))
        self.n_targets_ = np.ndim(y)
        return self

    def predict(self, X: Any) -> np.ndarray:
        y = np.array(X, dtype=float) + self.shift
        return y if self.n_targets_ == 1 else np.stack([y, 1_000 * y], axis=1)


@pytest.fixture
def rows() -> list[int]:
    return list(range(40))


def choose(candidates: dict[str, Candidate], rows: list, **more: Any) -> Any:
    y = more.pop("y", np.array(rows, dtype=float))
    return choose_model(candidates, rows, y, more.pop("keys", rows), **more)


def test_the_lowest_error_is_chosen(rows: list) -> None:
    candidates = {"far": Candidate(Recall(9)), "near": Candidate(Recall(1))}
    candidates["mean"] = Candidate(DummyRegressor())
    told: list[str] = []
    choice = choose(candidates, rows, tell=told.append)
    assert choice.best == "near"
    table = {row["model"]: row for row in choice.table(["x"])}
    assert table["far"]["errors"] == {"x": pytest.approx(9)}
    assert table["near"]["errors"] == {"x": pytest.approx(1)}
    assert table["mean"]["errors"]["x"] == pytest.approx(10, abs=1.5)
    assert [row["remark"] for row in table.values()] == ["", "chosen", ""]
    assert choice.how == "5-fold cross-validation on 40 crystals"
    assert told[:2] == ["far, fold 1 of 5", "far, fold 2 of 5"]
    assert len(told) == 15


def test_what_is_not_tried_has_a_reason(rows: list) -> None:
    candidates = {
        "slow": Candidate(Recall(), skipped="not tried, takes a week"),
        "broken": Candidate(Recall(fails=True)),
        "mean": Candidate(DummyRegressor()),
    }
    choice = choose(candidates, rows)
    assert choice.best == "mean"
    remarks = {row["model"]: (row["seconds"], row["remark"]) for row in choice.table(["x"])}
    assert remarks["slow"] == (None, "not tried, takes a week")
    assert remarks["broken"] == (None, "cannot be fitted: it never works")


def test_targets_count_alike(rows: list) -> None:
    """An error of 2 in the first target outweighs one of 1 in the second, a thousand times as
    large."""
    y = np.stack([np.array(rows), 1_000.0 * np.array(rows)], axis=1)
    candidates = {"a": Candidate(Recall(0.5)), "b": Candidate(Recall(0.4))}
    choice = choose(candidates, rows, y=y)
    assert choice.best == "b"
    assert choice.table(["x", "y"])[0]["errors"] == {
        "x": pytest.approx(0.5),
        "y": pytest.approx(500),
    }


def test_copies_stay_together_in_all_folds(rows: list) -> None:
    keys = [f"crystal {row // 2}" for row in rows]
    Recall.seen.clear()
    choose({"a": Candidate(Recall(), groups="groups")}, rows, keys=keys)
    assert len(Recall.seen) == 5
    for trained, groups in Recall.seen:
        assert len(trained) == 32
        assert {row ^ 1 for row in trained} == set(trained)
        assert len(set(groups)) == 16
        assert all((a // 2 == b // 2) == (g == h) for a, g in zip(trained, groups, strict=True)
                   for b, h in zip(trained, groups, strict=True))  # fmt: skip


def test_large_sets_are_cut_once() -> None:
    rows = list(range(2_000))
    choice = choose({"a": Candidate(Recall())}, rows)
    assert [n_folds_of(n) for n in (10, 499, 500, 1_999, 2_000)] == [5, 5, 3, 3, 5]
    assert choice.trials[0].errors.shape == (1, 1)
    assert choice.how == "one fifth of 2,000 crystals, held out once"


class Sure(ClassifierMixin, BaseEstimator):
    """Gives the true class, "odd" or "even", a known probability."""

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = probability

    def fit(self, _X: Any, y: Any) -> Self:
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError("one class")
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        odd = np.where(np.array(X) % 2, self.probability, 1 - self.probability)
        return np.stack([1 - odd, odd], axis=1)


def test_classes_are_judged_by_their_log_loss(rows: list) -> None:
    y = np.where(np.array(rows) % 2, "odd", "even")
    candidates = {
        "sure": Candidate(Sure(0.9)),
        "too sure": Candidate(Sure(0.0)),
        "shares": Candidate(DummyClassifier()),
    }
    choice = choose(candidates, rows, y=y, classify=True)
    assert choice.best == "sure"
    losses = {row["model"]: row["errors"]["x"] for row in choice.table(["x"])}
    assert losses["sure"] == pytest.approx(-np.log(0.9))
    assert losses["too sure"] > 30
    assert losses["shares"] == pytest.approx(np.log(2), rel=0.01)


def test_folds_of_one_class_refuse_no_model_that_can_do_without(rows: list) -> None:
    y = np.array(["even"] * 39 + ["odd"])
    candidates = {"sure": Candidate(Sure()), "shares": Candidate(DummyClassifier())}
    choice = choose(candidates, rows, y=y, classify=True)
    assert choice.best == "shares"
    assert choice.trials[0].skipped == "cannot be fitted: one class"


def test_logistic_pipeline(structures: list) -> None:
    """It keeps copies together, and has probabilities even where a class is nearly missing."""
    y = np.arange(24) < 1
    pipeline = logistic_pipeline(cv=3, layers="01", weights="random", electrons=False)
    model = Candidate(pipeline, GROUPS_OF_CLASSES).fit(structures, y, [i // 2 for i in range(24)])
    assert [name for name, _ in model.steps][-1] == "logisticregression"
    probabilities = model.predict_proba(structures)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    plain = make_pipeline(model[0], model[1], model[-1]).fit(structures, y)
    np.testing.assert_allclose(plain.predict_proba(structures), probabilities, atol=2e-3)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_recommended_model(n_targets: int, structures: list, volumes: np.ndarray) -> None:
    """It keeps copies together, knows blocks by name, and tends to the mean far away."""
    y = volumes if n_targets == 1 else np.stack([volumes, -volumes], axis=1)
    model = kernel_ridge_pipeline(n_targets, layers="01", weights="random", electrons=False, cv=4)
    groups = {GROUPS: np.arange(24) // 2}
    assert np.shape(model.fit(structures, y, **groups).predict(structures[:3])) == y[:3].shape
    regressor = model[-1].regressor_
    kernel = regressor if n_targets == 1 else regressor.estimators_[1]
    assert kernel.n_splits_ == 4
    assert sorted(kernel.block_weights_) == sorted(
        f"ssatom_random-0_L{layer}_{name}" for layer in "01" for name in ("mean", "anion", "cation")
    )
    far = model[-1].predict(pd.DataFrame(1e9, index=[0], columns=kernel.feature_names_in_))
    np.testing.assert_allclose(far, y.mean(axis=0, keepdims=n_targets > 1), rtol=1e-6)
