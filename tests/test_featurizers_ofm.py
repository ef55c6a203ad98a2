"""Orbital field matrices against matminer's and against what is known of simple lattices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from featurizer_cases import cesium_chloride, crystals, diamond, ni3al, rock_salt
from matminer.featurizers.structure import OrbitalFieldMatrix
from matminer.featurizers.structure.matrix import pmg_le
from numpy.testing import assert_allclose, assert_array_equal
from pymatgen.core import Element, Lattice, Structure
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion

from ssatom import (
    GraphEmbeddingFeaturizer,
    OrbitalFieldMatrixTransformer,
    SelfSupervisedSiteFeaturizer,
)
from ssatom.exceptions import StructureError
from ssatom.featurizers import _orbitals


def transform(rows: Any, **kwargs: Any) -> np.ndarray:
    return OrbitalFieldMatrixTransformer(**kwargs).fit_transform(rows)


def matrices(rows: Any, **kwargs: Any) -> np.ndarray:
    return transform(rows, **kwargs).reshape(len(rows), -1, 32)


def sites(structure: Structure) -> list[tuple[Structure, int]]:
    return [(structure, i) for i in range(len(structure))]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sites of the Voronoi searches made since the test began, with nothing cached."""
    _orbitals._CACHE.clear()
    made: list[int] = []
    search = pmg_le.VoronoiNN.get_nn_info

    def counted(self: Any, structure: Structure, n: int) -> Any:
        made.append(n)
        return search(self, structure, n)

    monkeypatch.setattr(pmg_le.VoronoiNN, "get_nn_info", counted)
    return made


def test_equals_matminer() -> None:
    theirs = [OrbitalFieldMatrix().featurize(structure) for structure in crystals()]
    assert_allclose(transform(crystals(), extra_row=None), theirs, rtol=1e-5, atol=1e-6)


def test_equals_matminer_where_symmetry_is_low() -> None:
    structure = ni3al() * [2, 1, 1]
    structure.perturb(0.1, seed=0)
    theirs = OrbitalFieldMatrix().featurize(structure)
    assert_allclose(transform([structure], extra_row=None)[0], theirs, rtol=1e-4, atol=1e-5)


def test_period_row_sums_the_period_tags_of_matminer() -> None:
    theirs = OrbitalFieldMatrix(period_tag=True).featurize(cesium_chloride()).reshape(39, 39)
    expected = np.arange(1, 8) @ theirs[32:, :32]
    assert_allclose(matrices([cesium_chloride()])[0, 32], expected, rtol=1e-5)


def test_names_are_those_of_matminer() -> None:
    plain = OrbitalFieldMatrixTransformer(extra_row=None).feature_labels()
    assert plain == OrbitalFieldMatrix().feature_labels()
    names = OrbitalFieldMatrixTransformer().feature_labels()
    assert names[:1024] == plain
    assert names[1024] == "OFM: period - s^1"
    assert OrbitalFieldMatrixTransformer(extra_row="center").feature_labels()[-1] == (
        "OFM: center - f^14"
    )


@pytest.mark.parametrize(
    ("extra_row", "length"), [("period", 1056), ("center", 1056), (None, 1024)]
)
@pytest.mark.parametrize("level", ["structure", "site"])
def test_lengths(extra_row: str | None, length: int, level: str) -> None:
    rows = crystals() if level == "structure" else sites(ni3al())
    assert transform(rows, level=level, extra_row=extra_row).shape == (4, length)


def test_sodium_in_rock_salt_sees_the_shells_of_chlorine() -> None:
    [sodium] = matrices([(rock_salt(), 0)], level="site", extra_row="center")
    s1, s2, p5 = 0, 1, 6
    assert set(zip(*(x.tolist() for x in np.nonzero(sodium[:32])), strict=True)) == {
        (s2, s1),  # rows: chlorine's 3s² and 3p⁵; column: sodium's 3s¹
        (p5, s1),
    }
    assert_array_equal(np.flatnonzero(sodium[32]), [s1])
    assert sodium[32, s1] == 1.0
    # Six equal faces at a/2 share the solid angle; weights are relative to the largest face.
    assert sodium[s2, s1] == pytest.approx(6 / (5.64 / 2 * 1.8897261), rel=1e-3)


def test_neighbours_of_chlorine_in_rock_salt_are_of_the_third_period() -> None:
    [chlorine] = matrices([(rock_salt(), 1)], level="site", extra_row="period")
    assert_allclose(chlorine[32], 3 * chlorine[0], rtol=1e-6)


@pytest.mark.parametrize("make", [diamond, rock_salt, cesium_chloride, ni3al])
@pytest.mark.parametrize("extra_row", ["period", "center", None])
def test_a_structure_is_the_mean_of_its_sites(make: Any, extra_row: str | None) -> None:
    structure = make()
    of_sites = transform(sites(structure), level="site", extra_row=extra_row)
    [whole] = transform([structure], extra_row=extra_row)
    assert_allclose(of_sites.mean(axis=0), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [diamond, rock_salt, cesium_chloride, ni3al])
def test_the_cell_does_not_matter(make: Any) -> None:
    structure = make()
    moved = structure.copy().translate_sites(range(len(structure)), [0.3, 0.1, 0.7])
    permuted = Structure.from_sites(structure.sites[::-1])
    cells = [structure, structure * [2, 1, 1], moved, permuted]
    features = transform(cells)
    assert_allclose(features, [features[0]] * 4, rtol=1e-4, atol=1e-5)


def test_oxidation_states_do_not_matter() -> None:
    decorated = rock_salt().add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    assert_array_equal(transform([decorated]), transform([rock_salt()]))


def test_equal_sites_are_searched_once(searches: list[int]) -> None:
    transform([rock_salt() * [2, 2, 1]])
    assert len(searches) == 2


def test_what_was_computed_is_kept(searches: list[int]) -> None:
    for extra_row in ("period", "center", None):
        transform([ni3al(), ni3al()], extra_row=extra_row)
        transform(sites(ni3al()), level="site", extra_row=extra_row)
    assert len(searches) == 2


def test_only_the_sites_asked_for_are_searched(searches: list[int]) -> None:
    transform([(ni3al(), 3)], level="site")
    assert len(searches) == 1


@pytest.mark.parametrize("number", [95, 100])
def test_elements_past_the_table_are_named(number: int) -> None:
    element = Element.from_Z(number).symbol
    structure = Structure(Lattice.cubic(5.0), ["O", element], [[0, 0, 0], [0.5, 0.5, 0.5]])
    allowed = r"allowed are H \(Z=1\) to Pu \(Z=94\)"
    with pytest.raises(StructureError, match=rf"site 1 is {element} \(Z={number}\).*{allowed}"):
        transform([rock_salt(), structure])
    with pytest.raises(StructureError, match=rf"sites\[0\].*{element}"):
        transform([(structure, 0)], level="site")


def test_the_heaviest_element_of_the_table() -> None:
    assert np.isfinite(transform([Structure(Lattice.cubic(4.6), ["Pu"], [[0, 0, 0]])])).all()


def test_lone_atoms_and_layers() -> None:
    lone = Structure(Lattice.cubic(20.0), ["Ar"], [[0, 0, 0]])
    lattice = Lattice.hexagonal(2.46, 30.0)
    layer = Structure(lattice, ["C", "C"], [[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
    features = transform([lone, layer])
    assert np.isfinite(features).all()
    assert (features.sum(axis=1) > 0).all()


def test_no_voronoi_cell_is_a_bad_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("max cutoff exceeded\nand more")

    _orbitals._CACHE.clear()
    monkeypatch.setattr(pmg_le.VoronoiNN, "get_nn_info", fail)
    with pytest.raises(StructureError, match=r"structures\[0\] \(C\).*site 0 \(max cutoff exceede"):
        transform([diamond()])


def test_symmetry_may_stay_unknown(monkeypatch: pytest.MonkeyPatch, searches: list[int]) -> None:
    monkeypatch.setattr(_orbitals.spglib, "get_symmetry_dataset", lambda *a, **k: None)
    features = transform([diamond()])
    assert len(searches) == 2
    monkeypatch.undo()
    _orbitals._CACHE.clear()
    assert_allclose(features, transform([diamond()]), rtol=1e-5, atol=1e-6)


def test_clones_where_that_of_matminer_cannot() -> None:
    with pytest.raises(AttributeError, match="period_tag"):
        clone(OrbitalFieldMatrix(period_tag=True))
    assert clone(OrbitalFieldMatrixTransformer(extra_row=None)).extra_row is None


def test_orbital_field_matrices_beside_graph_embeddings() -> None:
    ge = GraphEmbeddingFeaturizer(layers="012", weights="random")
    union = FeatureUnion([("ofm", OrbitalFieldMatrixTransformer()), ("ge", ge)])
    assert union.fit_transform(crystals()).shape == (4, 1056 + 3 * 64)


def test_sites_beside_self_supervised_ones() -> None:
    union = FeatureUnion(
        [
            ("ofm", OrbitalFieldMatrixTransformer(level="site")),
            ("ne", SelfSupervisedSiteFeaturizer(layers="01", weights="random")),
        ]
    )
    assert union.fit_transform(sites(ni3al())).shape == (4, 1056 + 2 * 64)
