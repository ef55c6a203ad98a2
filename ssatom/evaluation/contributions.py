"""Contribution of each site of a crystal to a prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Element
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from ssatom.embeddings import FeatureColumns, embed, parse_pooling
from ssatom.embeddings.pooling import pool
from ssatom.exceptions import ParameterError, unwrap
from ssatom.featurizers import GraphEmbeddingFeaturizer
from ssatom.structures import StructureLike, check_structures, structure_arrays
from ssatom.validation import one_a_row

_AGREE = 1e-4  # of the terms of a linear model, in float32


def site_contributions(model: Pipeline, structure: StructureLike) -> pd.DataFrame:
    """Contribution of each site of a crystal to a prediction.

    Exact for a linear model w·x + b on features x that are means over N sites: site i contributes
    w·xᵢ/N, and b is the baseline. After a `StandardScaler` the baseline is the prediction for the
    mean of the training crystals. For any other model or pooling, the contribution of a site is
    the prediction less the prediction without the state of this site in the pooling (occlusion),
    and the baseline is the rest. Sites that are all equal, or a single site, contribute 0. The
    model is not fitted again, and the states of the other sites are not computed again.

    Parameters
    ----------
    model : Pipeline
        Fitted; its first step is a `GraphEmbeddingFeaturizer`, its last a regressor of one number.
    structure : Structure, Atoms or path
        The crystal.

    Returns
    -------
    DataFrame
        A row a site: "site_index", "element", Cartesian coordinates "x", "y", "z" in Å, and
        "contribution" in the unit of the prediction. ``attrs`` has "prediction", "baseline" (the
        prediction less all contributions) and "method", "exact" or "occlusion".

    Raises
    ------
    StructureError
        If `structure` cannot be used.
    ParameterError
        If `model` is not such a pipeline.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from ssatom import GraphEmbeddingFeaturizer, load_example_crystals, site_contributions
    >>> table = load_example_crystals().dropna(subset="bulk_modulus_GPa")[:40]
    >>> model = make_pipeline(GraphEmbeddingFeaturizer(), StandardScaler(), Ridge(100.0))
    >>> model = model.fit(list(table["structure"]), table["bulk_modulus_GPa"])
    >>> found = site_contributions(model, table["structure"].iloc[0])
    >>> total = found["contribution"].sum() + found.attrs["baseline"]
    >>> found.attrs["method"], bool(abs(total - found.attrs["prediction"]) < 1e-3)
    ('exact', True)
    """
    featurizer, steps = _parts(model)
    poolings = parse_pooling(featurizer.pooling)
    columns = FeatureColumns.of_arguments(
        featurizer.layers, featurizer.weights, featurizer.random_state, poolings
    )
    (crystal,) = check_structures([structure])
    states = unwrap(next(embed([crystal], columns.weights, device=featurizer.device)))
    numbers = structure_arrays(crystal).numbers
    sites = np.arange(len(numbers))

    def scaled(groups: list[np.ndarray]) -> Any:
        """Input of the regressor for each group of sites that is pooled."""
        pooled = (pool(states[i], numbers[i], np.array([len(i)]), poolings)[0] for i in groups)
        X: Any = np.array([columns.take(row) for row in pooled])
        if hasattr(steps[0], "feature_names_in_"):
            X = pd.DataFrame(X, columns=columns.names)
        for step in steps[:-1]:
            X = step.transform(X)
        return X

    prediction = float(_predict(steps[-1], scaled([sites]))[0])
    exact = poolings == ("mean",) and all(isinstance(s, StandardScaler) for s in steps[:-1])
    linear = _linear_terms(steps[-1], scaled(np.split(sites, len(sites)))) if exact else None
    if linear is not None:
        contributions, baseline = linear[0] / len(sites), linear[1]
    else:
        contributions = np.zeros(len(sites))
        if len(sites) > 1:
            without = scaled([np.delete(sites, i) for i in sites])
            contributions = prediction - _predict(steps[-1], without)
        baseline = prediction - float(contributions.sum())
    table = pd.DataFrame(crystal.cart_coords, columns=["x", "y", "z"])
    table.insert(0, "site_index", sites)
    table.insert(1, "element", [Element.from_Z(number).symbol for number in numbers.tolist()])
    table["contribution"] = contributions
    method = "occlusion" if linear is None else "exact"
    table.attrs = {"prediction": prediction, "baseline": baseline, "method": method}
    return table


def _parts(model: Any) -> tuple[GraphEmbeddingFeaturizer, list[Any]]:
    """The featurizer of a pipeline, and the steps after it."""
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else []
    steps = [step for step in steps if step is not None and step != "passthrough"]
    starts = len(steps) > 1 and isinstance(steps[0], GraphEmbeddingFeaturizer)
    if not starts or not is_regressor(steps[-1]):
        raise ParameterError(
            f"model={type(model).__name__} must be a pipeline of a GraphEmbeddingFeaturizer, "
            "scalers if any, and a regressor"
        )
    check_is_fitted(steps[-1])
    return steps[0], steps[1:]


def _predict(regressor: Any, X: Any) -> np.ndarray:
    return one_a_row(regressor.predict(X), len(X))


def _linear_terms(regressor: Any, X: Any) -> tuple[np.ndarray, float] | None:
    """w·x of each site and b; None where the model is not linear."""
    coef, Z = np.ravel(getattr(regressor, "coef_", [])), np.asarray(X, dtype=float)
    if coef.shape != Z.shape[1:]:
        return None
    terms, baseline = Z @ coef, float(np.ravel(getattr(regressor, "intercept_", 0.0))[0])
    # Models with a link function, such as PoissonRegressor, have coefficients too.
    tolerance = _AGREE * (np.abs(Z) @ np.abs(coef) + abs(baseline))
    is_linear = (np.abs(_predict(regressor, X) - terms - baseline) <= tolerance).all()
    return (terms, baseline) if is_linear else None
