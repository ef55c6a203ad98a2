"""Losses and accuracies of the pretraining tasks on logits that are written by hand."""

from __future__ import annotations

import math
import re

import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor, nn

from ssatom.exceptions import ParameterError
from ssatom.graph import CrystalGraphConverter, GraphBatch, GraphConfig
from ssatom.masking import MaskedBatch
from ssatom.tasks import (
    TASKS,
    DenoiseTask,
    DistanceTask,
    ElementTask,
    GroupTask,
    PeriodTask,
    PretrainingTask,
    make_tasks,
)

NONE = torch.empty(0, dtype=torch.long)


class Fixed(nn.Module):
    """A head that ignores the states and gives the logits it was made with."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, *states: Tensor) -> Tensor:
        assert len(states[0]) == len(self.logits)
        return self.logits


def logits(n_classes: int, chosen: list[int], height: float = 2.0) -> Tensor:
    """Rows of zeros with `height` at the chosen class."""
    rows = torch.zeros(len(chosen), n_classes)
    rows[torch.arange(len(chosen)), chosen] = height
    return rows


def losses(n_classes: int, height: float = 2.0) -> tuple[float, float]:
    """Cross-entropy of such a row where the chosen class is right, and where it is wrong."""
    total = math.log(math.exp(height) + n_classes - 1)
    return total - height, total


@pytest.fixture
def batch() -> GraphBatch:
    """H, O, Fe, Gd, Xe in a row, 2 Å apart, in a box."""
    positions = [[2.0 * i, 0, 0] for i in range(5)]
    structure = Structure(
        Lattice.cubic(40), ["H", "O", "Fe", "Gd", "Xe"], positions, coords_are_cartesian=True
    )
    return CrystalGraphConverter().convert([structure]).to_batch()


@pytest.mark.parametrize(
    ("task", "n_classes", "classes"),
    [
        (PeriodTask(), 9, [0, 1, 3, 7, 4]),
        (GroupTask(), 18, [0, 15, 7, 2, 17]),
        (ElementTask(), 100, [0, 7, 25, 63, 53]),
    ],
)
def test_element_tasks(
    batch: GraphBatch, task: PretrainingTask, n_classes: int, classes: list[int]
) -> None:
    """Masked are O, Gd and Xe; the head is right about the first and the last."""
    masked = MaskedBatch(batch, torch.tensor([1, 3, 4]), NONE)
    head = Fixed(logits(n_classes, [classes[1], (classes[3] + 1) % n_classes, classes[4]]))
    result = task.evaluate(head, [torch.zeros(5, 4)], masked)
    right, wrong = losses(n_classes)
    assert result.loss.item() == pytest.approx((2 * right + wrong) / 3)
    assert (int(result.correct), result.n_items) == (2, 3)


def test_element_tasks_look_at_the_last_state_of_masked_sites(batch: GraphBatch) -> None:
    task = PeriodTask()
    head = task.make_head(2, GraphConfig())
    hidden = [torch.rand(5, 2), torch.rand(5, 2, requires_grad=True)]
    task.evaluate(head, hidden, MaskedBatch(batch, torch.tensor([0, 4]), NONE)).loss.backward()
    assert hidden[1].grad.abs().sum(dim=1).bool().tolist() == [True, False, False, False, True]
    assert head(hidden[1]).shape == (5, 9)


def test_distance_task(batch: GraphBatch) -> None:
    """Distances are 2, 4, 6 or 8 Å: bins 10, 20, 30 and 40."""
    edges = torch.arange(4)  # those into the first site
    bins = (batch.distances[:4] / 0.2).round().long().tolist()
    assert sorted(bins) == [10, 20, 30, 40]
    head = Fixed(logits(41, [bins[0], bins[1], bins[2] - 1, 0]))
    head.basis = DistanceTask().make_head(4, GraphConfig()).basis
    result = DistanceTask().evaluate(head, [torch.zeros(5, 4)], MaskedBatch(batch, NONE, edges))
    right, wrong = losses(41)
    assert result.loss.item() == pytest.approx((right + wrong) / 2)
    assert (int(result.correct), result.n_items) == (2, 4)


def test_distance_head_is_the_same_in_either_direction() -> None:
    head = DistanceTask().make_head(4, GraphConfig())
    first, second = torch.rand(6, 4), torch.rand(6, 4)
    assert torch.equal(head(first, second), head(second, first))
    assert head(first, second).shape == (6, 41)


def test_distance_head_follows_the_graphs_settings() -> None:
    head = DistanceTask().make_head(4, GraphConfig(cutoff=5.0, basis_step=0.5))
    assert head(torch.rand(2, 4), torch.rand(2, 4)).shape == (2, 11)


@pytest.mark.parametrize("task", [task() for task in TASKS.values()])
def test_nothing_masked_is_no_loss_and_no_nan(batch: GraphBatch, task: PretrainingTask) -> None:
    head = task.make_head(4, GraphConfig())
    states = torch.rand(5, 4, requires_grad=True)
    result = task.evaluate(head, [states], MaskedBatch(batch, NONE, NONE))
    assert (result.loss.item(), int(result.correct), result.n_items) == (0.0, 0, 0)
    result.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("name", TASKS)
def test_heads_hold_the_tensors_and_tasks_none(name: str) -> None:
    task = TASKS[name]()
    assert task.name == name
    assert not isinstance(task, nn.Module)
    head = task.make_head(8, GraphConfig())
    assert sum(p.numel() for p in head.parameters()) > 0


# Denoising -------------------------------------------------------------------------------------


def noised(structures: list[Structure], noise: float = 0.2, **settings: object) -> MaskedBatch:
    """Displaced, with the first edge hidden."""
    converter = CrystalGraphConverter(GraphConfig(**settings), directions=True)
    masked = MaskedBatch(converter.convert(structures).to_batch(), NONE, torch.tensor([0]))
    return DenoiseTask(noise).corrupt(masked, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("settings", [{}, {"neighbors": "smooth", "cutoff": 5.0}])
def test_noise_is_physical(settings: dict, crystals: dict[str, Structure]) -> None:
    """The distances seen are those of one crystal with displaced sites."""
    crystal = crystals["TiO2"]
    masked = noised([crystal], 0.1, **settings)
    graphs = masked.graphs
    steps = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).numpy()
    moved = crystal.cart_coords + steps * 0.1 / math.sqrt(2)
    displaced = Structure(crystal.lattice, crystal.species, moved, coords_are_cartesian=True)
    for edge, (source, target) in enumerate(graphs.edge_index.T.tolist()):
        around = displaced.get_neighbor_list(6.5, [displaced[target]], exclude_self=False)
        d = around[3][around[1] == source]
        assert abs(d - float(masked.noised_distances[edge])).min() < 0.004
    change = masked.noised_distances - graphs.distances
    assert change[graphs.edge_index[0] == graphs.edge_index[1]].abs().max() < 1e-3  # images
    assert 0.05 < change.std() < 0.15
    assert masked.visible_distances is masked.noised_distances


def test_noise_has_the_spread_that_is_said(corpus: list[Structure]) -> None:
    masked = noised(corpus, 0.2)
    between = masked.graphs.edge_index[0] != masked.graphs.edge_index[1]
    change = (masked.noised_distances - masked.graphs.distances)[between]
    assert float(change.square().mean().sqrt()) == pytest.approx(0.2, rel=0.1)


def test_denoise_task(crystals: dict[str, Structure]) -> None:
    """Scored are visible edges; a head that knows has no loss, one of zeros that of the noise."""
    masked = noised([crystals["NaCl"], crystals["CsCl"]])
    edges = masked.drawn_edges
    assert 0 not in edges.tolist()
    assert len(edges.unique()) == len(edges) == len(masked.graphs.distances) - 1
    off = (masked.noised_distances - masked.graphs.distances)[edges] / 0.2
    states = [torch.zeros(len(masked.graphs.numbers), 4)]
    known = DenoiseTask().evaluate(Fixed(off[:, None]), states, masked)
    assert (known.loss.item(), int(known.correct)) == (0.0, len(edges))
    blind = DenoiseTask().evaluate(Fixed(torch.zeros(len(edges), 1)), states, masked)
    huber = torch.where(off.abs() < 1, off**2 / 2, off.abs() - 0.5)
    assert blind.loss.item() == pytest.approx(huber.mean().item(), rel=1e-5)
    assert int(blind.correct) == int((off.abs() < 0.5).sum())


def test_denoise_scores_a_bounded_number_of_edges(crystals: dict[str, Structure]) -> None:
    assert len(noised([crystals["Ni3Al"]] * 200).drawn_edges) == 8192


def test_no_noise_is_refused() -> None:
    with pytest.raises(ParameterError, match="noise=0 must be positive"):
        DenoiseTask(noise=0)


# By name ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
def test_tasks_by_name(name: str) -> None:
    (task,) = make_tasks(name)
    assert isinstance(task, TASKS[name])
    assert str(task) == name
    (weighed,) = make_tasks([f"{name}(weight=0.25)"])
    assert weighed.weight == 0.25
    assert str(weighed) == f"{name}(weight=0.25)"
    assert str(make_tasks(str(weighed))[0]) == str(weighed)


def test_several_tasks_in_one_text() -> None:
    made = make_tasks("period , group(weight=2.0),distance")
    assert [task.name for task in made] == ["period", "group", "distance"]
    own = PeriodTask()
    assert make_tasks([own, "group"])[0] is own


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("elment", "no 'elment'; allowed: "),
        ("", "no ''; allowed: "),
        ("period,", "no ''"),
        ("period(depth=3)", "other settings than period takes; allowed: weight"),
        ("period(3)", "other settings"),
        ("period(weight=)", "other settings"),
        ("period(weight=f())", "other settings"),
        ("period(weight=-1)", "weight=-1 must be positive"),
        ("period,period", "different names"),
    ],
)
def test_wrong_names_of_tasks(text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        make_tasks(text)


def test_task_of_ones_own_needs_no_init() -> None:
    class Mine(PeriodTask):
        name = "mine"

        def __init__(self, depth: int) -> None:
            self.depth = depth

    assert Mine(3).weight == 1.0
    assert str(Mine(3)) == "mine(depth=3)"
