"""Transformers of crystals under scikit-learn's contract and matminer's."""

from ssatom.featurizers._base import CrystalFeaturizer
from ssatom.featurizers.graph import GraphEmbeddingFeaturizer
from ssatom.featurizers.ofm import OrbitalFieldMatrixTransformer
from ssatom.featurizers.site import SelfSupervisedSiteFeaturizer

__all__ = [
    "CrystalFeaturizer",
    "GraphEmbeddingFeaturizer",
    "OrbitalFieldMatrixTransformer",
    "SelfSupervisedSiteFeaturizer",
]
