"""Structures to graphs: neighbours, the flat container of many graphs, the distance basis."""

from ssatom.graph.basis import GaussianDistanceBasis
from ssatom.graph.config import GraphConfig
from ssatom.graph.container import CrystalGraphs, GraphBatch
from ssatom.graph.converter import CrystalGraphConverter

__all__ = [
    "CrystalGraphConverter",
    "CrystalGraphs",
    "GaussianDistanceBasis",
    "GraphBatch",
    "GraphConfig",
]
