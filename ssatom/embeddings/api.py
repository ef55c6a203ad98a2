"""Embeddings as plain functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ssatom.embeddings.choices import Weights, parse_layers, resolve_weights
from ssatom.embeddings.columns import FeatureColumns
from ssatom.embeddings.engine import embed
from ssatom.embeddings.pooling import Pooling, parse_pooling
from ssatom.exceptions import StructureError
from ssatom.structures import StructureLike


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
    structures : iterable of Structure, Atoms or path
        Length n.
    layers : str of digits, int or sequence of int, default="012"
        Layers to concatenate.
    weights : str, path, PretrainedEncoder or None, default=None
        Name of a shipped set, a folder, "random", or None for the default set.
    batch_size : int, default=64
        Largest number of structures in one forward pass; the result does not depend on it.
    device : str, default="auto"
        "auto" (a GPU if there is one), "cpu" or "cuda".
    memory : path, joblib.Memory or None, default=None
        Folder of a cache on disk that processes share.
    random_state : int, default=0
        Seed of ``weights="random"``.

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
    Kong et al., "Self-supervised representations and node embedding graph neural networks for
    accurate and multi-scale analysis of materials", Mach. Learn.: Sci. Technol. 5, 035018 (2024),
    10.48550/arXiv.2211.03563.

    Examples
    --------
    >>> from ssatom import load_example_crystals, site_embeddings
    >>> salt = load_example_crystals().set_index("name").loc["halite", "structure"]
    >>> site_embeddings([salt], layers="01")[0].shape
    (8, 434)
    """
    encoder = resolve_weights(weights, random_state)
    columns = FeatureColumns(encoder, parse_layers(layers, encoder.n_layers))
    rows = embed(structures, encoder, batch_size=batch_size, device=device, memory=memory)
    return [columns.take(row) for row in _raising(rows)]


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
    structures : iterable of Structure, Atoms or path
        Length n.
    layers : str of digits, int or sequence of int, default="012"
        Layers to concatenate.
    weights : str, path, PretrainedEncoder or None, default=None
        Name of a shipped set, a folder, "random", or None for the default set.
    pooling : str, callable or sequence of them, default="mean"
        Names of `ssatom.embeddings.POOLINGS`, such as "std" or ("mean", "max"), or a function
        f(states, numbers) of one structure from shape (n_sites, n_columns) to (n_columns,).
    batch_size : int, default=64
        Largest number of structures in one forward pass; the result does not depend on it.
    device : str, default="auto"
        "auto" (a GPU if there is one), "cpu" or "cuda".
    memory : path, joblib.Memory or None, default=None
        Folder of a cache on disk that processes share.
    random_state : int, default=0
        Seed of ``weights="random"``.

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
    Kong et al., "Self-supervised representations and node embedding graph neural networks for
    accurate and multi-scale analysis of materials", Mach. Learn.: Sci. Technol. 5, 035018 (2024),
    10.48550/arXiv.2211.03563.

    Examples
    --------
    >>> from ssatom import graph_embeddings, load_example_crystals
    >>> graph_embeddings(load_example_crystals()["structure"][:5], layers="012").shape
    (5, 562)
    """
    encoder = resolve_weights(weights, random_state)
    poolings = parse_pooling(pooling)
    columns = FeatureColumns(encoder, parse_layers(layers, encoder.n_layers), poolings)
    rows = embed(
        structures, encoder, pooling=poolings, batch_size=batch_size, device=device, memory=memory
    )
    row_type = np.dtype((np.float32, (len(columns),)))
    return np.fromiter((columns.take(row) for row in _raising(rows)), dtype=row_type)


def _raising(rows: Iterator[np.ndarray | StructureError]) -> Iterator[np.ndarray]:
    for row in rows:
        if isinstance(row, StructureError):
            raise row
        yield row
