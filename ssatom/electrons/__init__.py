"""Electrons of crystals in a universal tight-binding model, from the structure alone."""

from ssatom.electrons.descriptors import (
    CRYSTAL_NAMES,
    SITE_NAMES,
    ElectronicDescriptors,
    electronic_descriptors,
)
from ssatom.electrons.oxidation import COMPOSITION_NAMES

__all__ = [
    "COMPOSITION_NAMES",
    "CRYSTAL_NAMES",
    "SITE_NAMES",
    "ElectronicDescriptors",
    "electronic_descriptors",
]
