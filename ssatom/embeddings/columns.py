"""The columns of features: which of an embedding's they are, and their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ssatom.embeddings.arguments import Weights, parse_layers, resolve_weights
from ssatom.embeddings.engine import embed
from ssatom.embeddings.pooling import Pooling, pooling_name
from ssatom.exceptions import StructureError
from ssatom.weights import DEFAULT_WEIGHTS, PretrainedEncoder


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
