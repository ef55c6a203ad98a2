"""CIF files of many crystals, in many settings, hold the structures that were written."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import gemmi
import numpy as np
import pytest
import spglib
from pymatgen.core import Element, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from ssatom.corpora import load_example_crystals, read_structures
from ssatom.exceptions import StructureFileError, StructureWarning
from ssatom.structures import StructureArrays, structure_arrays, structure_from_file

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("SSATOM_DATA", ROOT.parent / "shared" / "data"))
CORPUS = DATA / "corpus_mp.jsonl.gz"
OPERATIONS = "_symmetry_equiv_pos_as_xyz"


def distance(a: StructureArrays, b: StructureArrays) -> float:
    """Largest distance in Å from an atom of one to the nearest of its element in the other."""
    assert sorted(a.numbers) == sorted(b.numbers)
    np.testing.assert_allclose(a.lattice, b.lattice, atol=1e-4)
    largest = 0.0
    for number in np.unique(a.numbers):
        first, second = a.frac_coords[a.numbers == number], b.frac_coords[b.numbers == number]
        shifts = first[:, None] - second
        shifts -= np.round(shifts)
        lengths = np.linalg.norm(shifts @ a.lattice, axis=2)
        largest = max(largest, lengths.min(axis=0).max(), lengths.min(axis=1).max())
    return largest


def by_pymatgen(path: Path) -> StructureArrays:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return structure_arrays(Structure.from_file(path))


def ours(path: Path) -> StructureArrays:
    return structure_arrays(structure_from_file(path))


def without_operations(path: Path) -> None:
    """Leave the list of operations out, which pymatgen writes in front of the atoms."""
    text = path.read_text()
    start = text.index("loop_")
    assert OPERATIONS in text[start : start + 100]
    path.write_text(text[:start] + text[text.index("loop_", start + 5) :])


def read_by_symbol(path: Path, wanted: StructureArrays) -> bool:
    """Whether a file without operations is read; if not, its symbol must have two origins."""
    without_operations(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a unique axis that no angle tells
            read = ours(path)
    except StructureFileError as error:
        message = str(error)
    else:
        assert distance(read, wanted) < 1e-3
        return True
    assert "two choices of origin" in message
    return False


def in_every_setting(structure: Structure) -> Iterator[tuple[gemmi.SpaceGroup, StructureArrays]]:
    """The conventional cell in each tabulated setting of its space group."""
    arrays = structure_arrays(structure)
    cell = (arrays.lattice, arrays.frac_coords, arrays.numbers)
    number = spglib.get_symmetry_dataset(cell).number
    for hall_number in range(1, 531):
        kind = spglib.get_spacegroup_type(hall_number)
        group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(kind.hall_symbol))
        if kind.number == number and group is not None:
            found = spglib.get_symmetry_dataset(cell, hall_number=hall_number)
            numbers = found.std_types.astype(np.int64)
            yield group, StructureArrays(found.std_lattice, numbers, found.std_positions)


def write_setting(
    path: Path, group: gemmi.SpaceGroup, arrays: StructureArrays, how: str
) -> StructureArrays:
    """Write one atom of each orbit, with operations, a Hall symbol or the full symbol.

    Returns
    -------
    StructureArrays
        What the file holds, in the orientation that a CIF file means.
    """
    operations = group.operations()
    cell = gemmi.UnitCell(*gemmi_parameters(arrays.lattice))
    lines = ["data_x"]
    lines += [f"_cell_length_{k} {getattr(cell, k):.8f}" for k in "abc"]
    lines += [f"_cell_angle_{k} {getattr(cell, k):.8f}" for k in ("alpha", "beta", "gamma")]
    if how == "operations":
        lines += ["loop_", "_space_group_symop_operation_xyz"]
        lines += [f"'{operation.triplet()}'" for operation in operations]
    else:
        tag = {"hall": "_space_group_name_Hall", "symbol": "_space_group_name_H-M_alt"}[how]
        lines.append(f"{tag} '{group.hall if how == 'hall' else group.xhm()}'")
    lines += ["loop_", "_atom_site_type_symbol", *(f"_atom_site_fract_{k}" for k in "xyz")]
    left = np.ones(len(arrays.numbers), dtype=bool)
    while left.any():
        i = int(np.argmax(left))
        frac = arrays.frac_coords[i]
        images = np.array([operation.apply_to_xyz(frac.tolist()) for operation in operations])
        shifts = arrays.frac_coords[:, None] - images
        shifts -= np.round(shifts)
        left &= (np.abs(shifts).max(axis=2) > 1e-4).all(axis=1)
        symbol = Element.from_Z(int(arrays.numbers[i])).symbol
        lines.append(f"{symbol} {frac[0]:.8f} {frac[1]:.8f} {frac[2]:.8f}")
        assert not left[i]
    path.write_text("\n".join(lines) + "\n")
    return arrays


def gemmi_parameters(lattice: np.ndarray) -> list[float]:
    lengths = np.linalg.norm(lattice, axis=1)
    pairs = ((1, 2), (0, 2), (0, 1))
    cosines = [lattice[i] @ lattice[j] / lengths[i] / lengths[j] for i, j in pairs]
    return [*lengths, *np.degrees(np.arccos(cosines))]


def oriented_as(arrays: StructureArrays, other: StructureArrays) -> StructureArrays:
    """The same crystal with the lattice vectors of another, which is turned."""
    np.testing.assert_allclose(
        arrays.lattice @ arrays.lattice.T, other.lattice @ other.lattice.T, atol=1e-4
    )
    return arrays._replace(lattice=other.lattice)


def check_settings(structure: Structure, folder: Path) -> int:
    """Hold each setting and way of writing against the atoms; the number of files read."""
    count = 0
    for group, arrays in in_every_setting(structure):
        for how in ("operations", "hall", "symbol"):
            write_setting(folder / "a.cif", group, arrays, how)
            read = ours(folder / "a.cif")
            assert distance(oriented_as(arrays, read), read) < 1e-3, (group.xhm(), how)
            count += 1
    return count


EXAMPLES = load_example_crystals()


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "crystals").glob("*.cif")), ids=str)
def test_example_files(path: Path) -> None:
    assert distance(ours(path), by_pymatgen(path)) < 1e-3


def test_example_crystals_without_symmetry(tmp_path: Path) -> None:
    for structure in EXAMPLES["structure"]:
        CifWriter(structure).write_file(tmp_path / "a.cif")
        read, wanted = ours(tmp_path / "a.cif"), structure_arrays(structure)
        assert distance(oriented_as(wanted, read), read) < 1e-3


@pytest.mark.slow
def test_example_crystals_with_symmetry(tmp_path: Path) -> None:
    """As pymatgen reads them; without the list only where its symbol has one origin."""
    ambiguous = 0
    for structure in EXAMPLES["structure"]:
        CifWriter(structure, symprec=0.01).write_file(tmp_path / "a.cif")
        read = ours(tmp_path / "a.cif")
        assert distance(read, by_pymatgen(tmp_path / "a.cif")) < 1e-3
        ambiguous += not read_by_symbol(tmp_path / "a.cif", read)
    assert ambiguous < 100


# Crystals of groups with many settings: unique axes and cell choices, axes named otherwise,
# two origins, rhombohedral axes.
SETTINGS = {"calcite": 2, "baddeleyite": 9, "anatase": 2, "spinel": 2, "marcasite": 3, "diamond": 2}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name: str, tmp_path: Path) -> None:
    structure = EXAMPLES.set_index("name").loc[name, "structure"]
    assert check_settings(structure, tmp_path) == 3 * SETTINGS[name]


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not CORPUS.exists(), reason="needs the evaluation data")
def test_corpus_in_every_setting(tmp_path: Path) -> None:
    """At least 300 crystals of the corpus: pymatgen's files, and each setting of each group."""
    compared = files = ambiguous = contradictions = split = 0
    path = tmp_path / "a.cif"
    for record in islice(read_structures(CORPUS), 0, None, 380):
        structure = record.structure
        CifWriter(structure, symprec=0.01).write_file(path)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", StructureWarning)
            read = ours(path)
        # Coordinates that symmetry fixes are put there exactly; pymatgen keeps what was written,
        # and of a site too far from its special position by 1e-4 it makes too many.
        wanted = by_pymatgen(path)
        if len(wanted.numbers) > len(read.numbers):
            refined = SpacegroupAnalyzer(structure, symprec=0.01).get_refined_structure()
            wanted = oriented_as(structure_arrays(refined), read)
            split += 1
        assert distance(read, wanted) < 0.01, record.source
        compared += 1
        if caught:  # operations of the symmetrised cell, and the symbol of the one before
            assert ["contradicts the operations" in str(w.message) for w in caught] == [True]
            contradictions += 1
            continue
        ambiguous += not read_by_symbol(path, read)
        files += check_settings(structure, tmp_path) if len(structure) <= 20 else 0
    assert compared > 300
    assert split < 3
    assert contradictions < 5
    assert ambiguous < 60
    assert files > 1500
    print(f"{compared} crystals, {ambiguous} symbols of two origins, {files} settings")
