"""Structures in, hidden states of pretrained encoders out: batched, cached, as NumPy arrays."""

from ssatom.embeddings.api import graph_embeddings, site_embeddings
from ssatom.embeddings.columns import FeatureColumns, parse_layers, resolve_weights
from ssatom.embeddings.engine import clear_cache, embed
from ssatom.embeddings.pooling import POOLINGS, Pooling, parse_pooling
from ssatom.embeddings.spread import near_constant_columns

__all__ = [
    "POOLINGS",
    "FeatureColumns",
    "Pooling",
    "clear_cache",
    "embed",
    "graph_embeddings",
    "near_constant_columns",
    "parse_layers",
    "parse_pooling",
    "resolve_weights",
    "site_embeddings",
]
