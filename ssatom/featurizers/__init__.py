"""Transformers of crystals under scikit-learn's contract and matminer's."""

from ssatom.featurizers._base import CrystalFeaturizer
from ssatom.featurizers.electronic import ElectronicFeaturizer
from ssatom.featurizers.embedding import (
    GraphEmbeddingFeaturizer,
    SelfSupervisedSiteFeaturizer,
)
from ssatom.featurizers.ofm import OrbitalFieldMatrixTransformer

__all__ = [
    "CrystalFeaturizer",
    "ElectronicFeaturizer",
    "GraphEmbeddingFeaturizer",
    "OrbitalFieldMatrixTransformer",
    "SelfSupervisedSiteFeaturizer",
]
