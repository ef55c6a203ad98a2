"""Embeddings as plain functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ssatom.embeddings.columns import FeatureColumns, Weights
from ssatom.embeddings.pooling import Pooling, parse_pooling
from ssatom.exceptions import unwrap
from ssatom.shared_docs import OF_EMBEDDINGS, SharedDocs
from ssatom.structures import StructureLike

_shared_docs = SharedDocs(
    OF_EMBEDDINGS,
    """
    structures : iterable of Structure, Atoms or path
        Length n.
    """,
)


@_shared_docs
def site_embeddings(
    structures: Iterable[StructureLike],
    layers: str | int | Sequence[int] = "012",
    weights: Weights = None,
    *,
    batch_size: int = 64,
    device: str = "auto",
    memory: Any = None,
    random_state: int = 0,
) -> list[np.ndarray]:
    """Hidden states of every site, layers side by side.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    list of ndarray of float32, each of shape (n_sites, n_features)
        In order of structures and sites; layer by layer, then coordination numbers, as
        `SelfSupervisedSiteFeaturizer` names them.

    Raises
    ------
    StructureError
        If a row is no usable structure.
    ParameterError, WeightsError
        If `layers` or `weights` are unknown.

    References
    ----------
    {Kong2024}

    Examples
    --------
    >>> from ssatom import load_example_crystals, site_embeddings
    >>> salt = load_example_crystals().set_index("name").loc["halite", "structure"]
    >>> site_embeddings([salt], layers="01")[0].shape
    (8, 434)
    """
    columns = FeatureColumns.of_arguments(layers, weights, random_state)
    rows = columns.embed(structures, batch_size=batch_size, device=device, memory=memory)
    return list(map(unwrap, rows))


@_shared_docs
def graph_embeddings(
    structures: Iterable[StructureLike],
    layers: str | int | Sequence[int] = "012",
    weights: Weights = None,
    *,
    pooling: Pooling | Sequence[Pooling] = "mean",
    batch_size: int = 64,
    device: str = "auto",
    memory: Any = None,
    random_state: int = 0,
) -> np.ndarray:
    """Hidden states pooled over the sites of each structure, layers side by side.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    ndarray of float32, shape (n, n_features)
        Pooling by pooling, layer by layer, then coordination numbers, as
        `GraphEmbeddingFeaturizer` names them.

    Raises
    ------
    StructureError
        If a row is no usable structure.
    ParameterError, WeightsError
        If `layers`, `pooling` or `weights` are unknown.

    References
    ----------
    {Kong2024}

    Examples
    --------
    >>> from ssatom import graph_embeddings, load_example_crystals
    >>> graph_embeddings(load_example_crystals()["structure"][:5], layers="012").shape
    (5, 562)
    """
    columns = FeatureColumns.of_arguments(layers, weights, random_state, parse_pooling(pooling))
    rows = columns.embed(structures, batch_size=batch_size, device=device, memory=memory)
    return np.fromiter(map(unwrap, rows), dtype=np.dtype((np.float32, (len(columns),))))
