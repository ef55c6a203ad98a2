"""What masking hides, and that nothing of it leaks into what the network sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor

from ssatom.elements import MASK_NUMBER, atomic_features
from ssatom.exceptions import ParameterError
from ssatom.graph import CrystalGraphConverter, GaussianDistanceBasis, GraphBatch, GraphConfig
from ssatom.masking import MaskedBatch, MaskNodesAndEdges

KINDS = ["NaCl", "CsCl", "Cu", "Fe", "diamond", "Mg", "Ni3Al", "TiO2", "SrTiO3"]


@pytest.fixture(scope="module")
def batch(crystals: dict[str, Structure]) -> GraphBatch:
    """540 crystals, 2,640 sites."""
    return CrystalGraphConverter().convert([crystals[name] for name in KINDS] * 60).to_batch()


def mask(batch: GraphBatch, seed: int = 0, **shares: float) -> MaskedBatch:
    return MaskNodesAndEdges(**shares)(batch, torch.Generator().manual_seed(seed))


def inputs(masked: MaskedBatch) -> tuple[Tensor, Tensor]:
    """Node and edge vectors as the network gets them."""
    features = torch.from_numpy(atomic_features().copy())
    edge_attr = masked.hide(GaussianDistanceBasis()(masked.graphs.distances))
    return features[masked.visible_numbers], edge_attr


def touching(masked: MaskedBatch) -> Tensor:
    """Whether each edge has a masked site at an end."""
    is_masked = torch.zeros(len(masked.graphs.numbers), dtype=torch.bool)
    is_masked[masked.masked_sites] = True
    return is_masked[masked.graphs.edge_index].any(dim=0)


# Shares ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.05, 0.15, 0.5])
def test_share_of_masked_sites(batch: GraphBatch, fraction: float) -> None:
    n_sites = len(batch.numbers)
    counts = [len(mask(batch, seed, mask_fraction=fraction).masked_sites) for seed in range(20)]
    deviation = np.sqrt(fraction * (1 - fraction) / (20 * n_sites))
    assert abs(np.mean(counts) / n_sites - fraction) < 4 * deviation


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8])
def test_share_of_hidden_edges(batch: GraphBatch, fraction: float) -> None:
    n_hidden = n_touching = 0
    for seed in range(20):
        masked = mask(batch, seed, hidden_edge_fraction=fraction)
        n_hidden += len(masked.hidden_edges)
        n_touching += int(touching(masked).sum())
    assert abs(n_hidden / n_touching - fraction) < 0.03


def test_only_edges_that_touch_masked_sites_are_hidden(batch: GraphBatch) -> None:
    masked = mask(batch)
    assert touching(masked)[masked.hidden_edges].all()
    assert len(masked.hidden_edges) == len(masked.hidden_edges.unique())


def test_shares_of_zero_and_one(batch: GraphBatch) -> None:
    nothing = mask(batch, mask_fraction=0.0)
    assert len(nothing.masked_sites) == len(nothing.hidden_edges) == 0
    nodes_only = mask(batch, hidden_edge_fraction=0.0)
    assert len(nodes_only.masked_sites) > 0
    assert len(nodes_only.hidden_edges) == 0
    everything = mask(batch, mask_fraction=1.0, hidden_edge_fraction=1.0)
    assert torch.equal(everything.masked_sites, torch.arange(len(batch.numbers)))
    assert torch.equal(everything.hidden_edges, torch.arange(len(batch.distances)))


@pytest.mark.parametrize("name", ["mask_fraction", "hidden_edge_fraction"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_shares_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ParameterError, match=rf"{name}=.* must be a number in \[0, 1\]"):
        MaskNodesAndEdges(**{name: value})


# What is hidden is hidden everywhere -------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_no_other_edge_tells_a_hidden_distance(batch: GraphBatch, seed: int) -> None:
    """Neither the way back nor another periodic image between the same two sites."""
    masked = mask(batch, seed)
    hidden = torch.zeros(len(batch.distances), dtype=torch.bool)
    hidden[masked.hidden_edges] = True
    told: dict[bool, set] = {True: set(), False: set()}
    ends = batch.edge_index.sort(dim=0).values.T.tolist()  # the same for both directions
    for pair, d, is_hidden in zip(ends, batch.distances.tolist(), hidden.tolist(), strict=True):
        told[is_hidden].add((*pair, round(d, 3)))
    assert told[True]
    assert not told[True] & told[False]


def test_small_cell_hides_all_images_of_a_distance_together() -> None:
    """CsCl: eight first neighbours are one distance, six images of the site itself another."""
    cscl = Structure(Lattice.cubic(4.123), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    batch = CrystalGraphConverter().convert([cscl]).to_batch()
    sizes = set()
    for seed in range(40):
        masked = mask(batch, seed, mask_fraction=1.0)
        groups = [
            (batch.edge_index[0] != batch.edge_index[1]),  # both directions: 16 edges
            (batch.edge_index == 0).all(dim=0),
            (batch.edge_index == 1).all(dim=0),
        ]
        hidden = torch.zeros(28, dtype=torch.bool)
        hidden[masked.hidden_edges] = True
        for group in groups:
            assert hidden[group].all() or not hidden[group].any()
        sizes.add(len(masked.hidden_edges))
    assert sizes == {0, 6, 12, 16, 22, 28}


def test_two_distances_between_two_sites_are_two() -> None:
    """A tetragonal cell: the second shell is no help in guessing the first one."""
    cell = Structure(Lattice.tetragonal(4.0, 3.0), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.4]])
    batch = CrystalGraphConverter().convert([cell]).to_batch()
    between = batch.edge_index[0] != batch.edge_index[1]
    distances = batch.distances[between].unique()
    assert len(distances) > 1
    hidden_alone = set()
    for seed in range(60):
        masked = mask(batch, seed, mask_fraction=1.0)
        edges = masked.hidden_edges[between[masked.hidden_edges]]
        hidden_alone |= {tuple(batch.distances[edges].unique().tolist())}
    assert len(hidden_alone) == 2 ** len(distances)


# Nothing leaks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_inputs_do_not_know_hidden_elements(batch: GraphBatch, seed: int) -> None:
    masked = mask(batch, seed)
    numbers = batch.numbers.clone()
    numbers[masked.masked_sites] = 1 + (numbers[masked.masked_sites] + 40) % 100
    other = masked._replace(graphs=batch._replace(numbers=numbers))
    assert not torch.equal(other.graphs.numbers, masked.graphs.numbers)
    assert all(torch.equal(a, b) for a, b in zip(inputs(masked), inputs(other), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_inputs_do_not_know_hidden_distances(batch: GraphBatch, seed: int) -> None:
    masked = mask(batch, seed)
    distances = batch.distances.clone()
    distances[masked.hidden_edges] = 8.0 - distances[masked.hidden_edges]
    other = masked._replace(graphs=batch._replace(distances=distances))
    assert all(torch.equal(a, b) for a, b in zip(inputs(masked), inputs(other), strict=True))


def test_inputs_of_what_is_not_hidden_are_unchanged(batch: GraphBatch) -> None:
    masked = mask(batch)
    nodes, edges = inputs(masked)
    numbers = batch.numbers.clone()
    numbers[masked.masked_sites] = MASK_NUMBER
    assert torch.equal(nodes, torch.from_numpy(atomic_features().copy())[numbers])
    assert (nodes[masked.masked_sites] == 0).all()
    plain = GaussianDistanceBasis()(batch.distances)
    visible = torch.ones(len(plain), dtype=torch.bool)
    visible[masked.hidden_edges] = False
    assert torch.equal(edges[visible], plain[visible])
    assert (edges[~visible] == 0).all()


def test_the_batch_itself_is_left_alone(crystals: dict[str, Structure]) -> None:
    batch = CrystalGraphConverter().convert([crystals["TiO2"]]).to_batch()
    tensors = [x for x in batch if isinstance(x, Tensor)]
    copies = [x.clone() for x in tensors]
    inputs(mask(batch, mask_fraction=1.0, hidden_edge_fraction=1.0))
    assert all(torch.equal(a, b) for a, b in zip(tensors, copies, strict=True))


def test_smooth_weights_do_not_know_hidden_distances(crystals: dict[str, Structure]) -> None:
    config = GraphConfig(neighbors="smooth", cutoff=5.0)
    batch = CrystalGraphConverter(config).convert([crystals[name] for name in KINDS]).to_batch()
    masked = mask(batch, mask_fraction=0.5)
    weight = masked.visible_weight(config)
    hidden = torch.zeros(len(weight), dtype=torch.bool)
    hidden[masked.hidden_edges] = True
    assert hidden.any()
    assert not hidden.all()
    torch.testing.assert_close(weight[~hidden], batch.edge_weight[~hidden], atol=1e-6, rtol=0)
    assert len(weight[hidden].unique()) == 1
    assert 0.19 < float(weight[hidden][0]) < 0.2


# Draws -----------------------------------------------------------------------------------------


def test_generator_alone_decides(batch: GraphBatch) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = mask(batch, 7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second, third = mask(batch, 7), mask(batch, 8)
    assert torch.equal(first.masked_sites, second.masked_sites)
    assert torch.equal(first.hidden_edges, second.hidden_edges)
    assert not torch.equal(first.masked_sites, third.masked_sites)


def test_a_generator_goes_on(batch: GraphBatch) -> None:
    generator = torch.Generator().manual_seed(0)
    masking = MaskNodesAndEdges()
    first, second = masking(batch, generator), masking(batch, generator)
    assert not torch.equal(first.masked_sites, second.masked_sites)


@pytest.mark.filterwarnings("ignore::ssatom.exceptions.GraphWarning")
def test_batch_without_edges(crystals: dict[str, Structure]) -> None:
    batch = CrystalGraphConverter().convert([crystals["argon"]] * 3).to_batch()
    masked = mask(batch, mask_fraction=1.0, hidden_edge_fraction=1.0)
    assert len(masked.masked_sites) == 3
    assert len(masked.hidden_edges) == 0
    assert inputs(masked)[1].shape == (0, 41)
