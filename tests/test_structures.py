"""What is taken for a structure or a site, what is refused and with which words."""

from __future__ import annotations

import copy
import pickle
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import DummySpecies, Element, IStructure, Lattice, Molecule, Structure

from ssatom.elements import MAX_ATOMIC_NUMBER
from ssatom.exceptions import MissingFileError, StructureError, StructureFileError
from ssatom.structures import (
    StructureArrays,
    check_sites,
    check_structures,
    iter_sites,
    iter_structures,
    overlap_error,
    structure_arrays,
    structure_from_atoms,
    structure_from_file,
    structure_key,
)

NACL = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
DIAMOND = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.567), ["C"], [[0, 0, 0]])
CSCL = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
RUTILE = Structure.from_spacegroup(
    "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
)
PAIR = [[0, 0, 0], [0.5, 0.5, 0.5]]


def two_sites(first: object, second: object, lattice: object = None, coords: object = None):
    return Structure(lattice or Lattice.cubic(3.0), [first, second], coords or PAIR)


def object_array(items: list) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        array[i] = item
    return array


# What is accepted ------------------------------------------------------------------------------

THREE = [NACL, DIAMOND, CSCL]


@pytest.mark.parametrize(
    "container",
    [
        THREE,
        tuple(THREE),
        pd.Series(THREE, index=["x", "y", "z"]),
        pd.DataFrame({"structure": THREE}),
        object_array(THREE),
        object_array(THREE).reshape(3, 1),
        (s for s in THREE),
        {"a": NACL, "b": DIAMOND, "c": CSCL}.values(),
    ],
    ids=["list", "tuple", "series", "frame", "array", "column", "generator", "dict values"],
)
def test_containers(container: object) -> None:
    assert all(a is b for a, b in zip(check_structures(container), THREE, strict=True))


@pytest.mark.parametrize("container", [[], (), pd.Series([], dtype=object)])
def test_nothing_gives_nothing(container: object) -> None:
    assert check_structures(container) == []
    assert check_sites(container) == []


def test_generator_is_streamed() -> None:
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield CSCL

    stream = iter_structures(endless())
    assert [next(stream) is CSCL for _ in range(3)] == [True] * 3
    assert len(taken) == 3


def test_immutable_structures() -> None:
    immutable = IStructure.from_sites(NACL.sites)
    assert check_structures([immutable])[0] is immutable


@pytest.mark.parametrize("name", ["NaCl.cif", "POSCAR", "POSCAR_NaCl", "NaCl.vasp", "NaCl.json"])
@pytest.mark.parametrize("kind", [str, Path])
def test_files(tmp_path: Path, name: str, kind: type) -> None:
    path = tmp_path / name
    NACL.to(filename=str(path), fmt="poscar" if "POSCAR" in name or "vasp" in name else "")
    assert check_structures([kind(path)])[0].matches(NACL)
    assert structure_from_file(path).matches(NACL)


def test_atoms() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.set_array("moment", np.arange(8.0))
    structure = structure_from_atoms(atoms)
    assert structure.matches(NACL)
    np.testing.assert_allclose(structure.cart_coords, atoms.positions, atol=1e-12)
    assert structure.site_properties["moment"] == list(range(8))


def test_atoms_are_not_wrapped_or_sorted() -> None:
    atoms = Atoms("OCu", scaled_positions=[[1.25, -0.5, 0], [0, 0, 0]], cell=[4, 5, 6], pbc=True)
    arrays = structure_arrays(check_structures([atoms])[0])
    assert arrays.numbers.tolist() == [8, 29]
    np.testing.assert_allclose(arrays.frac_coords[0], [1.25, -0.5, 0], atol=1e-12)


def test_atoms_in_a_box_count_as_periodic() -> None:
    water, slab = molecule("H2O"), fcc111("Cu", (1, 1, 3), vacuum=8.0)
    water.center(vacuum=6.0)
    assert not water.pbc.any()
    assert slab.pbc.tolist() == [True, True, False]
    structures = check_structures([water, slab])
    assert [s.lattice.pbc for s in structures] == [(True, True, True)] * 2


def test_decorated_species_equal_their_elements() -> None:
    decorated = NACL.copy()
    decorated.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    spins = NACL.copy()
    spins.add_spin_by_element({"Na": 5})
    for other in (decorated, spins):
        np.testing.assert_array_equal(
            structure_arrays(other).numbers, structure_arrays(NACL).numbers
        )
        assert structure_key(other) == structure_key(NACL)


def test_mixed_valence_is_one_element() -> None:
    assert structure_arrays(two_sites({"Fe2+": 0.5, "Fe3+": 0.5}, "O")).numbers.tolist() == [26, 8]


@pytest.mark.parametrize("hydrogen", ["D", "D+", {"H": 0.3, "D": 0.7}])
def test_deuterium_is_hydrogen(hydrogen: object) -> None:
    assert structure_arrays(two_sites("Li", hydrogen)).numbers.tolist() == [3, 1]


def test_every_element_of_the_table() -> None:
    for number in range(1, MAX_ATOMIC_NUMBER + 1):
        structure = Structure(Lattice.cubic(4), [Element.from_Z(number)], [[0, 0, 0]])
        assert structure_arrays(structure).numbers.tolist() == [number]
    with pytest.raises(StructureError, match=r"site 0 is Md \(Z = 101\)"):
        structure_arrays(Structure(Lattice.cubic(4), ["Md"], [[0, 0, 0]]))


# Arrays and keys -------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", [NACL, DIAMOND, CSCL, RUTILE])
def test_arrays(structure: Structure) -> None:
    arrays = structure_arrays(structure)
    assert isinstance(arrays, StructureArrays)
    assert [a.dtype for a in arrays] == [np.float64, np.int64, np.float64]
    assert all(a.flags.c_contiguous and a.flags.aligned for a in arrays)
    np.testing.assert_array_equal(arrays.lattice, structure.lattice.matrix)
    np.testing.assert_array_equal(arrays.numbers, structure.atomic_numbers)
    np.testing.assert_array_equal(arrays.frac_coords, structure.frac_coords)


def test_key_does_not_change_with_use() -> None:
    structure = RUTILE.copy()
    key = structure_key(structure)
    assert len(key) == 16
    structure.get_all_neighbors(5.0)
    structure.get_space_group_info()
    structure.composition, structure.distance_matrix, structure.cart_coords  # noqa: B018
    structure.add_site_property("magmom", [1.0] * len(structure))
    copies = [copy.deepcopy(structure), pickle.loads(pickle.dumps(structure))]
    copies += [Structure.from_dict(structure.as_dict()), IStructure.from_sites(structure.sites)]
    for other in [structure, structure_arrays(structure), *copies]:
        assert structure_key(other) == key


def test_key_is_fixed() -> None:
    """Keys go into files: another value would be another format."""
    assert structure_key(CSCL).hex() == "1829714e4f86d344da1ab43408a422f8"


def test_key_tells_structures_apart() -> None:
    moved = CSCL.copy()
    moved.translate_sites([1], [1e-6, 0, 0], to_unit_cell=False)
    others = [
        two_sites("Cs", "Br", CSCL.lattice),
        two_sites("Cl", "Cs", CSCL.lattice),
        CSCL.copy().scale_lattice(70.0),
        CSCL.copy().make_supercell([2, 1, 1]),
        moved,
    ]
    assert len({structure_key(s) for s in [CSCL, *others]}) == 6


def test_key_takes_zeros_as_one() -> None:
    negative = two_sites("Cs", "Cl", CSCL.lattice, [[-0.0, 0.0, -0.0], [0.5, 0.5, 0.5]])
    assert structure_key(negative) == structure_key(CSCL)


@settings(max_examples=40, deadline=None)
@given(
    numbers=st.lists(st.integers(1, 100), min_size=1, max_size=8),
    length=st.floats(3.0, 20.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_arrays_and_key_hold_what_went_in(numbers: list[int], length: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    frac_coords = generator.uniform(-2, 2, (len(numbers), 3))
    lattice = length * np.eye(3) + generator.uniform(-0.5, 0.5, (3, 3))
    structure = Structure(lattice, numbers, frac_coords)
    arrays = structure_arrays(structure)
    np.testing.assert_array_equal(arrays.numbers, numbers)
    np.testing.assert_array_equal(arrays.frac_coords, frac_coords)
    assert structure_key(structure) == structure_key(arrays) == structure_key(structure.copy())
    nudged = frac_coords.copy()
    nudged[-1, -1] = np.nextafter(nudged[-1, -1], 3)
    assert structure_key(arrays._replace(frac_coords=nudged)) != structure_key(arrays)


@settings(max_examples=40, deadline=None)
@given(order=st.permutations([0, 1, 2, 3, 4]), size=st.integers(0, 5))
def test_good_rows_survive_bad_ones(order: list[int], size: int) -> None:
    kinds = [NACL, None, CSCL, two_sites({"Fe": 0.5}, "O"), DIAMOND]
    rows = [kinds[i] for i in order[:size]]
    for i, (row, item) in enumerate(zip(rows, iter_structures(rows), strict=True)):
        if row in (NACL, CSCL, DIAMOND):
            assert item is row
        else:
            assert isinstance(item, StructureError)
            assert str(item).startswith(f"structures[{i}]")


# What is refused -------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")

BAD_STRUCTURES = {
    "empty": (Structure(Lattice.cubic(3), [], []), "has no sites"),
    "disordered": (
        two_sites("O", {"Fe": 0.5, "Co": 0.5}),
        r"\(.*\): site 1 has partial occupancy \(Fe 0.5, Co 0.5\); order the structure first",
    ),
    "vacant": (
        two_sites("O", {"Fe2+": 0.9}),
        r"site 1 has partial occupancy \(Fe2\+ 0.9, vacant 0.1\)",
    ),
    "dummy": (
        two_sites("O", DummySpecies("X", 0)),
        r"\(XO\): site 1 holds the dummy species X.*no element",
    ),
    "half dummy": (two_sites("O", {DummySpecies("Q"): 0.5, "Fe": 0.5}), "site 1 .*dummy species Q"),
    "heavy": (two_sites("O", "Lr"), r"\(LrO\): site 1 is Lr \(Z = 103\).*Z = 1 to 100"),
    "heavy ion": (two_sites("O", "Lr3+"), r"site 1 is Lr3\+ \(Z = 103\)"),
    "nan": (
        two_sites("O", "Fe", coords=[[0, 0, 0], [0.5, NAN, 0.5]]),
        r"\(FeO\): site 1 has fractional coordinates \[0.5, nan, 0.5\]",
    ),
    "inf": (two_sites("O", "Fe", coords=[[0, 0, -INF], [0.5, 0, 0.5]]), "site 0 .*-inf.*finite"),
    "nan cell": (
        two_sites("O", "Fe", Lattice([[3, 0, 0], [0, NAN, 0], [0, 0, 3]])),
        r"the lattice \[\[3, 0, 0\], \[0, nan, 0\], \[0, 0, 3\]\] is not finite",
    ),
    "singular": (
        two_sites("O", "Fe", Lattice([[3, 0, 0], [0, 3, 0], [3, 3, 0]])),
        r"the lattice \[\[3, 0, 0\], \[0, 3, 0\], \[3, 3, 0\]\] is singular.*volume is 0 Å³",
    ),
    "tiny cell": (two_sites("O", "Fe", Lattice.cubic(0.3)), "too small: its volume is 0.027 Å³"),
    "molecule": (Molecule(["O", "H"], [[0, 0, 0], [0, 0, 1]]), "Molecule .*get_boxed_structure"),
    "atoms without cell": (
        molecule("H2O"),
        r"\(H2O\): the lattice .*pbc=\[False, False, False\].*atoms.center\(vacuum=10.0\)",
    ),
    "slab without box": (
        Atoms("Cu", cell=[3, 3, 0], pbc=[True, True, False]),
        r"\(Cu\): the lattice .*pbc=\[True, True, False\].*atoms.center",
    ),
    "no atoms": (Atoms(), "has no sites"),
    "dummy atom": (Atoms("CuX", cell=[3, 3, 3], pbc=True), "site 1 holds the dummy species X"),
    "nan atoms": (Atoms("Cu", [[0, NAN, 0]], cell=[3, 3, 3], pbc=True), "site 0 has fractional"),
    "nan atoms cell": (Atoms("Cu", cell=[3, 3, NAN], pbc=True), "the lattice .*not finite"),
    "None": (None, "is None, a missing value"),
    "nan row": (NAN, "is nan, a missing value"),
    "NA": (pd.NA, "is <NA>, a missing value"),
    "site": (NACL[0], "PeriodicSite.*NumPy takes structures apart"),
    "dict": ({"a": 1}, "no structure, or not one only; .* got one with the keys 'a'"),
    "pair": ((NACL, 0), "a pair; give the structure alone"),
    "number": (3, "of type int; allowed is a pymatgen Structure, ASE Atoms, or the path"),
    "nested": ([NACL], "of type list; allowed is"),
}


@pytest.mark.parametrize("case", BAD_STRUCTURES)
def test_bad_structure(case: str) -> None:
    structure, words = BAD_STRUCTURES[case]
    with pytest.raises(ValueError, match=r"^structures\[2\].*" + words) as caught:
        check_structures([NACL, CSCL, structure])
    assert isinstance(caught.value, StructureError)
    with pytest.raises(StructureError, match=r"^sites\[1\].*" + words):
        check_sites([(NACL, 0), (structure, 0)])
    items = list(iter_structures([structure, NACL]))
    assert isinstance(items[0], StructureError)
    assert items[1] is NACL


@pytest.mark.parametrize("case", ["disordered", "heavy", "nan", "singular", "empty"])
def test_arrays_and_key_check_too(case: str) -> None:
    structure, words = BAD_STRUCTURES[case]
    for function in (structure_key, structure_arrays):
        with pytest.raises(StructureError, match="structure.*" + words) as caught:
            function(structure)
        assert (caught.value.row, caught.value.source) == (None, None)
        assert caught.value.formula == (structure.reduced_formula if len(structure) else None)


def test_missing_file() -> None:
    for kind in (FileNotFoundError, MissingFileError, ValueError):
        with pytest.raises(kind, match=r"structures\[1\] 'no/where.cif': there is no such file"):
            check_structures([NACL, "no/where.cif"])


@pytest.mark.parametrize(
    ("text", "is_formula"),
    [("NaCl", True), ("Ca(OH)2", True), ("Fe2.5O3", True), ("NaCl.cif", False), ("what", False)],
)
def test_a_formula_is_no_structure(text: str, is_formula: bool) -> None:
    with pytest.raises(MissingFileError) as caught:
        check_structures([text])
    assert ("a formula alone is not enough" in str(caught.value)) == is_formula


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "bad.cif").write_text("no crystal")
    (tmp_path / "what.ever").write_text("no crystal")
    for name, words in {"bad.cif": "no readable CIF .line 1", "what.ever": "Unrecog"}.items():
        with pytest.raises(OSError, match=rf"structures\[0\] '.*{name}': .*{words}") as caught:
            check_structures([tmp_path / name])
        assert isinstance(caught.value, StructureFileError)
        assert caught.value.__context__ is None  # keeps nothing of the reader alive
    with pytest.raises(StructureFileError, match="is a folder.*read_structures"):
        check_structures([str(tmp_path)])


def test_disordered_file_is_named_with_its_formula(tmp_path: Path) -> None:
    two_sites({"Fe": 0.5, "Co": 0.5}, "O").to(filename=str(tmp_path / "mixed.cif"))
    words = r"structures\[0\] '.*mixed.cif' \(.*\): sites Fe0 and Co1 .* partial"
    with pytest.raises(StructureError, match=words):
        check_structures([tmp_path / "mixed.cif"])


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (None, "is None; give a list"),
        (NACL, r"is one Structure \(NaCl\) where a list belongs; give \[structure"),
        (bulk("Cu"), "is one Atoms where a list"),
        (Molecule(["O"], [[0, 0, 0]]), "is one Molecule where a list"),
        ("a.cif", r"is one str \('a.cif'\) where a list"),
        (Path("a.cif"), r"Path \('a.cif'\) where a list"),
        (np.array([NACL, NACL], dtype=object), r"shape \(2, 8\) .* holds sites; NumPy takes"),
        (np.array([CSCL[:1]], dtype=object), r"shape \(1, 1\) .* holds sites"),
        (np.zeros((4, 3)), r"shape \(4, 3\) and dtype float64; allowed is an object array"),
        (np.zeros(4), r"shape \(4,\) and dtype float64"),
        ({"a": NACL}, "of type dict; allowed is a list"),
        ({"a.cif"}, "of type set; allowed is a list"),
        (7, "of type int; allowed is a list"),
        (pd.DataFrame({"s": [NACL], "y": [1]}), "columns 's', 'y'; choose the one column"),
    ],
)
def test_bad_container_is_refused_at_once(container: object, words: str) -> None:
    with pytest.raises(StructureError, match="^structures.*" + words):
        iter_structures(container)


def test_errors_are_handed_on_and_keep_no_frames() -> None:
    item = next(iter_structures([StructureError("broken before")]))
    assert str(item) == "broken before"
    structure = two_sites({"Fe": 0.5}, "O")
    error = next(iter_structures(iter([structure])))
    assert error.__traceback__ is None
    gone = weakref.ref(structure)
    del structure
    assert gone() is None


# Sites -----------------------------------------------------------------------------------------

PAIRS = [(NACL, 0), (NACL, 7), (CSCL, 1)]


@pytest.mark.parametrize(
    "container",
    [
        PAIRS,
        tuple(PAIRS),
        [list(pair) for pair in PAIRS],
        (pair for pair in PAIRS),
        pd.Series(PAIRS),
        object_array(PAIRS),
        pd.DataFrame({"structure": [NACL, NACL, CSCL], "site_index": [0, 7, 1]}),
        pd.DataFrame({"structure": [NACL, NACL, CSCL], "site_index": [0, 7, 1]}).to_numpy(),
        [(NACL, np.int64(0)), (NACL, np.uint8(7)), (CSCL, np.int32(1))],
    ],
    ids=["list", "tuple", "lists", "generator", "series", "objects", "frame", "array", "numpy"],
)
def test_sites(container: object) -> None:
    checked = check_sites(container)
    assert [index for _, index in checked] == [0, 7, 1]
    assert all(type(index) is int for _, index in checked)
    assert [structure for structure, _ in checked] == [NACL, NACL, CSCL]


def test_sites_of_atoms_and_files(tmp_path: Path) -> None:
    CSCL.to(filename=str(tmp_path / "CsCl.cif"))
    checked = check_sites([(bulk("Cu"), 0), (tmp_path / "CsCl.cif", 1)])
    assert [structure.reduced_formula for structure, _ in checked] == ["Cu", "CsCl"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((NACL, 8), r"\(NaCl\): site index 8 is out of range; allowed is 0 to 7 \(8 sites"),
        ((bulk("Cu"), 1), r"\(Cu\): site index 1 is out of range; allowed is 0 \(1 site,"),
        ((NACL, -1), "site index -1 is negative; allowed is 0 to 7"),
        ((NACL, 1.0), "site index 1.0 is of type float"),
        ((NACL, True), "site index True is of type bool"),
        ((NACL, np.bool_(True)), "is of type bool"),
        ((NACL, None), "site index None is of type NoneType"),
        ((NACL, "0"), "site index '0' is of type str"),
        ((NACL,), "is of type tuple; allowed is a pair"),
        ((NACL, 0, 1), "is of type tuple; allowed is a pair"),
        (NACL, r"is of type Structure \(NaCl\); allowed is a pair"),
        (None, "is of type NoneType; allowed is a pair"),
    ],
)
def test_bad_site(row: object, words: str) -> None:
    with pytest.raises(ValueError, match=r"^sites\[1\].*" + words):
        check_sites([(NACL, 0), row])
    good = list(iter_sites([row, (NACL, 0)]))[1]
    assert good == (NACL, 0)


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ((NACL, 0), "one pair where a list of pairs belongs"),
        ([NACL, 3], "one pair where a list of pairs belongs"),
        (NACL, "is one Structure"),
        (None, "is None"),
        (np.array([NACL, NACL], dtype=object), "holds sites"),
        (np.zeros((3, 2)), "dtype float64; allowed is an object array .* a pair"),
        (object_array(PAIRS).reshape(3, 1), r"shape \(3, 1\)"),
        (pd.DataFrame({"structure": [NACL]}), "columns 'structure'; choose two"),
        (pd.DataFrame({"a": [NACL], "b": [1], "c": [2]}), "columns 'a', 'b', 'c'; choose two"),
    ],
)
def test_bad_container_of_sites(container: object, words: str) -> None:
    with pytest.raises(StructureError, match="^sites .*" + words):
        iter_sites(container)


# Overlapping atoms, found by whoever knows the distances ----------------------------------------


def test_overlap_error() -> None:
    error = overlap_error(NACL.atomic_numbers, 0, 4, 0.123456).at(row=3)
    assert isinstance(error, StructureError)
    assert str(error).startswith("structures[3] (NaCl): sites 0 (Na) and 4 (Cl) are 0.123 Å apart")
    own = str(overlap_error(np.array([11, 17]), 1, 1, 0.2))
    assert "(NaCl): site 1 (Cl) and its own periodic image are 0.2 Å" in own
    assert "correct the lattice" in own


@pytest.mark.parametrize(
    "lattice",
    [np.eye(3) * 1e20, np.eye(3) * 1e5, [[4, 0, 0], [0, 4, 0], [1e10, 0, 4]]],
)
def test_lattices_that_are_too_large(lattice: np.ndarray) -> None:
    with pytest.raises(StructureError, match=r"too large: allowed are 1e\+09 Å in a vector"):
        structure_arrays(Structure(Lattice(lattice), ["Na"], [[0, 0, 0]]))


def test_long_and_skewed_lattices_are_allowed() -> None:
    for lattice in ([[4, 0, 0], [0, 4, 0], [0, 0, 1e4]], [[4, 0, 0], [4e6, 4, 0], [4e6, 4e6, 4]]):
        structure = Structure(Lattice(lattice), ["Na"], [[0, 0, 0]])
        assert len(structure_arrays(structure).numbers) == 1
