"""The network of the estimators."""

from __future__ import annotations

import pytest
import torch
from pymatgen.core import Structure
from torch import Tensor

from ssatom.elements import atomic_features
from ssatom.exceptions import ParameterError
from ssatom.graph import CrystalGraphConverter, GaussianDistanceBasis
from ssatom.negnn import NEGNN, NEGNNConfig

FEATURES = torch.from_numpy(atomic_features().copy())


def inputs(structures: list[Structure]) -> tuple[Tensor, ...]:
    graphs = CrystalGraphConverter().convert(structures)
    batch = graphs.to_batch()
    counts = torch.from_numpy(graphs.site_counts).long()
    first_sites = counts.cumsum(0) - counts
    edges = GaussianDistanceBasis()(batch.distances)
    return FEATURES[batch.numbers], batch.edge_index, edges, batch.edge_weight, first_sites


def make(**settings: object) -> NEGNN:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = NEGNN(NEGNNConfig(**{"node_dim": 92, "hidden_dim": 8, **settings}))
    return network.eval()


@pytest.mark.parametrize(("n_conv", "n_hidden", "n_outputs"), [(1, 1, 1), (3, 2, 4)])
def test_sizes(crystals: dict, n_conv: int, n_hidden: int, n_outputs: int) -> None:
    network = make(n_conv=n_conv, n_hidden=n_hidden, n_outputs=n_outputs)
    assert network(*inputs([crystals["NaCl"], crystals["Cu"]])).shape == (2, n_outputs)
    assert len(network.convolutions.convs) == n_conv
    assert [layer.out_features for layer in network.hidden] == n_hidden * [16]


@pytest.mark.parametrize(
    "settings",
    [{"n_conv": 0}, {"n_hidden": 0}, {"n_hidden": 1.5}, {"n_outputs": 0}, {"dropout": 1.0}],
)
def test_sizes_are_checked(settings: dict) -> None:
    with pytest.raises(ParameterError, match=next(iter(settings))):
        NEGNNConfig(**settings)


def test_output_of_a_crystal_is_that_of_its_other_cells(crystals: dict) -> None:
    nacl = crystals["NaCl"]
    cells = [nacl, nacl.get_primitive_structure(), nacl * [2, 1, 1]]
    outputs = make()(*inputs(cells))
    torch.testing.assert_close(outputs, outputs[:1].expand(3, 1), rtol=1e-5, atol=1e-6)


def test_outputs_do_not_depend_on_the_rest_of_the_batch(crystals: dict) -> None:
    structures = [crystals[name] for name in ("NaCl", "argon", "SrTiO3")]
    network = make()
    alone = torch.cat([network(*inputs([structure])) for structure in structures])
    torch.testing.assert_close(network(*inputs(structures)), alone, rtol=1e-5, atol=1e-6)


def test_pooling_is_the_mean_of_the_convolved_sites(crystals: dict) -> None:
    structures = [crystals["TiO2"], crystals["CsCl"]]
    network = make()
    seen: list[Tensor] = []
    network.hidden[0].register_forward_hook(lambda _, args, __: seen.append(args[0]))
    x, edge_index, edges, weight, first = inputs(structures)
    network(x, edge_index, edges, weight, first)
    sites = network.convolutions(x, edge_index, edges, weight)[-1]
    expected = torch.stack([sites[:6].mean(dim=0), sites[6:].mean(dim=0)])
    torch.testing.assert_close(seen[0], torch.nn.functional.softplus(expected))


def test_sites_are_picked_where_they_are(crystals: dict) -> None:
    network = make(n_outputs=2)
    arguments = inputs([crystals["Cu"], crystals["CsCl"]])
    outputs = network(*arguments, torch.tensor([5, 4, 0, 3, 5]))
    assert outputs.shape == (5, 2)
    torch.testing.assert_close(outputs[0], outputs[4])
    torch.testing.assert_close(outputs[2], network(*arguments)[0])  # copper's sites are alike
    assert not torch.allclose(outputs[0], outputs[1])


def test_standardised_node_vectors_have_no_mean_and_one_scale_a_part() -> None:
    x = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * 5 + 3
    x[:, 3:] *= 0.01
    network = make(node_dim=6)
    network.standardise(x, [3, 3])
    scaled = (x - network.node_shift) / network.node_scale
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(6), atol=1e-4, rtol=0)
    for part in (scaled[:, :3], scaled[:, 3:]):
        assert part.square().mean().item() == pytest.approx(1, rel=1e-4)
    assert len(set(network.node_scale.tolist())) == 2


def test_constant_node_vectors_are_not_divided_by_zero() -> None:
    network = make(node_dim=4)
    network.standardise(torch.ones(10, 4))
    assert torch.equal(network.node_scale, torch.ones(4))


def test_gradients_reach_every_parameter_and_the_node_vectors(crystals: dict) -> None:
    network = make(n_conv=2, n_hidden=2).train()
    x, *others = inputs([crystals["TiO2"], crystals["NaCl"]])
    x.requires_grad_()
    network(x, *others).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in network.parameters())
