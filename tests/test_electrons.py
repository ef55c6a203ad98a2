"""The tight-binding model of electrons: its invariances, and values that are known."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from ssatom.electrons import electronic_descriptors
from ssatom.electrons.atoms import atom_table
from ssatom.electrons.bands import compute_bands
from ssatom.electrons.descriptors import CRYSTAL_NAMES, SITE_NAMES
from ssatom.electrons.hoppings import hopping_blocks
from ssatom.structures import StructureArrays


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
    assert row["s_width"] == pytest.approx(0, abs=1e-6)


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
