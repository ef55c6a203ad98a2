"""What the featurizers share that give hidden states of an encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ssatom.embeddings import embed, parse_layers, resolve_weights
from ssatom.exceptions import StructureError
from ssatom.featurizers._base import CrystalFeaturizer
from ssatom.featurizers._citations import citations_of
from ssatom.weights import PretrainedEncoder


class EmbeddingFeaturizer(CrystalFeaturizer):
    """Base of the featurizers whose features are hidden states."""

    layers: str | int | Sequence[int]
    weights: Any
    batch_size: int
    device: str
    memory: Any
    random_state: int

    def citations(self) -> list[str]:
        """What to cite.

        Returns
        -------
        list of str
            BibTeX of the method, of the graph convolution, and of what the weights learned from.
        """
        return citations_of(resolve_weights(self.weights, self.random_state))

    def implementors(self) -> list[str]:
        """Who wrote this featurizer.

        Returns
        -------
        list of str
            Names.
        """
        return ["The ssatom developers"]

    def _encoder_and_layers(self) -> tuple[PretrainedEncoder, list[int]]:
        encoder = resolve_weights(self.weights, self.random_state)
        return encoder, list(parse_layers(self.layers, encoder.n_layers))

    def _embed(
        self, structures: Any, encoder: PretrainedEncoder, pooling: tuple[str, ...] | None
    ) -> Iterator[np.ndarray | StructureError]:
        return embed(
            structures,
            encoder,
            pooling=pooling,
            batch_size=self.batch_size,
            device=self.device,
            memory=self.memory,
        )
