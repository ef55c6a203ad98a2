"""Rows and targets on their way into the estimators: splits, weights, messages, precision."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from estimator_cases import make
from numpy.testing import assert_array_equal
from pymatgen.core import Lattice, Structure

from ssatom import NEGNNClassifier, load_estimator, save_estimator
from ssatom.estimators._checks import check_classes
from ssatom.estimators._data import read_rows
from ssatom.exceptions import GraphWarning, ParameterError
from ssatom.splits import hold_back
from ssatom.structures import structure_key
from ssatom.training import VALIDATION_LOSS, best_epoch
from ssatom.weights import random_weights


@pytest.mark.parametrize("copies", [1, 2, 5, 10])
@pytest.mark.parametrize("stratified", [False, True])
def test_copies_of_a_crystal_are_held_back_together(copies: int, stratified: bool) -> None:
    keys = [i.to_bytes(16, "big") for i in range(100)] * copies
    classes = [np.array([i % 2]) for i in range(len(keys))] if stratified else None
    train, held = hold_back(keys, 0.1, 0, classes)
    assert sorted([*train, *held]) == list(range(len(keys)))
    assert len(held) == 10 * copies
    assert not {i % 100 for i in train} & {i % 100 for i in held}
    if stratified:
        assert np.mean(held % 2) == 0.5


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("seed", range(10))
def test_the_last_crystal_of_a_class_is_trained_on(fraction: float, copies: int, seed: int) -> None:
    """Also of a class that no crystal has first, as with sites."""
    keys = [i.to_bytes(16, "big") for i in range(40)] * copies
    classes = [np.array([c]) for c in [0] * 30 + [1] * 8 + [2, 3]] * copies
    classes[5] = np.array([0, 4])
    train, held = hold_back(keys, fraction, seed, classes)
    assert {name for i in train for name in classes[i]} == set(range(5))
    assert len(held) == pytest.approx(fraction * len(keys), abs=2 * copies)


def test_each_crystal_of_a_class_is_held_back_under_some_seed() -> None:
    keys = [i.to_bytes(16, "big") for i in range(40)]
    classes = [np.array([int(i > 35)]) for i in range(40)]
    held = {i for seed in range(100) for i in hold_back(keys, 0.1, seed, classes)[1].tolist()}
    assert held == set(range(40))


def test_copies_of_one_crystal_alone_are_split_all_the_same() -> None:
    train, held = hold_back([b"same"] * 20, 0.2, seed=0)
    assert (len(train), len(held)) == (16, 4)


def test_weights_count_in_the_scale_of_targets(structures: list) -> None:
    y = np.r_[np.zeros(12), np.full(12, 9.0)]
    model = make(max_epochs=1).fit(
        structures, y, sample_weight=np.r_[np.full(12, 2.0), np.ones(12)]
    )
    assert model.target_scaler_.mean_ == pytest.approx([3.0])
    assert model.target_scaler_.scale_ == pytest.approx([np.sqrt(18)])


def test_weights_that_leave_one_class_are_refused(structures: list) -> None:
    classes = np.arange(24) % 2
    with pytest.raises(ParameterError, match=r"y has 1 class \(0\) in 12 rows of weight above 0"):
        make(NEGNNClassifier).fit(structures, classes, sample_weight=1 - classes)


def test_the_best_epoch_is_none_without_a_loss() -> None:
    losses = [2.0, 1.0, np.nan, 1.5]
    history = pd.DataFrame({"epoch": range(1, 5), VALIDATION_LOSS: losses})
    assert best_epoch(history, "training", 0.1)["epoch"] == 2
    with pytest.raises(ParameterError, match=r"training diverged at learning_rate=0\.1"):
        best_epoch(history.iloc[2:3], "training", 0.1)


def test_warnings_name_the_rows_of_the_user(structures: list, volumes: np.ndarray) -> None:
    """Not those of a chunk, or of the rows that have a weight."""
    gas, thinner = (Structure(Lattice.cubic(a), ["Ar"], [[0, 0, 0]]) for a in (25, 26))
    y, weights = np.r_[volumes, 100.0], np.r_[0.0, np.ones(24)]
    model = make(weights=random_weights(99))
    with pytest.warns(GraphWarning, match=r"structures\[24\] \(Ar\): some sites") as in_fit:
        model.fit([*structures, gas], y, sample_weight=weights)
    with pytest.warns(GraphWarning, match=r"structures\[300\]") as in_predict:
        model.predict([structures[0]] * 300 + [thinner])
    for caught, row in ((in_fit, 24), (in_predict, 300)):
        isolated = [w.message.rows for w in caught if "some sites" in str(w.message)]
        assert isolated == [(row,)]


@pytest.mark.parametrize("encoder", ["frozen", "fine-tune"])
def test_one_call_warns_once(encoder: str, structures: list, volumes: np.ndarray) -> None:
    """Though the encoder, the network and each chunk of rows see the same crystal."""
    gas = Structure(Lattice.cubic(25 if encoder == "frozen" else 27), ["Ar"], [[0, 0, 0]])
    model = make(weights=random_weights(98), encoder=encoder)
    with pytest.warns(GraphWarning) as in_fit:
        model.fit([*structures, gas], np.r_[volumes, 100.0])
    with pytest.warns(GraphWarning) as in_predict:
        model.predict([gas, *[structures[0]] * 300, gas])
    with pytest.warns(GraphWarning) as in_stream:
        assert len(list(model.iter_predict(iter([gas, *[structures[0]] * 300, gas])))) == 302
    for caught, rows in ((in_fit, (24,)), (in_predict, (0, 301)), (in_stream, (0, 301))):
        isolated = [w for w in caught if "some sites" in str(w.message)]
        assert [w.message.rows for w in isolated] == [rows]
        assert isolated[0].filename == __file__


def test_a_structure_that_a_generator_changes_is_read_again(structures: list) -> None:
    def pairs() -> Iterator[tuple[Structure, int]]:
        crystal = structures[0].copy()
        for factor in (1.0, 1.1):
            crystal.scale_lattice(factor * structures[0].volume)
            yield crystal, 0

    first, second = read_rows(pairs(), "site")
    assert structure_key(first.arrays) != structure_key(second.arrays)


@pytest.fixture
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("encoder", ["frozen", "fine-tune"])
def test_the_default_precision_of_torch_changes_nothing(
    encoder: str, structures: list, volumes: np.ndarray, tmp_path: Path
) -> None:
    random_weights.cache_clear()
    drawn = random_weights(5)
    assert drawn.encoder.node_embedding.weight.dtype == torch.float32
    model = make(weights=drawn, encoder=encoder, precision="float32").fit(structures, volumes)
    predicted = model.predict(structures)
    assert {p.dtype for p in model.networks_[0].parameters()} == {torch.float32}
    again = load_estimator(save_estimator(model, tmp_path / "model"))
    torch.set_default_dtype(torch.float32)
    random_weights.cache_clear()
    assert random_weights(5).sha256 == drawn.sha256
    assert_array_equal(again.predict(structures), predicted)


LABELS: dict[str, tuple[Any, list]] = {
    "nullable booleans": (pd.Series([True, False], dtype="boolean"), [False, True]),
    "booleans as objects": (np.array([True, False], dtype=object), [False, True]),
    "categories of booleans": (pd.Categorical([True, False]), [False, True]),
    "sparse booleans": (pd.arrays.SparseArray([True, False]), [False, True]),
    "nullable integers": (pd.array([3, 1], dtype="Int64"), [1, 3]),
    "integers as objects": (np.array([3, np.int8(1)], dtype=object), [1, 3]),
    "categories of integers": (pd.Series([3, 1], dtype="category"), [1, 3]),
    "nullable texts": (pd.Series(["b", "a"], dtype="string"), ["a", "b"]),
    "texts as objects": (np.array(["b", "a"], dtype=object), ["a", "b"]),
    "categories": (pd.CategoricalIndex(["b", "a"], categories=["b", "a"]), ["a", "b"]),
    "whole floats": (np.array([2.0, 0.0]), [0.0, 2.0]),
}
if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
    LABELS["texts of NumPy"] = (np.array(["b", "a"], dtype=np.dtypes.StringDType()), ["a", "b"])


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_any_container_are_those_of_plain_arrays(name: str) -> None:
    labels, plain = LABELS[name]
    classes, codes = check_classes(labels)
    assert classes.dtype == np.array(plain).dtype
    assert classes.tolist() == plain
    assert codes.tolist() == [1, 0]


NO_LABELS = {
    "bytes": np.array([b"metal", b"salt"]),
    "intervals": pd.cut(np.array([1.0, 2.0]), 2),
    "interval index": pd.IntervalIndex.from_breaks([0, 1, 2]),
    "periods": pd.period_range("2020", periods=2, freq="M"),
    "times": pd.date_range("2020", periods=2),
    "times of a zone": pd.Series(pd.date_range("2020", periods=2, tz="UTC")),
    "durations": np.array([1, 2], dtype="m8[s]"),
    "decimals": [Decimal(1), Decimal(2)],
    "complex numbers": np.array([1 + 0j, 2]),
    "tuples": np.array([(1, 2), (3,)], dtype=object),
    "lists": [[1], [1, 2]],
    "a whole number beyond 64 bit": [2**70, 1],
    "an infinity": [np.inf, 1.0],
    "continuous numbers": pd.array([0.5, 1.5], dtype="Float64"),
}


@pytest.mark.parametrize("name", NO_LABELS)
def test_what_is_no_label_is_refused(name: str) -> None:
    message = r"y\[0\] is .*; allowed are booleans, whole numbers or texts.*astype\(str\)"
    with pytest.raises(ParameterError, match=message):
        check_classes(NO_LABELS[name])


@pytest.mark.parametrize("labels", [[1, "a"], [True, 2], ["1", 1.0], [True, "True"]])
def test_labels_of_several_types_are_refused(labels: list) -> None:
    for y in (labels, np.array(labels, dtype=object)):
        with pytest.raises(ParameterError, match=r"y\[1\] is .*y\[0\] is .* all of one type"):
            check_classes(y)


@pytest.mark.parametrize(
    "labels",
    [
        pd.array([True, None], dtype="boolean"),
        pd.Categorical(["a", None]),
        np.ma.array([0, 1], mask=[False, True]),
        [1, pd.NA],
        [pd.Timestamp("2020"), pd.NaT],
    ],
)
def test_labels_that_are_missing_are_refused(labels: Any) -> None:
    with pytest.raises(ParameterError, match=r"y\[1\] is .* \(1 of 2 values are missing\)"):
        check_classes(labels)


def test_a_classifier_is_scored_on_the_labels_it_was_fitted_to(structures: list) -> None:
    labels = (np.arange(24) % 2 == 0).astype(object)
    model = make(NEGNNClassifier, max_epochs=1).fit(structures, labels)
    plain = make(NEGNNClassifier, max_epochs=1).fit(structures, labels.astype(bool))
    assert model.classes_.dtype == bool
    score = plain.score(structures, labels.astype(bool))
    for y in (labels, pd.Series(labels, dtype="boolean")):
        assert model.score(structures, y) == score == np.mean(model.predict(structures) == labels)
