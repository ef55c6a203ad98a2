"""Saving and loading of fitted estimators and pipelines, without pickle."""

from ssatom.storage.encoders import encoder_in, parts_of
from ssatom.storage.folder import CARD, FORMAT, PARTS, check_folder, load_estimator, save_estimator

__all__ = [
    "CARD",
    "FORMAT",
    "PARTS",
    "check_folder",
    "encoder_in",
    "load_estimator",
    "parts_of",
    "save_estimator",
]
