"""Structures in, hidden states of pretrained encoders out: batched, cached, as NumPy arrays."""

from ssatom.embeddings.api import graph_embeddings, site_embeddings
from ssatom.embeddings.cache import clear_cache
from ssatom.embeddings.choices import feature_names, parse_layers, parse_pooling, resolve_weights
from ssatom.embeddings.engine import embed

__all__ = [
    "clear_cache",
    "embed",
    "feature_names",
    "graph_embeddings",
    "parse_layers",
    "parse_pooling",
    "resolve_weights",
    "site_embeddings",
]
