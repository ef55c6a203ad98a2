"""POSCAR and its kin, ASE Atoms and open sides: what they mean, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule
from pymatgen.core import Lattice, Structure

from ssatom import read_structures
from ssatom.exceptions import StructureError, StructureFileError, StructureWarning
from ssatom.structures import (
    check_structures,
    iter_arrays,
    iter_structures,
    structure_arrays,
    structure_from_file,
)

TWO = "Direct\n0 0 0\n.5 .5 .5\n"


def poscar(body: str, scale: str = "1.0", comment: str = "salt") -> str:
    return f"{comment}\n{scale}\n4 0 0\n0 4 0\n0 0 4\n{body}"


def read(folder: Path, text: str, name: str = "POSCAR") -> Structure:
    (folder / name).write_text(text)
    return structure_from_file(folder / name)


# VASP's files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        poscar(f"Na Cl\n1 1\n{TWO}"),
        poscar(f"Na_pv/abc12 Cl/def\n1 1\n{TWO}"),
        poscar(f"Na Cl ! salt\n1 1 # numbers\n{TWO}\n0 0 0\n1 1 1\n"),
        poscar("Na Cl\n1 1\nSelective dynamics\nDirect\n0 0 0 F F F\n.5 .5 .5 T T T\n"),
        poscar("Na Cl\n1 1\nCartesian\n0 0 0\n2 2 2\n"),
        poscar("Na Cl\n1 1\nkart\n0 0 0\n1 1 1\n", "2").replace("4", "2"),
        poscar(f"Na Cl\n1 1\n{TWO}", "-64"),
        poscar(f"Na Cl\n1 1\n{TWO}", "2 1 0.5").replace(
            "4 0 0\n0 4 0\n0 0 4", "2 0 0\n0 4 0\n0 0 8"
        ),
        poscar(f"Na\nCl\n1\n1\n{TWO}"),
        poscar(f"Na Cl Br\n1 1 0\n{TWO}"),
        poscar("1 1\nDirect\n0 0 0 Na\n.5 .5 .5 Cl\n"),
        poscar("1 1\nDirect\n0 0 0 ! Na\n.5 .5 .5 Cl 2\n"),
        poscar(f"Na Cl\n1 1\n{TWO}Cartesian\n0 0 0\n0 0 0\n\n1\n0.5\n0 0 0\n0 0 0\n"),
        poscar("1 1\nS\nDirect\n0 0 0 F F F Na\n.5 .5 .5 T T T Cl\n"),
    ],
)
@pytest.mark.parametrize("name", ["POSCAR", "my.POSCAR_1", "CONTCAR", "a.vasp", "CHGCAR"])
def test_poscar(text: str, name: str, tmp_path: Path) -> None:
    arrays = structure_arrays(read(tmp_path, text, name))
    np.testing.assert_allclose(arrays.lattice, 4 * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(arrays.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert arrays.numbers.tolist() == [11, 17]
    for one, other in zip(arrays, next(iter_arrays([tmp_path / name])), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (poscar(f"1 1\n{TWO}"), "no line of elements .VASP 4., so its 2 kinds .* unknown; write"),
        (poscar("1 1\nDirect\n0 0 0 F F F\n.5 .5 .5 T T T\n"), "no line of elements"),
        (poscar(f"1 1\n{TWO}", comment="NaCl"), "no line of elements"),
        (poscar("Na Cl\n1 1\nDirect\n0 0 0 Na\n.5 .5 .5 K\n"), "site 1 is Cl by the line of .* K"),
        (poscar("Na Cl\n1 1\nDirect\n0 0 0 Na 1\n.5 .5 .5 K 2\n"), "site 1 is Cl by .* K"),
        (poscar("Na Cl\n1 1\nDirect\n0 0 0 ! Na\n.5 .5 .5 # K1\n"), "site 1 is Cl by .* K"),
        (poscar(f"Na Cl\n1 1\n{TWO}\n") + poscar(f"K Cl\n1 1\n{TWO}"), "a second crystal"),
        (poscar(f"Na Cl\n1 1\n{TWO}Direct configuration= 2\n0 0 0\n.5 .5 .5\n"), "second crys"),
        (poscar(f"Na Cl\n2\n{TWO}"), "2 elements .Na Cl. have 1 numbers"),
        (poscar(f"Na Cl\n1 2\n{TWO}"), "coordinates for 2 of 3 atoms"),
        (poscar(f"Na\n1\n{TWO}"), "more than 1 atoms"),
        (poscar(f"Na Xx\n1 1\n{TWO}"), "'Xx' in the line of elements is none"),
        (poscar(f"Na Lr\n1 1\n{TWO}"), "'Lr' in the line of elements"),
        (poscar(f"Na Cl\n1 -1\n{TWO}"), "numbers of atoms .1, -1."),
        (poscar(f"Na Cl\n1 1.5\n{TWO}"), "'1 1.5' where numbers of atoms belong"),
        (poscar(f"Na Cl\n1 999999999\n{TWO}"), "numbers of atoms .1, 999999999."),
        (poscar("Na Cl\n1 1\n0 0 0\n.5 .5 .5\n"), "line 8 is '0 0 0'; allowed is 'Direct'"),
        (poscar("Na Cl\n1 1\nDirect\n0 0 0\n**** 0 0\n"), "line 10 has '.*' where three numbers"),
        (poscar("Na Cl\n1 1\nDirect\n0 0 0\n0 0\n"), "line 10 has '0 0'"),
        (poscar("Na Cl\n1 1\nDirect\n0 0 0\nnan 0 0\n"), "line 10 has 'nan 0 0'"),
        (poscar(f"Na Cl\n1 1\n{TWO}", "0"), "scale of '0'"),
        (poscar(f"Na Cl\n1 1\n{TWO}", "1 -1 1"), "scale of '1 -1 1'"),
        (poscar(f"Na Cl\n1 1\n{TWO}").replace("0 4 0", "4 0 0"), "volume of 0 Å³"),
        ("", "line 2 is missing"),
        ("data_a\n_cell_length_a 4\n", "line 2 has '_cell_length_a"),
    ],
)
def test_bad_poscar(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=f"POSCAR: .*{words}"):
        read(tmp_path, text)


def test_elements_of_the_comment_are_warned_of(tmp_path: Path) -> None:
    with pytest.warns(StructureWarning, match="POSCAR: elements taken from the comment line"):
        assert read(tmp_path, poscar(f"1 1\n{TWO}", comment="Na Cl")).reduced_formula == "NaCl"


def test_potcar(tmp_path: Path) -> None:
    kinds = [" PAW_PBE Na 1\n   VRHFIN =Na: s1\n", " PAW_PBE Cl\n   VRHFIN =Cl: s2p5\n"]
    (tmp_path / "POTCAR").write_text("".join(kinds))
    assert read(tmp_path, poscar(f"1 1\n{TWO}")).reduced_formula == "NaCl"
    with pytest.raises(StructureFileError, match="no line of elements"):
        read(tmp_path, poscar(f"1 1\n{TWO}"), "POSCAR_other")
    with pytest.raises(StructureFileError, match=r"3 kinds .* POTCAR .* is for 2 \(Na Cl\)"):
        read(tmp_path, poscar(f"1 1 1\n{TWO}0 0 .5\n"))
    with pytest.warns(StructureWarning, match="elements are K Br, and the POTCAR .* Na Cl"):
        assert read(tmp_path, poscar(f"K Br\n1 1\n{TWO}")).reduced_formula == "KBr"


# Text, numbers, open sides ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data_a\n_cell_length_a 4\n" * 3000, "'data_a': none of the data blocks .* lists atoms"),
        ("a\0b", "text of 3 characters is neither CIF .* nor POSCAR .*, nor the JSON"),
        ("x\r1.0\r", "line 3 is missing"),
        ("{'lattice': 1, " * 2000, "this text is no JSON"),
        ("one\ntwo\n" * 3000, "neither CIF"),
        (str(Structure(Lattice.cubic(4), ["Po"], [[0, 0, 0]])), "as Python prints it"),
        (repr(Structure(Lattice.cubic(4), ["Po"], [[0, 0, 0]])), "as Python prints it"),
    ],
)
def test_texts_that_are_no_structure(text: str, words: str) -> None:
    with pytest.raises(StructureError, match=words) as e:
        check_structures([text])
    assert len(str(e.value)) < 400
    with pytest.raises(StructureError, match="where a list belongs") as e:
        check_structures(text)
    assert len(str(e.value)) < 400


@pytest.mark.parametrize("number", [119, 0, -1, 1000])
def test_atomic_numbers_that_are_no_element(number: int) -> None:
    atoms = Atoms(numbers=[29, number], positions=[[0, 0, 0], [2, 2, 2]], cell=[5, 5, 5], pbc=True)
    bad, good = iter_structures([atoms, bulk("Cu")])
    assert "structures[0]: site 1 h" in str(bad)
    assert "no element" in str(bad)
    assert good.reduced_formula == "Cu"


def with_vacuum(atoms: Atoms, vacuum: float) -> Atoms:
    atoms.center(vacuum=vacuum, axis=2)
    return atoms


def moved(atoms: Atoms) -> Atoms:
    atoms.positions[0, 2] += atoms.cell[2, 2]
    return atoms


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (fcc111("Cu", (1, 1, 3), vacuum=0), "axis 2 is not periodic, .* 0 Å lie"),
        (fcc111("Cu", (1, 1, 3), vacuum=3.9), "7.8 Å lie .*widen .*vacuum=10.0, axis=2"),
        (moved(fcc111("Cu", (1, 1, 3), vacuum=5)), "axis 2 is not periodic"),
        (with_vacuum(graphene(), 2.0), "4 Å lie"),
        (Atoms("Cu", cell=[3, 3, 3]), "axis 0 is not periodic, .* 3 Å lie .*set pbc to True"),
        (
            Structure(Lattice(3 * np.eye(3), pbc=(True, True, False)), ["Cu"], [[0, 0, 0]]),
            "axis 2 is not periodic, .* 3 Å lie",
        ),
    ],
)
def test_open_side_that_bonds_would_cross(row: object, words: str) -> None:
    with pytest.raises(StructureError, match=rf"structures\[0\] \(.*\): .*{words}"):
        check_structures([row])


@pytest.mark.parametrize(
    "row",
    [
        fcc111("Cu", (1, 1, 3), vacuum=4.1),
        with_vacuum(graphene(), 4.1),
        Structure(Lattice(np.diag([3, 3, 8.1]), pbc=(True, True, False)), ["Cu"], [[0, 0, 7]]),
        bulk("Cu"),
    ],
)
def test_open_side_with_vacuum(row: object) -> None:
    assert len(check_structures([row])) == 1


def test_molecule_in_a_box() -> None:
    water = molecule("H2O")
    water.center(vacuum=4.1)
    assert len(check_structures([water])[0]) == 3


@pytest.mark.parametrize("far", [2e6, 1e8, 1e300])
def test_coordinates_too_far_to_wrap(far: float) -> None:
    with pytest.raises(StructureError, match="so far outside the cell"):
        check_structures([Structure(Lattice.cubic(3), ["Cu"], [[far, 0, 0]])])
    near = Structure(Lattice.cubic(3), ["Cu"], [[150.25, -1e5, 0]])
    assert check_structures([near])[0] is near


# Occupancies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "species",
    [{"Na": 0.9999}, {"Na": 0.999}, {"Fe2+": 0.3333, "Fe3+": 0.6666}, {"H": 0.5, "D": 0.5}],
)
def test_full_but_for_rounding(species: dict) -> None:
    arrays = structure_arrays(Structure(Lattice.cubic(3), [species], [[0, 0, 0]]))
    assert len(arrays.numbers) == 1


@pytest.mark.parametrize(
    "species", [{"Na": 0.99}, {"Fe2+": 0.5, "Fe3+": 0.45}, {"Na": 0.999, "K": 0.001}]
)
def test_partial(species: dict) -> None:
    with pytest.raises(StructureError, match="partial occupancy"):
        structure_arrays(Structure(Lattice.cubic(3), [species], [[0, 0, 0]]))


@pytest.mark.parametrize(
    ("info", "arrays", "words"),
    [
        ({"0": {"Cu": 0.7, "Zn": 0.3}}, {}, r"kind 0 has partial .*Cu 0.7, Zn 0.3.*info"),
        ({"0": {"Cu": 0.7}}, {"spacegroup_kinds": [0]}, r"site 0 has partial .*Cu 0.7"),
        (None, {"occupancy": [0.5]}, r"site 0 has partial occupancy \(0.5\) in atoms.arrays"),
        (None, {"occupancies": [0.5]}, "site 0 has partial"),
        ({"0": {"Cu": 0.9999}}, {"spacegroup_kinds": [0], "occupancy": [0.9999]}, ""),
        ({"1": {"Cu": 0.5}}, {"spacegroup_kinds": [0]}, ""),
    ],
)
def test_occupancies_of_atoms(info: dict | None, arrays: dict, words: str) -> None:
    atoms = bulk("Cu")
    atoms.info["occupancy"] = info
    for name, values in arrays.items():
        atoms.set_array(name, np.array(values))
    if words:
        with pytest.raises(StructureError, match=words):
            check_structures([atoms])
    else:
        assert len(check_structures([atoms])) == 1


# Numbers that overflow -------------------------------------------------------------------------

CELL = """data_a
_cell_length_a {0}
_cell_length_b {0}
_cell_length_c {0}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_cell_volume 5
loop_
_symmetry_equiv_pos_as_xyz
x,y,z
-x,-y,-z
loop_
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Fe {1} 0 0
"""
ROW = (
    '{{"lattice": [[{0}, 0, 0], [0, {0}, 0], [0, 0, {0}]], "numbers": [26], "frac": [[{1}, 0, 0]]}}'
)
VASP = "Fe\n%s\n{0} 0 0\n0 {0} 0\n0 0 {0}\nFe\n1\n%s\n{1} 0 0\n"
FRAME = '1\nLattice="{0} 0 0 0 {0} 0 0 0 {0}" Properties=species:S:1:pos:R:3\nFe {1} 0 0\n'
NUMBERS = {
    "a.cif": CELL,
    "a.json": ROW,
    "a.jsonl": ROW,
    "a.extxyz": FRAME,
    "POSCAR": VASP % ("1", "Direct"),
    "volume.vasp": VASP % ("-20", "Cartesian"),
    "scales.vasp": VASP % ("1 1 2", "Cartesian"),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.filterwarnings("ignore::ssatom.exceptions.StructureWarning")  # of the cell's volume
def test_numbers_that_overflow_are_refused(name: str, tmp_path: Path) -> None:
    """With no warning of NumPy, which is an error in the tests."""

    def found(length: str, coordinate: str) -> object:
        (tmp_path / name).write_text(NUMBERS[name].format(length, coordinate))
        [record] = read_structures(tmp_path / name, errors="keep")
        return record.structure

    assert isinstance(found("4", "0.1"), Structure)
    for length in ("1e160", "1e308", "1e-160", "1e-320"):
        for coordinate in ("0.1", "1e160", "-1e308"):
            assert isinstance(found(length, coordinate), StructureError)
