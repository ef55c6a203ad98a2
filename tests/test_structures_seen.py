"""A second look at a structure: the same arrays as long as nothing has changed."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pymatgen.core import IStructure, Lattice, PeriodicSite, Structure, SymmOp

from ssatom import graph_embeddings
from ssatom.embeddings import clear_cache
from ssatom.exceptions import StructureError
from ssatom.structures import SEEN, StructureArrays, iter_arrays, structure_arrays, structure_key
from ssatom.structures._arrays import FixedArrays
from ssatom.structures._seen import SeenStructures, look_at


def rutile() -> Structure:
    lattice = Lattice.tetragonal(4.594, 2.959)
    return Structure.from_spacegroup(
        "P4_2/mnm", lattice, ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )


def assert_current(structure: IStructure) -> None:
    arrays = structure_arrays(structure)
    np.testing.assert_array_equal(arrays.lattice, structure.lattice.matrix)
    np.testing.assert_array_equal(arrays.frac_coords, [site.frac_coords for site in structure])
    assert arrays.numbers.tolist() == [site.species.elements[0].Z for site in structure]
    plain = StructureArrays(*(array.copy() for array in arrays))
    assert structure_key(structure) == structure_key(arrays) == structure_key(plain)


def edit_matrix(structure: Structure) -> None:
    matrix = structure.lattice.matrix
    matrix.setflags(write=True)
    matrix[0, 0] += 0.1


def set_item(structure: Structure, value: object) -> None:
    structure[0] = value


def swap(structure: Structure) -> None:
    structure.sites[0], structure.sites[-1] = structure.sites[-1], structure.sites[0]


CHANGES: dict[str, Callable[[Structure], object]] = {
    "element of a site": lambda s: set_item(s, "Fe"),
    "site by element and place": lambda s: set_item(s, ("Fe", [0.1, 0.1, 0.1])),
    "species": lambda s: setattr(s[0], "species", "Fe"),
    "sites translated": lambda s: s.translate_sites([0], [0.1, 0, 0]),
    "coordinates in place": lambda s: s[0].frac_coords.__iadd__(0.01),
    "one bit of a coordinate": lambda s: np.nextafter(s[2].frac_coords, 1, out=s[2].frac_coords),
    "coordinates set": lambda s: setattr(s[0], "frac_coords", [0.1, 0, 0]),
    "Cartesian coordinates set": lambda s: setattr(s[0], "coords", [0.1, 0, 0]),
    "a": lambda s: setattr(s[0], "a", 0.1),
    "x": lambda s: setattr(s[0], "x", 0.1),
    "lattice": lambda s: setattr(s, "lattice", Lattice.cubic(5)),
    "lattice in place": edit_matrix,
    "scaled": lambda s: s.scale_lattice(70.0),
    "strained": lambda s: s.apply_strain(0.02),
    "operation": lambda s: s.apply_operation(SymmOp.from_axis_angle_and_translation([1, 0, 0], 9)),
    "appended": lambda s: s.append("Fe", [0.5, 0, 0]),
    "inserted": lambda s: s.insert(0, "Fe", [0.5, 0, 0]),
    "removed": lambda s: s.remove_sites([0]),
    "deleted": lambda s: s.__delitem__(0),
    "species removed": lambda s: s.remove_species(["Ti"]),
    "species replaced": lambda s: s.replace_species({"O": "S"}),
    "perturbed": lambda s: s.perturb(0.1),
    "rotated": lambda s: s.rotate_sites([2, 3], 0.3, [0, 0, 1], [0.1, 0.2, 0]),
    "supercell": lambda s: s.make_supercell(2),
    "sorted": lambda s: s.sort(reverse=True),
    "sites swapped": swap,
    "sites set": lambda s: setattr(s, "sites", s.sites[::-1]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_noticed(change: Callable[[Structure], object]) -> None:
    structure = rutile()
    before = structure_arrays(structure)
    assert structure_arrays(structure) is before
    values = [array.copy() for array in before]
    change(structure)
    after = structure_arrays(structure)
    assert after is not before
    assert structure_key(after) != structure_key(before)
    assert_current(structure)
    assert structure_arrays(structure) is after
    for array, value in zip(before, values, strict=True):
        np.testing.assert_array_equal(array, value)


def test_charges_change_nothing() -> None:
    structure = rutile()
    key = structure_key(structure)
    structure.add_oxidation_state_by_element({"Ti": 4, "O": -2})
    assert structure_key(structure) == key
    structure[0] = "Zr4+"
    assert structure_arrays(structure).numbers[0] == 40


def bad_coordinate(structure: Structure) -> None:
    structure[1].frac_coords[0] = np.nan


@pytest.mark.parametrize(
    "change",
    [
        bad_coordinate,
        lambda s: set_item(s, {"Fe": 0.5, "Co": 0.5}),
        lambda s: set_item(s, "X"),
        lambda s: setattr(s.lattice, "pbc", (True, True, False)),
        lambda s: setattr(s, "lattice", Lattice(np.ones((3, 3)))),
        lambda s: s.remove_sites(range(6)),
    ],
)
def test_a_structure_that_became_bad_is_refused(change: Callable[[Structure], object]) -> None:
    structure = rutile()
    good = structure.copy()
    key = structure_key(structure)
    change(structure)
    for _ in range(2):
        with pytest.raises(StructureError):
            structure_arrays(structure)
    [row] = iter_arrays([structure])
    assert isinstance(row, StructureError)
    structure.lattice, structure.sites = Lattice(good.lattice.matrix), good.sites
    assert structure_key(structure) == key


def test_coordinates_that_are_not_contiguous() -> None:
    strided = np.linspace(0, 0.5, 6)[::2]
    structure = Structure.from_sites([PeriodicSite("Po", strided, Lattice.cubic(3.35))])
    structure[0]._frac_coords = strided
    before = structure_arrays(structure)
    assert structure_arrays(structure) is before
    strided[1] += 0.1
    assert structure_arrays(structure) is not before
    assert_current(structure)


def test_copies_are_independent() -> None:
    structure = rutile()
    key = structure_key(structure)
    copies = [structure.copy(), copy.copy(structure), copy.deepcopy(structure)]
    for other in [*copies, pickle.loads(pickle.dumps(structure))]:
        assert structure_key(other) == key
        other[0] = "Fe"
        assert structure_arrays(other).numbers[0] == 26
        assert_current(structure)
    frozen = IStructure.from_sites(rutile().sites)
    assert structure_arrays(frozen) is structure_arrays(frozen)
    frozen[0].frac_coords[0] += 0.25
    assert_current(frozen)


def test_structures_that_use_the_id_of_a_dead_one() -> None:
    ids = set()
    for i in range(500):
        structure = Structure(Lattice.cubic(4), [1 + i % 90], [[i / 1000, 0, 0]])
        assert_current(structure)
        ids.add(id(structure))
        del structure
    assert len(ids) < 500
    a, b = rutile(), rutile()
    seen = SeenStructures()
    seen.put(a, look_at(a), structure_arrays(a))
    seen._entries[id(b)] = seen._entries[id(a)]
    assert seen.get(a, look_at(a)) is structure_arrays(a)
    assert seen.get(b, look_at(b)) is None


def test_memory_is_bounded_and_dead_structures_leave_it() -> None:
    seen = SeenStructures(max_bytes=5000)
    crystals = [rutile() for _ in range(10)]
    for crystal in crystals:
        seen.put(crystal, look_at(crystal), structure_arrays(crystal))
        assert seen.n_bytes <= 5000
    assert len(seen) == 4
    assert seen.get(crystals[-1], look_at(crystals[-1])) is not None
    assert seen.get(crystals[0], look_at(crystals[0])) is None
    large = rutile() * (3, 3, 3)
    last = rutile()
    del crystals, crystal
    gc.collect()
    seen.put(last, look_at(last), structure_arrays(last))
    assert len(seen) == 1
    seen.put(large, look_at(large), structure_arrays(large))
    assert len(seen) == 0
    assert seen.n_bytes == 0


def test_arrays_cannot_be_written_to_unless_copied() -> None:
    arrays = structure_arrays(rutile())
    key = structure_key(arrays)
    for array in arrays:
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)
    changed = arrays._replace(numbers=np.full(6, 8))
    for other in (changed, pickle.loads(pickle.dumps(arrays)), copy.deepcopy(arrays)):
        assert not isinstance(other, FixedArrays)
        other.numbers[0] = 9
        assert structure_key(other) != key
    assert structure_key(arrays) == key


def test_threads() -> None:
    shared = [rutile().apply_strain(0.001 * i) for i in range(50)]
    keys = [structure_key(s.copy()) for s in shared]

    def look(seed: int) -> bool:
        own = rutile()
        good = True
        for i, (structure, key) in enumerate(zip(shared, keys, strict=True)):
            own[0].frac_coords[0] = (seed + i) / 1000
            good &= structure_arrays(own).frac_coords[0, 0] == (seed + i) / 1000
            good &= structure_key(structure) == key
        return good

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, range(100)))


def test_embeddings_follow_a_change() -> None:
    structure = rutile()
    first = graph_embeddings([structure])
    structure.replace_species({"O": "S"})
    second = graph_embeddings([structure])
    assert np.abs(second - first).max() > 0.01
    clear_cache()
    assert len(SEEN) == 0
    np.testing.assert_array_equal(graph_embeddings([structure]), second)
