"""The encoder against slower ways to say the same, and against frozen numbers."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from frozen import waves
from pymatgen.core import Structure
from torch import Tensor
from torch.nn.functional import softplus

from ssatom.elements import atomic_features
from ssatom.embeddings.states import SiteStates
from ssatom.encoder import (
    CrystalGraphConv,
    CrystalGraphEncoder,
    EncoderConfig,
)
from ssatom.exceptions import GraphWarning, ParameterError
from ssatom.graph import CrystalGraphConverter, CrystalGraphs, GaussianDistanceBasis, GraphBatch
from ssatom.kernels import Edges, gated_messages
from ssatom.repeatable import DrawFrom
from ssatom.weights import list_weights, load_pretrained, random_weights

REFERENCE = Path(__file__).parent / "data" / "reference_states.json"
FROZEN = ["NaCl", "CsCl", "Mg", "TiO2", "water", "argon"]


def random_graph(
    n_nodes: int = 7, n_edges: int = 30, edge_dim: int = 5, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Edges sorted by centre, with vectors and weights; the last node has none, some many."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(n_nodes, (n_edges,), generator=generator)
    target = torch.randint(n_nodes - 1, (n_edges,), generator=generator).sort().values
    edge_attr = torch.rand(n_edges, edge_dim, dtype=torch.float64, generator=generator)
    weight = torch.rand(n_edges, dtype=torch.float64, generator=generator)
    return torch.stack([source, target]), edge_attr, weight


def batch_of(*structures: Structure) -> GraphBatch:
    return quiet(CrystalGraphConverter(), list(structures)).to_batch()


def states_of(encoder: CrystalGraphEncoder, batch: GraphBatch) -> list[Tensor]:
    """Hidden states in the precision of the encoder."""
    dtype = encoder.node_embedding.weight.dtype
    x = torch.from_numpy(atomic_features().copy())[batch.numbers].to(dtype)
    edge_attr = GaussianDistanceBasis().to(dtype)(batch.distances.to(dtype))
    with torch.no_grad():
        return encoder(x, batch.edge_index, edge_attr, batch.edge_weight.to(dtype))


# Against other ways to say the same ------------------------------------------------------------


def plain_states(
    encoder: CrystalGraphEncoder, x: Tensor, edge_index: Tensor, edge_attr: Tensor, weight: Tensor
) -> list[Tensor]:
    """The encoder in evaluation mode, edge by edge as the equations have it."""
    hidden = [encoder.node_embedding(x)]
    edges = encoder.edge_embedding(edge_attr)
    for i, (conv, norm) in enumerate(zip(encoder.convs, encoder.norms, strict=True)):
        x = hidden[-1]
        if encoder.config.residual:
            messages = plain_messages(conv, plain_norm(norm, x), edges, edge_index, weight)
            hidden.append(x + encoder.outputs[i](messages))
            continue
        y = plain_norm(norm, x + plain_messages(conv, x, edges, edge_index, weight))
        hidden.append(y if i == encoder.config.n_conv - 1 else torch.relu(y))
    return hidden


def plain_messages(
    conv: CrystalGraphConv, x: Tensor, edges: Tensor, edge_index: Tensor, weight: Tensor
) -> Tensor:
    out = list(torch.zeros_like(x))
    for k, (j, center) in enumerate(edge_index.T.tolist()):
        gate, core = conv.gates(torch.cat([x[center], x[j], edges[k]])).chunk(2)
        out[center] = out[center] + weight[k] * torch.sigmoid(gate) * softplus(core)
    return torch.stack(out)


def plain_norm(norm: torch.nn.BatchNorm1d, x: Tensor) -> Tensor:
    normed = (x - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps)
    return normed * norm.weight + norm.bias


RESIDUAL = pytest.mark.parametrize("residual", [False, True])


@RESIDUAL
def test_states_are_those_of_a_plain_loop(residual: bool) -> None:
    edge_index, edge_attr, weight = random_graph()
    config = EncoderConfig(node_dim=3, edge_dim=5, hidden_dim=4, n_conv=3, residual=residual)
    encoder = waves(CrystalGraphEncoder(config)).double().eval()
    x = torch.rand(7, 3, dtype=torch.float64)
    found = encoder(x, edge_index, edge_attr, weight)
    expected = plain_states(encoder, x, edge_index, edge_attr, weight)
    assert len(found) == config.n_layers == 4
    for mine, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 4, 9])
@RESIDUAL
def test_first_states_alone_are_those_of_all(n: int, residual: bool) -> None:
    edge_index, edge_attr, weight = random_graph()
    config = EncoderConfig(node_dim=3, edge_dim=5, hidden_dim=4, n_conv=3, residual=residual)
    encoder = waves(CrystalGraphEncoder(config)).double().eval()
    x = torch.rand(7, 3, dtype=torch.float64)
    every = encoder(x, edge_index, edge_attr, weight)
    first = encoder(x, edge_index, edge_attr, weight, n_states=n)
    assert len(first) == min(n, 4)
    for mine, expected in zip(first, every, strict=False):
        torch.testing.assert_close(mine, expected, rtol=0, atol=0)


def test_convolution_is_that_of_torch_geometric() -> None:
    geometric = pytest.importorskip("torch_geometric.nn")
    edge_index, edge_attr, _ = random_graph(edge_dim=6)
    width = 4
    conv = CrystalGraphConv(width, 6).double()
    other = geometric.CGConv(width, dim=6).double()
    with torch.no_grad():
        other.lin_f.weight.copy_(conv.gates.weight[:width])
        other.lin_f.bias.copy_(conv.gates.bias[:width])
        other.lin_s.weight.copy_(conv.gates.weight[width:])
        other.lin_s.bias.copy_(conv.gates.bias[width:])
    embedding = torch.nn.Linear(6, 6).double()
    x = torch.rand(7, width, dtype=torch.float64)
    gates = conv.folded(embedding, x.dtype)
    found = conv(x, Edges(edge_index, edge_attr, None, 7), gates)
    torch.testing.assert_close(x + found, other(x, edge_index, embedding(edge_attr)))


@pytest.mark.parametrize("residual", [False, True])
def test_folded_gates_and_rows_of_elements_change_nothing(residual: bool) -> None:
    edge_index, edge_attr, weight = random_graph()
    encoder = CrystalGraphEncoder(EncoderConfig(3, 5, 8, 3, residual=residual)).eval()
    x, rows = torch.rand(2, 3), torch.tensor([1, 0, 0, 1, 1, 0, 1])
    edges = edge_index, edge_attr.float(), weight.float()
    with torch.no_grad():
        one_by_one = encoder(x[rows], *edges)
        together = encoder(x, *edges, gates=encoder.folded(), rows=rows)
    for a, b in zip(one_by_one, together, strict=True):
        assert torch.equal(a, b)
    learned = encoder(x, *edges, rows=rows)
    for a, b in zip(one_by_one, learned, strict=True):
        torch.testing.assert_close(a, b)


def test_no_weights_are_ones() -> None:
    edge_index, edge_attr, _ = random_graph()
    encoder = CrystalGraphEncoder(EncoderConfig(3, 5, 4, 2)).double().eval()
    x = torch.rand(7, 3, dtype=torch.float64)
    ones = torch.ones(30, dtype=torch.float64)
    for a, b in zip(
        encoder(x, edge_index, edge_attr), encoder(x, edge_index, edge_attr, ones), strict=True
    ):
        assert torch.equal(a, b)


@RESIDUAL
def test_gradients_are_those_of_the_plain_loop(residual: bool) -> None:
    edge_index, edge_attr, weight = random_graph()
    config = EncoderConfig(3, 5, 4, 2, residual=residual)
    encoder = waves(CrystalGraphEncoder(config)).double().eval()
    x = torch.rand(7, 3, dtype=torch.float64)
    edge_attr.requires_grad_()
    gradients = []
    for run in (encoder, lambda *args: plain_states(encoder, *args)):
        total = sum((state**2).sum() for state in run(x, edge_index, edge_attr, weight))
        parameters = [edge_attr, *encoder.parameters()]
        gradients.append(torch.autograd.grad(total, parameters))
    for mine, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-9, atol=1e-9)


def test_hand_written_gradient() -> None:
    edge_index, edge_attr, weight = random_graph(n_nodes=5, n_edges=9, edge_dim=3)
    tensors = [torch.randn(5, 8), torch.randn(3, 4), edge_attr, weight]
    inputs = [tensor.double().requires_grad_() for tensor in tensors]

    def messages(nodes: Tensor, matrix: Tensor, *edges: Tensor) -> Tensor:
        return gated_messages(nodes, matrix, Edges(edge_index, *edges, 5))

    assert torch.autograd.gradcheck(messages, inputs)


# Properties ------------------------------------------------------------------------------------


def test_no_relu_after_the_last_convolution(crystals: dict[str, Structure]) -> None:
    states = states_of(waves(CrystalGraphEncoder()).eval(), batch_of(crystals["TiO2"]))
    assert len(states) == 6
    assert all(state.shape == (6, 64) for state in states)
    assert all(state.min() >= 0 for state in states[1:-1])
    assert states[0].min() < 0
    assert states[-1].min() < 0


def test_dropout_spares_the_last_state_and_evaluation(crystals: dict[str, Structure]) -> None:
    encoder = waves(CrystalGraphEncoder(EncoderConfig(dropout=0.5)))
    batch = batch_of(crystals["TiO2"])
    evaluated = states_of(encoder.eval(), batch)
    assert all(torch.equal(a, b) for a, b in zip(evaluated, states_of(encoder, batch), strict=True))
    trained = states_of(encoder.train(), batch)
    assert (trained[1] == 0).float().mean() > (evaluated[1] == 0).float().mean()
    assert (trained[-1] == 0).float().mean() < 0.01


def test_residual_layers_add_to_the_state(crystals: dict[str, Structure]) -> None:
    """With output maps of zero nothing is added, whatever the messages say."""
    encoder = waves(CrystalGraphEncoder(EncoderConfig(residual=True, dropout=0.5))).eval()
    with torch.no_grad():
        for output in encoder.outputs:
            output.weight.zero_()
            output.bias.zero_()
    states = states_of(encoder, batch_of(crystals["TiO2"]))
    assert all(torch.equal(state, states[0]) for state in states[1:])


@pytest.mark.parametrize("n_nodes", [1, 3])
def test_no_edges_at_all(n_nodes: int) -> None:
    encoder = CrystalGraphEncoder(EncoderConfig(3, 2, 4, 2)).eval()
    x = torch.rand(n_nodes, 3, requires_grad=True)
    states = encoder(x, torch.empty(2, 0, dtype=torch.long), torch.empty(0, 2))
    assert [state.shape for state in states] == [(n_nodes, 4)] * 3
    states[-1].sum().backward()
    assert x.grad.isfinite().all()


def test_training_without_edges_has_gradients_of_zero() -> None:
    encoder = CrystalGraphEncoder(EncoderConfig(3, 2, 4, 2)).train()
    states = encoder(torch.rand(3, 3), torch.empty(2, 0, dtype=torch.long), torch.empty(0, 2))
    states[-1].sum().backward()
    assert (encoder.edge_embedding.weight.grad == 0).all()


def test_one_site_alone_can_be_trained_on() -> None:
    encoder = CrystalGraphEncoder(EncoderConfig(3, 2, 4, 2)).train()
    edges = torch.zeros(2, 5, dtype=torch.long), torch.rand(5, 2)
    states = encoder(torch.rand(1, 3), *edges)
    assert all(state.isfinite().all() for state in states)
    states[-1].sum().backward()
    assert (encoder.norms[0].running_mean == 0).all()  # and leaves the statistics alone


@pytest.mark.parametrize("name", [None, *list_weights()])
def test_states_are_the_same_bits_in_any_batch_order_and_thread(
    crystals: dict[str, Structure], name: str | None
) -> None:
    weights = load_pretrained(name) if name else random_weights()
    several = list(crystals.values())
    converter, compute = CrystalGraphConverter(weights.graph_config), SiteStates(weights)
    alone = [compute(quiet(converter, [structure])) for structure in several]
    before = torch.get_num_threads()
    try:
        for n_threads, repeats in itertools.product((1, 2, 3), (1, 9)):
            torch.set_num_threads(n_threads)
            order = np.random.default_rng(repeats).permutation(repeats * len(several))
            order %= len(several)
            together = compute(quiet(converter, [several[i] for i in order]))
            np.testing.assert_array_equal(together, np.concatenate([alone[i] for i in order]))
    finally:
        torch.set_num_threads(before)


def quiet(converter: CrystalGraphConverter, structures: list[Structure]) -> CrystalGraphs:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        return converter.convert(structures)


def test_bfloat16_edges_are_near_float32(crystals: dict[str, Structure]) -> None:
    encoder = random_weights().encoder
    batch = batch_of(*crystals.values())
    x = torch.from_numpy(atomic_features().copy())[batch.numbers]
    edge_attr = GaussianDistanceBasis()(batch.distances)
    with torch.no_grad():
        exact = encoder(x, batch.edge_index, edge_attr, batch.edge_weight)
        rough = encoder(x, batch.edge_index, edge_attr.bfloat16(), batch.edge_weight)
    for a, b in zip(exact, rough, strict=True):
        assert b.dtype == torch.float32
        assert (a - b).norm() <= 0.05 * a.norm()
    assert not torch.equal(exact[-1], rough[-1])


def test_bfloat16_gradients_are_near_float32(crystals: dict[str, Structure]) -> None:
    batch = batch_of(*crystals.values())
    encoder = waves(CrystalGraphEncoder(EncoderConfig(hidden_dim=16, n_conv=2))).eval()
    x = torch.from_numpy(atomic_features().copy())[batch.numbers]
    edge_attr = GaussianDistanceBasis()(batch.distances)
    gradients = []
    for precision in (torch.float32, torch.bfloat16):
        states = encoder(x, batch.edge_index, edge_attr.to(precision), batch.edge_weight)
        gradients.append(torch.autograd.grad(states[-1].square().sum(), encoder.parameters()))
    for exact, rough in zip(*gradients, strict=True):
        assert (exact - rough).abs().max() <= 0.05 * exact.abs().max() + 1e-4


def test_unsorted_edges_are_refused() -> None:
    encoder = CrystalGraphEncoder(EncoderConfig(3, 2, 4, 2))
    edge_index = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(ParameterError, match="sorted by centre"):
        encoder(torch.rand(2, 3), edge_index, torch.rand(2, 2))


# Sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["node_dim", "edge_dim", "hidden_dim", "n_conv"])
def test_sizes_below_one_are_refused(name: str) -> None:
    for size in (0, 2.5, "3", None, True):
        with pytest.raises(ParameterError, match=f"{name}=.* must be a whole number of at least 1"):
            EncoderConfig(**{name: size})
    assert type(EncoderConfig(**{name: np.int64(2)}).to_dict()[name]) is int


@pytest.mark.parametrize(
    ("radial_units", "words"),
    [(-1, "radial_units=-1 must be a whole number of at least 0"), (6, "must be at most 5")],
)
def test_impossible_radial_units_are_refused(radial_units: int, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        EncoderConfig(edge_dim=5, radial_units=radial_units)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_dropout_out_of_range_is_refused(dropout: float) -> None:
    with pytest.raises(ParameterError, match=r"dropout=.* must be a number in \[0, 1\)"):
        EncoderConfig(dropout=dropout)


@pytest.mark.parametrize("residual", [0, 1, None, "yes", {}, [0]])
def test_residual_is_true_or_false(residual: object) -> None:
    with pytest.raises(ParameterError, match="residual=.* is unknown; allowed: True, False"):
        EncoderConfig(residual=residual)  # type: ignore[arg-type]


def test_default_sizes_are_the_papers() -> None:
    assert EncoderConfig().to_dict() == {
        "node_dim": 92, "edge_dim": 41, "hidden_dim": 64, "n_conv": 5, "dropout": 0.0,
        "residual": False, "radial_units": 0, "directional_channels": 0,
    }  # fmt: skip


# Frozen numbers --------------------------------------------------------------------------------


def pooled_states(structures: list[Structure]) -> np.ndarray:
    """Mean states in float64, shape (n_structures, 4, 8)."""
    encoder = waves(CrystalGraphEncoder(EncoderConfig(hidden_dim=8, n_conv=3))).double().eval()
    return np.array(
        [[s.mean(dim=0).tolist() for s in states_of(encoder, batch_of(x))] for x in structures]
    )


def test_states_are_those_of_the_first_release(crystals: dict[str, Structure]) -> None:
    """Graphs, basis and network together; weights already shipped rely on these numbers.

    Only where the change is meant, and weights of the old kind are refused or upgraded, write
    `pooled_states` of these crystals anew.
    """
    expected = json.loads(REFERENCE.read_text())
    assert list(expected) == FROZEN
    found = pooled_states([crystals[name] for name in FROZEN])
    for name, states in zip(FROZEN, found, strict=True):
        np.testing.assert_allclose(states, expected[name], rtol=1e-6, atol=1e-7, err_msg=name)


# Directional units -----------------------------------------------------------------------------


def _directional_encoder(**sizes) -> CrystalGraphEncoder:
    sizes = {"node_dim": 5, "edge_dim": 9, "hidden_dim": 6, "n_conv": 4, **sizes}
    with DrawFrom(0):
        return CrystalGraphEncoder(EncoderConfig(directional_channels=3, **sizes)).eval()


def _star(directions: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Site 0 with neighbours in the given directions, at one distance each."""
    n = len(directions)
    index = torch.stack([torch.arange(1, n + 1), torch.zeros(n, dtype=torch.long)])
    attr = torch.linspace(0.1, 1, 9).repeat(n, 1)
    return torch.linspace(-1, 1, 5 * (n + 1)).view(n + 1, 5), index, attr


def test_angles_enter_the_third_convolution_and_the_units() -> None:
    encoder = _directional_encoder()
    line = torch.tensor([[1.0, 0, 0], [-1, 0, 0]])
    corner = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    x, index, attr = _star(line)
    straight, units = encoder.states_and_units(x, index, attr, directions=line)
    bent, others = encoder.states_and_units(x, index, attr, directions=corner)
    assert units is not None
    assert units.shape == (3, 15)
    for i, (a, b) in enumerate(zip(straight, bent, strict=True)):
        assert torch.equal(a, b) == (i <= 2)
    assert torch.equal(units[:, :3], others[:, :3])  # degree 0 knows no angle
    assert not torch.allclose(units[0, 3:6], others[0, 3:6])


@pytest.mark.parametrize("residual", [False, True])
def test_states_do_not_change_under_reflection(residual: bool) -> None:
    encoder = _directional_encoder(residual=residual)
    directions = torch.nn.functional.normalize(torch.randn(7, 3), dim=1)
    x, index, attr = _star(directions)
    turn, _ = torch.linalg.qr(torch.randn(3, 3))
    found = encoder(x, index, attr, directions=directions)
    turned = encoder(x, index, attr, directions=-directions @ turn)
    for a, b in zip(found, turned, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_units_need_directions() -> None:
    x, index, attr = _star(torch.eye(3))
    with pytest.raises(ParameterError, match=r"make the graphs with GraphConfig\(directions=True"):
        _directional_encoder()(x, index, attr)


def test_sizes_with_directional_units_are_described() -> None:
    config = EncoderConfig(directional_channels=3, radial_units=4)
    assert config.n_units == 15
    assert config.describe().endswith("beside 4 coordination numbers and 15 directional units")
