"""What counts as a structure and as a site, and what identifies a structure.

Everything that takes crystals checks them here once, so that the other rooms may rely on what they
get: ordered, finite, with a cell that has a volume and elements that have features.
"""

from ssatom.structures._arrays import (
    StructureArrays,
    formula_of,
    overlap_error,
    plain_structure,
    reduced_formula,
    structure_arrays,
    structure_key,
)
from ssatom.structures._atoms import structure_from_atoms
from ssatom.structures._files import (
    count_in_file,
    read_crystals,
    several_crystals,
    structure_from_file,
)
from ssatom.structures._rows import (
    StructureLike,
    check_sites,
    check_structures,
    iter_arrays,
    iter_sites,
    iter_structures,
)
from ssatom.structures._seen import SEEN

__all__ = [
    "SEEN",
    "StructureArrays",
    "StructureLike",
    "check_sites",
    "check_structures",
    "count_in_file",
    "formula_of",
    "iter_arrays",
    "iter_sites",
    "iter_structures",
    "overlap_error",
    "plain_structure",
    "read_crystals",
    "reduced_formula",
    "several_crystals",
    "structure_arrays",
    "structure_from_atoms",
    "structure_from_file",
    "structure_key",
]
