"""What the featurizers share that give hidden states of an encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ssatom.embeddings import embed, parse_layers, resolve_weights
from ssatom.exceptions import StructureError
from ssatom.featurizers._base import CrystalFeaturizer
from ssatom.weights import PretrainedEncoder

_KONG = (
    "@article{Kong2024SelfSupervised, "
    "title = {Self-supervised Representations and Node Embedding Graph Neural Networks for "
    "Accurate and Multi-scale Analysis of Materials}, "
    "author = {Kong, Jian-Gang and Zhao, Ke-Lin and Li, Jian and Li, Qing-Xu and Liu, Yu and "
    "Zhang, Rui and Zhu, Jia-Ji and Chang, Kai}, "
    "journal = {Mach. Learn.: Sci. Technol.}, volume = {5}, pages = {035018}, year = {2024}, "
    "doi = {10.48550/arXiv.2211.03563}}"
)
_XIE = (
    "@article{Xie2018CGCNN, "
    "title = {Crystal Graph Convolutional Neural Networks for an Accurate and Interpretable "
    "Prediction of Material Properties}, "
    "author = {Xie, Tian and Grossman, Jeffrey C.}, journal = {Phys. Rev. Lett.}, "
    "volume = {120}, pages = {145301}, year = {2018}, doi = {10.1103/PhysRevLett.120.145301}}"
)


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
            BibTeX of the method and of the graph convolution.
        """
        return [_KONG, _XIE]

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
