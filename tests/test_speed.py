"""Losses of speed are noticed: ratios of processor time within one process.

Each bound is about twice what was measured, so that noise passes and a loss by a factor of two or
three does not. A ratio is that of the shortest times of several rounds, on one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from pymatgen.core import Structure
from pymatgen.optimization.neighbors import find_points_in_spheres

from ssatom import CrystalGraphConverter, graph_embeddings, load_example_crystals, load_pretrained
from ssatom.embeddings import clear_cache
from ssatom.embeddings.states import SiteStates
from ssatom.kernels import gated, products

pytestmark = pytest.mark.slow

_ROUNDS = 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def crystals() -> list[Structure]:
    examples = load_example_crystals()["structure"]
    cells = [s * (2, 2, 1) if len(s) < 12 else s for s in examples]
    return [s.copy().apply_strain(0.002 * i) for i in range(2) for s in cells]


def seconds(*calls: Callable[[], object]) -> list[float]:
    """Shortest processor time of each call, in turn, after one call of each."""
    for call in calls:
        call()
    times = []
    for _ in range(_ROUNDS):
        for call in calls:
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
    return [min(times[i :: len(calls)]) for i in range(len(calls))]


def bare_search(structures: list[Structure]) -> None:
    periodic = np.ones(3, dtype=np.int64)
    for s in structures:
        points, lattice = (np.ascontiguousarray(x) for x in (s.cart_coords, s.lattice.matrix))
        find_points_in_spheres(points, points, r=8.0, pbc=periodic, lattice=lattice, tol=1e-8)


def test_embedding_over_a_bare_search(crystals: list[Structure]) -> None:
    def embed() -> None:
        clear_cache()
        graph_embeddings(crystals)

    ours, search = seconds(embed, lambda: bare_search(crystals))
    assert ours < 13 * search


def test_second_look_over_the_first(crystals: list[Structure]) -> None:
    def embed() -> None:
        clear_cache()
        graph_embeddings(crystals)

    graph_embeddings(crystals)
    first, second = seconds(embed, lambda: graph_embeddings(crystals))
    assert second < 0.035 * first


def test_loops_over_torch(crystals: list[Structure], monkeypatch: pytest.MonkeyPatch) -> None:
    weights = load_pretrained()
    graphs = CrystalGraphConverter(weights.graph_config).convert(crystals[:40])
    states = SiteStates(weights)

    def by_torch() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(gated.Edges, "compiled_for", lambda *_: False)
            patch.setattr(products, "loops_serve", lambda *_: False)
            states(graphs)

    ours, theirs = seconds(lambda: states(graphs), by_torch)
    assert ours < 0.5 * theirs


def test_training_step_over_torch(
    crystals: list[Structure], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = load_pretrained("directional-64x3-mp")
    batch = CrystalGraphConverter(weights.graph_config).convert(crystals[:40]).to_batch()
    states = SiteStates(weights)
    given = states.features[batch.numbers], batch.edge_index, states.basis(batch.distances)

    def step() -> None:
        hidden = weights.encoder(*given, batch.edge_weight, directions=batch.directions)
        hidden[-1].sum().backward()

    def by_torch() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(gated.Edges, "compiled_for", lambda *_: False)
            patch.setattr(products, "loops_serve", lambda *_: False)
            step()

    weights.encoder.requires_grad_(True)
    ours, theirs = seconds(step, by_torch)
    weights.encoder.requires_grad_(False)
    assert ours < 0.6 * theirs
