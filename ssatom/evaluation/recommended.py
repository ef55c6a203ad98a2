"""The model for crystals that cross-validation chose most often: kernel ridge on embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ssatom.evaluation.kernel_ridge import KernelRidgeCV
from ssatom.featurizers import ElectronicFeaturizer, GraphEmbeddingFeaturizer

LAYERS = "012"
POOLING = ("mean", "anion", "cation")
GROUPS = "transformedtargetregressor__groups"
"""Parameter of `fit` that keeps groups of rows together in the folds of the kernel's search."""


def kernel_ridge_pipeline(
    n_targets: int = 1,
    *,
    layers: str | int | Sequence[int] = LAYERS,
    weights: Any = None,
    electrons: bool = True,
    cv: int = 10,
    device: str = "auto",
    random_state: int = 0,
) -> Pipeline:
    """Embeddings, and electrons if wanted, under a kernel with a weight for each block of columns.

    Parameters
    ----------
    n_targets : int, default=1
        Several targets have a kernel each.
    layers : str, int or sequence of int, default="012"
        Of the embeddings.
    weights : str, path, PretrainedEncoder or None, default=None
        Of the encoder; None is the default set.
    electrons : bool, default=True
        Whether the columns of `ElectronicFeaturizer` stand beside the embeddings.
    cv : int, default=10
        Number of folds of `KernelRidgeCV`.
    device : str, default="auto"
        Where embeddings are computed.
    random_state : int, default=0
        Seed of the folds, and of weights="random".

    Returns
    -------
    Pipeline
        Not fitted; it takes structures. Targets are scaled inside, so that predictions far from all
        crystals of the training tend to the mean.

    Examples
    --------
    >>> from ssatom.evaluation.recommended import kernel_ridge_pipeline
    >>> [name for name, _ in kernel_ridge_pipeline(electrons=False).steps]
    ['graphembeddingfeaturizer', 'standardscaler', 'transformedtargetregressor']
    """
    embeddings = GraphEmbeddingFeaturizer(
        layers, weights, pooling=POOLING, device=device, random_state=random_state
    )
    features: Any = embeddings
    if electrons:
        features = FeatureUnion([("embeddings", embeddings), ("electrons", ElectronicFeaturizer())])
    kernel: Any = KernelRidgeCV(
        kernels=("matern12", "matern32"), cv=cv, search="coarse-to-fine", random_state=random_state
    )
    if n_targets > 1:
        kernel = MultiOutputRegressor(kernel)
    regressor = TransformedTargetRegressor(
        kernel, transformer=StandardScaler(), check_inverse=False
    )
    pipeline = make_pipeline(features, StandardScaler(), regressor)
    return pipeline.set_output(transform="pandas")  # names of columns tell blocks apart
