"""One crystal, many descriptions: the hidden states must not tell them apart."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from ssatom import graph_embeddings, list_weights, load_example_crystals, load_pretrained
from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
from ssatom.exceptions import GraphWarning
from ssatom.graph import CrystalGraphConverter, GaussianDistanceBasis, GraphConfig
from ssatom.weights import PretrainedEncoder, random_weights

TOLERANCE = 1e-5  # relative to the largest entry of a layer

drawn = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
seeds = st.integers(0, 2**32 - 1)
shifts = st.tuples(*[st.floats(-5, 5)] * 3)


def smooth_weights() -> PretrainedEncoder:
    """Random weights over graphs of all neighbours within 5 Å."""
    config = GraphConfig(neighbors="smooth", cutoff=5.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = CrystalGraphEncoder(EncoderConfig(edge_dim=config.edge_dim, n_conv=3)).eval()
    return PretrainedEncoder(
        "smooth", encoder, config, random_weights().element_features, "00" * 32
    )


KINDS = {"nearest": random_weights(), "smooth": smooth_weights()}
_CURRENT = {"weights": KINDS["nearest"]}


@pytest.fixture(scope="module", params=list(KINDS), autouse=True)
def kind(request: pytest.FixtureRequest) -> str:
    """Every test runs with each kind of graphs in turn."""
    _CURRENT["weights"] = KINDS[request.param]
    _PLAIN.clear()
    return request.param


def site_states(structure: Structure) -> np.ndarray:
    """Hidden states in float32 with random weights, shape (n_layers, n_sites, width)."""
    weights = _CURRENT["weights"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        batch = CrystalGraphConverter(weights.graph_config).convert([structure]).to_batch()
    x = weights.element_features[batch.numbers]
    edge_attr = GaussianDistanceBasis(weights.graph_config)(batch.distances)
    with torch.no_grad():
        states = weights.encoder(x, batch.edge_index, edge_attr, batch.edge_weight)
    return torch.stack(states).numpy()


_PLAIN: dict[int, np.ndarray] = {}


def plain_states(crystal: Structure) -> np.ndarray:
    if id(crystal) not in _PLAIN:
        _PLAIN[id(crystal)] = site_states(crystal)
    return _PLAIN[id(crystal)]


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    for layer, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert np.abs(a - b).max() <= TOLERANCE * np.abs(b).max(), f"layer {layer}"


def assert_same_sites(changed: Structure, crystal: Structure) -> None:
    assert_close(site_states(changed), plain_states(crystal))


def assert_same_mean(changed: Structure, crystal: Structure) -> None:
    assert_close(site_states(changed).mean(axis=1), plain_states(crystal).mean(axis=1))


@drawn
@given(seed=seeds)
def test_rotation(crystal: Structure, seed: int) -> None:
    rotation = Rotation.random(random_state=seed).as_matrix()
    lattice = Lattice(crystal.lattice.matrix @ rotation.T)
    assert_same_sites(Structure(lattice, crystal.species, crystal.frac_coords), crystal)


def test_reflection(crystal: Structure) -> None:
    lattice = Lattice(crystal.lattice.matrix * [1, 1, -1])
    assert_same_sites(Structure(lattice, crystal.species, crystal.frac_coords), crystal)


@drawn
@given(shift=shifts)
def test_translation(crystal: Structure, shift: tuple[float, float, float]) -> None:
    coords = crystal.frac_coords + shift
    assert_same_sites(Structure(crystal.lattice, crystal.species, coords), crystal)


@drawn
@given(seed=seeds)
def test_lattice_vectors_added_to_sites(crystal: Structure, seed: int) -> None:
    whole = np.random.default_rng(seed).integers(-9, 10, (len(crystal), 3))
    coords = crystal.frac_coords + whole
    assert_same_sites(Structure(crystal.lattice, crystal.species, coords), crystal)


@drawn
@given(seed=seeds)
def test_permutation(crystal: Structure, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(crystal))
    permuted = Structure.from_sites([crystal[i] for i in order])
    assert_close(site_states(permuted), plain_states(crystal)[:, order])


@drawn
@given(seed=seeds)
def test_other_lattice_vectors_of_the_same_cell(crystal: Structure, seed: int) -> None:
    """Lattice vectors may be added to each other: a skew cell of the same lattice."""
    rng = np.random.default_rng(seed)
    change = np.eye(3, dtype=int)
    change[0, 1:] = rng.integers(-2, 3, 2)
    change[1, 2] = rng.integers(-2, 3)
    skew = Lattice(change @ crystal.lattice.matrix)
    same = Structure(skew, crystal.species, crystal.cart_coords, coords_are_cartesian=True)
    assert_same_sites(same, crystal)


@pytest.mark.parametrize("repeats", [(2, 1, 1), (1, 2, 3)])
def test_supercell(crystal: Structure, repeats: tuple[int, int, int]) -> None:
    copies = int(np.prod(repeats))
    # Pymatgen keeps the copies of a site together.
    expected = np.repeat(plain_states(crystal), copies, axis=1)
    assert_close(site_states(crystal.make_supercell(repeats, in_place=False)), expected)


def test_primitive_cell(crystal: Structure) -> None:
    primitive = crystal.get_primitive_structure()
    assert_same_mean(primitive, crystal)


@drawn
@given(seed=seeds, shift=shifts)
def test_everything_at_once(
    crystal: Structure, seed: int, shift: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=seed).as_matrix()
    cell = crystal.get_primitive_structure() if seed % 2 else crystal
    cell = cell.make_supercell([1, 1, 2], in_place=False)
    order = rng.permutation(len(cell))
    coords = (cell.frac_coords + shift + rng.integers(-3, 4, (len(cell), 3)))[order]
    species = [cell[i].specie for i in order]
    assert_same_mean(Structure(Lattice(cell.lattice.matrix @ rotation.T), species, coords), crystal)


@drawn
@given(seed=seeds)
def test_noise_far_below_the_shell_tolerance(crystal: Structure, seed: int) -> None:
    """Digits that a file cuts off move no neighbour out of its shell."""
    noise = np.random.default_rng(seed).uniform(-1e-6, 1e-6, (len(crystal), 3))
    coords = crystal.cart_coords + noise
    moved = Structure(crystal.lattice, crystal.species, coords, coords_are_cartesian=True)
    found, expected = site_states(moved), plain_states(crystal)
    assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()


def test_states_do_tell_crystals_apart(crystals: dict[str, Structure]) -> None:
    """The tests above would be passed by states that are all the same."""
    means = [plain_states(crystal).mean(axis=1)[-1] for crystal in crystals.values()]
    for i, first in enumerate(means):
        for second in means[:i]:
            assert np.abs(first - second).max() > 1e-2 * np.abs(first).max()


def redescribed(crystal: Structure, rng: np.random.Generator) -> Structure:
    """The same crystal: doubled, turned, shifted, its sites permuted and moved to other cells."""
    doubled = crystal * (1, 2, 1)
    order = rng.permutation(len(doubled))
    turn = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    moved = doubled.frac_coords + rng.random(3) + rng.integers(-2, 3, (len(doubled), 3))
    species = [doubled.species[i] for i in order]
    return Structure(Lattice(doubled.lattice.matrix @ turn.T), species, moved[order])


def pair(distance: float) -> Structure:
    """Two atoms in a large box."""
    positions = [[1, 2, 3], [1 + distance, 2, 3]]
    return Structure(Lattice.cubic(20), ["Na", "Cl"], positions, coords_are_cartesian=True)


def test_an_atom_that_crosses_the_cutoff_changes_nothing_suddenly(kind: str) -> None:
    if kind == "nearest":
        pytest.skip("the twelfth neighbour has a full place")
    apart = site_states(pair(9.0))
    scale = np.abs(apart).max()
    steps = [np.abs(site_states(pair(5 - gap)) - apart).max() / scale for gap in (1, 0.1, 0.01, -1)]
    assert steps[0] > 0.02
    # The envelope ends with a slope of zero: a tenth of the way, a hundredth of the effect.
    assert steps[1] < 0.02 * steps[0]
    assert steps[2] < 0.02 * steps[1]
    assert steps[3] == 0


def test_states_follow_an_atom_continuously(kind: str) -> None:
    """Neighbours come and go while one atom of a crystal moves; the states never jump."""
    if kind == "nearest":
        pytest.skip("the twelfth neighbour has a full place")
    cell = Structure(Lattice.cubic(3.0), ["Cs", "Ni"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    converter = CrystalGraphConverter(_CURRENT["weights"].graph_config)
    path = np.linspace(0, 0.1, 201)
    states, counts = [], set()
    for shift in path:
        moved = cell.copy()
        moved.translate_sites(1, [shift, shift / 2, 0])
        states.append(site_states(moved).ravel())
        counts.add(converter.convert([moved]).n_edges)
    assert len(counts) > 1
    jumps = np.abs(np.diff(states, axis=0)).max(axis=1)
    whole = np.abs(states[-1] - states[0]).max()
    assert jumps.max() < 0.05 * whole


@pytest.mark.skipif(not list_weights(), reason="needs shipped weights")
@pytest.mark.parametrize("weights", list_weights())
def test_shipped_weights_on_every_example_crystal(weights: str, kind: str) -> None:
    if kind != "nearest":
        pytest.skip("the weights have graphs of their own")
    rng = np.random.default_rng(0)
    crystals = [s for s in load_example_crystals()["structure"] if len(s) <= 12]
    described_anew = [redescribed(s, rng) for s in crystals]
    assert len(crystals) > 200
    for layer in range(load_pretrained(weights).n_layers):
        given, changed = (
            graph_embeddings(structures, layers=layer, weights=weights)
            for structures in (crystals, described_anew)
        )
        error = np.linalg.norm(changed - given, axis=1) / np.linalg.norm(given, axis=1)
        assert error.max() < TOLERANCE
