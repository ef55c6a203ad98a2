"""Graphs against a plain reference that is written out here, and the container of graphs."""

from __future__ import annotations

import pickle
import time
import warnings
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Element, Lattice, Structure

from ssatom import GraphEmbeddingFeaturizer, graph_embeddings
from ssatom.exceptions import GraphWarning, ParameterError, StructureError
from ssatom.graph import (
    CrystalGraphConverter,
    CrystalGraphs,
    GaussianDistanceBasis,
    GraphConfig,
)
from ssatom.structures import structure_arrays
from ssatom.weights import random_weights

SILENT = pytest.mark.filterwarnings("ignore::ssatom.exceptions.GraphWarning")


def convert(*structures: Structure, **settings: object) -> CrystalGraphs:
    return CrystalGraphConverter(GraphConfig(**settings)).convert(structures)


def edges_of(graphs: CrystalGraphs, site: int) -> np.ndarray:
    """Rows (neighbour, distance, weight) of the edges into one site, sorted."""
    stop = int(graphs.neighbor_counts[: site + 1].sum())
    run = slice(stop - int(graphs.neighbor_counts[site]), stop)
    rows = np.stack(
        [graphs.neighbors[run], graphs.distances[run], graphs.edge_weights[run]], axis=1
    )
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]


def reference_edges(
    structure: Structure, max_neighbors: int = 12, cutoff: float = 8.0, tolerance: float = 0.01
) -> list[np.ndarray]:
    """The same for all sites, from pymatgen's neighbour list and the rule in plain words."""
    # A little farther than the cutoff, so that a shell which lies on it is whole.
    centers, neighbors, _, distances = structure.get_neighbor_list(cutoff + 0.011)
    sites = []
    for site in range(len(structure)):
        around = sorted(zip(distances[centers == site], neighbors[centers == site], strict=True))
        within = [d for d, _ in around if d <= cutoff + 1e-5]
        if len(within) < max_neighbors:
            rows = [(j, d, 1.0) for d, j in around if d <= cutoff + 1e-5]
        else:
            last = within[max_neighbors - 1]
            inner = [(j, d, 1.0) for d, j in around if d < last - tolerance]
            shell = [(j, d) for d, j in around if abs(d - last) <= tolerance]
            share = (max_neighbors - len(inner)) / len(shell)
            rows = inner + [(j, d, share) for j, d in shell]
        table = np.array(rows, dtype=float).reshape(-1, 3)
        sites.append(table[np.lexsort((table[:, 1], table[:, 0]))])
    return sites


def assert_equals_reference(structure: Structure, **settings: float) -> None:
    graphs = convert(structure, **settings)
    for site, expected in enumerate(reference_edges(structure, **settings)):
        found = edges_of(graphs, site)
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found[:, 0], expected[:, 0])
        np.testing.assert_allclose(found[:, 1:], expected[:, 1:], rtol=1e-6, atol=1e-6)


def disordered_cell(n_sites: int, seed: int = 0) -> Structure:
    """Atoms on a grid, each moved a little, at about the density of a metal."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(n_sites ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)[:n_sites]
    positions = grid * 2.5 + rng.uniform(-0.4, 0.4, (n_sites, 3))
    symbols = rng.choice(["Fe", "Ni", "Al"], n_sites)
    return Structure(Lattice.cubic(2.5 * side), symbols, positions, coords_are_cartesian=True)


# Neighbours ------------------------------------------------------------------------------------


@SILENT
def test_neighbors_of_known_crystals(crystal: Structure) -> None:
    assert_equals_reference(crystal)


@SILENT
@pytest.mark.parametrize("settings", [{"max_neighbors": 1}, {"max_neighbors": 30, "cutoff": 5.0}])
def test_neighbors_under_other_settings(crystal: Structure, settings: dict[str, float]) -> None:
    assert_equals_reference(crystal, **settings)


@pytest.mark.parametrize("seed", range(5))
def test_neighbors_of_random_triclinic_cells(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*rng.uniform(3, 9, 3), *rng.uniform(60, 120, 3))
    structure = Structure(lattice, ["Si"], [rng.uniform(size=3)])
    while len(structure) < 4:
        coords = rng.uniform(-2, 2, size=3)
        if min(site.distance_and_image_from_frac_coords(coords)[0] for site in structure) > 1:
            structure.append("O", coords)
    assert_equals_reference(structure)


def test_dense_core_in_a_sparse_cell() -> None:
    """The mean density says nothing here: the few far sites are searched again."""
    core = [[x, y, z] for x in (0, 1.5) for y in (0, 1.5) for z in (0, 1.5)]
    far = [[10, 10, 10], [10, 10, 13], [16, 4, 4]]
    structure = Structure(
        Lattice.cubic(20), ["C"] * 8 + ["H"] * 3, core + far, coords_are_cartesian=True
    )
    assert_equals_reference(structure)


def shell(graphs: CrystalGraphs, site: int) -> list[tuple[float, int, float]]:
    """(distance, members, weight of each) shell by shell."""
    rows = edges_of(graphs, site)
    distances, counts = np.unique(rows[:, 1].round(2), return_counts=True)
    weights = [np.unique(rows[rows[:, 1].round(2) == d, 2].round(5)) for d in distances]
    assert all(len(w) == 1 for w in weights)
    return [
        (float(d), int(n), float(w[0])) for d, n, w in zip(distances, counts, weights, strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Cu", [(2.56, 12, 1.0)]),
        ("CsCl", [(3.57, 8, 1.0), (4.12, 6, 0.66667)]),
        ("Fe", [(2.48, 8, 1.0), (2.87, 6, 0.66667)]),
        ("diamond", [(1.54, 4, 1.0), (2.52, 12, 0.66667)]),
        ("NaCl", [(2.82, 6, 1.0), (3.99, 12, 0.5)]),
        ("Mg", [(3.20, 6, 1.0), (3.21, 6, 1.0)]),
    ],
)
def test_shells_worked_out_by_hand(
    crystals: dict[str, Structure], name: str, expected: list[tuple[float, int, float]]
) -> None:
    graphs = convert(crystals[name])
    for site in range(len(crystals[name])):
        assert shell(graphs, site) == expected


@SILENT
def test_weights_of_a_full_site_sum_to_twelve(crystals: dict[str, Structure]) -> None:
    for name, structure in crystals.items():
        graphs = convert(structure)
        sums = [edges_of(graphs, i)[:, 2].sum() for i in range(len(structure))]
        expected = {"water": 2.0, "argon": 0.0}.get(name, 12.0)
        np.testing.assert_allclose(sums, expected, rtol=1e-6)


@SILENT
@pytest.mark.parametrize("settings", [{}, {"neighbors": "smooth", "cutoff": 5.0}], ids=str)
def test_graphs_without_compiled_loops(
    crystals: dict[str, Structure], settings: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = CrystalGraphConverter(GraphConfig(**settings, directions=True))
    compiled = converter.convert(crystals.values())
    monkeypatch.setattr("ssatom.graph.search.loops_work", lambda: False)
    plain = converter.convert(crystals.values())
    np.testing.assert_array_equal(plain.neighbor_counts, compiled.neighbor_counts)
    np.testing.assert_allclose(plain.distances, compiled.distances, rtol=1e-6)
    np.testing.assert_allclose(plain.edge_weights, compiled.edge_weights, atol=1e-6)
    ends = np.repeat(np.arange(compiled.n_sites), compiled.neighbor_counts)
    for graphs in (plain, compiled):  # equal distances come in any order
        graphs.directions[:] = np.abs(graphs.directions)
    sums = [np.zeros((compiled.n_sites, 3)) for _ in range(2)]
    for total, graphs in zip(sums, (plain, compiled), strict=True):
        np.add.at(total, ends, graphs.directions.astype(float))
    np.testing.assert_allclose(*sums, atol=0.05)


@pytest.mark.parametrize("edges", [[1e-9, 1e5, 1e5], [1e-3, 1e-3, 1e5], [1e-5, 100, 100]])
@pytest.mark.parametrize("settings", [{}, {"neighbors": "smooth", "cutoff": 4.4}], ids=str)
def test_needles_and_sheets_are_refused_before_memory_is_taken(
    edges: list[float], settings: dict
) -> None:
    thin = Structure(Lattice.orthorhombic(*edges), ["Fe"], [[0, 0, 0]])
    with pytest.raises(StructureError, match="its own periodic image are .* overlap"):
        convert(thin, **settings)


def test_cell_smaller_than_the_cutoff_has_many_edges_between_the_same_sites() -> None:
    polonium = Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])
    graphs = convert(polonium)
    assert shell(graphs, 0) == [(3.35, 6, 1.0), (4.74, 12, 0.5)]
    assert not graphs.neighbors.any()


def test_all_neighbors_within_the_cutoff() -> None:
    """So many places that every image within 8 Å has one: as many edges as lattice points."""
    polonium = Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])
    graphs = convert(polonium, max_neighbors=10_000)
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3) * 3.35
    lengths = np.linalg.norm(grid, axis=1)
    expected = np.sort(lengths[(lengths > 0) & (lengths <= 8.0)])
    np.testing.assert_allclose(np.sort(graphs.distances), expected, rtol=1e-6)
    assert (graphs.edge_weights == 1).all()


def test_shell_on_the_cutoff_is_in() -> None:
    graphs = convert(Structure(Lattice.cubic(8.0), ["Xe"], [[0.1, 0.2, 0.3]]))
    assert shell(graphs, 0) == [(8.0, 6, 1.0)]


@pytest.mark.parametrize("number", range(1, 101))
def test_every_element(number: int) -> None:
    symbol = Element.from_Z(number).symbol
    graphs = convert(Structure(Lattice.cubic(3.0), [symbol], [[0, 0, 0]]))
    assert graphs.numbers.tolist() == [number]
    assert graphs.neighbor_counts.tolist() == [18]


def test_coordinates_far_outside_the_cell(crystals: dict[str, Structure]) -> None:
    shifted = crystals["TiO2"].copy()
    for site in range(len(shifted)):
        shifted.translate_sites(site, [7, -12, 100], to_unit_cell=False)
    found, expected = convert(shifted), convert(crystals["TiO2"])
    for site in range(len(shifted)):
        np.testing.assert_allclose(edges_of(found, site), edges_of(expected, site), rtol=1e-5)


# All neighbours under a smooth envelope ---------------------------------------------------------

SMOOTH = {"neighbors": "smooth", "cutoff": 5.0}


@SILENT
def test_smooth_neighbors_are_all_within_the_cutoff(crystal: Structure) -> None:
    graphs = convert(crystal, **SMOOTH)
    centers, neighbors, _, distances = crystal.get_neighbor_list(5.0)
    for site in range(len(crystal)):
        mine = distances[centers == site]
        envelope = np.cos(np.pi * mine / 5.0) / 2 + 0.5
        expected = np.stack([neighbors[centers == site], mine, envelope], axis=1)
        found = edges_of(graphs, site)
        assert found.shape == expected.shape
        for column in range(3):
            np.testing.assert_allclose(
                np.sort(found[:, column]), np.sort(expected[:, column]), atol=1e-6
            )
        np.testing.assert_allclose(
            found[:, 2], np.cos(np.pi * found[:, 1] / 5) / 2 + 0.5, atol=1e-6
        )


def test_smooth_neighbors_worked_out_by_hand() -> None:
    """Simple cubic, 3 Å: six neighbours at 3 Å and twelve at 4.24 Å."""
    graphs = convert(Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]]), **SMOOTH)
    assert shell(graphs, 0) == [(3.0, 6, 0.34549), (4.24, 12, 0.05555)]


def test_smooth_edges_come_site_by_site_and_nearest_first(crystals: dict[str, Structure]) -> None:
    graphs = convert(*[crystals[name] for name in ("TiO2", "CsCl")], **SMOOTH)
    batch = graphs.to_batch()
    assert (batch.edge_index[1].diff() >= 0).all()
    same = batch.edge_index[1].diff() == 0
    assert (batch.distances.diff()[same] >= 0).all()
    assert graphs.edge_counts.tolist() == [
        int(graphs.neighbor_counts[:6].sum()), int(graphs.neighbor_counts[6:].sum())
    ]  # fmt: skip


# Directions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, SMOOTH], ids=["nearest", "smooth"])
@SILENT
def test_directions_lead_to_the_neighbors(
    crystal: Structure, settings: dict, tmp_path: Path
) -> None:
    """From its site each edge ends on a site of the given element, wherever the cell was cut."""
    moved = crystal.copy()
    for site in range(len(moved)):
        moved.translate_sites(site, [2 * site, -1, 0], to_unit_cell=False)
    converter = CrystalGraphConverter(GraphConfig(**settings, directions=True))
    graphs = converter.convert([moved, crystal]).select([0])
    assert graphs.directions.dtype == np.float32
    assert_same(
        CrystalGraphs(**{**vars_of(graphs), "directions": None}), convert(moved, **settings)
    )
    batch = graphs.to_batch()
    source, target = batch.edge_index.numpy()
    vectors = (batch.directions * batch.distances[:, None]).numpy()
    ends = moved.cart_coords[target] + vectors
    gaps = moved.lattice.get_fractional_coords(ends) - moved.frac_coords[source]
    off = moved.lattice.get_cartesian_coords(gaps - gaps.round())
    assert np.abs(off).max(initial=0) < 0.005
    graphs.save(tmp_path)
    assert_same(CrystalGraphs.load(tmp_path), graphs)
    both = CrystalGraphs.concatenate([graphs, graphs])
    assert_same(both.select([1]), graphs)


def vars_of(graphs: CrystalGraphs) -> dict:
    return {field.name: getattr(graphs, field.name) for field in fields(CrystalGraphs)}


def test_no_structures_have_directions_too() -> None:
    graphs = CrystalGraphConverter(GraphConfig(directions=True)).convert([])
    assert graphs.directions.shape == (0, 3)


def test_settings_of_the_other_kind_are_refused() -> None:
    for name, value in (("max_neighbors", 20), ("shell_tolerance", 0.1)):
        with pytest.raises(ParameterError, match=f"{name}={value} has no meaning .*; leave it out"):
            GraphConfig(**SMOOTH, **{name: value})


def test_smooth_settings_as_plain_values() -> None:
    config = GraphConfig(**SMOOTH)
    assert config.to_dict() == {
        **SMOOTH,
        "basis_step": 0.2,
        "basis_width": 0.2,
        "directions": False,
    }
    assert GraphConfig(**config.to_dict()) == config
    assert config.edge_dim == 26
    assert config.describe().startswith("all neighbours within 5 Å")


@SILENT
def test_expected_edges_are_about_right(crystals: dict[str, Structure]) -> None:
    for settings in ({}, SMOOTH):
        converter = CrystalGraphConverter(GraphConfig(**settings))
        for structure in crystals.values():
            arrays = structure_arrays(structure)
            expected = converter.expected_edges(arrays, converter.neighbors(arrays)[0])
            found = converter.convert([structure]).n_edges
            assert found <= 1.6 * expected
            assert expected == found or not settings


@pytest.mark.parametrize(("n_sites", "seconds"), [(200, 5), (2000, 20)])
def test_large_cells(n_sites: int, seconds: float) -> None:
    structure = disordered_cell(n_sites)
    started = time.perf_counter()
    graphs = convert(structure)
    assert time.perf_counter() - started < seconds  # far more than it takes
    assert graphs.n_sites == n_sites
    assert graphs.neighbor_counts.min() >= 12
    if n_sites == 200:
        assert_equals_reference(structure)


# What is not a plain crystal -------------------------------------------------------------------


def test_isolated_atom_is_a_graph_without_edges(crystals: dict[str, Structure]) -> None:
    with pytest.warns(
        GraphWarning, match=r"structures\[1\] \(Ar\): some sites have no neighbour within 8 Å"
    ):
        graphs = convert(crystals["Cu"], crystals["argon"])
    assert graphs.neighbor_counts.tolist() == [12, 12, 12, 12, 0]
    batch = graphs.to_batch()
    assert batch.edge_index.shape == (2, 48)


def test_isolated_sites_are_told_once_where_the_user_called(crystals: dict[str, Structure]) -> None:
    boxes = [Structure(Lattice.cubic(20 + i / 10), ["Ar"], [[0, 0, 0]]) for i in range(7)]
    for call in (
        lambda: convert(crystals["Cu"], *boxes),
        lambda: graph_embeddings([crystals["Cu"], *boxes], weights=random_weights(271)),
        lambda: GraphEmbeddingFeaturizer(weights=random_weights(314)).transform(
            pd.Series([crystals["Cu"], *boxes])
        ),
    ):
        with pytest.warns(GraphWarning) as caught:
            call()
        assert [warning.filename for warning in caught] == [__file__]
        told = caught[0].message
        assert isinstance(told, GraphWarning)
        assert told.rows == (1, 2, 3, 4, 5, 6, 7)
        assert str(told).startswith("structures[1] (Ar), structures[2] (Ar), structures[3] (Ar), ")
        assert "structures[5] (Ar) and 2 more: some sites have no neighbour" in str(told)
        again = pickle.loads(pickle.dumps(told))
        assert (again.rows, str(again)) == (told.rows, str(told))


def test_molecule_in_a_box(crystals: dict[str, Structure]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graphs = convert(crystals["water"])
    assert graphs.neighbor_counts.tolist() == [2, 2, 2]
    assert (graphs.edge_weights == 1).all()
    oxygen = edges_of(graphs, 0)
    assert oxygen[:, 0].tolist() == [1, 2]
    np.testing.assert_allclose(oxygen[:, 1], np.hypot(0.76, 0.59), rtol=1e-6)


def test_overlapping_atoms_are_refused(crystals: dict[str, Structure]) -> None:
    bad = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.02, 0, 0.999]])
    with pytest.raises(StructureError, match=r"structures\[2\] \(NaCl\): sites . .* 0.08"):
        convert(crystals["Cu"], crystals["Fe"], bad)


def test_atoms_in_one_place_are_refused() -> None:
    bad = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [1, 0, 0]])
    with pytest.raises(StructureError, match="are 0 Å apart"):
        convert(bad)


def test_image_of_a_site_that_overlaps_it_is_refused() -> None:
    needle = Structure(Lattice.orthorhombic(0.25, 9, 9), ["H"], [[0, 0, 0]])
    with pytest.raises(StructureError, match="its own periodic image"):
        convert(needle)


def test_just_above_overlap_is_taken() -> None:
    near = Structure(Lattice.cubic(4), ["H", "F"], [[0, 0, 0], [0.08, 0, 0]])
    assert convert(near).distances.min() == pytest.approx(0.32)
    near = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.21, 0, 0]])
    assert convert(near).distances.min() == pytest.approx(0.84)  # 0.31 of 2.68 Å


def test_bad_row_is_raised_with_its_place(crystals: dict[str, Structure]) -> None:
    with pytest.raises(StructureError, match=r"structures\[1\]: this row is None"):
        convert(crystals["Cu"], None)


def test_no_structures_give_no_graphs() -> None:
    graphs = convert()
    assert (len(graphs), graphs.n_sites, graphs.n_edges) == (0, 0, 0)
    assert graphs.to_batch().edge_index.shape == (2, 0)


# Settings --------------------------------------------------------------------------------------


def test_settings_of_the_paper() -> None:
    config = GraphConfig()
    assert (config.max_neighbors, config.cutoff, config.edge_dim) == (12, 8.0, 41)
    assert GraphConfig(**config.to_dict()) == config


@pytest.mark.parametrize(
    "name", ["max_neighbors", "cutoff", "shell_tolerance", "basis_step", "basis_width"]
)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "8", None])
def test_settings_that_are_no_positive_numbers(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=f"{name}=.* must be a (whole|positive) number"):
        GraphConfig(**{name: value})


def test_neighbors_are_counted_in_whole_numbers() -> None:
    with pytest.raises(ParameterError, match="max_neighbors=2.5 must be a whole number"):
        GraphConfig(max_neighbors=2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 1, None, "yes", {}, [0]])
def test_directions_are_there_or_not(value: Any) -> None:
    with pytest.raises(ParameterError, match="directions=.* is unknown; allowed: True, False"):
        GraphConfig(directions=value)


def test_unknown_kind_of_neighbors() -> None:
    with pytest.raises(
        ParameterError, match="neighbors='voronoi' is unknown; allowed: 'nearest', 'smooth'"
    ):
        GraphConfig(neighbors="voronoi")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        GraphConfig().cutoff = 5.0  # type: ignore[misc]


# Distance basis --------------------------------------------------------------------------------


def test_basis_is_the_formula() -> None:
    distances = np.linspace(0.3, 8.0, 50, dtype=np.float32)
    centers = np.arange(41) * 0.2
    expected = np.exp(-(((distances[:, None] - centers) / 0.2) ** 2))
    found = GaussianDistanceBasis()(torch.from_numpy(distances)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert (found > 0).all()  # and never so small that arithmetic becomes slow
    assert found.min() > np.finfo(np.float32).tiny


def test_basis_follows_its_settings() -> None:
    basis = GaussianDistanceBasis(GraphConfig(cutoff=6.0, basis_step=0.5, basis_width=0.25))
    found = basis(torch.tensor([1.25]))
    assert found.shape == (1, 13)
    np.testing.assert_allclose(found[0, 2:4], np.exp(-1), rtol=1e-6)


def test_bins_are_the_nearest_centers() -> None:
    basis = GaussianDistanceBasis()
    distances = torch.tensor([0.0, 0.09, 0.11, 2.0, 2.29, 2.31, 7.89, 7.91, 8.0, 8.005, 9.0])
    assert basis.bins(distances).tolist() == [0, 0, 1, 10, 11, 12, 39, 40, 40, 40, 40]
    within = torch.linspace(0.3, 8.0, 333)
    assert torch.equal(basis.bins(within), basis(within).argmax(dim=1))


def test_basis_of_no_edges_and_no_state() -> None:
    basis = GaussianDistanceBasis()
    assert basis(torch.empty(0)).shape == (0, 41)
    assert not basis.state_dict()  # belongs to the settings, not to the weights


# The container ---------------------------------------------------------------------------------


def assert_same(first: CrystalGraphs, second: CrystalGraphs) -> None:
    for field in fields(CrystalGraphs):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if a is None or b is None:
            assert a is b
            continue
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def graphs(crystals: dict[str, Structure]) -> CrystalGraphs:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        return convert(*crystals.values())


def test_types(graphs: CrystalGraphs) -> None:
    assert graphs.directions is None
    names = [f.name for f in fields(CrystalGraphs) if f.name != "directions"]
    found = {name: getattr(graphs, name).dtype for name in names}
    assert found == {
        "numbers": np.uint8,
        "site_counts": np.int32,
        "neighbor_counts": np.int32,
        "neighbors": np.int32,
        "distances": np.float32,
        "edge_weights": np.float32,
    }


def test_batch_numbers_sites_through(graphs: CrystalGraphs) -> None:
    batch = graphs.to_batch()
    assert batch.n_structures == len(graphs)
    assert torch.bincount(batch.structure_index).tolist() == graphs.site_counts.tolist()
    source, target = batch.edge_index
    assert (target.diff() >= 0).all()
    assert torch.equal(batch.structure_index[source], batch.structure_index[target])
    counts = torch.bincount(target, minlength=graphs.n_sites)
    assert counts.tolist() == graphs.neighbor_counts.tolist()
    first = torch.tensor(np.concatenate([[0], np.cumsum(graphs.site_counts)[:-1]]))
    assert (source - first[batch.structure_index[source]]).tolist() == graphs.neighbors.tolist()


def test_batch_shares_no_memory(graphs: CrystalGraphs) -> None:
    batch = graphs.to_batch()
    batch.distances.zero_()
    batch.edge_weight.zero_()
    assert graphs.distances.min() > 0
    assert graphs.edge_weights.min() > 0


def test_select(crystals: dict[str, Structure], graphs: CrystalGraphs) -> None:
    order = [8, 0, 10, 0, 9]
    structures = list(crystals.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        expected = convert(*[structures[i] for i in order])
    selected = graphs.select(order)
    assert selected.numbers.tolist() == expected.numbers.tolist()
    for site in range(selected.n_sites):  # the order of edges of equal length is open
        np.testing.assert_allclose(edges_of(selected, site), edges_of(expected, site), rtol=1e-6)
    assert_same(graphs.select(range(len(graphs))), graphs)


def test_select_nothing(graphs: CrystalGraphs) -> None:
    nothing = graphs.select([])
    assert (len(nothing), nothing.n_sites, nothing.n_edges) == (0, 0, 0)


def test_select_without_edges(graphs: CrystalGraphs) -> None:
    argon = graphs.select([10, 10])
    assert (len(argon), argon.n_sites, argon.n_edges) == (2, 2, 0)
    assert argon.to_batch().edge_index.shape == (2, 0)


def test_concatenate_undoes_select(graphs: CrystalGraphs) -> None:
    parts = [graphs.select(rows) for rows in ([0, 1, 2], [10], [], range(3, 11))]
    order = [0, 1, 2, 10, *range(3, 11)]
    assert_same(CrystalGraphs.concatenate(parts), graphs.select(order))


def test_save_and_load(graphs: CrystalGraphs, tmp_path: Path) -> None:
    graphs.save(tmp_path / "deep" / "folder")
    loaded = CrystalGraphs.load(tmp_path / "deep" / "folder")
    assert_same(loaded, graphs)
    for mine, kept in zip(graphs.to_batch(), loaded.to_batch(), strict=True):
        assert torch.equal(mine, kept) if isinstance(mine, torch.Tensor) else mine == kept
    assert_same(loaded.select([3, 1]), graphs.select([3, 1]))


def test_save_overwrites_and_appends(graphs: CrystalGraphs, tmp_path: Path) -> None:
    graphs.save(tmp_path)
    graphs.select([0, 1]).save(tmp_path)
    for rows in ([10], [], [2, 3]):
        graphs.select(rows).save(tmp_path, append=True)
    assert_same(CrystalGraphs.load(tmp_path), graphs.select([0, 1, 10, 2, 3]))


def test_saved_graphs_leave_nothing_of_those_before(
    crystals: dict[str, Structure], tmp_path: Path
) -> None:
    few, more = [crystals["NaCl"]], [crystals["NaCl"], crystals["TiO2"]]
    CrystalGraphConverter(GraphConfig(directions=True)).convert(few).save(tmp_path)
    without = CrystalGraphConverter().convert(more)
    without.save(tmp_path)
    loaded = CrystalGraphs.load(tmp_path)
    assert loaded.directions is None
    assert_same(loaded, without)


def test_save_and_load_without_edges(graphs: CrystalGraphs, tmp_path: Path) -> None:
    argon = graphs.select([10])
    argon.save(tmp_path)
    loaded = CrystalGraphs.load(tmp_path)
    assert_same(loaded, argon)
    assert loaded.to_batch().edge_index.shape == (2, 0)
