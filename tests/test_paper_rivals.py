"""The rivals: known values, invariances, and rows for which they do not exist."""

from __future__ import annotations

import importlib.util
import pickle

import numpy as np
import pytest
from matminer.featurizers.composition import ElementFraction
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation
from test_paper_datasets import dataset_of

from ssatom.elements import PROPERTIES, property_table
from studies.features import available, find, rival_features
from studies.rivals import BOHR, MAX_SITES, RADII, SITE_RIVALS, STRUCTURE_RIVALS, WIDTH, features_of

NAMES = ["NaCl", "Mg", "TiO2", "SrTiO3"]
MATRICES = ["SM", "ESM", "CM"]
PERIODIC = [rival for rival in STRUCTURE_RIVALS if rival.label not in ("CM", "OFM")]
CUBIC = 2.8372974795  # Madelung constant of a simple cubic lattice in a neutralizing background
CESIUM_CHLORIDE = 1.7626747731  # that of CsCl, by the nearest distance


def of(label: str, rows: list, level: str = "structure") -> np.ndarray:
    rival = find(STRUCTURE_RIVALS if level == "structure" else SITE_RIVALS, label)
    if rival.needs and importlib.util.find_spec(rival.needs) is None:
        pytest.skip(f"{rival.needs} is not installed")
    return np.array(features_of(rival, rows))


@pytest.mark.parametrize("rival", STRUCTURE_RIVALS, ids=lambda rival: rival.label)
def test_crystals_have_different_features(crystals, rival):
    X = of(rival.label, [crystals["CsCl"], crystals["TiO2"]])
    assert X.dtype == np.float32
    assert np.isfinite(X).all()
    assert not np.allclose(X[0], X[1])
    assert pickle.loads(pickle.dumps(rival)) == rival  # for other processes


@pytest.mark.parametrize("rival", SITE_RIVALS, ids=lambda rival: rival.label)
def test_sites_have_different_features(crystals, rival):
    X = of(rival.label, [(crystals["TiO2"], 0), (crystals["TiO2"], 5)], "site")
    assert np.isfinite(X).all()
    assert not np.allclose(X[0], X[1])


@pytest.mark.parametrize("rival", PERIODIC, ids=lambda rival: rival.label)
@pytest.mark.parametrize("name", NAMES)
def test_rotation_origin_and_order_do_not_matter(crystals, rival, name):
    structure = crystals[name]
    rng = np.random.default_rng(0)
    turned = Structure(
        structure.lattice.matrix @ Rotation.random(rng=0).as_matrix().T,
        structure.species,
        structure.frac_coords,
    )
    shifted = structure.copy().translate_sites(range(len(structure)), [0.37, 0.81, 0.12])
    permuted = Structure.from_sites([structure[i] for i in rng.permutation(len(structure))])
    X = of(rival.label, [structure, turned, shifted, permuted])
    scale = np.abs(X[0]).max()
    for other in X[1:]:
        np.testing.assert_allclose(other, X[0], rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("label", MATRICES)
def test_eigenvalues_are_sorted_and_padded(crystals, label):
    X = of(label, [crystals["CsCl"], crystals["SrTiO3"]])
    assert X.shape == (2, MAX_SITES)
    assert (np.diff(np.abs(X)) <= 0).all()
    assert np.count_nonzero(X, axis=1).tolist() == [2, 5]


@pytest.mark.parametrize("label", MATRICES)
def test_large_structures_have_no_eigenvalues(crystals, label):
    rival = find(STRUCTURE_RIVALS, label)
    large = crystals["NaCl"] * [3, 3, 3]
    assert features_of(rival, [large]) == [None]


@pytest.mark.parametrize("label", [*MATRICES, "EF+RD"])
def test_sites_on_each_other_have_no_features(label):
    double = Structure(Lattice.cubic(3), ["Cu", "Cu"], [[0, 0, 0], [1, 0, 0]])
    assert features_of(find(STRUCTURE_RIVALS, label), [double]) == [None]


def test_ewald_sum_of_one_site_is_the_madelung_constant(crystals):
    [values] = of("ESM", [crystals["argon"]])
    assert values[0] == pytest.approx(-(18**2) * CUBIC / 2 / (20 / BOHR), rel=1e-6)


def test_ewald_sum_of_two_sites_by_known_constants(crystals):
    edge = 4.123 / BOHR
    own = -CUBIC / 2 / edge
    # Charges +1 and -1 have the energy own + own - pair, which is that of CsCl.
    pair = 2 * own + CESIUM_CHLORIDE / (np.sqrt(3) / 2 * edge)
    matrix = [[55**2 * own, 55 * 17 * pair], [55 * 17 * pair, 17**2 * own]]
    [values] = of("ESM", [crystals["CsCl"]])
    assert values[:2] == pytest.approx(np.linalg.eigvalsh(matrix), rel=1e-6)


def test_composition_features_are_matminers(crystals):
    structures = [crystals[name] for name in NAMES]
    fractions = of("EF", structures)
    for row, structure in zip(fractions, structures, strict=True):
        expected = np.array(ElementFraction().featurize(structure.composition))
        assert row == pytest.approx(expected[:100], abs=1e-6)
    assert of("EF", [(crystals["SrTiO3"], 4)], "site").nonzero()[1].tolist() == [7]  # O


def test_radial_distribution_is_the_sum_over_pairs(crystals):
    structure = crystals["CsCl"]
    [features] = of("EF+RD", [structure])
    table = property_table(PROPERTIES)
    expected = np.zeros((1 + len(PROPERTIES), len(RADII)))
    for site in structure:
        for other in structure.get_neighbors(site, 8.0):
            weight = table[site.specie.Z] * table[other.specie.Z]
            smeared = np.exp(-((other.nn_distance - RADII) ** 2) / (2 * WIDTH**2))
            expected += np.outer(weight, smeared) / len(structure)
    assert features[: expected.size] == pytest.approx(expected.ravel(), rel=0.01, abs=0.02)
    assert features[expected.size + 54] == 0.5  # Cs


@pytest.mark.parametrize("name", ["NaCl", "TiO2", "SrTiO3", "water", "argon"])
@pytest.mark.parametrize("label", ["EF", "EF+RD"])
def test_a_structure_has_the_mean_over_its_sites(crystals, label, name):
    structure = crystals[name]
    sites = of(label, [(structure, i) for i in range(len(structure))], "site")
    np.testing.assert_allclose(sites.mean(axis=0), of(label, [structure])[0], rtol=1e-5, atol=1e-6)


def test_radial_distribution_does_not_depend_on_the_cell(crystals):
    structure = crystals["TiO2"]
    larger = structure * [2, 1, 1]
    larger.translate_sites(range(len(larger)), [0.3, 0.1, 0.7])
    X = of("EF+RD", [structure, larger, crystals["argon"]])
    np.testing.assert_allclose(X[0], X[1], rtol=1e-4, atol=1e-4)
    assert np.count_nonzero(X[2]) == 1  # the element; no neighbours


def test_rows_without_features_are_nan(crystals, tmp_path):
    """Also in a chunk of rows that have none at all."""
    large = crystals["NaCl"] * [3, 3, 3]
    rival = find(STRUCTURE_RIVALS, "SM")
    structures = [crystals["NaCl"], large] + 48 * [crystals["CsCl"]] + [large]
    dataset = dataset_of(structures)
    for _ in range(2):  # computed, and then read
        X = rival_features(rival, dataset, tmp_path, progress_bar=False)
        assert X.shape == (51, MAX_SITES)
        assert np.flatnonzero(np.isnan(X).any(axis=1)).tolist() == [1, 50]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("studies.features.find_spec", lambda name: None)
    with pytest.warns(
        UserWarning,
        match=r"left out, .*: ESM, CM, SOAP, CHGNet, SevenNet-0; "
        "pip install chgnet dscribe sevenn",
    ):
        found = available(STRUCTURE_RIVALS, quick=True)
    assert [rival.label for rival in found] == ["SM", "Magpie", "EF+RD", "EF"]
