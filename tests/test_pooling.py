"""From sites to structures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pymatgen.core import Structure

from ssatom import graph_embeddings
from ssatom.elements import property_table
from ssatom.embeddings.pooling import POOLINGS, pool, pooling_key


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
    monkeypatch.setattr("ssatom.embeddings.pooling._pulls", lambda name: np.ones(101))
    assert pooling_key(("anion",)) not in keys
    assert pooling_key(("mean",)) in keys
