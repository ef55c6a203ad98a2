"""What the featurizers share that give hidden states of an encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssatom.exceptions import StructureError
from ssatom.featurizers._base import CrystalFeaturizer

if TYPE_CHECKING:
    from ssatom.embeddings import FeatureColumns

# ssatom.embeddings is imported in the methods, since it loads torch.


class EmbeddingFeaturizer(CrystalFeaturizer):
    """Base of the featurizers whose features are hidden states."""

    layers: str | int | Sequence[int]
    weights: Any
    batch_size: int
    device: str
    memory: Any
    random_state: int

    def feature_labels(self) -> list[str]:
        """Names of the features, in the order of the columns.

        Returns
        -------
        list of str
            Such as "ssatom_L1_017" (layer 1, unit 17) and "ssatom_radial_003" (a coordination
            number); "ssatom_L1_std_017" with several poolings; "ssatom_cgcnn-64x5-mp_L1_017" with
            weights other than the default set.
        """
        return self._columns().names

    def citations(self) -> list[str]:
        """What to cite.

        Returns
        -------
        list of str
            BibTeX of the method, of the graph convolution, and of the pretraining data.
        """
        from ssatom.embeddings import resolve_weights
        from ssatom.featurizers._citations import citations_of

        return citations_of(resolve_weights(self.weights, self.random_state))

    def implementors(self) -> list[str]:
        """Authors of this featurizer.

        Returns
        -------
        list of str
            Names.
        """
        return ["The ssatom developers"]

    def _columns(self) -> FeatureColumns:
        """Columns of `transform`; refuses unknown layers, weights and poolings."""
        from ssatom.embeddings import FeatureColumns, parse_layers, parse_pooling, resolve_weights

        encoder = resolve_weights(self.weights, self.random_state)
        layers = parse_layers(self.layers, encoder.n_layers)
        poolings = parse_pooling(self.pooling) if hasattr(self, "pooling") else None
        return FeatureColumns(encoder, layers, poolings)

    def _embed(
        self, structures: Any, columns: FeatureColumns
    ) -> Iterator[np.ndarray | StructureError]:
        from ssatom.embeddings import embed

        return embed(
            structures,
            columns.weights,
            pooling=columns.poolings,
            batch_size=self.batch_size,
            device=self.device,
            memory=self.memory,
        )
