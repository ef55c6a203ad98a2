"""The tight-binding model of electrons: its invariances, and values that are known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure
from threadpoolctl import threadpool_info

from ssatom import StructureError
from ssatom.electrons import (
    COMPOSITION_NAMES,
    CRYSTAL_NAMES,
    SITE_NAMES,
    descriptors,
    electronic_descriptors,
)
from ssatom.electrons.atoms import atom_table
from ssatom.electrons.bands import compute_bands, primitive
from ssatom.electrons.hoppings import hopping_blocks
from ssatom.electrons.oxidation import composition_columns, guess_charges
from ssatom.embeddings import POOLINGS
from ssatom.structures import StructureArrays, structure_arrays


def salt(a: float, *elements: str) -> Structure:
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(a), list(elements), [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


def rutile() -> Structure:
    return Structure.from_spacegroup(
        "P4_2/mnm",
        Lattice.tetragonal(4.594, 2.959),
        ["Ti", "O"],
        [[0, 0, 0], [0.305, 0.305, 0]],
    )


def wurtzite() -> Structure:
    return Structure.from_spacegroup(
        "P6_3mc",
        Lattice.hexagonal(3.25, 5.21),
        ["Zn", "O"],
        [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]],
    )


def crystal(structure: Structure) -> dict[str, float]:
    row = electronic_descriptors([structure]).crystals[0]
    return dict(zip(CRYSTAL_NAMES, row.tolist(), strict=True))


CRYSTALS = {"NaCl": salt(5.64, "Na", "Cl"), "TiN": salt(4.24, "Ti", "N"), "TiO2": rutile(),
            "ZnO": wurtzite()}  # fmt: skip


def rotation() -> np.ndarray:
    found, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    return found  # a rotation, or one with a reflection


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("change", ["rotated", "supercell", "primitive", "permuted", "moved"])
def test_invariances(name, change):
    first = CRYSTALS[name]
    order = np.arange(len(first))
    if change == "rotated":
        second = Structure(first.lattice.matrix @ rotation(), first.species, first.frac_coords)
    elif change == "supercell":
        second = first.make_supercell([[2, 1, 0], [0, 1, 0], [0, 0, 2]], in_place=False)
    elif change == "primitive":
        second = first.get_primitive_structure()
    elif change == "moved":
        second = first.copy().translate_sites(order.tolist(), [0.13, 0.57, 0.31])
    else:
        order = np.random.default_rng(1).permutation(order)
        second = Structure.from_sites([first[i] for i in order])
    found = electronic_descriptors([first, second])
    np.testing.assert_allclose(found.crystals[1], found.crystals[0], rtol=1e-5, atol=1e-5)
    ours, theirs = found.sites
    if len(theirs) == len(ours):
        np.testing.assert_allclose(theirs, ours[order], rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_allclose(theirs.mean(axis=0), ours.mean(axis=0), rtol=1e-5, atol=1e-5)


def test_far_atoms_keep_their_levels():
    helium = Structure(Lattice.cubic(15.0), ["He"], [[0, 0, 0]])
    row = dict(zip(SITE_NAMES, electronic_descriptors([helium]).sites[0][0], strict=True))
    assert row["filled_energy"] == pytest.approx(-24.587, abs=0.01)  # the ionization energy
    assert row["s_electrons"] == pytest.approx(2)
    assert row["charge"] == pytest.approx(0, abs=1e-6)
    flat = [row[f"s_{what}"] for what in ("width", "skew", "tail")]
    assert flat == pytest.approx([0, 0, 0], abs=1e-9)


def test_two_hydrogen_atoms():
    """Two levels of one orbital each, apart by twice the hopping −1.32 ħ²/m d²."""
    d = 0.62  # two covalent radii, where the hopping has not begun to fall
    cell = StructureArrays(
        15.0 * np.eye(3), np.array([1, 1]), np.array([[0, 0, 0], [d / 15, 0, 0]])
    )
    energies = compute_bands(cell).energies
    hopping = 1.32 * 7.62 / d**2
    np.testing.assert_allclose(energies, [[-13.598 - hopping, -13.598 + hopping]], atol=0.01)
    assert electronic_descriptors([cell]).crystals[0, 0] == pytest.approx(2 * hopping, abs=1e-6)


def test_blocks_are_those_of_slater_and_koster():
    """Along z, and for d at 3z²−r² along x; blocks of both directions are transposes."""
    table = atom_table()
    titanium = np.array([22])
    d = np.array([[0, 0, 2.5]])
    block = hopping_blocks(titanium, titanium, d, table)[0]
    h, ratio = 7.62 / 2.5**2, (table.d_radii[22] / 2.5) ** 1.5
    expected = {(0, 0): -1.32 * h, (0, 3): 1.42 * h, (3, 3): 2.22 * h, (1, 1): -0.63 * h,
                (0, 8): -3.16 * h * ratio, (3, 8): -2.95 * h * ratio, (1, 6): 1.36 * h * ratio,
                (8, 8): -16.2 * h * ratio**2, (5, 5): 8.75 * h * ratio**2, (4, 4): 0}  # fmt: skip
    for place, value in expected.items():
        assert block[place] == pytest.approx(value, abs=1e-12)
    along_x = hopping_blocks(titanium, titanium, d[:, [2, 0, 1]], table)[0]
    assert along_x[0, 8] == pytest.approx(3.16 * h * ratio / 2)
    pair = np.array([22]), np.array([8]), np.array([[0.7, -1.1, 1.2]])
    there = hopping_blocks(*pair, table)[0]
    back = hopping_blocks(pair[1], pair[0], -pair[2], table)[0]
    np.testing.assert_allclose(there, back.T, atol=1e-12)


def test_insulators_and_metals():
    gaps = [crystal(salt(a, *pair))["gap"] for a, *pair in
            ((4.03, "Li", "F"), (5.64, "Na", "Cl"), (6.46, "Pb", "Te"))]  # fmt: skip
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[1] > 3
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]])
    assert crystal(copper)["gap"] == 0


def test_electrons_are_all_there():
    for structure in CRYSTALS.values():
        sites = electronic_descriptors([structure]).sites[0]
        assert sites[:, 0].sum() == pytest.approx(0, abs=1e-6)
    assert electronic_descriptors([]).crystals.shape == (0, len(CRYSTAL_NAMES))
    columns = np.concatenate(electronic_descriptors(list(CRYSTALS.values())).sites)
    assert columns.shape[1] == len(SITE_NAMES)
    assert np.isfinite(columns).all()


def test_all_elements_have_levels():
    table = atom_table()
    assert (table.levels[1:, 0] < -3).all()
    assert (table.levels[1:, 0] > -45).all()
    assert (table.n_electrons[1:] > 0).all()
    assert (table.d_radii[21:31] > 0).all()


@pytest.mark.parametrize("with_oxygen", [False, True])
def test_every_element_has_finite_columns(with_oxygen):
    places = [[0, 0, 0], [0.5, 0.5, 0.5]][: 1 + with_oxygen]
    cells = [
        StructureArrays(3.4 * np.eye(3), np.array([z, 8][: len(places)]), np.array(places, float))
        for z in range(1, 101)
    ]
    found = electronic_descriptors(cells)
    for columns in (np.concatenate(found.sites), found.crystals, found.compositions):
        assert np.isfinite(columns).all()
        assert np.abs(columns).max() < 250  # the 12 electrons of Zn at 18 eV


def test_overlapping_atoms_are_refused():
    cell = salt(5.64, "Na", "Cl")
    cell.append("Cl", [0.5, 0.5, 0.51])
    with pytest.raises(StructureError, match=r"0\.0564 Å apart"):
        electronic_descriptors([cell])
    with pytest.raises(StructureError, match="its own periodic image"):
        electronic_descriptors([Structure(Lattice.cubic(0.5), ["Po"], [[0, 0, 0]])])


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("cells", [(1, 1, 1), (3, 1, 2), [[2, 1, 0], [0, 1, 0], [1, 0, 3]]])
def test_primitive_cells(name, cells):
    """The number of sites against formula units in the primitive cell; copies stay copies."""
    n_sites = {"NaCl": 2, "TiN": 2, "TiO2": 6, "ZnO": 4}[name]
    large = CRYSTALS[name].make_supercell(cells, in_place=False)
    cell, copy_of = primitive(structure_arrays(large))
    assert len(cell.numbers) == n_sites
    np.testing.assert_array_equal(cell.numbers[copy_of], structure_arrays(large).numbers)
    assert np.ptp(np.bincount(copy_of)) == 0
    volume = abs(np.linalg.det(cell.lattice)) / n_sites
    assert volume == pytest.approx(large.volume / len(large), rel=1e-9)


def test_displaced_atoms_make_a_cell_of_their_own():
    pair = salt(5.64, "Na", "Cl").get_primitive_structure()
    pair.make_supercell([2, 1, 1])
    pair.translate_sites([0], [0.003, 0, 0])
    assert len(primitive(structure_arrays(pair))[0].numbers) == 4


@pytest.mark.parametrize("name", CRYSTALS)
def test_small_displacements_move_columns_little(name):
    first = CRYSTALS[name].get_primitive_structure()
    second, third = first.copy(), first.copy()
    second.translate_sites([0], [0.005, 0.002, 0], frac_coords=False)
    third.translate_sites([0], [0.010, 0.004, 0], frac_coords=False)
    found = electronic_descriptors([first, second, third])
    kept = [i for i, name in enumerate(CRYSTAL_NAMES) if name[:7] not in ("valence", "conduct")]
    edges = [CRYSTAL_NAMES.index(f"{edge}_edge") for edge in ("valence", "conduction")]
    steps = np.abs(np.diff(found.crystals[:, kept + edges], axis=0))
    assert steps.max() < 0.05
    assert max(np.abs(np.diff([s.mean(axis=0) for s in found.sites], axis=0)).max(axis=1)) < 0.05


@pytest.mark.parametrize("name", ["NaCl", "TiO2", "ZnO"])
def test_a_displaced_supercell_of_an_insulator_jumps_little(name):
    first = CRYSTALS[name].get_primitive_structure()
    second = first.make_supercell([2, 1, 1], in_place=False)
    second.translate_sites([0], [0.005, 0.002, 0], frac_coords=False)
    gaps = electronic_descriptors([first, second]).crystals[:, 0]
    assert abs(gaps[1] - gaps[0]) < 0.5


@pytest.mark.parametrize(
    ("formula", "charges"),
    [
        ("TiO2", {"Ti": 4, "O": -2}),
        ("KMnO4", {"K": 1, "Mn": 7, "O": -2}),
        ("LiFePO4", {"Li": 1, "Fe": 2, "P": 5, "O": -2}),
        ("CsPbI3", {"Cs": 1, "Pb": 2, "I": -1}),
        ("GaAs", {"Ga": 3, "As": -3}),
        ("SiC", {"Si": 4, "C": -4}),
        ("Ni3Al", None),
        ("Fe3O4", None),  # one state an element
    ],
)
def test_charges_are_those_of_chemistry(formula, charges):
    composition = Composition(formula)
    elements = sorted(composition.elements, key=lambda element: element.Z)
    guess = guess_charges(
        tuple(e.Z for e in elements), tuple(int(composition[e]) for e in elements)
    )
    found = guess and {e.symbol: q for e, q in zip(elements, guess[0], strict=True)}
    assert found == charges


def test_charges_of_many_elements_take_bounded_time():
    many = tuple(range(21, 33)), (7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)
    assert guess_charges(*many) is None  # all states of metals are positive but few
    with_oxygen = (8, *many[0]), (400, *many[1])
    charges, _ = guess_charges(*with_oxygen)
    assert np.dot(charges, with_oxygen[1]) == 0


def test_only_columns_of_sites_are_named_after_poolings():
    """So that the blocks of a kernel can be told from names."""
    for name in (*CRYSTAL_NAMES, *COMPOSITION_NAMES):
        assert name.rsplit("_", 1)[-1] not in POOLINGS


def test_columns_of_compositions():
    row = dict(zip(COMPOSITION_NAMES, composition_columns(np.array([8, 22, 8])), strict=True))
    expected = {"largest_charge": 4, "smallest_charge": -2, "mean_charge": 4 / 3, "open_d": 0,
                "octet_surplus": 0, "octets_filled": 1, "odd_formula": 0, "unbalanced": 0,
                "valence_electrons": 16 / 3, "anion_ionization": 13.618}  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-3)
    zinc = composition_columns(np.array([30, 16, 30, 16]))  # two formula units
    np.testing.assert_array_equal(zinc, composition_columns(np.array([16, 30])))
    assert zinc[COMPOSITION_NAMES.index("closed_d")] == 0.5
    lead = composition_columns(np.array([82, 8]))
    assert lead[COMPOSITION_NAMES.index("lone_pair")] == 0.5


def test_blas_has_one_thread_within_and_its_own_after(crystals, monkeypatch):
    def n_threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    def note(cell):
        within.append(n_threads())
        return compute_bands(cell)

    within: list[set[int]] = []
    monkeypatch.setattr(descriptors, "compute_bands", note)
    before = n_threads()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda s: electronic_descriptors([s]), crystals.values()))
    assert within == [{1}] * len(crystals)
    assert n_threads() == before
