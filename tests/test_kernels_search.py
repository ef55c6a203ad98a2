"""The neighbour search against one that looks at every image, in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.optimization.neighbors import find_points_in_spheres

from ssatom.exceptions import ParameterError
from ssatom.kernels import Pairs, expected_pairs, find_pairs, shortest_vector


def every_image(frac: np.ndarray, lattice: np.ndarray, radius: float) -> tuple:
    """Pairs by looking at every image in the box around a sphere, however many they are."""
    points = (frac % 1) @ lattice
    # Planes of lattice points are 1 / |row of the inverse's transpose| apart.
    most = np.floor(radius * np.linalg.norm(np.linalg.inv(lattice), axis=0)).astype(int) + 1
    images = np.array(list(itertools.product(*(range(-m, m + 1) for m in most))))
    shifts = images @ lattice
    vectors = points[None, :, None] - points[:, None, None] + shifts
    distances = np.sqrt((vectors**2).sum(-1))
    near = distances**2 < radius**2 + 1e-8
    here = np.flatnonzero(~images.any(axis=1))[0]
    near[np.arange(len(frac)), np.arange(len(frac)), here] = False
    centers, neighbors, _ = np.nonzero(near)
    return centers, neighbors, distances[near], vectors[near]


def assert_same_pairs(pairs: Pairs, wanted: tuple, tolerance: float = 1e-9) -> None:
    centers, neighbors, distances, vectors = wanted
    assert len(pairs.distances) == len(distances)
    assert (np.diff(pairs.centers) >= 0).all()
    inside = np.diff(pairs.centers) == 0
    assert (np.diff(pairs.distances)[inside] >= 0).all()
    order = np.lexsort((distances, centers))
    np.testing.assert_allclose(pairs.distances, distances[order], rtol=0, atol=tolerance)
    # The same set of (centre, neighbour, vector), whatever the order of ties.
    assert pairs.vectors is not None
    left = np.column_stack([pairs.centers, pairs.neighbors, pairs.vectors.round(5) + 0.0])
    right = np.column_stack([centers, neighbors, vectors.round(5) + 0.0])
    assert {tuple(row) for row in left} == {tuple(row) for row in right}


SKEWS = st.integers(-8, 8)
EDGES = st.floats(1.5, 6.0)


@st.composite
def crystals(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Left- and right-handed cells, some of them far from reduced, sites also outside them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lattice = np.diag([draw(EDGES) for _ in range(3)]) + rng.normal(size=(3, 3)) * 0.3
    shear = np.eye(3)
    shear[1, 0], shear[2, 0], shear[2, 1] = draw(SKEWS), draw(SKEWS), draw(SKEWS)
    if draw(st.booleans()):
        shear = shear[::-1]
    frac = rng.uniform(-3, 3, size=(draw(st.integers(1, 6)), 3))
    if draw(st.booleans()):
        frac = (frac * 4).round() / 4  # on planes and edges of the cell
    return np.unique(frac % 1, axis=0) + np.round(frac[0]), shear @ lattice


@settings(max_examples=150, deadline=None)
@given(crystals(), st.floats(0.5, 4.5))
def test_same_pairs_as_every_image(crystal: tuple, radius: float) -> None:
    frac, lattice = crystal
    wanted = every_image(frac, lattice, radius)
    gap = np.abs(wanted[2] - radius)
    if len(gap) and gap.min() < 1e-7:  # on the surface, where rounding decides
        radius += 2e-6
        wanted = every_image(frac, lattice, radius)
    assert_same_pairs(find_pairs(frac, lattice, radius, vectors=True), wanted)


@pytest.mark.parametrize("n_sites", [1, 4, 20, 50, 300])
@pytest.mark.parametrize("radius", [4.5, 5.0, 8.0])
def test_same_pairs_as_pymatgen(n_sites: int, radius: float) -> None:
    rng = np.random.default_rng(n_sites)
    edge = (15.0 * n_sites) ** (1 / 3)
    lattice = edge * (np.eye(3) + 0.1 * rng.normal(size=(3, 3)))
    frac = rng.random((n_sites, 3))
    points = frac @ lattice
    pbc = np.ones(3, dtype=np.int64)
    c, n, image, d = find_points_in_spheres(
        points, points, r=radius, pbc=pbc, lattice=lattice, tol=1e-8
    )
    others = (c != n) | (d > 1e-8)
    vectors = points[n] - points[c] + image @ lattice
    wanted = c[others], n[others], d[others], vectors[others]
    assert_same_pairs(find_pairs(frac, lattice, radius, vectors=True), wanted)


@pytest.mark.parametrize("skew", [0, 1, 37, 1000, 10**4])
def test_skewed_cells_are_the_same_crystal(skew: int) -> None:
    """NaCl in cells whose vectors are longer and longer; each has the same shells."""
    cubic = 5.64 * np.eye(3)
    frac = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    frac = np.concatenate([frac, frac + 0.5])
    shear = np.array([[1, 0, 0], [skew, 1, 0], [-2 * skew, 3 * skew, 1]], dtype=float)
    wanted = find_pairs(frac, cubic, 5.0)
    found = find_pairs(frac @ np.linalg.inv(shear), shear @ cubic, 5.0)
    assert (np.bincount(found.centers) == np.bincount(wanted.centers)).all()
    np.testing.assert_allclose(found.distances, wanted.distances, atol=1e-6)


@pytest.mark.parametrize("edge", [2.0, 3.0, 4.12, 5.64, 7.3])
def test_exact_at_the_cutoff(edge: float) -> None:
    """A shell on the sphere is in as a whole, and out when the sphere is smaller."""
    for times in (1, np.sqrt(2), np.sqrt(3), 2):
        radius = edge * times
        wanted = [0, 6, 12, 8, 6]
        count = sum(wanted[: {1: 2, np.sqrt(2): 3, np.sqrt(3): 4, 2: 5}[times]])
        for frac in ([[0, 0, 0]], [[0.1, 0.7, 0.3]], [[1 / 3, 1 / 7, 0.999]]):
            assert len(find_pairs(np.array(frac), edge * np.eye(3), radius).distances) == count
            smaller = find_pairs(np.array(frac), edge * np.eye(3), radius - 1e-6)
            assert len(smaller.distances) < count


def test_left_handed_cell_is_its_mirror_image() -> None:
    rng = np.random.default_rng(0)
    lattice, frac = 4 * np.eye(3) + rng.normal(size=(3, 3)), rng.random((7, 3))
    mirror = np.diag([-1.0, 1, 1])
    right = find_pairs(frac, lattice, 6.0)
    left = find_pairs(frac, lattice @ mirror, 6.0)
    np.testing.assert_allclose(left.distances, right.distances, atol=1e-12)
    assert (left.centers == right.centers).all()


def test_repeats_and_subsets_of_centers() -> None:
    rng = np.random.default_rng(0)
    frac, lattice = rng.random((60, 3)), 9.6 * np.eye(3)
    whole = find_pairs(frac, lattice, 5.0, vectors=True)
    chosen = np.array([3, 59, 17])
    part = find_pairs(frac, lattice, 5.0, centers=chosen, vectors=True)
    rows = np.concatenate([np.flatnonzero(whole.centers == i) for i in chosen])
    for left, right in zip(part, whole, strict=True):
        assert np.array_equal(left, right[rows])
    for left, right in zip(find_pairs(frac, lattice, 5.0, vectors=True), whole, strict=True):
        assert np.array_equal(left, right)
    assert len(find_pairs(frac, lattice, 5.0, centers=np.empty(0, int)).centers) == 0


def test_sites_in_one_place_are_told() -> None:
    pairs = find_pairs(np.array([[0.2, 0, 0], [1.2, 0, 0]]), 9 * np.eye(3), 1.0)
    assert pairs.neighbors.tolist() == [1, 0]
    assert pairs.distances.max() < 1e-12


CELLS = [
    3.0 * np.eye(3),
    np.diag([1.0, 100, 100]),
    np.diag([1.0, 1.0, 300]),
    np.diag([40.0, 40, 40]),
]


@pytest.mark.parametrize("lattice", CELLS, ids=lambda c: str(np.diag(c)))
@pytest.mark.parametrize("n_sites", [1, 30])
def test_expected_pairs(lattice: np.ndarray, n_sites: int) -> None:
    frac = np.random.default_rng(0).random((n_sites, 3))
    found = len(find_pairs(frac, lattice, 8.0).distances)
    assert found <= 1.5 * expected_pairs(n_sites, lattice, 8.0) + 10
    assert expected_pairs(n_sites, lattice, 8.0) <= 2 * found + 40


def test_too_many_pairs_are_refused_before_memory_is_taken() -> None:
    for frac, lattice, radius in [
        (np.zeros((1, 3)), np.eye(3) * 1e-3, 8.0),
        (np.zeros((1, 3)), np.eye(3), 1e4),
        (np.random.default_rng(0).random((200, 3)), np.eye(3), 8.0),
        (np.zeros((1, 3)), np.diag([1e-9, 1, 1]), 8.0),
    ]:
        with pytest.raises(ParameterError, match="more than max_pairs=10000 pairs"):
            find_pairs(frac, lattice, radius, max_pairs=10_000)
    few = find_pairs(np.zeros((1, 3)), np.eye(3), 1.0, max_pairs=6)
    assert len(few.distances) == 6
    with pytest.raises(ParameterError, match="max_pairs=5"):
        find_pairs(np.zeros((1, 3)), np.eye(3), 1.0, max_pairs=5)


@pytest.mark.parametrize(
    ("frac", "lattice", "radius", "match"),
    [
        ([[0, 0, 0]], np.zeros((3, 3)), 3.0, "span a volume"),
        ([[0, 0, 0]], np.ones((3, 3)), 3.0, "span a volume"),
        ([[0, 0, 0]], np.full((3, 3), np.nan), 3.0, "span a volume"),
        ([[0, 0, 0]], np.diag([1, 1, np.inf]), 3.0, "span a volume"),
        ([[0, 0, 0]], np.eye(2), 3.0, "shape"),
        ([[0, 0, 0], [0, np.nan, 0]], np.eye(3), 3.0, "site 1 is at"),
        ([[0, np.inf, 0]], np.eye(3), 3.0, "site 0 is at"),
        ([[0, 0, 0]], np.eye(3), 0.0, "radius=0.0"),
        ([[0, 0, 0]], np.eye(3), np.inf, "radius=inf"),
        ([[0, 0, 0]], np.eye(3), np.nan, "radius=nan"),
    ],
)
def test_wrong_input(frac: list, lattice: np.ndarray, radius: float, match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        find_pairs(np.array(frac, dtype=float), lattice, radius)


def test_shortest_vector_of_a_skewed_cell() -> None:
    cell = np.array([[4.0, 0, 0], [4000.0, 3.0, 0], [0, 0, 5.0]])
    assert shortest_vector(cell) == 3.0


def test_no_sites() -> None:
    assert len(find_pairs(np.empty((0, 3)), np.eye(3), 3.0).distances) == 0
