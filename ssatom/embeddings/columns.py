"""The arguments `layers` and `weights`, and the columns of features that they stand for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np

from ssatom.embeddings.engine import embed
from ssatom.embeddings.pooling import Pooling, pooling_name
from ssatom.exceptions import ParameterError, StructureError
from ssatom.validation import whole_number
from ssatom.weights import DEFAULT_WEIGHTS, PretrainedEncoder, load_pretrained, random_weights

Weights = str | os.PathLike[str] | PretrainedEncoder | None
"""Name of a shipped set, folder, "random", loaded weights, or None for the default set."""


def parse_layers(layers: str | int | Sequence[int], n_layers: int) -> tuple[int, ...]:
    """Layer numbers of a `layers` argument.

    Parameters
    ----------
    layers : str of digits, int or sequence of int
        "13" and [1, 3] are layers 1 and 3; an int is one layer.
    n_layers : int
        Number of hidden states that the encoder has.

    Returns
    -------
    tuple of int
        In the order given.

    Raises
    ------
    ParameterError
        If it is empty, names a layer twice or one that the encoder does not have.

    Examples
    --------
    >>> from ssatom.embeddings import parse_layers
    >>> parse_layers("13", n_layers=6)
    (1, 3)
    """
    given: list[Any]
    if isinstance(layers, str):
        given = [int(digit) if digit in "0123456789" else digit for digit in layers]
    else:
        given = list(layers) if isinstance(layers, Iterable) else [layers]
    allowed = f"allowed: different layers from 0 to {n_layers - 1}, such as '012' or [0, 1, 2]"
    for layer in given:
        known = isinstance(layer, Integral) and not isinstance(layer, bool)
        if not known or not 0 <= layer < n_layers:
            raise ParameterError(f"layers={layers!r}: no layer {layer!r}; {allowed}")
    if not given or len(set(given)) < len(given):
        what = "names a layer twice" if given else "is empty"
        raise ParameterError(f"layers={layers!r} {what}; {allowed}")
    return tuple(map(int, given))


def resolve_weights(weights: Weights = None, random_state: int | None = 0) -> PretrainedEncoder:
    """Loaded weights of a `weights` argument.

    Parameters
    ----------
    weights : str, path, PretrainedEncoder or None, default=None
        Name of a shipped set, a folder, "random", or None for the default set.
    random_state : int, default=0
        Seed of "random".

    Returns
    -------
    PretrainedEncoder
        The weights.

    Raises
    ------
    WeightsError
        If they are unknown or damaged.
    ParameterError
        If `random_state` is no whole number from 0 on.

    Examples
    --------
    >>> from ssatom.embeddings import resolve_weights
    >>> resolve_weights("random").name
    'random-0'
    """
    if isinstance(weights, PretrainedEncoder):
        return weights
    if isinstance(weights, str) and weights == "random":
        seed = 0 if random_state is None else random_state
        return random_weights(whole_number("random_state", seed, least=0))
    return load_pretrained(weights)


@dataclass(frozen=True)
class FeatureColumns:
    """Features of the chosen layers, pooling by pooling, layer by layer.

    Columns that are constant or nearly so over the pretraining corpus are left out, since a
    scaler would divide by next to nothing. The coordination numbers follow the last layer where
    any layer from 1 on is chosen.

    Parameters
    ----------
    weights : PretrainedEncoder
        The encoder.
    layers : sequence of int
        Layer numbers.
    poolings : tuple of str or callable, default=None
        Poolings over sites; None for features of the sites themselves.

    Examples
    --------
    >>> from ssatom import load_pretrained
    >>> from ssatom.embeddings import FeatureColumns
    >>> columns = FeatureColumns(load_pretrained("cgcnn-64x5-mp"), [0, 1], ("mean", "std"))
    >>> len(columns), columns.names[64]
    (256, 'ssatom_cgcnn-64x5-mp_L1_mean_000')
    """

    weights: PretrainedEncoder
    layers: Sequence[int]
    poolings: tuple[Pooling, ...] | None = None

    @classmethod
    def of_arguments(
        cls,
        layers: str | int | Sequence[int],
        weights: Weights,
        random_state: int = 0,
        poolings: tuple[Pooling, ...] | None = None,
    ) -> FeatureColumns:
        """Columns for the arguments of a featurizer; refuses unknown layers and weights."""
        encoder = resolve_weights(weights, random_state)
        return cls(encoder, parse_layers(layers, encoder.n_layers), poolings)

    def __repr__(self) -> str:
        layers = list(self.layers)
        return f"<FeatureColumns: {len(self)} columns, layers {layers} of {self.weights.name!r}>"

    @property
    def names(self) -> list[str]:
        """Names of the features, a new list at each call.

        Such as "ssatom_L1_017" or "ssatom_radial_003"; with the pooling where there are several or
        where it is a function ("ssatom_L1_std_017"), and with the name of weights other than the
        default set.
        """
        start = f"ssatom_{_tag(self.weights)}"
        return [
            f"{start}{block}_{label}{unit:03d}"
            for label, kept in zip(self._labels(), self._kept, strict=True)
            for block, unit in self.weights.describe_columns(kept)
        ]

    def __len__(self) -> int:
        return sum(map(len, self._kept))

    def take(self, states: np.ndarray) -> np.ndarray:
        """Features from what `embed` gives for one structure.

        Parameters
        ----------
        states : ndarray, shape (n_poolings, n_columns) or (n_sites, n_columns)
            The latter without `poolings`.

        Returns
        -------
        ndarray, shape (n_features,) or (n_sites, n_features)
        """
        kept = self._kept
        if self.poolings is None:
            return states[:, kept[0]]
        if len(kept) == 1:
            return states[0].take(kept[0])
        return np.concatenate([row[of] for row, of in zip(states, kept, strict=True)])

    def embed(
        self, structures: Iterable[Any], **settings: Any
    ) -> Iterator[np.ndarray | StructureError]:
        """Features of each structure, or its error; `settings` are further arguments of `embed`."""
        rows = embed(structures, self.weights, pooling=self.poolings, **settings)
        return (row if isinstance(row, StructureError) else self.take(row) for row in rows)

    def _labels(self) -> list[str]:
        poolings = self.poolings or ("",)
        if len(poolings) == 1 and isinstance(poolings[0], str):
            return [""]
        return [f"{pooling_name(one)}_" for one in poolings]

    @cached_property
    def _kept(self) -> list[np.ndarray]:
        """Columns of each pooling. What is constant over sites is so under any function."""
        columns = self.weights.columns(self.layers)
        kinds = [one if isinstance(one, str) else "sites" for one in self.poolings or ("sites",)]
        return [columns[~np.isin(columns, self.weights.near_constant(kind))] for kind in kinds]


def _tag(weights: PretrainedEncoder) -> str:
    """Beginning of names that says which weights made a column; "" for the default set."""
    if weights.name == DEFAULT_WEIGHTS and weights.is_shipped:
        return ""
    if weights.card is None or weights.is_shipped:
        return f"{weights.name}_"
    return f"{weights.name}-{weights.sha256[:6]}_"
