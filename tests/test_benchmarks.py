"""The speed measurements time what they say."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import embedding_speed
import network_speed
import speed
from plain_cgcnn import PlainCGCNN, PlainTraining, plain_graphs
from ssatom import CrystalGraphConverter, GraphEmbeddingFeaturizer
from ssatom.elements import atomic_features
from ssatom.graph import GaussianDistanceBasis
from ssatom.negnn import NEGNN, NEGNNConfig

GEOMETRIC_ROWS = {
    "torch_geometric_epoch_s",
    "torch_geometric_over_training",
    "torch_geometric_over_training_float32",
}


@pytest.fixture(scope="module")
def results():
    return speed.measure(n_structures=12)


def test_ratios_follow_from_the_times(results):
    assert results["embedding_over_neighbor_search"] == pytest.approx(
        results["embedding_ms_per_structure"] / results["neighbor_search_ms_per_structure"]
    )
    assert results["ofm_over_embedding_one_core"] == pytest.approx(
        results["ofm_ms_per_structure"] / results["embedding_one_core_ms_per_structure"]
    )
    assert results["grid_search_over_transform"] == pytest.approx(
        results["grid_search_featurizing_s"] / results["one_transform_s"]
    )


def test_results_name_what_they_were_taken_on_and_go_into_json(results):
    kept = json.loads(json.dumps(results))
    assert kept["data"] == "example crystals"
    assert kept["n_structures"] == 12
    assert kept["pretraining_precision"] in ("float32", "bfloat16")


def test_examples_are_strained_rather_than_repeated():
    structures = speed.first_structures(None, 500)
    assert len(structures) == 500
    assert structures[402].volume > structures[0].volume


def test_timed_featurizing_counts_transforms_alone_and_restores():
    original = GraphEmbeddingFeaturizer.transform
    featurizer = GraphEmbeddingFeaturizer(layers="0", weights="random")
    structures = speed.first_structures(None, 2)
    with embedding_speed._TimedFeaturizing() as timed:
        time.sleep(0.05)
        assert timed.seconds == 0
        featurizer.transform(structures)
    assert timed.seconds > 0
    assert GraphEmbeddingFeaturizer.transform is original


# Networks --------------------------------------------------------------------------------------


def test_rates_of_networks_are_there(results):
    assert results["prediction_structures_per_s"] > 0
    assert {"training_epoch_s", "training_epoch_float32_s"} <= set(results)


def test_command_writes_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {"embedding_ms_per_structure": 0.5, "weights": "some"}
    monkeypatch.setattr(speed, "measure", lambda *arguments: taken)
    output = tmp_path / "new" / "speed.json"
    done = CliRunner().invoke(speed.app, ["--n-structures", "3", "-o", str(output)])
    assert done.exit_code == 0, done.output
    assert json.loads(output.read_text()) == taken
    assert "embedding ms per structure  0.5" in done.output


def test_missing_files_are_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(speed.app, ["--data", str(tmp_path / "nothing.jsonl")])
    assert done.exit_code == 1
    assert done.output.startswith("error: ")
    assert len(done.output.splitlines()) == 1


def test_ratios_to_torch_geometric_follow_from_the_times(results):
    pytest.importorskip("torch_geometric")
    for suffix in ("", "_float32"):
        ours = results[f"training_epoch{suffix}_s"]
        ratio = results[f"torch_geometric_over_training{suffix}"]
        assert ratio == pytest.approx(results["torch_geometric_epoch_s"] / ours)
    assert results["torch_geometric"][0].isdigit()


def test_no_ratio_without_torch_geometric(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    monkeypatch.setattr(network_speed, "find_spec", lambda name: None)
    monkeypatch.setattr(network_speed, "_fit_seconds", lambda *arguments: 1 + 2 * arguments[-1])
    found = network_speed.training_speed(speed.first_structures(None, 4))
    assert {name for name, value in found.items() if value is None} == GEOMETRIC_ROWS
    assert "not installed" in found["torch_geometric"]
    assert found["training_epoch_s"] == 2.0


def test_plain_network_is_ours() -> None:
    pytest.importorskip("torch_geometric")
    from torch_geometric.loader import DataLoader

    graphs = CrystalGraphConverter().convert(speed.first_structures(None, 5))
    ours = NEGNN(NEGNNConfig(node_dim=92, hidden_dim=8, n_conv=2, n_hidden=2)).eval()
    plain = PlainCGCNN(92, 41, 8, 2, 2).eval()
    copy_parameters(ours, plain)
    batch = graphs.to_batch()
    x = torch.from_numpy(atomic_features().copy())[batch.numbers]
    first_sites = torch.from_numpy(np.cumsum(graphs.site_counts) - graphs.site_counts)
    edge_attr = GaussianDistanceBasis()(batch.distances)
    data = next(iter(DataLoader(plain_graphs(graphs, np.zeros(5, np.float32)), batch_size=5)))
    with torch.no_grad():
        expected = ours(x, batch.edge_index, edge_attr, None, first_sites)
        torch.testing.assert_close(plain(data), expected[:, 0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def copy_parameters(ours: NEGNN, plain: PlainCGCNN) -> None:
    encoder, width = ours.convolutions, ours.config.hidden_dim
    plain.embedding.load_state_dict(encoder.node_embedding.state_dict())
    plain.hidden.load_state_dict(ours.hidden.state_dict())
    plain.output.load_state_dict(ours.output.state_dict())
    embedding = encoder.edge_embedding
    for mine, other in zip(encoder.convs, plain.convs, strict=True):
        nodes, edges = mine.gates.weight.split([2 * width, width], dim=1)
        weight = torch.cat([nodes, edges @ embedding.weight], dim=1)
        bias = mine.gates.bias + edges @ embedding.bias
        for part, rows in ((other.lin_f, slice(width)), (other.lin_s, slice(width, None))):
            part.weight.copy_(weight[rows])
            part.bias.copy_(bias[rows])


def test_plain_training_learns() -> None:
    pytest.importorskip("torch_geometric")
    structures = speed.first_structures(None, 12)
    graphs = CrystalGraphConverter().convert(structures)
    y = network_speed._log_volumes(structures)
    data = plain_graphs(graphs, ((y - y.mean()) / y.std()).astype(np.float32))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        training = PlainTraining(PlainCGCNN(92, 41, 16, 2, 1), data, data, batch_size=4)
        errors = [training.epoch() for _ in range(20)]
    assert errors[-1] < 0.5 * errors[0]


def test_predictions_are_of_unseen_cells(monkeypatch: pytest.MonkeyPatch):
    seen = []
    original = network_speed.NEGNNRegressor.iter_predict

    def iter_predict(model, rows):
        rows = list(rows)
        seen.extend(row.volume for row in rows)
        return original(model, rows)

    monkeypatch.setattr(network_speed.NEGNNRegressor, "iter_predict", iter_predict)
    structures = speed.first_structures(None, 6)
    network_speed.prediction_speed(structures)
    assert len(set(seen) - {s.volume for s in structures}) == len(seen) == 18


# The page --------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"torch_geometric_over_training": 4.25}])
def test_page_shows_the_rows_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: dict, more: dict
) -> None:
    docs = Path(__file__).parents[1] / "docs"
    monkeypatch.syspath_prepend(str(docs))
    from _speed_page import write_speed_page

    given = {**results, **dict.fromkeys(GEOMETRIC_ROWS), **more}
    if not more:
        del given["prediction_structures_per_s"], given["training_epoch_s"]
    (tmp_path / "speed.json").write_text(json.dumps(given))
    write_speed_page(tmp_path / "speed.json", tmp_path)
    page = (tmp_path / "speed.rst").read_text()
    assert "pretraining, structures per second" in page
    assert ("PyTorch Geometric over ours" in page) == bool(more)
    assert ("4.25" in page) == bool(more)
    assert ("predictions of a fitted NEGNN" in page) == bool(more)
