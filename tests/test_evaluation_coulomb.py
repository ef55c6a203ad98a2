"""Coulomb and Ewald sum matrices: known lattice sums, other programs, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from ssatom.evaluation import CoulombMatrixFeaturizer, EwaldSumMatrixFeaturizer
from ssatom.evaluation.descriptors import BOHR
from ssatom.exceptions import ParameterError, StructureError

BOTH = [EwaldSumMatrixFeaturizer(max_sites=8), CoulombMatrixFeaturizer(max_sites=8)]
CUBIC = 2.8372974795  # Madelung constant of a simple cubic lattice in a neutralizing background
CESIUM_CHLORIDE = 1.7626747731  # that of CsCl, by the nearest distance


@pytest.fixture(params=BOTH, ids=lambda featurizer: type(featurizer).__name__)
def featurizer(request):
    return request.param


@pytest.mark.parametrize("name", ["NaCl", "TiO2", "SrTiO3", "Mg"])
def test_rotation_origin_and_order_do_not_matter(featurizer, crystals, name):
    structure = crystals[name]
    rng = np.random.default_rng(0)
    turned = Structure(
        structure.lattice.matrix @ Rotation.random(rng=0).as_matrix().T,
        structure.species,
        structure.frac_coords,
    )
    shifted = structure.copy().translate_sites(range(len(structure)), [0.37, 0.81, 0.12])
    permuted = Structure.from_sites([structure[i] for i in rng.permutation(len(structure))])
    outside = Structure(
        structure.lattice, structure.species, structure.frac_coords + np.array([1, -2, 0])
    )
    X = featurizer.transform([structure, turned, shifted, permuted, outside])
    assert X[0].any()
    for other in X[1:]:
        np.testing.assert_allclose(other, X[0], rtol=1e-5, atol=1e-4)


def test_eigenvalues_are_sorted_and_padded(featurizer, crystals):
    X = featurizer.transform([crystals["CsCl"], crystals["SrTiO3"]])
    assert (np.diff(np.abs(X)) <= 0).all()
    assert np.count_nonzero(X, axis=1).tolist() == [2, 5]
    assert featurizer.feature_labels()[7].endswith("_007")


def test_ewald_sum_of_one_site_is_the_madelung_constant(crystals):
    [value] = EwaldSumMatrixFeaturizer(max_sites=1).transform([crystals["argon"]])[0]
    assert value == pytest.approx(-(18**2) * CUBIC / 2 / (20 / BOHR), rel=1e-6)


def test_ewald_sum_of_two_sites_by_known_constants(crystals):
    edge = 4.123 / BOHR
    own = -CUBIC / 2 / edge
    # Charges +1 and -1 have the energy own + own - pair, and that is CsCl's.
    pair = 2 * own + CESIUM_CHLORIDE / (np.sqrt(3) / 2 * edge)
    matrix = [[55**2 * own, 55 * 17 * pair], [55 * 17 * pair, 17**2 * own]]
    features = EwaldSumMatrixFeaturizer(max_sites=2).transform([crystals["CsCl"]])[0]
    assert features == pytest.approx(np.linalg.eigvalsh(matrix), rel=1e-6)


@pytest.mark.parametrize("name", ["NaCl", "TiO2", "SrTiO3", "Mg", "water"])
def test_ewald_sums_are_those_of_pymatgen(crystals, name):
    nuclei = crystals[name].copy()
    charges = np.array(nuclei.atomic_numbers, dtype=float)
    nuclei.add_site_property("charge", charges.tolist())
    theirs = EwaldSummation(nuclei)
    halves = theirs.total_energy_matrix / EwaldSummation.CONV_FACT  # eV to e²/Å
    halves -= np.pi / (2 * nuclei.volume * theirs.eta) * np.outer(charges, charges)
    expected = 2 * halves - np.diag(halves.diagonal())
    features = EwaldSumMatrixFeaturizer(max_sites=len(nuclei)).transform([nuclei])[0]
    values = np.linalg.eigvalsh(expected * BOHR)
    np.testing.assert_allclose(np.sort(features), values, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["NaCl", "TiO2", "SrTiO3", "Mg"])
def test_ewald_sums_are_those_of_dscribe(crystals, name):
    descriptors = pytest.importorskip("dscribe.descriptors")
    theirs = descriptors.EwaldSumMatrix(n_atoms_max=8, permutation="none")
    matrix = theirs.create(crystals[name].to_ase_atoms(), accuracy=1e-12).reshape(8, 8)
    values = np.linalg.eigvalsh(matrix * BOHR)
    features = EwaldSumMatrixFeaturizer(max_sites=8).transform([crystals[name]])[0]
    np.testing.assert_allclose(np.sort(features), values, rtol=1e-5, atol=1e-4)


def test_charges_of_the_structure_do_not_count(crystals):
    ions = crystals["NaCl"].copy().add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    X = EwaldSumMatrixFeaturizer(max_sites=8).transform([crystals["NaCl"], ions])
    np.testing.assert_array_equal(X[0], X[1])


def test_coulomb_matrix_of_the_nearest_neighbors_by_hand(crystals):
    featurizer = CoulombMatrixFeaturizer(max_sites=2, cutoff=4.0, screening=1.5)
    nearest = 4.123 * np.sqrt(3) / 2  # eight; a site's own images are beyond the cutoff
    weight = np.exp(-nearest / 1.5) / nearest - np.exp(-4.0 / 1.5) / 4.0
    pair = 55 * 17 * 8 * weight * BOHR
    matrix = [[0.5 * 55**2.4, pair], [pair, 0.5 * 17**2.4]]
    features = featurizer.transform([crystals["CsCl"]])[0]
    assert features == pytest.approx(np.linalg.eigvalsh(matrix)[::-1], rel=1e-6)


def test_coulomb_matrix_sees_a_site_s_own_images(crystals):
    X = CoulombMatrixFeaturizer(max_sites=1, cutoff=25.0).transform([crystals["argon"]])
    weight = np.exp(-10.0) / 20 - np.exp(-12.5) / 25
    assert X[0, 0] == pytest.approx(0.5 * 18**2.4 + 6 * 18**2 * weight * BOHR, rel=1e-6)


def test_larger_cells_keep_the_coulomb_eigenvalues_of_smaller_ones(crystals):
    structure = crystals["CsCl"]
    small, large = CoulombMatrixFeaturizer(max_sites=4).transform(
        [structure, structure * [2, 1, 1]]
    )
    for value in small[:2]:
        assert np.isclose(large, value, rtol=1e-5).any()


def test_a_shell_at_the_cutoff_makes_no_jump(crystals):
    featurizer = CoulombMatrixFeaturizer(max_sites=8, cutoff=5.640)  # NaCl's lattice constant
    wide, narrow = (crystals["NaCl"].copy() for _ in range(2))
    wide.scale_lattice(wide.volume * (1 + 1e-6))
    narrow.scale_lattice(narrow.volume * (1 - 1e-6))
    X = featurizer.transform([wide, narrow])
    np.testing.assert_allclose(X[0], X[1], rtol=1e-5)


def test_what_is_refused(featurizer, crystals):
    with pytest.raises(StructureError, match="8 sites, and max_sites=7"):
        type(featurizer)(max_sites=7).transform([crystals["NaCl"]])
    double = Structure(Lattice.cubic(3), ["Cu", "Cu"], [[0, 0, 0], [1, 0, 0]])
    with pytest.raises(StructureError, match=r"structures\[0\] \(Cu\): sites 0 .* overlap"):
        featurizer.transform([double])


@pytest.mark.parametrize("options", [{"cutoff": 0}, {"screening": -1.0}])
def test_coulomb_lengths_must_be_positive(options):
    with pytest.raises(ParameterError, match="must be positive, in Å"):
        CoulombMatrixFeaturizer(**options).fit([])
