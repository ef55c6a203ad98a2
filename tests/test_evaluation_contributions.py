"""Contributions of sites: that they sum to the prediction, and what is left out of what."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from ssatom import (
    GraphEmbeddingFeaturizer,
    ParameterError,
    StructureError,
    load_example_crystals,
    site_contributions,
    site_embeddings,
)

pytestmark = pytest.mark.filterwarnings("ignore::ssatom.GraphWarning")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return load_example_crystals().dropna(subset="bulk_modulus_GPa")


@pytest.fixture(scope="module")
def some() -> list[Structure]:
    """Crystals of one to 13 sites, with equal and with different ones."""
    crystals = load_example_crystals().set_index("name")["structure"]
    names = ["strontium titanate", "molybdenite", "yttrium barium cuprate", "iron", "halite"]
    primitive = crystals["copper"].get_primitive_structure()
    return [*crystals[names], primitive]


def fitted(table: pd.DataFrame, *steps: Any, pooling: Any = "mean", y: Any = None) -> Pipeline:
    model = make_pipeline(GraphEmbeddingFeaturizer(pooling=pooling), *steps)
    target = np.log10(table["bulk_modulus_GPa"]) if y is None else y
    return model.fit(list(table["structure"]), target)


LINEAR = {
    "ridge": (StandardScaler(), Ridge(100.0)),
    "least squares without scaler": (LinearRegression(),),
    "lasso": (StandardScaler(), Lasso(0.01)),
    "support vectors": (StandardScaler(), SVR(kernel="linear", C=1e-3)),
    "passthrough": ("passthrough", StandardScaler(), Ridge(100.0)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_models_are_taken_apart_exactly(
    name: str, table: pd.DataFrame, some: list[Structure]
) -> None:
    model = fitted(table, *LINEAR[name])
    for structure, prediction in zip(some, model.predict(some), strict=True):
        found = site_contributions(model, structure)
        assert found.attrs["method"] == "exact"
        total = found["contribution"].sum() + found.attrs["baseline"]
        assert total == pytest.approx(prediction, abs=2e-4)
        assert found.attrs["prediction"] == pytest.approx(prediction, abs=2e-4)


def test_baseline_is_what_the_mean_of_the_training_crystals_gives(table: pd.DataFrame) -> None:
    model = fitted(table, StandardScaler(), Ridge(100.0))
    found = site_contributions(model, table["structure"].iloc[0])
    mean = np.log10(table["bulk_modulus_GPa"]).mean()
    assert found.attrs["baseline"] == pytest.approx(mean, abs=1e-5)


def test_table_says_which_site_and_where(table: pd.DataFrame, some: list[Structure]) -> None:
    model = fitted(table, StandardScaler(), Ridge(100.0))
    found = site_contributions(model, some[0])
    columns = ["site_index", "element", "x", "y", "z", "contribution"]
    assert list(found.columns) == columns
    assert found["element"].tolist() == ["Sr", "Ti", "O", "O", "O"]
    assert found["site_index"].tolist() == list(range(5))
    np.testing.assert_allclose(found[["x", "y", "z"]], some[0].cart_coords)
    oxygen = found.loc[found["element"] == "O", "contribution"]
    assert np.ptp(oxygen) < 1e-5  # equal by symmetry
    assert np.ptp(found["contribution"]) > 0.01


def test_a_supercell_shares_the_same_sum(table: pd.DataFrame, some: list[Structure]) -> None:
    model = fitted(table, StandardScaler(), Ridge(100.0))
    one, two = (site_contributions(model, s) for s in (some[0], some[0] * (1, 1, 2)))
    sums = [found.groupby("element")["contribution"].sum() for found in (one, two)]
    np.testing.assert_allclose(*sums, atol=1e-5)


OTHERS = {
    "kernel ridge": ((StandardScaler(), KernelRidge(kernel="rbf", gamma=1e-4)), "mean"),
    "forest": ((RandomForestRegressor(20, random_state=0),), "mean"),
    "link function": ((StandardScaler(), PoissonRegressor(alpha=10.0)), "mean"),
    "other scaler": ((PCA(5), Ridge()), "mean"),
    "other pooling": ((StandardScaler(), Ridge(100.0)), ("mean", "std")),
    "function": ((StandardScaler(), Ridge(100.0)), lambda states, _: np.median(states, axis=0)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_by_occlusion(name: str, table: pd.DataFrame, some: list[Structure]) -> None:
    steps, pooling = OTHERS[name]
    model = fitted(table, *steps, pooling=pooling)
    for structure, prediction in zip(some, model.predict(some), strict=True):
        found = site_contributions(model, structure)
        assert found.attrs["method"] == "occlusion"
        assert found.attrs["prediction"] == pytest.approx(prediction, abs=1e-4)
        total = found["contribution"].sum() + found.attrs["baseline"]
        assert total == pytest.approx(prediction, abs=1e-4)
    assert np.abs(site_contributions(model, some[2])["contribution"]).max() > 1e-4


def test_occlusion_leaves_the_state_of_one_site_out(
    table: pd.DataFrame, some: list[Structure]
) -> None:
    model = fitted(table, StandardScaler(), KernelRidge(kernel="rbf", gamma=1e-4))
    (states,) = site_embeddings([some[0]])
    others = np.array([np.delete(states, i, axis=0).mean(axis=0) for i in range(len(states))])
    expected = model.predict([some[0]]) - model[1:].predict(others)
    found = site_contributions(model, some[0])["contribution"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_sites_that_are_alike_or_alone_contribute_nothing(
    table: pd.DataFrame, some: list[Structure]
) -> None:
    model = fitted(table, StandardScaler(), KernelRidge(kernel="rbf", gamma=1e-4))
    iron, copper = (site_contributions(model, structure) for structure in (some[3], some[5]))
    assert (len(iron), len(copper)) == (2, 1)
    assert np.abs(iron["contribution"]).max() < 1e-4
    assert copper["contribution"].tolist() == [0.0]
    assert copper.attrs["baseline"] == copper.attrs["prediction"]


def test_pipelines_of_data_frames_warn_of_nothing(table: pd.DataFrame) -> None:
    model = make_pipeline(GraphEmbeddingFeaturizer(), StandardScaler(), Ridge(100.0))
    model.set_output(transform="pandas").fit(list(table["structure"]), table["bulk_modulus_GPa"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = site_contributions(model, table["structure"].iloc[5])
    total = found["contribution"].sum() + found.attrs["baseline"]
    assert total == pytest.approx(found.attrs["prediction"], rel=1e-5)


def test_models_and_structures_that_are_refused(table: pd.DataFrame) -> None:
    crystal, small = table["structure"].iloc[0], table[:20]
    for model in (Ridge(), make_pipeline(StandardScaler(), Ridge()), GraphEmbeddingFeaturizer()):
        with pytest.raises(ParameterError, match="must be a pipeline of a GraphEmbeddingFeaturize"):
            site_contributions(model, crystal)
    classes = small["bulk_modulus_GPa"] > small["bulk_modulus_GPa"].median()
    with pytest.raises(ParameterError, match="and a regressor"):
        site_contributions(fitted(small, LogisticRegression(C=1e-3), y=classes), crystal)
    two = fitted(small, Ridge(), y=np.ones((20, 2)))
    with pytest.raises(ParameterError, match="model predicts 2 numbers; fit one for each"):
        site_contributions(two, crystal)
    with pytest.raises(NotFittedError):
        site_contributions(make_pipeline(GraphEmbeddingFeaturizer(), Ridge()), crystal)
    with pytest.raises(StructureError, match="this row is None"):
        site_contributions(fitted(small, Ridge()), None)
