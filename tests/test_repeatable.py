"""A seed gives the same result in any thread, process or backend, and touches nothing else."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from pymatgen.core import Lattice, Structure
from sklearn.model_selection import cross_val_predict
from torch import nn

from ssatom import (
    CGCNNClassifier,
    CGCNNRegressor,
    MaskedPretrainer,
    NEGNNRegressor,
    TrainingWarning,
    load_example_crystals,
)
from ssatom.encoder import CrystalGraphEncoder
from ssatom.kernels import linear
from ssatom.negnn import NEGNN
from ssatom.repeatable import DrawFrom, Dropout, Linear, SiteNorm, seed_dropout
from ssatom.weights import random_weights

SALTS = [
    Structure(Lattice.cubic(3.2 + i / 20), ["Cs", "Cl" if i % 2 else "Br"], [[0] * 3, [0.5] * 3])
    for i in range(16)
]
VOLUMES = np.array([salt.volume for salt in SALTS])
SETTINGS = {"max_epochs": 2, "hidden_dim": 16, "dropout": 0.3, "progress_bar": False}
MODELS = {
    "cgcnn": CGCNNRegressor(**SETTINGS, random_state=0),
    "negnn": NEGNNRegressor(**SETTINGS, random_state=0, weights="random"),
    "tuned": NEGNNRegressor(**SETTINGS, random_state=0, weights="random", encoder="fine-tune"),
    "ensemble": CGCNNRegressor(**SETTINGS, random_state=0, n_members=2),
    "odd width": CGCNNRegressor(**{**SETTINGS, "hidden_dim": 7}, random_state=0),
    "classifier": CGCNNClassifier(**SETTINGS, random_state=0),
}


def fit_predict(name: str) -> np.ndarray:
    if name == "pretraining":
        made = MaskedPretrainer(**{**SETTINGS, "hidden_dim": 8}, n_conv=2).fit(SALTS)
        return torch.cat([x.double().ravel() for x in made.encoder_.state_dict().values()]).numpy()
    model = copy.deepcopy(MODELS[name])
    if name == "classifier":
        y = np.median(VOLUMES) < VOLUMES
        return model.fit(SALTS, y).predict_proba(SALTS)[:, 0]
    return model.fit(SALTS, VOLUMES).predict(SALTS)


NAMES = [*MODELS, "pretraining"]


def global_states() -> tuple:
    return torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes()  # noqa: NPY002


@pytest.fixture(scope="module")
def serial() -> dict[str, np.ndarray]:
    torch.manual_seed(11)
    return {name: fit_predict(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_global_generators_are_neither_read_nor_set(name: str, serial: dict) -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = global_states()
    assert_array_equal(fit_predict(name), serial[name])
    assert global_states() == before


def test_fits_in_threads_are_the_serial_ones(serial: dict) -> None:
    names = 3 * NAMES
    with ThreadPoolExecutor(4) as pool:
        for name, found in zip(names, pool.map(fit_predict, names), strict=True):
            assert_array_equal(found, serial[name], err_msg=name)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_backends_of_joblib_give_the_serial_result(backend: str) -> None:
    model = MODELS["cgcnn"]
    expected = cross_val_predict(model, SALTS, VOLUMES, cv=2)
    with joblib.parallel_config(backend, n_jobs=2):
        assert_array_equal(cross_val_predict(model, SALTS, VOLUMES, cv=2), expected)


@pytest.fixture
def threads_of_torch() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_torch_threads_gives_the_same_bits(
    name: str, serial: dict, threads_of_torch: Callable[[int], None]
) -> None:
    for n in (1, 2, 4, 8):
        threads_of_torch(n)
        assert_array_equal(fit_predict(name), serial[name])


@pytest.mark.parametrize("n_rows", [2, 7, 17, 64, 3000])
@pytest.mark.parametrize(
    ("n_in", "n_out"), [(64, 128), (7, 14), (14, 1), (41, 64), (64, 18), (128, 9), (92, 64)]
)
def test_layers_are_the_same_with_any_number_of_torch_threads(
    n_rows: int, n_in: int, n_out: int, threads_of_torch: Callable[[int], None]
) -> None:
    found = []
    for n in (1, 2, 4, 8, 16):
        threads_of_torch(n)
        with DrawFrom(0):
            layers = nn.Sequential(Linear(n_in, n_out), SiteNorm(n_out))
            x = torch.randn(n_rows, n_in).requires_grad_(True)
        y = layers[0](x)
        layers[1](y).square().sum(dim=0).sum().backward()
        gradients = [x.grad for x in (x, *layers.parameters())]
        found.append([y, *gradients, *layers.state_dict().values()])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("shape", [(3, 7, 14), (16, 16, 32), (50, 41, 64), (5, 64, 1)])
def test_products_are_pytorchs(shape: tuple[int, int, int]) -> None:
    n_rows, n_in, n_out = shape
    draw = torch.Generator().manual_seed(0)
    shapes = [(n_rows, n_in), (n_out, n_in), (n_out,)]
    mine, theirs = [], []
    for found, product in ((mine, linear), (theirs, nn.functional.linear)):
        draw.manual_seed(0)
        parts = [torch.randn(x, generator=draw).requires_grad_(True) for x in shapes]
        found.append(product(*parts))
        found[0].square().sum().backward()
        found += [part.grad for part in parts]
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_normalisation_is_pytorchs() -> None:
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) * 3 + 1
    mine, theirs = SiteNorm(8), nn.BatchNorm1d(8)
    torch.testing.assert_close(mine(x), theirs(x))
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(mine.state_dict()[name], value)
    torch.testing.assert_close(mine.eval()(x), theirs.eval()(x))
    with torch.no_grad():
        torch.testing.assert_close(mine(x), theirs(x))


@pytest.mark.parametrize("make", [CrystalGraphEncoder, NEGNN, lambda: nn.Embedding(4, 5)])
def test_first_values_are_those_of_the_global_seed(make: Callable[[], Any]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        expected = make().state_dict()
    before = global_states()
    with DrawFrom(7):
        found = make().state_dict()
    assert global_states() == before
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.fixture
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", ["cgcnn", "tuned", "pretraining"])
def test_default_precision_does_not_change_results(
    name: str, request: pytest.FixtureRequest
) -> None:
    random_weights.cache_clear()
    expected = fit_predict(name)
    request.getfixturevalue("double_precision")
    random_weights.cache_clear()
    assert_array_equal(fit_predict(name), expected)


def test_random_weights_made_first_in_threads() -> None:
    expected = [random_weights(seed).sha256 for seed in range(6)]
    for _ in range(3):
        random_weights.cache_clear()
        with ThreadPoolExecutor(6) as pool:
            assert [w.sha256 for w in pool.map(random_weights, range(6))] == expected


def test_dropout() -> None:
    x = torch.ones(1000)
    network = nn.Sequential(Dropout(0.25), nn.Identity())
    seed_dropout(network, 3)
    first = network(x)
    assert set(first.unique().tolist()) == {0.0, (torch.ones(1) / 0.75).item()}
    assert 0.7 < (first > 0).float().mean() < 0.8
    assert not torch.equal(network(x), first)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert twin[0].generator is None
    seed_dropout(network, 3)
    assert torch.equal(network(x), first)
    assert not network.state_dict()
    assert torch.equal(network.eval()(x), x)


def test_draws_in_another_thread_are_not_taken() -> None:
    """The block counts in its own thread alone."""
    with DrawFrom(0) as draws, ThreadPoolExecutor(1) as pool:
        before = draws.generator.get_state()
        pool.submit(torch.rand, 4, generator=torch.Generator()).result()
        assert torch.equal(draws.generator.get_state(), before)


# Trainings that came to nothing ----------------------------------------------------------------


def diverging(learner: type, **settings: Any) -> Any:
    return learner(
        max_epochs=3, random_state=0, progress_bar=False, learning_rate=300.0,
        gradient_clip=None, precision="float32", **settings
    )  # fmt: skip


def test_diverged_regression_is_told_once_at_the_users_line() -> None:
    with pytest.warns(TrainingWarning, match="training diverged: .* mean; give a lower") as caught:
        diverging(CGCNNRegressor).fit(SALTS, VOLUMES)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_divergence_in_a_single_step_is_told() -> None:
    with pytest.warns(TrainingWarning, match="training diverged"):
        CGCNNRegressor(max_epochs=1, random_state=0, learning_rate=300.0).fit(
            SALTS[:8], VOLUMES[:8]
        )


def test_diverged_members_are_named() -> None:
    with pytest.warns(TrainingWarning, match=r"training of members 0, 1 \(of 2\) diverged"):
        diverging(CGCNNRegressor, n_members=2).fit(SALTS, VOLUMES)


def test_diverged_classification_is_told() -> None:
    with pytest.warns(TrainingWarning, match="training diverged"):
        diverging(CGCNNClassifier).fit(SALTS, np.median(VOLUMES) < VOLUMES)


@pytest.fixture(scope="module")
def densities() -> tuple[list[Structure], np.ndarray]:
    small = [s for s in load_example_crystals()["structure"] if len(s) <= 8]
    chosen = np.random.default_rng(0).choice(len(small), 60, replace=False)
    return [small[i] for i in chosen], np.array([small[i].density for i in chosen])


@pytest.mark.parametrize(
    ("rate", "epochs", "width", "text"),
    [
        (3.0, 3, 64, "training diverged"),
        (30.0, 3, 64, "training diverged"),
        (100.0, 3, 64, "training diverged"),
        (0.01, 3, 16, "worse than the mean after 3 epochs: .* raise max_epochs"),
    ],
)
def test_networks_that_are_bad_on_their_training_rows_are_told(
    rate: float, epochs: int, width: int, text: str, densities: tuple
) -> None:
    model = CGCNNRegressor(
        learning_rate=rate, max_epochs=epochs, hidden_dim=width, random_state=0, progress_bar=False
    )
    with pytest.warns(TrainingWarning, match=text) as caught:
        model.fit(*densities)
    assert len(caught) == 1
    assert ("diverged" in str(caught[0].message)) == ("diverged" in text)
    assert model.score(*densities) < -5


@pytest.mark.parametrize("seed", range(5))
def test_small_trainings_do_not_warn(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=16)
    settings = {"random_state": seed, "progress_bar": False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TrainingWarning)
        CGCNNRegressor(max_epochs=1, **settings).fit(SALTS, noise)
        CGCNNRegressor(max_epochs=2, learning_rate=1e-7, **settings).fit(SALTS, noise**3)
        CGCNNClassifier(max_epochs=1, **settings).fit(SALTS, noise > np.median(noise))
        for loss in ("huber", "squared"):  # a few steps of a high rate on a few crystals
            high = {"max_epochs": 3, "learning_rate": 0.01, "loss": loss, **settings}
            CGCNNRegressor(**high).fit(SALTS[:8], noise[:8])
    assert [one for one in caught if issubclass(one.category, TrainingWarning)] == []


def test_diverged_pretraining_is_told() -> None:
    settings = {"hidden_dim": 8, "n_conv": 2, "max_epochs": 3, "progress_bar": False}
    with pytest.warns(TrainingWarning, match="pretraining diverged") as caught:
        MaskedPretrainer(**settings, learning_rate=1e3, decay_fraction=0.0).fit(SALTS)
    assert caught[0].filename == __file__
