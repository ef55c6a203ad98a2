"""Collections of crystals: read and write them, and a few well-known ones to try things on."""

from ssatom.corpora._read import count_structures, read_structures
from ssatom.corpora._records import StructureRecord
from ssatom.corpora._write import write_structures
from ssatom.corpora.examples import load_example_crystals
from ssatom.corpora.magnetic import MagneticSites, load_magnetic_sites

__all__ = [
    "MagneticSites",
    "StructureRecord",
    "count_structures",
    "load_example_crystals",
    "load_magnetic_sites",
    "read_structures",
    "write_structures",
]
