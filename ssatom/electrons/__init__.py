"""Electrons of crystals in a universal tight-binding model, from the structure alone."""

from ssatom.electrons.descriptors import ElectronicDescriptors, electronic_descriptors

__all__ = ["ElectronicDescriptors", "electronic_descriptors"]
