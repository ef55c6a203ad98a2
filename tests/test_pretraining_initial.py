"""Untrained encoders, and what the radial initialization gives them."""

from __future__ import annotations

import pytest
import torch
from pymatgen.core import Lattice, Structure

from ssatom import MaskedPretrainer
from ssatom.elements import MAGPIE_PROPERTIES, magpie_features
from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
from ssatom.exceptions import ParameterError
from ssatom.graph import CrystalGraphConverter, GaussianDistanceBasis, GraphConfig
from ssatom.pretraining.initial import new_encoder

GRAPH = GraphConfig("smooth", cutoff=5.0)
WIDTH = 64


@pytest.fixture(scope="module")
def encoder() -> CrystalGraphEncoder:
    config = EncoderConfig(114, GRAPH.edge_dim, WIDTH, n_conv=2)
    torch.manual_seed(0)
    return new_encoder(config, GRAPH, "magpie", "radial").eval().requires_grad_(False)


def test_properties_are_the_first_units(encoder: CrystalGraphEncoder) -> None:
    table = torch.from_numpy(magpie_features())
    state = encoder.node_embedding(table)
    n = len(MAGPIE_PROPERTIES)
    torch.testing.assert_close(state[:, :n], table[:, -n:])
    assert state[57:59, n:].diff(dim=0).abs().max() > 0  # La and Ce


def test_units_sum_a_property_near_one_distance(encoder: CrystalGraphEncoder) -> None:
    """The first convolution's messages in caesium chloride, by hand."""
    salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    batch = CrystalGraphConverter(GRAPH).convert([salt]).to_batch()
    features = torch.from_numpy(magpie_features())[batch.numbers]
    x = encoder.node_embedding(features)
    edges = GaussianDistanceBasis(GRAPH)(batch.distances)
    weights = (torch.cos(torch.pi * batch.distances / 5.0) + 1) / 2
    gates = encoder.convs[0].gates.weight
    seen = set()
    for unit in range(WIDTH // 2, WIDTH):
        distance = int(gates[unit, 2 * WIDTH :].argmax())
        source = int(gates[WIDTH + unit, WIDTH : 2 * WIDTH].argmax())
        seen.add(distance)
        assert source < len(MAGPIE_PROPERTIES)
        opened = torch.sigmoid(3.0 * (edges[:, distance] - 0.5))
        core = torch.nn.functional.softplus(0.3 * x[batch.edge_index[0], source])
        summed = torch.zeros(2).index_add(0, batch.edge_index[1], weights * opened * core)
        state = torch.relu((x[:, unit] + summed) / (1 + 1e-5) ** 0.5 + 1.0)
        found = encoder(features, batch.edge_index, edges, weights)[1][:, unit]
        torch.testing.assert_close(found, state)
    assert seen == set(range(5, 26))  # 1 to 5 Å


def test_a_radial_initialization_trains_and_is_told_apart(
    corpus: list[Structure], tmp_path: str
) -> None:
    settings = {
        "neighbors": "smooth",
        "cutoff": 5.0,
        "element_features": "magpie",
        "n_conv": 2,
        "max_epochs": 1,
        "checkpoint_dir": tmp_path,
        "progress_bar": False,
    }
    trained = MaskedPretrainer(initialization="radial", **settings).fit(corpus[:24])
    assert trained.element_features_.shape == (101, 114)
    assert trained.recipe_["initialization"] == "radial"
    with pytest.raises(ParameterError, match=r"initialization was 'radial' and is 'random'"):
        MaskedPretrainer(**settings).fit(corpus[:24])
    with pytest.raises(ParameterError, match="element_features was 'magpie' and is 'cgcnn'"):
        MaskedPretrainer(**{**settings, "element_features": "cgcnn"}).fit(corpus[:24])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"initialization": "radical"}, "allowed: 'random', 'radial'"),
        ({"element_features": "cgcnn"}, "give element_features='magpie'"),
        ({"hidden_dim": 32}, "hidden_dim of at least 44"),
        ({"residual": True}, "no residual layers"),
        ({"element_features": "none"}, "allowed: 'cgcnn', 'distinct', 'magpie'"),
    ],
)
def test_impossible_initializations_are_refused(settings: dict, words: str) -> None:
    defaults = {
        "initialization": "radial",
        "element_features": "magpie",
        "neighbors": "smooth",
        "cutoff": 5.0,
    }
    with pytest.raises(ParameterError, match=words):
        MaskedPretrainer(**{**defaults, **settings}).fit([])
