"""From sites to structures."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pymatgen.core import Structure
from sklearn.base import clone

from ssatom import GraphEmbeddingFeaturizer, ParameterError, clear_cache, graph_embeddings
from ssatom.elements import property_table
from ssatom.embeddings.pooling import POOLINGS, parse_pooling, pool, pooling_key


@pytest.fixture(scope="module")
def hidden() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)


NUMBERS, COUNTS = np.array([11, 17, 55, 8, 8]), np.array([2, 3])


def test_poolings_worked_out_by_hand(hidden: np.ndarray) -> None:
    pooled = pool(hidden, NUMBERS, COUNTS, POOLINGS)
    assert pooled.shape == (2, len(POOLINGS), 6)
    chi = property_table(("Electronegativity",))[NUMBERS, 1]
    for i, rows in enumerate((slice(0, 2), slice(2, 5))):
        x = hidden[rows]
        expected = {
            "mean": x.mean(axis=0),
            "sum": x.sum(axis=0),
            "max": x.max(axis=0),
            "min": x.min(axis=0),
            "std": x.std(axis=0),
            "anion": np.average(x, axis=0, weights=np.exp(chi[rows] / 2)),
            "cation": np.average(x, axis=0, weights=np.exp(-chi[rows] / 2)),
        }
        for name, found in zip(POOLINGS, pooled[i], strict=True):
            assert_allclose(found, expected[name], 1e-5, 1e-6, err_msg=name)


def test_one_element_alone_has_the_mean(hidden: np.ndarray) -> None:
    mean, anion, cation = pool(hidden, np.full(5, 26), np.array([5]), ("mean", "anion", "cation"))[
        0
    ]
    assert_allclose(anion, mean, 1e-5, 1e-6)
    assert_allclose(cation, mean, 1e-5, 1e-6)


@pytest.mark.parametrize("name", [name for name in POOLINGS if name != "sum"])
def test_poolings_do_not_depend_on_the_cell(name: str, crystal: Structure) -> None:
    doubled = crystal * (2, 1, 1)
    one, two = graph_embeddings([crystal, doubled], "01", pooling=name)
    assert_allclose(two, one, 1e-4, 1e-5)


def test_caches_tell_poolings_and_their_weights_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {pooling_key(names) for names in (("mean",), ("anion",), ("cation",), ("mean", "anion"))}
    assert len(keys) == 4
    monkeypatch.setattr("ssatom.embeddings.pooling._weights_of_elements", lambda name: np.ones(101))
    assert pooling_key(("anion",)) not in keys
    assert pooling_key(("mean",)) in keys


# A function as pooling -------------------------------------------------------------------------


def first_site(states: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return states[0]


def heavy_mean(states: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.average(states, axis=0, weights=numbers)


def test_function_pools_each_structure(crystal: Structure) -> None:
    structures = [crystal, crystal * (2, 1, 1)]
    mean, named = (
        graph_embeddings(structures, "01", pooling=one)
        for one in (lambda states, numbers: states.mean(axis=0), "mean")
    )
    columns = GraphEmbeddingFeaturizer("01").get_feature_names_out()
    own = GraphEmbeddingFeaturizer("01", pooling=heavy_mean).get_feature_names_out()
    assert next(name for name in own if "L1" in name) == "ssatom_L1_heavy_mean_000"
    places = [list(own).index(f"{n[:-3]}heavy_mean_{n[-3:]}") for n in columns]
    assert_allclose(mean[:, places], named, 1e-5, 1e-6)


def test_functions_beside_names_are_those_of_each_alone(crystal: Structure) -> None:
    both = graph_embeddings([crystal], "01", pooling=("std", heavy_mean))
    alone = [graph_embeddings([crystal], "01", pooling=one) for one in ("std", heavy_mean)]
    assert_allclose(both, np.concatenate(alone, axis=1), 1e-6, 1e-7)


def test_results_of_functions_are_not_cached(crystal: Structure, tmp_path: Path) -> None:
    """A function may change under its name; the states of the sites stay in the caches."""
    factor = 1.0

    def scaled(states: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return factor * states[0]

    one = graph_embeddings([crystal], "01", pooling=scaled, memory=tmp_path)
    factor = 2.0
    assert_allclose(graph_embeddings([crystal], "01", pooling=scaled, memory=tmp_path), 2 * one)
    clear_cache()
    assert_allclose(graph_embeddings([crystal], "01", pooling=scaled, memory=tmp_path), 2 * one)


def test_functions_go_through_clone_and_pickle(crystal: Structure) -> None:
    featurizer = GraphEmbeddingFeaturizer("01", pooling=(heavy_mean, "max"))
    expected = featurizer.transform([crystal])
    for copy in (clone(featurizer), pickle.loads(pickle.dumps(featurizer))):
        assert_allclose(copy.transform([crystal]), expected)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda states, numbers: states, r"returned an array of shape \(\d+, \d+\)"),
        (lambda states, numbers: states[0, :5], r"returned an array of shape \(5,\)"),
        (lambda states, numbers: states.mean(), r"returned an array of shape \(\)"),
        (lambda states, numbers: None, r"returned an array of shape \(\)"),
        (lambda states, numbers: "mean", "returned str"),
        (lambda states, numbers: [[1], [1, 2]], "returned list"),
        (lambda states, numbers: states[0] * np.nan, "returned NaN or infinity"),
    ],
)
def test_wrong_results_are_told_by_name(function: Any, message: str, crystal: Structure) -> None:
    with pytest.raises(ParameterError, match=f"pooling=<lambda>, given states.*{message}") as found:
        graph_embeddings([crystal], pooling=function)
    assert re.search(r"must return finite numbers of shape \(\d+,\)", str(found.value))
    assert found.value.__notes__ == ["ssatom pooled the sites of structures[0]"]


def test_errors_inside_functions_name_the_structure(crystal: Structure) -> None:
    with pytest.raises(KeyError) as found:
        graph_embeddings([crystal, crystal], pooling=lambda states, numbers: {}["nothing"])
    assert found.value.__notes__ == ["ssatom pooled the sites of structures[0]"]


def test_functions_cannot_change_the_cache(crystal: Structure) -> None:
    def spoil(states: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        states[:] = 0
        return states[0]

    with pytest.raises(ValueError, match="read-only"):
        graph_embeddings([crystal], pooling=spoil)


@pytest.mark.parametrize(
    "pooling", [(), None, "median", ("mean", "mean"), 3, ["mean", 3], {"mean"},
                (first_site, first_site), (lambda s, n: s[0], lambda s, n: s[1])]
)  # fmt: skip
def test_wrong_poolings_are_refused_with_the_allowed_names(pooling: Any) -> None:
    with pytest.raises(ParameterError) as found:
        parse_pooling(pooling)
    assert ", ".join(POOLINGS) in str(found.value)


def test_another_pooling_is_one_entry(monkeypatch: pytest.MonkeyPatch, crystal: Structure) -> None:
    def span(states: np.ndarray, numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return POOLINGS["max"](states, numbers, counts) - POOLINGS["min"](states, numbers, counts)

    monkeypatch.setitem(POOLINGS, "span", span)
    found = graph_embeddings([crystal], "1", weights="random", pooling=("span", "max", "min"))
    span_, high, low = found.reshape(3, -1)
    assert_allclose(span_, high - low, 1e-5, 1e-6)
    with pytest.raises(ParameterError, match="span"):
        parse_pooling("median")
