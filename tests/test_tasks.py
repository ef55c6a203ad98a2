"""Losses and accuracies of the pretraining tasks on logits that are written by hand."""

from __future__ import annotations

import math
import re
import types

import numpy as np
import pytest
import torch
from own_tasks import OURS
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from ssatom import MaskedPretrainer
from ssatom.elements import property_table
from ssatom.exceptions import ParameterError
from ssatom.graph import CrystalGraphConverter, GraphBatch, GraphConfig
from ssatom.masking import MaskedBatch
from ssatom.structures import structure_arrays
from ssatom.surroundings import bond_angles
from ssatom.tasks import (
    TASKS,
    AnglesTask,
    CrystalSystemTask,
    DenoiseTask,
    DensityTask,
    DistanceTask,
    ElementTask,
    GroupTask,
    PeriodTask,
    PotentialTask,
    PretrainingTask,
    RadialTask,
    RedundancyTask,
    TaskResult,
    base,
    classify,
    make_tasks,
    regress,
)
from ssatom.tasks.surrogates import SurrogateTask

NONE = torch.empty(0, dtype=torch.long)
MASKED = [t for t in OURS.values() if not t.target_rows and t is not RedundancyTask]


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


@pytest.mark.parametrize("task", [t() for t in MASKED])
def test_nothing_masked_is_no_loss_and_no_nan(batch: GraphBatch, task: PretrainingTask) -> None:
    head = task.make_head(4, GraphConfig())
    states = torch.rand(5, 4, requires_grad=True)
    result = task.evaluate(head, [states], MaskedBatch(batch, NONE, NONE))
    assert (result.loss.item(), int(result.correct), result.n_items) == (0.0, 0, 0)
    result.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("name", OURS)
def test_heads_hold_the_tensors_and_tasks_none(name: str) -> None:
    task = TASKS[name]()
    assert task.name == name
    assert not isinstance(task, nn.Module)
    head = task.make_head(8, GraphConfig())
    n_parameters = sum(p.numel() for p in head.parameters())
    assert (n_parameters > 0) == (name != "redundancy")


# Denoising -------------------------------------------------------------------------------------


def noised(structures: list[Structure], noise: float = 0.2, **settings: object) -> MaskedBatch:
    """Displaced, with the first edge hidden."""
    converter = CrystalGraphConverter(GraphConfig(**settings, directions=True))
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
    assert len(noised([crystals["Ni3Al"]] * 200).drawn_edges) == 4096


def test_no_noise_is_refused() -> None:
    with pytest.raises(ParameterError, match="noise=0 must be a positive number"):
        DenoiseTask(noise=0)


# What is counted from the structure alone ------------------------------------------------------

SURROGATES = [name for name, task in OURS.items() if task.target_rows]


def targets_of(task: PretrainingTask, structure: Structure) -> np.ndarray:
    return task.compute_targets(structure_arrays(structure))


@pytest.mark.parametrize("name", SURROGATES)
def test_targets_do_not_depend_on_the_description(name: str, crystal: Structure) -> None:
    task = TASKS[name]()
    found = targets_of(task, crystal)
    rows = len(crystal) if task.target_rows == "site" else 1
    n_values = 1 if name == "crystal_system" else getattr(task, "n_values", found.shape[-1])
    assert found.shape == (rows, n_values)
    turn = Rotation.random(random_state=0).as_matrix()
    order = np.random.default_rng(0).permutation(len(crystal))
    coords = (crystal.frac_coords + np.array([0.2, -3.1, 7.7]))[order]
    species = [crystal[i].specie for i in order]
    turned = Structure(Lattice(crystal.lattice.matrix @ turn.T), species, coords)
    expected = found[order] if task.target_rows == "site" else found
    np.testing.assert_allclose(targets_of(task, turned), expected, atol=1e-4)
    doubled = targets_of(task, crystal * (1, 2, 1))
    np.testing.assert_allclose(doubled, np.repeat(found, len(doubled) // rows, axis=0), atol=1e-4)


@pytest.mark.parametrize("name", SURROGATES)
def test_targets_have_about_unit_size(name: str, corpus: list[Structure]) -> None:
    values = np.concatenate([targets_of(TASKS[name](), structure) for structure in corpus])
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 60  # a shell under a Gaussian, at most
    assert 0.1 < np.sqrt((values**2).mean()) < 7


def test_radial_targets_by_hand() -> None:
    """Simple cubic, 3 Å: six neighbours at 3 Å and twelve at 4.24 Å, in units of a gas."""
    polonium = Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])
    found = targets_of(RadialTask(cutoff=5.0), polonium).reshape(5, 21)
    r = np.linspace(1, 5, 21)
    counted = sum(
        n * np.exp(-(((d - r) / 0.2) ** 2) / 2) for n, d in ((6, 3.0), (12, 18**0.5), (8, 27**0.5))
    )
    gas = 0.05 * 4 * np.pi * r**2 * np.sqrt(2 * np.pi) * 0.2
    np.testing.assert_allclose(found[0], counted / gas, atol=1e-3)
    table = property_table()
    for row, values in zip(found[1:], table[:, 1:].T, strict=True):
        share = (values[84] / values[1:].mean()) ** 2
        np.testing.assert_allclose(row, found[0] * share, atol=2e-3 * share)


@pytest.mark.parametrize(
    ("name", "coordination", "cosines"),
    [
        ("diamond", 4, [-1 / 3]),
        ("NaCl", 6, [-1, 0]),
        ("Cu", 12, [-1, -0.5, 0, 0.5]),
        ("CsCl", 8, None),
    ],
)
def test_angles_by_hand(
    crystals: dict[str, Structure], name: str, coordination: int, cosines: list[float] | None
) -> None:
    found = bond_angles(structure_arrays(crystals[name]))
    if cosines is None:  # the second shell, 1.155 times as far, counts in part
        assert (found[:, 0] > coordination).all()
        return
    np.testing.assert_allclose(found[:, 0], coordination, atol=1e-6)
    grid = np.linspace(-1, 1, 11)
    near = np.abs(grid[:, None] - cosines).min(axis=1)
    assert (found[:, 1:][:, near < 0.15] > 0.02).all()
    assert (found[:, 1:][:, near > 0.5] < 0.02).all()
    np.testing.assert_allclose(targets_of(AnglesTask(), crystals[name])[:, 0], coordination / 4)


@pytest.mark.parametrize(("name", "madelung"), [("NaCl", 1.747565), ("CsCl", 1.762675)])
def test_potential_targets_by_hand(
    crystals: dict[str, Structure], name: str, madelung: float
) -> None:
    """The potential at an ion of a salt is Madelung's constant by its charge and the distance."""
    salt = crystals[name]
    charges, potentials, energies = targets_of(PotentialTask(), salt).T
    assert charges.sum() == pytest.approx(0, abs=1e-12)
    first = [site.specie.symbol for site in salt].index(name[:2])
    assert charges[first] > 1  # the metal is positive
    distance = min(d for d in salt.distance_matrix[first] if d > 0)
    np.testing.assert_allclose(potentials, -3 * madelung * charges / distance, rtol=5e-3)
    np.testing.assert_allclose(energies, charges * potentials / 3)


def test_sites_without_neighbors_have_targets_too(crystals: dict[str, Structure]) -> None:
    argon, water = crystals["argon"], crystals["water"]
    assert not bond_angles(structure_arrays(argon)).any()
    assert not targets_of(RadialTask(), argon).any()
    assert bond_angles(structure_arrays(water))[0, 0] == pytest.approx(2)


def test_density_targets_by_hand(crystals: dict[str, Structure]) -> None:
    volume, density = targets_of(DensityTask(), crystals["Cu"])[0] * 0.5 + [2.9, 1.6]
    assert np.exp(volume) == pytest.approx(3.615**3 / 4)
    assert np.exp(density) == pytest.approx(float(crystals["Cu"].density), rel=1e-4)


def test_spglib_prints_nothing_where_it_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """Of a cubic cell whose sites are displaced by about the tolerance."""
    coords = [
        *([-0.00024, -0.00034, 0.00028], [0.00022, 0.00046, 0.49924], [0.00022, 0.50033, 0.00036]),
        *([-0.00084, 0.5, 0.49977], [0.50084, 0.00107, -0.00174], [0.49915, -9e-05, 0.50047]),
        *([0.50071, 0.49861, 0.00014], [0.49931, 0.50015, 0.50054]),
    ]
    cell = structure_arrays(Structure(Lattice.cubic(5), ["H"] * 8, coords))
    assert CrystalSystemTask().compute_targets(cell).item() == 0
    assert capfd.readouterr().err == ""


def test_crystal_systems_by_hand(crystals: dict[str, Structure]) -> None:
    triclinic = Structure(
        Lattice.from_parameters(4, 5, 6, 80, 85, 97), ["Si", "O"], [[0, 0, 0], [0.3, 0.45, 0.1]]
    )
    expected = {"NaCl": 6, "Mg": 5, "TiO2": 3, "SrTiO3": 6}
    task = CrystalSystemTask()
    assert {name: targets_of(task, crystals[name])[0, 0] for name in expected} == expected
    assert targets_of(task, triclinic).tolist() == [[0]]


@pytest.mark.parametrize("name", [n for n in SURROGATES if issubclass(TASKS[n], SurrogateTask)])
def test_surrogates_are_predicted_from_every_layer(
    name: str, crystals: dict[str, Structure]
) -> None:
    task = TASKS[name]()
    chosen = [crystals[kind] for kind in ("NaCl", "TiO2")]
    graphs = CrystalGraphConverter().convert(chosen).to_batch()
    targets = np.concatenate([targets_of(task, structure) for structure in chosen])
    rows = {name: torch.from_numpy(targets).float()}
    masked = MaskedBatch(graphs, NONE, NONE, targets=rows)
    hidden = [torch.rand(14, 32, requires_grad=True) for _ in range(3)]
    result = task.evaluate(task.make_head(32, GraphConfig()), hidden, masked)
    assert result.n_items == 3 * len(targets)
    result.loss.backward()
    assert all(state.grad.abs().sum(dim=1).all() for state in hidden)


def test_mean_state_of_structures(crystals: dict[str, Structure]) -> None:
    """Each structure is predicted from its own sites alone."""
    graphs = CrystalGraphConverter().convert([crystals["NaCl"], crystals["TiO2"]]).to_batch()
    states = [torch.arange(14.0)[:, None].expand(14, 2)]
    seen = []

    class Seeing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x

    rows = {"density": torch.tensor([[3.5, 3.5], [10.9, 10.9]])}
    masked = MaskedBatch(graphs, NONE, NONE, targets=rows)
    result = DensityTask().evaluate(Seeing(), states, masked)
    assert seen[0].tolist() == [[[3.5, 3.5], [10.5, 10.5]]]
    assert result.loss.item() == pytest.approx(0.4**2 / 4, rel=1e-5)
    assert int(result.correct) == 2


def test_unknown_symmetry_does_not_count(crystals: dict[str, Structure]) -> None:
    graphs = CrystalGraphConverter().convert([crystals["NaCl"], crystals["TiO2"]]).to_batch()
    rows = {"crystal_system": torch.tensor([[6.0], [-1.0]])}
    task = CrystalSystemTask()
    head = task.make_head(4, GraphConfig())
    result = task.evaluate(head, [torch.rand(14, 4)], MaskedBatch(graphs, NONE, NONE, targets=rows))
    assert result.n_items == 1


# Redundancy -----------------------------------------------------------------------------------


def test_redundancy_by_hand(batch: GraphBatch) -> None:
    """Of three units two are the same and one is at right angles to them; one says nothing."""
    wave = torch.tensor([1.0, -1.0, 1.0, -1.0])
    other = torch.tensor([1.0, 1.0, -1.0, -1.0])
    states = torch.stack([wave, 5 * wave + 3, other, torch.zeros(4)], dim=1)
    result = RedundancyTask().evaluate(nn.Identity(), [states], MaskedBatch(batch, NONE, NONE))
    assert result.loss.item() == pytest.approx(2 / 12, rel=1e-4)
    assert (int(result.correct), result.n_items) == (10, 12)


def test_redundancy_of_one_site_is_none(batch: GraphBatch) -> None:
    state = torch.rand(1, 4, requires_grad=True)
    result = RedundancyTask().evaluate(nn.Identity(), [state], MaskedBatch(batch, NONE, NONE))
    assert (result.loss.item(), result.n_items) == (0.0, 0)


# By name ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
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
        ("period(weight=-1)", "weight=-1 must be a positive number"),
        ("period,period", "different names"),
    ],
)
def test_wrong_names_of_tasks(text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        make_tasks(text)


def test_task_of_ones_own_needs_no_init() -> None:
    class Mine(PeriodTask, name="mine"):
        def __init__(self, depth: int) -> None:
            self.depth = depth

    assert Mine(3).weight == 1.0
    assert str(Mine(3)) == "mine(depth=3)"


# A task of one's own ---------------------------------------------------------------------------


def make_task(name: str | None = "own", base: type = PretrainingTask, **members: object) -> type:
    """A task with both methods, and others as given; None leaves a method out."""
    methods = {
        "make_head": lambda self, hidden_dim, graph_config: nn.Linear(hidden_dim, 1),
        "evaluate": lambda self, head, hidden, masked: regress(
            head(hidden[-1]), masked.targets[self.name]
        ),
        "compute_targets": lambda self, arrays: np.ones((len(arrays.numbers), 1)),
        "target_rows": "site",
        **members,
    }
    kept = {key: value for key, value in methods.items() if value is not None}
    return types.new_class(
        "Own", (base,), {"name": name} if name else {}, lambda ns: ns.update(kept)
    )


@pytest.fixture(autouse=True)
def _own_tasks_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssatom.tasks.base.TASKS", dict(TASKS))
    monkeypatch.setattr("ssatom.tasks.names.TASKS", base.TASKS)


def pretrain(corpus: list[Structure], task: object, **settings: object) -> MaskedPretrainer:
    sizes = {"hidden_dim": 8, "n_conv": 2, "max_epochs": 1, "progress_bar": False}
    return MaskedPretrainer(task, **{**sizes, **settings}).fit(corpus[:12])


def test_a_task_registers_its_own_name(corpus: list[Structure]) -> None:
    own = make_task()
    fitted = pretrain(corpus, "period,own(weight=0.5)")
    assert fitted.recipe_["tasks"] == ["period", "own(weight=0.5)"]
    assert "validation_own_accuracy" in fitted.history_
    assert pretrain(corpus, own()).recipe_["tasks"] == ["own"]
    again = make_task()  # as a cell of a notebook that is run twice
    assert isinstance(make_tasks("own")[0], again)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"make_head": None}, "task Own lacks the method make_head"),
        ({"evaluate": None}, "task Own lacks the method evaluate"),
        ({"compute_targets": None}, "task Own lacks the method compute_targets"),
        ({"make_head": None, "evaluate": None}, "lacks the method make_head and evaluate"),
        ({"target_rows": None}, "target_rows=None must be 'site' or 'structure'"),
        ({"target_rows": "sites"}, "target_rows='sites' must be 'site' or 'structure'"),
        ({"name": "period"}, "'period' is that of ssatom.tasks.elements.PeriodTask"),
        ({"name": "my task"}, "name='my task' must be an identifier"),
        ({"name": 3}, "name=3 must be an identifier"),
    ],
)
def test_incomplete_tasks_are_refused(members: dict, words: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(words)):
        make_task(**members)


def test_a_task_without_a_name_is_refused() -> None:
    unnamed = make_task(None, PeriodTask, target_rows=None, compute_targets=None)
    with pytest.raises(
        ParameterError, match=r"Own has no name.*class Own\(PeriodTask, name='mine'"
    ):
        make_tasks([unnamed()])
    with pytest.raises(ParameterError, match=r"give the name with the class.*name='mine'\)"):
        types.new_class("Own", (PeriodTask,), {}, lambda ns: ns.update(name="mine"))


ZERO = torch.zeros(())


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"make_head": lambda *_: None}, "make_head must return a torch.nn.Module; got None"),
        ({"make_head": lambda *_: [1]}, "make_head must return a torch.nn.Module; got list"),
        ({"compute_targets": lambda *_: None}, "compute_targets must return an array"),
        ({"compute_targets": lambda *_: [[1.0]]}, "got list"),
        ({"compute_targets": lambda *_: np.ones(2)}, "one row for each site; got ndarray of shape"),
        ({"compute_targets": lambda *_: np.ones((99, 1))}, "shape (2, k), one row for each site"),
        ({"compute_targets": lambda *_: np.array([["Cu"]])}, "an array of numbers"),
        (
            {"compute_targets": lambda *_: np.ones((9, 1)), "target_rows": "structure"},
            "(1, k), one row for the structure; got ndarray of shape (9, 1)",
        ),
        (
            {"compute_targets": lambda _, a: np.full((len(a.numbers), 1), np.nan)},
            "finite numbers of at most 65504",
        ),
        ({"compute_targets": lambda _, a: np.full((len(a.numbers), 1), 1e6)}, "largest 1e+06"),
        (
            {"compute_targets": lambda _, a: np.ones((len(a.numbers), len(a.numbers)))},
            "rows of one length for all structures",
        ),
        ({"corrupt": lambda *_: None}, "corrupt must return a MaskedBatch; got None"),
        (
            {"corrupt": lambda _, m, g: m._replace(noised_distances=torch.ones(3))},
            "noised_distances of shape",
        ),
        ({"evaluate": lambda *_: None}, "evaluate must return a TaskResult; got None"),
        ({"evaluate": lambda *_: ZERO}, "evaluate must return a TaskResult; got Tensor"),
        (
            {"evaluate": lambda _, head, h, m: TaskResult(head(h[-1])[:, 0], ZERO, 1)},
            "a loss of shape (), a float tensor; got Tensor of shape",
        ),
        ({"evaluate": lambda *_: TaskResult(0.5, ZERO, 1)}, "a loss of shape ()"),
        ({"evaluate": lambda *_: TaskResult(ZERO, ZERO, 1)}, "a loss with a gradient"),
        (
            {"evaluate": lambda _, head, h, m: TaskResult(h[-1].sum(), torch.ones(3), 1)},
            "correct as a number",
        ),
        (
            {"evaluate": lambda _, head, h, m: TaskResult(h[-1].sum(), 1, None)},
            "n_items as a number or a tensor of shape (); got None",
        ),
        (
            {"make_head": lambda _, width, config: nn.Linear(width, 2)},
            "must have the same shape; look at the head's last layer",
        ),
        (
            {"evaluate": lambda _, head, h, m: classify(head(h[-1]), m.targets["own"])},
            "must have the shapes (n_items, n_classes) and (n_items,)",
        ),
    ],
)
def test_wrong_results_of_tasks_are_refused(
    corpus: list[Structure], members: dict, words: str
) -> None:
    own = make_task(**members)
    with pytest.raises(ParameterError, match=re.escape(words)):
        pretrain(corpus, own())


@pytest.mark.parametrize("tasks", [PeriodTask, [PeriodTask], [3], ["period", None], 5])
def test_what_is_no_task_is_refused(tasks: object) -> None:
    with pytest.raises(ParameterError, match="tasks must be names or objects of tasks; got"):
        make_tasks(tasks)


def test_one_task_needs_no_list() -> None:
    task = PeriodTask()
    assert make_tasks(task) == [task]
