"""The same numbers on a GPU as on a CPU; skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_kernels import Case

from ssatom import (
    GraphEmbeddingFeaturizer,
    MaskedPretrainer,
    NEGNNRegressor,
    SelfSupervisedSiteFeaturizer,
    clear_cache,
    list_weights,
    load_estimator,
    save_estimator,
)
from ssatom.devices import resolve_device
from ssatom.kernels import Edges, directional_units, gated_messages, spherical_harmonics

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

DEVICES = ("cpu", "cuda")


def assert_alike(found: list, bound: float) -> None:
    """Each pair of results differs by less than `bound` times the largest number."""
    for one, other in zip(*found, strict=True):
        one, other = (np.asarray(torch.as_tensor(x).detach().cpu()) for x in (one, other))
        assert np.abs(one - other).max() < bound * np.abs(one).max()


def test_auto_takes_the_gpu():
    assert resolve_device("auto") == "cuda"


def test_messages_and_their_gradients():
    found = []
    case = Case([12] * 20, 64, 41)
    for device in DEVICES:
        index, attr, weight, nodes, matrix, upstream = (
            x.detach().clone().to(device)
            for x in (case.index, case.attr, case.weight, case.nodes, case.matrix, case.upstream)
        )
        nodes.requires_grad_(), matrix.requires_grad_()
        messages = gated_messages(nodes, matrix, Edges(index, attr, weight, case.n_sites))
        messages.backward(upstream)
        found.append([messages, nodes.grad, matrix.grad])
    assert_alike(found, 1e-5)


def test_directional_units_and_their_gradients():
    found = []
    case = Case([12] * 20, 8, 41)
    draw = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(len(case.attr), 3, generator=draw))
    for device in DEVICES:
        index, attr, weight, vectors, nodes, matrix = (
            x.detach().clone().to(device)
            for x in (case.index, case.attr, case.weight, directions, case.center, case.matrix)
        )
        nodes.requires_grad_(), matrix.requires_grad_()
        edges = Edges(index, attr, weight, case.n_sites)
        units = directional_units(nodes, matrix, edges, spherical_harmonics(vectors))
        (units * units.detach().sin()).sum().backward()
        found.append([units, nodes.grad, matrix.grad])
    assert_alike(found, 1e-4)


@pytest.mark.parametrize("name", list_weights())
def test_embeddings(structures, name):
    found = []
    for device in DEVICES:
        clear_cache()
        crystals = GraphEmbeddingFeaturizer(
            "012", weights=name, pooling=("mean", "std"), device=device
        )
        sites = SelfSupervisedSiteFeaturizer("012", weights=name, device=device)
        pairs = [(s, len(s) - 1) for s in structures]
        found.append([crystals.fit_transform(structures), sites.fit_transform(pairs)])
    clear_cache()
    assert_alike(found, 1e-4)


def test_pretraining_learns_alike(structures):
    losses = []
    for device in DEVICES:
        recipe = {"hidden_dim": 48, "n_conv": 3, "directional_channels": 4, "neighbors": "smooth",
                  "tasks": ["element", "denoise", "radial"], "precision": "float32"}  # fmt: skip
        pretrainer = MaskedPretrainer(**recipe, max_epochs=3, device=device, progress_bar=False)
        losses.append([pretrainer.fit(structures).history_["train_loss"].to_numpy()])
    assert_alike(losses, 1e-3)


@pytest.mark.parametrize("encoder", ["frozen", "fine-tune"])
def test_a_network_trained_on_a_gpu_predicts_anywhere(structures, volumes, encoder, tmp_path):
    model = NEGNNRegressor(encoder=encoder, max_epochs=4, device="cuda", random_state=0,
                           progress_bar=False)  # fmt: skip
    there = model.fit(structures, volumes).predict(structures)
    save_estimator(model, tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    here = loaded.set_params(device="cpu").predict(structures)
    assert_alike([[here], [there]], 1e-3)
