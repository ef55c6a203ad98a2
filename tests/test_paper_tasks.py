"""Tasks on trial in the ablation: what they hide, what they ask for, and that they train."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from ssatom import CrystalGraphConverter, MaskedPretrainer, load_example_crystals
from ssatom.electrons import electronic_descriptors
from ssatom.graph import GaussianDistanceBasis, GraphConfig
from ssatom.kernels import Edges, directional_units, spherical_harmonics
from ssatom.masking import MaskedBatch, MaskNodesAndEdges
from ssatom.structures import structure_arrays
from studies.trial_tasks import ConditionedTask, ElectronsTask, UnitsTask, VectorsTask

CONFIG = GraphConfig("smooth", cutoff=4.5, directions=True)
WIDTH = 8


@pytest.fixture(scope="module")
def structures() -> list:
    return list(load_example_crystals()["structure"][:12])


@pytest.fixture
def masked(structures: list) -> MaskedBatch:
    batch = CrystalGraphConverter(CONFIG).convert(structures).to_batch()
    return MaskNodesAndEdges()(batch, seeded())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def states(masked: MaskedBatch, n_layers: int = 4) -> list[torch.Tensor]:
    shape = n_layers, len(masked.graphs.numbers), WIDTH
    return list(torch.randn(shape, generator=seeded(1)).requires_grad_())


def test_displacements_are_those_of_the_edges(masked: MaskedBatch) -> None:
    task = VectorsTask(noise=0.07)
    moved = task.corrupt(masked, seeded())
    steps, graphs = moved.targets["vectors"], masked.graphs
    source, target = graphs.edge_index
    before = graphs.directions * graphs.distances[:, None]
    after = moved.visible_directions * moved.visible_distances[:, None]
    torch.testing.assert_close(after - before, 0.07 * (steps[source] - steps[target]))
    for i in range(graphs.n_structures):
        mean = steps[graphs.structure_index == i].mean(dim=0)
        torch.testing.assert_close(mean, torch.zeros(3), atol=1e-5, rtol=0)


def test_vectors_turn_with_the_crystal(masked: MaskedBatch) -> None:
    """Rotated and reflected crystals have rotated and reflected vectors."""
    task = VectorsTask(noise=0.1)
    head = task.make_head(WIDTH, CONFIG)
    turn = torch.from_numpy(-Rotation.random(random_state=0).as_matrix()).float()
    state = states(masked)[0]
    moved = task.corrupt(masked, seeded())
    turned = moved._replace(noised_directions=moved.noised_directions @ turn.T)
    found = head(state, moved)
    assert found.abs().max() > 0.01
    torch.testing.assert_close(head(state, turned), found @ turn.T, atol=1e-5, rtol=1e-4)


def test_hidden_distances_give_no_vector(masked: MaskedBatch) -> None:
    head = VectorsTask().make_head(WIDTH, CONFIG)
    everything = masked._replace(hidden_edges=torch.arange(len(masked.graphs.distances)))
    assert not head(states(masked)[0], everything).any()


def test_clean_crystals_stand_behind_the_corrupted_ones(masked: MaskedBatch) -> None:
    plain = VectorsTask().corrupt(masked, seeded())
    both = ConditionedTask().corrupt(masked._replace(targets={"x": torch.ones(12, 1)}), seeded())
    n_sites, n_edges = len(masked.graphs.numbers), len(masked.graphs.distances)
    torch.testing.assert_close(both.visible_distances[:n_edges], plain.visible_distances)
    torch.testing.assert_close(both.visible_distances[n_edges:], masked.graphs.distances)
    torch.testing.assert_close(both.visible_directions[n_edges:], masked.graphs.directions)
    assert both.visible_numbers[:n_sites].tolist() == masked.visible_numbers.tolist()
    assert both.visible_numbers[n_sites:].tolist() == masked.graphs.numbers.tolist()
    assert both.graphs.edge_index[:, n_edges:].min() == n_sites
    assert both.targets["x"].shape == (24, 1)


def test_the_clean_crystal_conditions_the_vectors(masked: MaskedBatch) -> None:
    """The loss has a gradient in the pooled layers of the clean crystals, in no other of them."""
    task = ConditionedTask()
    both = task.corrupt(masked, seeded())
    hidden = states(both)
    leaves = [state.detach().requires_grad_() for state in hidden]
    task.evaluate(task.make_head(WIDTH, CONFIG), leaves, both).loss.backward()
    n_sites = len(masked.graphs.numbers)
    of_clean = [None if x.grad is None else bool(x.grad[n_sites:].any()) for x in leaves]
    assert of_clean == [True, True, True, False]


def test_electrons_are_those_of_tight_binding(structures: list, masked: MaskedBatch) -> None:
    """The site columns of each site; the columns of the crystal from the mean state."""
    task = ElectronsTask()
    arrays = [structure_arrays(s) for s in structures]
    rows = [task.compute_targets(a) for a in arrays]
    known = electronic_descriptors(arrays)
    for row, sites, crystal in zip(rows, known.sites, known.crystals, strict=True):
        np.testing.assert_array_equal(row[:, :20], sites)
        np.testing.assert_array_equal(row[:, 20:], np.broadcast_to(crystal, (len(row), 28)))
    targets = torch.from_numpy(np.concatenate(rows)).float()
    batch = masked._replace(targets={"electrons": targets})
    head = task.make_head(WIDTH, CONFIG)
    result = task.evaluate(head, states(masked), batch)
    assert result.n_items == 4 * len(targets)
    crystals = torch.from_numpy(known.crystals).float()
    torch.testing.assert_close(head["crystals"].scale.running_mean, 0.1 * crystals.mean(dim=0))


def test_units_are_those_of_the_true_crystal(masked: MaskedBatch) -> None:
    """Of masked sites, from all their edges, whatever is hidden or displaced."""
    head = UnitsTask().make_head(WIDTH, CONFIG)
    graphs = masked.graphs
    attr = GaussianDistanceBasis(CONFIG)(graphs.distances)
    edges = Edges(graphs.edge_index, attr, graphs.edge_weight, len(graphs.numbers))
    harmonics = spherical_harmonics(graphs.directions)
    units = directional_units(head.channels[graphs.numbers], head.matrix, edges, harmonics)
    found = head.targets(VectorsTask().corrupt(masked, seeded()))
    assert found.shape == (len(masked.masked_sites), 75)
    torch.testing.assert_close(found, units[masked.masked_sites])
    assert found[:, :15].std(dim=0).min() > 0  # degree 0; symmetric sites have no degree 1


@pytest.mark.slow
@pytest.mark.parametrize("tasks", ["denoise,electrons,units", "radial,vectors", "conditioned"])
def test_tasks_on_trial_are_learned(structures: list, tasks: str) -> None:
    size = {"hidden_dim": 32, "n_conv": 3, "directional_channels": 4}
    graphs = {"neighbors": "smooth", "cutoff": 4.0}
    run = {"max_epochs": 60, "learning_rate": 0.01, "patience": None, "progress_bar": False}
    history = MaskedPretrainer(tasks, **size, **graphs, **run).fit(structures).history_
    for name in tasks.split(","):
        losses = history[f"train_{name}_loss"]
        assert losses.iloc[-5:].mean() < losses.iloc[1:6].mean()
