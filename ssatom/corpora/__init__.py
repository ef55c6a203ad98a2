"""Collections of crystals: read and write them, and public ones to start from."""

from ssatom.corpora._fetch import Dataset, fetch, list_datasets
from ssatom.corpora._read import UnreadPiece, count_structures, cut_structures, read_structures
from ssatom.corpora._records import StructureRecord
from ssatom.corpora._write import write_structures
from ssatom.corpora.examples import load_example_crystals
from ssatom.corpora.magnetic import MagneticSites, load_magnetic_sites

__all__ = [
    "Dataset",
    "MagneticSites",
    "StructureRecord",
    "UnreadPiece",
    "count_structures",
    "cut_structures",
    "fetch",
    "list_datasets",
    "load_example_crystals",
    "load_magnetic_sites",
    "read_structures",
    "write_structures",
]
