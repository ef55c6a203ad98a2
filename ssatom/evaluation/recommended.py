"""The recommended models on embeddings: kernel ridge, and logistic regression for classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ssatom.evaluation.choice import minus_log_loss
from ssatom.evaluation.kernel_ridge import KernelRidgeCV
from ssatom.featurizers import ElectronicFeaturizer, GraphEmbeddingFeaturizer

LAYERS = "012"
POOLING = ("mean", "anion", "cation")
GROUPS = "transformedtargetregressor__groups"
GROUPS_OF_CLASSES = "gridsearchcv__groups"
"""Parameters of `fit` that keep groups of rows together in the folds of the inner searches."""


def kernel_ridge_pipeline(
    n_targets: int = 1, *, cv: int = 10, random_state: int = 0, **of_features: Any
) -> Pipeline:
    """Kernel ridge on embeddings, and on electrons if wanted, with a weight for each block.

    Several targets have a kernel each; `cv` folds choose it. Targets are scaled inside, so that
    predictions far from all training crystals tend to the mean. `of_features` are those of
    `crystal_features`.
    """
    kernel: Any = KernelRidgeCV(
        kernels=("matern12", "matern32"), cv=cv, search="coarse-to-fine", random_state=random_state
    )
    if n_targets > 1:
        kernel = MultiOutputRegressor(kernel)
    regressor = TransformedTargetRegressor(
        kernel, transformer=StandardScaler(), check_inverse=False
    )
    features = crystal_features(random_state=random_state, **of_features)
    pipeline = make_pipeline(features, StandardScaler(), regressor)
    return pipeline.set_output(transform="pandas")  # names of columns tell blocks apart


def logistic_pipeline(*, cv: int = 5, random_state: int = 0, **of_features: Any) -> Pipeline:
    """Logistic regression on the same features, whose penalty `cv` folds choose by log loss.

    Principal components, all of them, change no probability; where there are fewer crystals than
    columns they are fewer than the columns, and fitting takes a quarter of the time.
    """
    search = GridSearchCV(
        LogisticRegression(max_iter=1000),
        {"C": np.logspace(-4, 0, 5).tolist()},
        scoring=minus_log_loss,
        cv=StratifiedGroupKFold(cv, shuffle=True, random_state=random_state),
        error_score=0.0,  # of a fold with one class alone, the same for all penalties
    )
    features = crystal_features(random_state=random_state, **of_features)
    return make_pipeline(features, StandardScaler(), PCA(svd_solver="full"), search)


def crystal_features(
    *,
    layers: str | int | Sequence[int] = LAYERS,
    weights: Any = None,
    electrons: bool = True,
    device: str = "auto",
    random_state: int = 0,
) -> Any:
    """Embeddings, and the columns of `ElectronicFeaturizer` beside them if wanted."""
    embeddings = GraphEmbeddingFeaturizer(
        layers, weights, pooling=POOLING, device=device, random_state=random_state
    )
    if not electrons:
        return embeddings
    return FeatureUnion([("embeddings", embeddings), ("electrons", ElectronicFeaturizer())])
