"""What a CIF file means: symmetry, elements, occupancies, blocks; and what is refused."""

from __future__ import annotations

import gzip
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from ssatom.corpora import count_structures, read_structures
from ssatom.exceptions import StructureError, StructureFileError, StructureWarning
from ssatom.structures import (
    check_structures,
    iter_arrays,
    structure_arrays,
    structure_from_file,
)
from ssatom.structures._cif_sites import _pairs_within

COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
SALT = "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5\n"


def cell(a: object = 5.64, b: object = None, c: object = None, angles: tuple = (90, 90, 90)) -> str:
    lengths = dict(zip("abc", (a, b or a, c or a), strict=True))
    degrees = dict(zip(("alpha", "beta", "gamma"), angles, strict=True))
    text = "".join(f"_cell_length_{key} {value}\n" for key, value in lengths.items())
    return text + "".join(f"_cell_angle_{key} {value}\n" for key, value in degrees.items())


def named(symbol: str) -> str:
    return f"_symmetry_space_group_name_H-M '{symbol}'\n"


def listed(*operations: str) -> str:
    return "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{o}'\n" for o in operations)


def cif(
    sites: str = SALT,
    group: str = named("P 1"),
    box: str | None = None,
    more: tuple[str, ...] = (),
    extra: str = "",
    name: str = "t",
) -> str:
    tags = "".join(f"_atom_site_{column}\n" for column in (*COLUMNS, *more))
    return f"data_{name}\n{group}{box or cell()}{extra}loop_\n{tags}{sites}"


def read(folder: Path, text: str | bytes, name: str = "a.cif"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return structure_from_file(path)


def formula(folder: Path, text: str | bytes, name: str = "a.cif") -> str:
    return read(folder, text, name).formula.replace(" ", "")


P21C = listed("x,y,z", "-x,y+1/2,-z+1/2", "-x,-y,-z", "x,-y+1/2,z+1/2")
NEWER = "_space_group_symop_operation_xyz 'x,y,z'\n"


# Symmetry --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (named("F m -3 m"), "Na4Cl4"),
        (named("Fm3m"), "Na4Cl4"),
        (named("225"), "Na4Cl4"),
        ("_space_group_IT_number 225\n", "Na4Cl4"),
        ("_space_group_name_Hall '-F 4 2 3'\n", "Na4Cl4"),
        ("_space_group_name_H-M_alt 'P m -3 m'\n", "Na1Cl1"),
        (named("F d -3 m:2"), "Na16Cl16"),
        (named("F d -3 m Z"), "Na16Cl16"),
        (named("F d -3 m (origin choice 2)"), "Na16Cl16"),
        (named("F d -3 m S"), "Na8Cl8"),
        ("_space_group_name_H-M 'F m -3 m'\n", "Na4Cl4"),
        ("_space_group_name_H-M_ref 'F m -3 m'\n", "Na4Cl4"),
        (named("F 4/m -3 2/m"), "Na4Cl4"),
        (named("F m -3 m (No. 225)"), "Na4Cl4"),
        (named("F m -3 m S"), "Na4Cl4"),
        (named("F 41/d -3 2/m :2"), "Na16Cl16"),
        (named("F m -3 m") + "_symmetry_Int_Tables_number 0\n", "Na4Cl4"),
        ("loop_\n_symmetry_equiv_pos_as_xyz\n?\n" + NEWER, "Na1Cl1"),
        (listed("x,y,z") + NEWER, "Na1Cl1"),
        (listed("x,y,z", "x,y+1/2,z+1/2", "x+.5,y,z+.5", "1/2+X, 1/2+Y, Z"), "Na4Cl4"),
    ],
)
def test_names_and_lists_of_operations(group: str, expected: str, tmp_path: Path) -> None:
    assert formula(tmp_path, cif(group=group)) == expected


@pytest.mark.parametrize(
    ("symbol", "angles", "image"),
    [
        ("P 21/c", (90, 100, 90), [0.1, 0.3, 0.8]),  # x, 1/2-y, 1/2+z
        ("P 21/n", (90, 100, 90), [0.6, 0.3, 0.8]),
        ("P 21/b", (90, 90, 100), [0.1, 0.7, 0.2]),  # x, 1/2+y, 1/2-z
        ("P 1 1 21/b", (90, 90, 100), [0.1, 0.7, 0.2]),
        ("P 21", (100, 90, 90), [0.6, 0.8, 0.7]),  # x+1/2, -y, -z
    ],
)
def test_monoclinic_axes_are_told_by_the_angles(
    symbol: str, angles: tuple, image: list[float], tmp_path: Path
) -> None:
    text = cif("Na1 Na 0.1 0.2 0.3\n", named(symbol), cell(6, 7, 8, angles))
    found = structure_arrays(read(tmp_path, text)).frac_coords
    assert (np.abs(found - image).max(axis=1) < 1e-9).sum() == 1


def test_rhombohedral_axes_are_told_by_the_cell(tmp_path: Path) -> None:
    hexagonal = cif("Bi1 Bi 0 0 .4\n", named("R -3 m"), cell(4.5, 4.5, 12, (90, 90, 120)))
    rhombohedral = cif("Bi1 Bi .4 .4 .4\n", named("R -3 m"), cell(4.7, angles=(57,) * 3))
    assert formula(tmp_path, hexagonal) == "Bi6"
    assert formula(tmp_path, rhombohedral) == "Bi2"
    with pytest.raises(StructureFileError, match="'R -3 m:H' does not fit the cell"):
        read(tmp_path, rhombohedral.replace("R -3 m", "R -3 m:H"))


@pytest.mark.parametrize(
    ("text", "expected", "words"),
    [
        (cif(group=""), "Na1Cl1", "guessed setting: the file names no space group"),
        (cif(group=named("P 21")), "Na2Cl2", "guessed setting: .* read as 'P 1 21 1'"),
        (
            cif(group="_space_group_IT_number 14\n", box=cell(6, 7, 8, (90, 99, 90))),
            "Na2Cl2",
            "guessed setting: of the space group only the number 14",
        ),
        (
            cif(group=named("F m -3 m") + listed("x,y,z")),
            "Na1Cl1",
            "'F m -3 m' contradicts the operations that are listed, those of P 1",
        ),
        (
            cif("Na1 Na .1 .2 .3\nCl1 Cl .4 .1 .2\n", named("P 1 21/n 1") + P21C),
            "Na4Cl4",
            "'P 1 21/n 1' contradicts the operations that are listed, those of P 1 21/c 1",
        ),
        (
            cif(group=named("F m -3 m") + "_space_group_name_Hall unknown\n"),
            "Na4Cl4",
            "Hall symbol 'unknown' is not understood; the space group 'F m -3 m' is used",
        ),
        (
            cif(group=named("nonsense") + "_space_group_name_H-M_alt 'F m -3 m'\n"),
            "Na4Cl4",
            "'nonsense' is not understood; the space group 'F m -3 m' is used",
        ),
        (cif(extra="_chemical_formula_sum 'Na Cl H2'\n"), "Na1Cl1", "Missing elements H"),
        (cif(extra="_chemical_formula_sum 'Na Cl2'\n"), "Na1Cl1", "not in the ratio"),
        (
            cif(extra="_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 4\n"),
            "Na1Cl1",
            "_cell_formula_units_Z 4 says otherwise",
        ),
        (cif(extra="_cell_volume 100\n"), "Na1Cl1", "give 179.406 Å³, and _cell_volume is 100"),
    ],
)
def test_doubts_are_warned_of(text: str, expected: str, words: str, tmp_path: Path) -> None:
    with pytest.warns(StructureWarning, match=words) as caught:
        assert formula(tmp_path, text) == expected
    assert len(caught) == 1
    warning = caught[0].message
    assert warning.source == str(tmp_path / "a.cif")
    assert str(warning) == f"{tmp_path / 'a.cif'}: {warning.reason}"


@pytest.mark.parametrize(
    "extra",
    [
        "_chemical_formula_sum 'Cl1 Na1'\n_cell_formula_units_Z 1\n_cell_volume 179.4(1)\n",
        "_chemical_formula_sum 'Na Cl'\n",
        "_chemical_formula_sum '?'\n_cell_formula_units_Z ?\n_cell_volume .\n",
        "_chemical_formula_sum '(Na Cl)2'\n",
    ],
)
def test_nothing_is_warned_of_where_all_agrees(extra: str, tmp_path: Path) -> None:
    assert formula(tmp_path, cif(extra=extra)) == "Na1Cl1"


def test_incomplete_operations(tmp_path: Path) -> None:
    group = named("F m -3 m") + listed("x,y,z")
    units = "_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 4\n"
    with pytest.raises(StructureFileError, match="contradicts the operations .* Na1 Cl1, and"):
        read(tmp_path, cif(group=group, extra=units))
    counted = cif(
        "Na1 Na 0 0 0 4\nCl1 Cl .5 .5 .5 4\n", named("P 1"), more=("symmetry_multiplicity",)
    )
    with pytest.raises(StructureFileError, match="site Na1 has 1 image in the cell, and its mult"):
        read(tmp_path, counted)
    assert formula(tmp_path, counted.replace("P 1", "F m -3 m")) == "Na4Cl4"
    orders = counted.replace("P 1", "F m -3 m").replace(" 4\n", " 48\n")
    assert formula(tmp_path, orders) == "Na4Cl4"


def test_symbols_of_shelxl(tmp_path: Path) -> None:
    box = cell(6, 7, 8, (90, 95, 90))
    for symbol, n_sites in (("P2(1)/n", 4), ("P 2(1)/n", 4), ("P2(1)2(1)2(1)", 4)):
        one = cif("Na1 Na .1 .2 .3\n", named(symbol), cell() if "P2(1)2" in symbol else box)
        assert len(read(tmp_path, one)) == n_sites
    hexagonal = cif("Na1 Na 0 0 0\n", named("P6(3)/mmc"), cell(5, 5, 8, (90, 90, 120)))
    assert len(read(tmp_path, hexagonal)) == 2


@pytest.mark.parametrize("code", ["\x1a", "\0"])
def test_control_characters_are_named(code: str, tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=f"control characters .*0x{ord(code):02X}"):
        read(tmp_path, cif() + code)


@pytest.mark.parametrize(
    ("x", "y", "n_sites"),
    [
        ("0.3333", "0.6667", 2),
        ("0.3333", "0.6666", 2),
        ("0.333", "0.667", 2),
        ("0.33", "0.67", 2),
        ("0.33(1)", "0.67(1)", 2),
        ("0.33333333", "0.66666667", 2),
        ("-0.6667", "1.6667", 2),
        ("0.1667", "0.3333", 6),
        ("0.3000", "0.6000", 6),
        ("0.10", "0.50", 12),
    ],
)
def test_rounded_special_positions(x: str, y: str, n_sites: int, tmp_path: Path) -> None:
    box = cell(6.4, 6.4, 5.2, (90, 90, 120))
    structure = read(tmp_path, cif(f"Mg1 Mg {x} {y} 0.25\n", named("P 63/m m c"), box))
    assert len(structure) == n_sites
    if n_sites == 2:
        expected = [[1 / 3, 2 / 3, 1 / 4], [2 / 3, 1 / 3, 3 / 4]]
        np.testing.assert_allclose(sorted(structure.frac_coords.tolist()), expected, atol=1e-12)


def test_order_of_sites_is_that_of_the_file(tmp_path: Path) -> None:
    structure = read(tmp_path, cif("O1 O .1 .2 .3\nLi2 Li .4 .1 .2\n", named("P -1")))
    assert structure.labels == ["O1", "O1", "Li2", "Li2"]
    np.testing.assert_allclose(structure.frac_coords[:2], [[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]])


@pytest.mark.parametrize(
    ("group", "box", "words"),
    [
        (named("F d -3 m"), None, "two choices of origin.*write the symbol as 'F d -3 m:1'"),
        ("_space_group_IT_number 227\n", None, "number 227 has two choices of origin"),
        (named("P 21/c"), cell(6, 7, 8, (90, 95, 100)), "does not fit a cell with the angles"),
        (named("P 21/c"), cell(6, 7, 8, (90, 90, 100)), "does not fit a cell with the angles"),
        (named("P 63/m m c"), None, "'P 63/m m c' does not fit the cell"),
        (named("F m -3 m"), cell(5, 6, 7), "'F m -3 m' does not fit the cell"),
        (listed("x,y,z", "y,x,z"), cell(5, 6, 7), "operations that are listed do not fit"),
        (named("P 1") + "_space_group_IT_number 225\n", None, "contradict each other"),
        (named("P 1 21/n 1") + "_space_group_name_Hall '-P 2ybc'\n", None, "different settings"),
        (named("F d -3 m:1") + "_space_group_name_Hall '-F 4vw 2vw 3'\n", None, "are different"),
        (
            named("P 1 21/n 1") + "_space_group_name_H-M_alt 'P 1 21/c 1'\n",
            cell(6, 7, 8, (90, 95, 90)),
            "'P 1 21/c 1' and .*'P 1 21/n 1' are different settings",
        ),
        (
            listed("x,y,z")
            + listed("x,y,z", "-x,-y,-z").replace(
                "_symmetry_equiv_pos_as", "_space_group_symop_operation"
            ),
            None,
            "list different operations",
        ),
        (named("nonsense"), None, "'nonsense' is not understood"),
        ("_space_group_name_Hall 'nope'\n", None, "Hall symbol 'nope' is not understood"),
        ("_space_group_IT_number 231\n", None, "number '231' is none"),
        (listed("x,y,z", "y,z,x"), None, "2 symmetry operations is not complete"),
        (listed("-x,-y,z"), None, "is not complete"),
        (listed("x,y,z", "x,y"), None, "operation 'x,y' is not understood"),
        (listed("x,y,z", "x,x,z"), None, "'x,x,z' is none"),
        (listed("x,y,z", "h,k,l"), None, "'h,k,l' is not understood"),
        (listed("x,y,z", "x,y,z+1/5"), None, "'x,y,z.1/5' is not understood .*twenty-fourths"),
        (listed("x,y,z").replace("'", "").replace(",", ", "), None, "'x,' is not understood"),
        (named("P 1"), cell("?"), "_cell_length_a is missing"),
        (named("P 1"), cell("0.0"), "_cell_length_a is '0.0'"),
        (named("P 1"), cell(5, angles=(120, 120, 120)), "angles 120, 120, 120° .* no volume"),
        (named("P 1") + "_cell_length_a 7\n", None, "_cell_length_a is given twice"),
        (named("P 1") + "_cell_modulation_dimension 1\n", None, "is modulated"),
        (named("P 1") + "_space_group_symop_magn_operation.xyz x,y,z,+1\n", None, "ends in .mcif"),
    ],
)
def test_symmetry_or_cell_in_doubt(group: str, box: str | None, words: str, tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=f"a.cif: .*{words}"):
        read(tmp_path, cif(group=group, box=box))


# Sites -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "element"),
    [
        *(("Na1+", "Na"), ("Na+", "Na"), ("Fe+3", "Fe"), ("O2-", "O"), ("Fe0", "Fe")),
        *(("CL", "Cl"), ("na", "Na"), ("SI", "Si"), ("D", "H"), ("13C", "C")),
        *(("Fe2.67+", "Fe"), ("Fe+2.67", "Fe"), ("Fe3+,spin=5", "Fe"), ("Fe,spin=-2.5", "Fe")),
    ],
)
def test_type_symbols(symbol: str, element: str, tmp_path: Path) -> None:
    assert formula(tmp_path, cif(f"A1 {symbol} 0 0 0\n")) == f"{element}1"


@pytest.mark.parametrize(
    ("label", "element"),
    [
        *(("Na1", "Na"), ("C1A", "C"), ("O_a", "O"), ("FeA", "Fe"), ("Hg1", "Hg"), ("OA1", "O")),
        *(("C1B", "C"), ("H2N", "H"), ("C(1)", "C"), ("SiT1", "Si"), ("O1W", "O"), ("Fe3+", "Fe")),
    ],
)
def test_labels_tell_elements_where_no_symbol_does(
    label: str, element: str, tmp_path: Path
) -> None:
    text = cif(f"{label} 0 0 0\n").replace("_atom_site_type_symbol\n", "")
    assert formula(tmp_path, text) == f"{element}1"


@pytest.mark.parametrize(
    ("symbol", "label", "element"), [("CS", "Cs1", "Cs"), ("SN", "Sn", "Sn"), ("PO", "Po2", "Po")]
)
def test_labels_tell_what_capitals_are(
    symbol: str, label: str, element: str, tmp_path: Path
) -> None:
    assert formula(tmp_path, cif(f"{label} {symbol} 0 0 0\n")) == f"{element}1"


@pytest.mark.parametrize(
    "symbol", ["PO43-", "PO4-", "PO3-", "T", "T4+", "O22-", "S22-", "CO32-", "Fe9+", "Fe+12", "CS"]
)
def test_type_symbols_of_no_one_element(symbol: str, tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=f"type symbol '{re.escape(symbol)}'"):
        read(tmp_path, cif(f"A1 {symbol} 0 0 0\n"))


DOUBTFUL = "CA1 OW1 OH1 Vac1 X1 T1 D1 Cab1 12"
SEVERAL = (
    "Si/Al Si,Al La,Sr CuZn NaK NaCl1 O-H1 O(H) H2O H2O1 H3O SiO4 NH4 Fe0.5 Ca.5 Ti0.5Zr0.5 "
    "La1.85Sr0.15 Fe1/Mg1 Al+Si Si_Al Cu1Zn1 Na:K Fe(1)/Mg(1)"
)


@pytest.mark.parametrize("label", [*DOUBTFUL.split(), *SEVERAL.split()])
def test_labels_in_doubt(label: str, tmp_path: Path) -> None:
    text = cif(f"{label} 0 0 0\n").replace("_atom_site_type_symbol\n", "")
    with pytest.raises(StructureFileError, match=f"'{re.escape(label)}' does not tell"):
        read(tmp_path, text)


def test_formula_decides_what_a_label_names(tmp_path: Path) -> None:
    label = cif("FeB 0 0 0\n", extra="_chemical_formula_sum Fe\n")
    assert formula(tmp_path, label.replace("_atom_site_type_symbol\n", "")) == "Fe1"


def test_formula_decides_on_upper_case(tmp_path: Path) -> None:
    label = cif("CA1 0 0 0\n", extra="_chemical_formula_sum Ca\n")
    assert formula(tmp_path, label.replace("_atom_site_type_symbol\n", "")) == "Ca1"
    assert formula(tmp_path, cif("A CO 0 0 0\n", extra="_chemical_formula_sum Co\n")) == "Co1"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("O1 OH 0 0 0", r"site O1 has the type symbol 'OH', a group .*\(O, H\) a line"),
        ("W1 H2O 0 0 0", "'H2O', a group of atoms"),
        ("N1 NH4 0 0 0", "'NH4', a group of atoms"),
        ("C1 CO 0 0 0", "'CO', a group of atoms"),
        ("W Wat 0 0 0", "'Wat', which is no element"),
        ("X1 X 0 0 0", "'X', which is no element; .* dummy or a vacancy"),
        ("V1 Va 0 0 0", "'Va', which is no element"),
        ("Q1 Q 0 0 0", "'Q', which is no element"),
        ("C1 Cg 0 0 0", "'Cg', which is no element"),
        ("L1 Lr 0 0 0", r"Lr \(Z = 103\)"),
        ("H1 H . . .", r"site H1 has no coordinates .*_fract_x is '\.'"),
        ("H1 H 0 0 ?", r"site H1 has no coordinates .*_fract_z is '\?'"),
        ("H1 H nan 0 0", "_fract_x 'nan'"),
        ("H1 H 0 1/3 0", "_fract_y '1/3'"),
        ("H1 H 1e9 0 0", "_fract_x '1e9'"),
    ],
)
def test_sites_in_doubt(line: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=words):
        read(tmp_path, cif(f"Na1 Na 0.5 0.5 0.5\n{line}\n"))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("calc_flag", "dum", "is a dummy"),
        ("attached_hydrogens", "2", "2 hydrogen atoms without coordinates"),
        ("disorder_group", "1", "several groups of disorder"),
    ],
)
def test_columns_that_tell_of_no_atom(column: str, value: str, words: str, tmp_path: Path) -> None:
    lines = "Na1 Na 0 0 0 {}\nO1 O .5 .5 .5 {}\n"
    with pytest.raises(StructureFileError, match=words):
        read(tmp_path, cif(lines.format("2", value), more=(column,)))
    assert formula(tmp_path, cif(lines.format(".", "."), more=(column,))) == "Na1O1"


@pytest.mark.parametrize(
    "lines",
    [
        "Fe1 Fe 0 0 0 0.9999",
        "Fe1 Fe 0 0 0 1.0004",
        "Fe1 Fe 0 0 0 0.999(2)",
        "Fe1 Fe2+ 0 0 0 0.3333\nFe2 Fe3+ 0 0 0 0.6666",
        "Fe1 Fe2+ 0 0 0 .33\nFe2 Fe3+ 0 0 0 .33\nFe3 Fe 1 0 0 .33",
        "Fe1 Fe2+ 0 0 0 .33\nFe2 Fe3+ 0 0 1 .67",
    ],
)
def test_occupancies_that_are_full_but_for_rounding(lines: str, tmp_path: Path) -> None:
    assert formula(tmp_path, cif(f"{lines}\n", more=("occupancy",))) == "Fe1"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("Fe1 Fe 0 0 0 0.9", r"site Fe1 has partial occupancy \(Fe 0.9\); order the structure"),
        ("Fe1 Fe 0 0 0 .5\nCo1 Co 0 0 0 .5", "sites Fe1 and Co1 share one place.* partial occ"),
        ("Fe1 Fe 0 0 0 .5\nFe2 Fe 0 0 0 .3", r"partial occupancy \(Fe 0.5, Fe 0.3\)"),
        ("Fe1 Fe 0 0 0 .5\nFe2 Fe .01 0 0 .5", r"site Fe1 has partial occupancy"),
        ("Fe1 Fe 0 0 0 1\nFe2 Fe 0 0 0 1", "total occupancy of 2 .*; delete all but one"),
        ("Fe1 Fe 0 0 0 1\nCo2 Co 1 0 0 1", r"total occupancy of 2 \(Fe 1, Co 1\)"),
        ("Fe1 Fe 0 0 0 1.5", "total occupancy of 1.5"),
        ("Fe1 Fe 0 0 0 0", "occupancy of 0 or less"),
        ("Fe1 Fe 0 0 0 -1", "occupancy of 0 or less"),
        ("Fe1 Fe 0 0 0 full", "has the occupancy 'full'"),
    ],
)
def test_occupancies_that_are_refused(lines: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=words):
        read(tmp_path, cif(f"{lines}\n", more=("occupancy",)))


def test_atom_listed_again_by_symmetry(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match="sites Na1 and Na2 .* total occupancy of 2"):
        read(tmp_path, cif("Na1 Na 0.1 0 0\nNa2 Na -0.1 0 0\n", named("P -1")))


@pytest.mark.parametrize("mark", [".", "?"])
def test_occupancy_not_given_is_one(mark: str, tmp_path: Path) -> None:
    lines = f"Na1 Na 0 0 0 1\nCl1 Cl .5 .5 .5 {mark}\n"
    with pytest.warns(StructureWarning, match=r"occupancy of 1 site \(Cl1\)") as caught:
        assert formula(tmp_path, cif(lines, more=("occupancy",))) == "Na1Cl1"
    told = 'pymatgen leaves such atoms out and says "Missing elements Cl"' in str(caught[0].message)
    assert told == (mark == ".")


def test_cartesian_coordinates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match="Cartesian coordinates only.*coords_are_cart"):
        read(tmp_path, cif().replace("fract_", "Cartn_"))


# The file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (cif().replace("\n", "\r\n"), "a.cif"),
        (b"\xef\xbb\xbf" + cif().encode(), "a.cif"),
        (cif().encode("utf-16"), "a.cif"),
        (cif(extra="_publ_author_name 'Müller'\n").encode("latin-1"), "a.cif"),
        (gzip.compress(cif().encode()), "a.cif.gz"),
        (cif().replace("_atom_site_", "_ATOM_site_").replace("loop_", "LOOP_"), "A.CIF"),
        (cif().replace("_atom_site_", "_atom_site.").replace("_cell_", "_cell."), "a.cif"),
        (cif(extra="_refine_details\n;\ndata_ and loop_\nloop_\n 'a' 1\n;\n"), "a.cif"),
        (cif().replace(" 0.5", " '0.5'").replace("Na1", '"Na1"'), "a.cif"),
        (cif(box=cell("5.640(2)")), "a.cif"),
        ("data_global\n_publ_text x\n" + cif(), "a.cif"),
        (cif() + "_cell_length_a 5.64\n_note 1\n_note 2\n", "a.cif"),
        ("data_f\nloop_\n_atom_site_label\n_atom_site_fract_x\n? ?\n" + cif(), "a.cif"),
    ],
)
def test_ways_to_write_a_file(text: str | bytes, name: str, tmp_path: Path) -> None:
    assert formula(tmp_path, text, name) == "Na1Cl1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "none of the data blocks of this file .none. lists atoms"),
        ("data_a\n_x 1\n", "none of the data blocks of this file .'a'. lists atoms"),
        ("<html>\n", "no readable CIF .line 1: "),
        (cif(SALT + "Na2 Na 0\n"), "no readable CIF .line 9: Wrong number of values in loop"),
        (cif(extra="_x 'open\n"), "no readable CIF .line 9: unterminated"),
        ("#\\#CIF_2.0\n" + cif(extra="_x '''a\nb'''\n"), "CIF 2.0.* not read: write CIF 1.1"),
    ],
)
def test_unreadable_files(text: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=f"a.cif: .*{words}"):
        read(tmp_path, text)


def test_packed_file_that_is_cut(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match="cannot be read .EOFError"):
        read(tmp_path, gzip.compress(cif().encode())[:60], "a.cif.gz")


TWO = cif() + cif(name="u", sites="K1 K 0 0 0\n") + cif(name="u", sites="O1 OH 0 0 0\n")


def test_each_block_is_a_crystal(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(TWO + "data_notes\n_x 1\n")
    records = list(read_structures(tmp_path / "a.cif", errors="keep"))
    assert [record.source for record in records] == ["a.cif#t", "a.cif#u", "a.cif#u.2"]
    assert [r.structure.reduced_formula for r in records[:2]] == ["NaCl", "K"]
    assert "a.cif#u.2: site O1" in str(records[2].structure)
    assert count_structures(tmp_path / "a.cif") == 3
    with pytest.raises(StructureFileError, match=r"holds several crystals, 3 .*'t', 'u', 'u.2'"):
        check_structures([tmp_path / "a.cif"])


def test_list_of_paths_gives_the_same_arrays(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(cif(group=named("F m -3 m")))
    (tmp_path / "b.cif").write_text(TWO)
    (tmp_path / "c.cif").write_text(cif("O1 OH 0 0 0\n"))
    arrays, several, bad = iter_arrays([tmp_path / f"{name}.cif" for name in "abc"])
    expected = structure_arrays(structure_from_file(tmp_path / "a.cif"))
    for one, other in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "structures[1]" in str(several)
    assert isinstance(bad, StructureError)
    assert str(bad).startswith(f"structures[2] '{tmp_path / 'c.cif'}': site O1")


def test_warnings_name_the_row(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(cif(group=""))
    for function in (check_structures, lambda rows: list(iter_arrays(rows))):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            function([tmp_path / "a.cif"] * 2)
        places = [(warning.message.rows, warning.message.source) for warning in caught]
        assert places == [((0, 1), None)]
        assert str(caught[0].message).startswith("structures[0], structures[1]")
        assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize("n_sites", [1, 2, 60])
def test_pairs_of_few_sites_are_those_of_a_search_tree(
    n_sites: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    coords = np.random.default_rng(n_sites).random((n_sites, 3))
    coords[-1] = (coords[0] + [0.005, -0.004, 0.003]) % 1
    few = _pairs_within(coords, 0.2)
    monkeypatch.setattr("ssatom.structures._cif_sites._FEW", 0)
    many = _pairs_within(coords, 0.2)
    assert {tuple(sorted(pair)) for pair in few.tolist()} == {
        tuple(sorted(pair)) for pair in many.tolist()
    }
    assert n_sites == 1 or [0, n_sites - 1] in few.tolist()


@pytest.mark.parametrize("few", [0, 300])
def test_a_crowd_of_sites_is_refused(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssatom.structures._cif_sites._FEW", few)
    assert len(_pairs_within(np.full((200, 3), 0.5), 0.1)) == 19_900
    with pytest.raises(StructureFileError, match="crowd in one place"):
        _pairs_within(np.full((201, 3), 0.5), 0.1)
