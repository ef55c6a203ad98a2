"""Pretrained weights: where they are, what their card says, loading and saving."""

from ssatom.weights.card import WeightsCard, check_sizes
from ssatom.weights.corpus import CorpusIndex
from ssatom.weights.folder import (
    DEFAULT_WEIGHTS,
    PretrainedEncoder,
    copy_weights,
    list_weights,
    load_pretrained,
    random_weights,
    save_pretrained,
)

__all__ = [
    "DEFAULT_WEIGHTS",
    "CorpusIndex",
    "PretrainedEncoder",
    "WeightsCard",
    "check_sizes",
    "copy_weights",
    "list_weights",
    "load_pretrained",
    "random_weights",
    "save_pretrained",
]
