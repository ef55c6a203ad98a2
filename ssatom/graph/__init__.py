"""Structures to graphs: neighbours, the flat container of many graphs, the distance basis."""

from ssatom.graph.basis import MEAN_ENVELOPE, GaussianDistanceBasis, envelope
from ssatom.graph.config import GraphConfig
from ssatom.graph.container import CrystalGraphs, GraphBatch
from ssatom.graph.converter import CrystalGraphConverter
from ssatom.graph.coordination import CoordinationNumbers
from ssatom.graph.neighbors import NeighborPairs, find_neighbors
from ssatom.graph.remarks import GraphRemarks
from ssatom.graph.search import MIN_DISTANCE, pairs_within, refuse_overlap

__all__ = [
    "MEAN_ENVELOPE",
    "MIN_DISTANCE",
    "CoordinationNumbers",
    "CrystalGraphConverter",
    "CrystalGraphs",
    "GaussianDistanceBasis",
    "GraphBatch",
    "GraphConfig",
    "GraphRemarks",
    "NeighborPairs",
    "envelope",
    "find_neighbors",
    "pairs_within",
    "refuse_overlap",
]
