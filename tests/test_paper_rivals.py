"""The rivals: against matminer, against plain sums, and under the featurizers' contract."""

from __future__ import annotations

import importlib.util
import pickle

import numpy as np
import pytest
from matminer.featurizers.composition import ElementFraction, ElementProperty
from matminer.featurizers.structure import SineCoulombMatrix
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssatom.elements import PROPERTIES, property_table
from ssatom.evaluation import (
    CoulombMatrixFeaturizer,
    ElementFractionFeaturizer,
    EwaldSumMatrixFeaturizer,
    MagpieFeaturizer,
    RadialDistributionFeaturizer,
    SineMatrixFeaturizer,
    SoapFeaturizer,
)
from ssatom.exceptions import ParameterError, StructureError

RIVALS = [
    ElementFractionFeaturizer(),
    MagpieFeaturizer(),
    RadialDistributionFeaturizer(step=0.5),
    SineMatrixFeaturizer(max_sites=8),
    EwaldSumMatrixFeaturizer(max_sites=8),
    CoulombMatrixFeaturizer(max_sites=8),
]
SITE_RIVALS = [ElementFractionFeaturizer("site"), RadialDistributionFeaturizer("site", step=0.5)]
if importlib.util.find_spec("dscribe") is not None:
    SITE_RIVALS.append(SoapFeaturizer("site", n_max=2, l_max=1))
NAMES = ["NaCl", "Mg", "TiO2", "SrTiO3"]


@pytest.fixture(params=RIVALS, ids=lambda rival: type(rival).__name__)
def rival(request):
    return clone(request.param)


@pytest.fixture(params=SITE_RIVALS, ids=lambda rival: type(rival).__name__)
def site_rival(request):
    return clone(request.param)


@pytest.fixture
def structures(crystals):
    return [crystals[name] for name in NAMES]


def test_contract_of_scikit_learn(rival, structures):
    X = rival.fit_transform(structures)
    assert X.dtype == np.float32
    assert X.shape == (4, len(rival.get_feature_names_out()))
    assert np.isfinite(X).all()
    assert len(set(rival.feature_labels())) == X.shape[1]
    np.testing.assert_array_equal(clone(rival).transform(structures[::-1]), X[::-1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rival)).transform(structures), X)
    np.testing.assert_array_equal(rival.featurize(structures[0]), X[0])
    assert make_pipeline(rival, StandardScaler()).fit_transform(structures).shape == X.shape
    assert rival.citations() or isinstance(rival, ElementFractionFeaturizer)


def test_bad_rows_raise_or_become_nan(rival, structures):
    rows = [structures[0], None]
    with pytest.raises(StructureError, match=r"structures\[1\]"):
        rival.transform(rows)
    with pytest.warns(UserWarning, match="1 row of NaN"):
        X = rival.set_params(errors="nan").transform(rows)
    assert np.isfinite(X[0]).all()
    assert np.isnan(X[1]).all()


def test_sites_are_described_as_pairs(site_rival, crystals):
    pairs = [(crystals["TiO2"], 0), (crystals["TiO2"], 5), (crystals["Mg"], 1)]
    X = site_rival.fit_transform(pairs)
    assert X.dtype == np.float32
    assert X.shape == (3, len(site_rival.get_feature_names_out()))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(site_rival)).transform(pairs), X)
    np.testing.assert_array_equal(site_rival.featurize(*pairs[1]), X[1])
    assert len(np.unique(X, axis=0)) == 3


def test_bad_sites_raise_or_become_nan(site_rival, crystals):
    rows = [(crystals["Mg"], 1), (crystals["Mg"], 2)]
    with pytest.raises(StructureError, match=r"sites\[1\]"):
        site_rival.transform(rows)
    with pytest.warns(UserWarning, match="1 row of NaN"):
        X = site_rival.set_params(errors="nan").transform(rows)
    assert np.isfinite(X[0]).all()
    assert np.isnan(X[1]).all()
    with pytest.raises(ParameterError, match="level='atom' is unknown; allowed: 'structure', 's"):
        site_rival.set_params(level="atom").fit([])


@pytest.mark.parametrize("name", ["NaCl", "TiO2", "SrTiO3", "water", "argon"])
def test_a_structure_has_the_mean_over_its_sites(crystals, name):
    structure = crystals[name]
    pairs = [(structure, i) for i in range(len(structure))]
    for rival in (ElementFractionFeaturizer, RadialDistributionFeaturizer):
        mean = rival("site").transform(pairs).mean(axis=0)
        np.testing.assert_allclose(mean, rival().transform([structure])[0], rtol=1e-5, atol=1e-6)


def test_a_site_is_described_by_itself(crystals):
    structure = crystals["SrTiO3"]
    X = ElementFractionFeaturizer("site").transform([(structure, 0), (structure, 4)])
    assert np.argwhere(X).tolist() == [[0, 37], [1, 7]]  # Sr, O
    symbols = [site.specie.symbol for site in structure]
    X = RadialDistributionFeaturizer("site").transform([(structure, i) for i in range(5)])
    for i in range(5):
        for j in range(5):
            assert np.allclose(X[i], X[j], atol=1e-4) == (symbols[i] == symbols[j])
    double = Structure(Lattice.cubic(3), ["Cu", "Cu"], [[0, 0, 0], [1, 0, 0]])
    with pytest.raises(StructureError, match=r"sites\[0\] \(Cu\): sites 1 .* overlap"):
        RadialDistributionFeaturizer("site").transform([(double, 1)])


def test_sine_matrix_has_the_eigenvalues_of_matminers(structures):
    X = SineMatrixFeaturizer(max_sites=8).transform(structures)
    for features, structure in zip(X, structures, strict=True):
        [matrix] = SineCoulombMatrix(flatten=False).featurize(structure)
        values = np.linalg.eigvalsh(matrix)
        assert np.sort(features[: len(values)]) == pytest.approx(values, rel=1e-5, abs=1e-2)
        assert not features[len(values) :].any()
        assert (np.diff(np.abs(features)) <= 0).all()


def test_sine_matrix_refuses_what_it_has_no_place_for(crystals):
    with pytest.raises(StructureError, match=r"structures\[0\] \(NaCl\): 8 sites, and max_sites=7"):
        SineMatrixFeaturizer(max_sites=7).transform([crystals["NaCl"]])
    with pytest.raises(ParameterError, match="max_sites=0"):
        SineMatrixFeaturizer(max_sites=0).fit([])
    double = Structure(Lattice.cubic(3), ["Cu", "Cu"], [[0, 0, 0], [1, 0, 0]])
    for rival in (SineMatrixFeaturizer(), RadialDistributionFeaturizer()):
        with pytest.raises(StructureError, match="overlap"):
            rival.transform([double])


def test_composition_features_are_matminers(structures):
    fractions = ElementFractionFeaturizer().transform(structures)
    magpie = MagpieFeaturizer().transform(structures)
    theirs = ElementProperty.from_preset("magpie", impute_nan=True)
    for i, structure in enumerate(structures):
        expected = np.array(ElementFraction().featurize(structure.composition))
        assert fractions[i] == pytest.approx(expected[:100], abs=1e-6)
        assert magpie[i] == pytest.approx(theirs.featurize(structure.composition), rel=1e-5)


def test_radial_distribution_is_the_sum_over_pairs(crystals):
    structure = crystals["CsCl"]
    featurizer = RadialDistributionFeaturizer(start=0.5, cutoff=5.0, step=0.5, width=0.3)
    features = featurizer.transform([structure])[0]
    table = property_table(PROPERTIES)
    grid = np.arange(1, 11) * 0.5
    expected = np.zeros((1 + len(PROPERTIES), 10))
    for site in structure:
        for other in structure.get_neighbors(site, 7.0):
            weight = table[site.specie.Z] * table[other.specie.Z]
            smeared = np.exp(-((other.nn_distance - grid) ** 2) / (2 * 0.3**2))
            expected += np.outer(weight, smeared) / len(structure)
    assert features[: expected.size] == pytest.approx(expected.ravel(), rel=0.01, abs=0.02)
    assert features[expected.size + 54] == 0.5  # Cs
    assert featurizer.feature_labels()[:2] == ["radial_1_0.5", "radial_1_1"]


def test_radial_distribution_does_not_depend_on_the_cell(crystals):
    structure = crystals["TiO2"]
    larger = structure * [2, 1, 1]
    larger.translate_sites(range(len(larger)), [0.3, 0.1, 0.7])
    X = RadialDistributionFeaturizer().transform([structure, larger])
    np.testing.assert_allclose(X[0], X[1], rtol=1e-4, atol=1e-4)
    [alone] = RadialDistributionFeaturizer().transform([crystals["argon"]])
    assert np.count_nonzero(alone) == 1  # the element; no neighbours


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cutoff": 0}, "cutoff=0 must be positive"),
        ({"width": -1.0}, "width=-1.0 must be positive"),
        ({"cutoff": 0.5}, "must not be below start=1.0"),
        ({"properties": ["Taste"]}, "no 'Taste'; allowed: .*Electronegativity"),
    ],
)
def test_radial_parameters_that_are_not_allowed(options, message):
    with pytest.raises(ParameterError, match=message):
        RadialDistributionFeaturizer(**options).fit([])


def test_soap_says_what_it_lacks_or_works(structures):
    featurizer = clone(SoapFeaturizer(n_max=2, l_max=1))
    if importlib.util.find_spec("dscribe") is None:
        with pytest.raises(ImportError, match="needs the package dscribe"):
            featurizer.fit(structures)
    else:
        X = featurizer.fit_transform(structures)
        assert X.shape == (4, len(featurizer.feature_labels()))
        assert len(np.unique(X.round(6), axis=0)) == 4
