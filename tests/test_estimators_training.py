"""The estimators: training, ensembles, fine-tuning, sites and predictions."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from estimator_cases import make, outputs, target
from numpy.testing import assert_allclose, assert_array_equal
from pymatgen.core import Lattice, Structure

from ssatom import (
    CGCNNClassifier,
    CGCNNRegressor,
    MaskedPretrainer,
    NEGNNClassifier,
    NEGNNRegressor,
    load_example_crystals,
)
from ssatom.embeddings import resolve_weights
from ssatom.estimators import _base
from ssatom.exceptions import ParameterError, StructureError, WeightsError
from ssatom.graph import GraphConfig
from ssatom.splits import hold_back
from ssatom.structures import structure_key
from ssatom.training import BatchLoader

# Training --------------------------------------------------------------------------------------


def test_fits_repeat_bit_for_bit_whatever_was_drawn_before(
    structures: list, volumes: np.ndarray, fitted: dict
) -> None:
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    again = make().fit(structures, volumes)
    first = fitted[NEGNNRegressor]
    assert_array_equal(again.predict(structures), first.predict(structures))
    pd.testing.assert_frame_equal(again.history_, first.history_, check_exact=True)
    other = make(random_state=1).fit(structures, volumes)
    assert not np.array_equal(other.predict(structures), first.predict(structures))


@pytest.mark.parametrize("learner", [NEGNNRegressor, CGCNNRegressor])
def test_regressors_learn(corpus: list, learner: type) -> None:
    y = np.array([s.volume / len(s) for s in corpus])
    model = make(learner, hidden_dim=16, n_conv=2, max_epochs=15, patience=None, learning_rate=0.03)
    model.fit(corpus[:112], y[:112])
    assert model.score(corpus[:112], y[:112]) > 0.8
    assert model.score(corpus[112:], y[112:]) > 0.5


def test_classifier_learns(corpus: list) -> None:
    # Three seeds reach 0.97 or more; a class that only the lattice tells swings by 0.2.
    nonmetals = {"O", "S", "Cl", "Br"}
    y = np.array(["salt" if nonmetals & set(s.symbol_set) else "metal" for s in corpus])
    model = make(NEGNNClassifier, hidden_dim=16, max_epochs=10, learning_rate=0.03)
    model.fit(corpus[:112], y[:112])
    assert_array_equal(model.classes_, np.unique(y))
    assert model.score(corpus[112:], y[112:]) > 0.9


def test_history_and_the_best_epoch(corpus: list) -> None:
    y = np.array([s.volume for s in corpus])
    model = make(max_epochs=12, learning_rate=0.03, patience=None).fit(corpus[:60], y[:60])
    history = model.history_
    assert history["epoch"].tolist() == list(range(1, 13))
    assert {"train_loss", "validation_loss", "train_mae", "validation_mae", "learning_rate"} <= set(
        history
    )
    best = history.loc[history["validation_loss"].idxmin()]
    assert model.best_epochs_ == [best["epoch"]]
    seed = np.random.RandomState(0).randint(2**31 - 1, size=1)[0]
    held = hold_back([structure_key(s) for s in corpus[:60]], 0.1, seed)[1]
    errors = np.abs(model.predict([corpus[i] for i in held]) - y[held])
    assert errors.mean() == pytest.approx(best["validation_mae"], rel=0.02)  # bfloat16 edges


def test_plot_history(fitted: dict) -> None:
    figure = fitted[NEGNNClassifier].plot_history()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]


def test_nothing_is_printed_or_written(
    structures: list,
    volumes: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    make().fit(structures, volumes).predict(structures)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_early_stopping(structures: list, volumes: np.ndarray) -> None:
    model = make(max_epochs=200, patience=2, learning_rate=0.1).fit(structures, volumes)
    assert len(model.history_) < 200
    assert len(model.history_) >= model.best_epochs_[0] + 2


def test_time_budget_is_that_of_all_members(structures: list, volumes: np.ndarray) -> None:
    started = time.monotonic()
    model = make(max_epochs=100_000, patience=None, time_budget=1.0, n_members=2)
    model.fit(structures, volumes)
    assert model.history_["member"].nunique() == 2
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("schedule", ["plateau", "cosine", "constant"])
def test_learning_rate_schedules(structures: list, volumes: np.ndarray, schedule: str) -> None:
    model = make(learning_rate_schedule=schedule, max_epochs=4).fit(structures, volumes)
    rates = model.history_["learning_rate"]
    assert rates.iloc[0] == pytest.approx(0.001)
    assert (rates.iloc[-1] < 0.0005) == (schedule == "cosine")


@pytest.mark.parametrize(("max_epochs", "free"), [(100, 25), (40, 17)])
def test_normalisation_is_fixed_after_a_quarter_of_the_epochs_and_50_steps(
    structures: list, max_epochs: int, free: int
) -> None:
    model = make(CGCNNRegressor, max_epochs=max_epochs, patience=None, learning_rate=0.003)
    model.fit(structures, [np.mean(structure.atomic_numbers) for structure in structures])
    assert model.best_epochs_[0] > free
    (network,) = model.networks_
    steps = {int(norm.num_batches_tracked) for norm in network.convolutions.norms}
    assert steps == {3 * free}  # 20 crystals in batches of 8 at most


def test_losses_and_clipping_change_the_fit(
    structures: list, volumes: np.ndarray, fitted: dict
) -> None:
    expected = fitted[NEGNNRegressor].predict(structures)
    for setting in ({"loss": "squared"}, {"gradient_clip": 1e-6}, {"weight_decay": 1.0}):
        assert not np.array_equal(
            make(**setting).fit(structures, volumes).predict(structures), expected
        )


def test_divergence_is_told(structures: list, volumes: np.ndarray) -> None:
    model = make(learning_rate=1e30, loss="squared", max_epochs=3)
    with pytest.raises(ParameterError, match=r"diverged at learning_rate=1e\+30.*lower"):
        model.fit(structures, volumes)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision(structures: list, volumes: np.ndarray, precision: str) -> None:
    model = make(precision=precision).fit(structures, volumes)
    assert model.precision_ == precision
    assert np.isfinite(model.predict(structures)).all()


def test_targets_are_scaled_inside(structures: list, volumes: np.ndarray, fitted: dict) -> None:
    large = make().fit(structures, 1e6 * volumes + 1e7).predict(structures)
    expected = fitted[NEGNNRegressor].predict(structures)
    assert_allclose((large - 1e7) / 1e6, expected, rtol=1e-3)


def test_several_targets(structures: list, volumes: np.ndarray) -> None:
    y = np.stack([volumes, -100 * volumes, volumes**2], axis=1)
    model = make(max_epochs=1).fit(structures, y)
    assert model.predict(structures[:4]).shape == (4, 3)
    assert model.predict([]).shape == (0, 3)
    assert next(model.iter_predict(structures)).shape == (3,)
    assert np.isfinite(model.score(structures, y))
    column = make(max_epochs=1).fit(structures, volumes[:, None])
    assert column.predict(structures[:4]).shape == (4, 1)


def test_rows_of_weight_0_are_left_out(structures: list, volumes: np.ndarray) -> None:
    weights = np.ones(24)
    weights[[3, 8]] = 0
    kept = weights > 0
    wrong = np.where(kept, volumes, 1e6)
    weighted = make().fit(structures, wrong, sample_weight=5 * weights)
    assert weighted.n_structures_ == 22
    without = make().fit([structures[i] for i in np.flatnonzero(kept)], volumes[kept])
    assert_array_equal(weighted.predict(structures), without.predict(structures))


def test_weights_pull_predictions(corpus: list) -> None:
    """The same crystals with two targets: the heavier ones win."""
    doubled = corpus[:20] + corpus[:20]
    y = np.repeat([0.0, 1.0], 20)
    settings = {"max_epochs": 15, "learning_rate": 0.05, "loss": "squared", "patience": None}
    for heavy in (0, 1):
        weights = np.where(y == heavy, 10.0, 1.0)
        model = make(CGCNNRegressor, **settings).fit(doubled, y, sample_weight=weights)
        assert abs(model.predict(corpus[:20]).mean() - heavy) < 0.35


def test_20_structures_are_enough(cls: type, structures: list, volumes: np.ndarray) -> None:
    model = make(cls, max_epochs=5).fit(structures[:20], target(cls, volumes)[:20])
    assert np.isfinite(outputs(model, structures)).all()


def test_crystals_of_one_site_in_batches_of_two() -> None:
    """A batch of a single site has no statistics to normalise by."""
    metals = [Structure(Lattice.cubic(2.5 + 0.1 * i), ["Po"], [[0, 0, 0]]) for i in range(9)]
    model = make(batch_size=2).fit(metals, np.arange(9.0))
    assert np.isfinite(model.predict(metals)).all()


# Kinds of estimators ---------------------------------------------------------------------------


def test_probabilities(fitted: dict, structures: list) -> None:
    for learner in (NEGNNClassifier, CGCNNClassifier):
        probabilities = fitted[learner].predict_proba(structures)
        assert probabilities.shape == (24, 2)
        assert_allclose(probabilities.sum(axis=1), 1)
        labels = fitted[learner].classes_[probabilities.argmax(axis=1)]
        assert_array_equal(fitted[learner].predict(structures), labels)


@pytest.mark.parametrize("labels", [[False, True], [0, 5, 7], ["a", "b", "c"]])
def test_labels_of_any_kind(structures: list, labels: list) -> None:
    y = np.array(labels)[np.arange(24) % len(labels)]
    model = make(NEGNNClassifier, max_epochs=1).fit(structures, y)
    assert_array_equal(model.classes_, labels)
    assert model.predict(structures).dtype == y.dtype


def test_ensemble(structures: list, volumes: np.ndarray) -> None:
    model = make(n_members=3).fit(structures, volumes)
    mean, std = model.predict(structures, return_std=True)
    assert mean.shape == std.shape == (24,)
    assert (std > 0).all()
    assert_array_equal(mean, model.predict(structures))
    assert model.history_.groupby("member").size().tolist() == [2, 2, 2]
    assert len(model.best_epochs_) == 3


def test_ensemble_of_classifiers(structures: list, volumes: np.ndarray) -> None:
    model = make(NEGNNClassifier, n_members=2).fit(structures, volumes > np.median(volumes))
    assert_allclose(model.predict_proba(structures).sum(axis=1), 1)


def test_std_is_scaled_on_rows_held_out(structures: list, volumes: np.ndarray) -> None:
    targets = np.stack([volumes, -3 * volumes], axis=1)
    model = make(n_members=3).fit(structures[:16], targets[:16])
    held, y = structures[16:], targets[16:]
    before = model.predict(structures[:4], return_std=True)[1]
    assert model.scale_std(held, y) is model
    predictions, std = model.predict(held, return_std=True)
    square = np.mean(std**2, axis=0)
    np.testing.assert_allclose(square, np.mean((y - predictions) ** 2, axis=0))
    after = model.predict(structures[:4], return_std=True)[1]
    np.testing.assert_allclose(after, before * model.std_scale_)
    scale = model.std_scale_
    np.testing.assert_allclose(model.scale_std(held, y).std_scale_, scale)
    with pytest.raises(ParameterError, match=r"y has shape \(8,\); allowed is \(8, 2\)"):
        model.scale_std(held, y[:, 0])
    assert (model.fit(structures[:16], targets[:16]).std_scale_ == 1).all()


def test_std_needs_an_ensemble(fitted: dict, structures: list) -> None:
    with pytest.raises(ParameterError, match="n_members=1; fit with n_members=5"):
        fitted[NEGNNRegressor].predict(structures, return_std=True)
    rows = iter(structures)
    with pytest.raises(ParameterError, match="n_members=1"):
        fitted[NEGNNRegressor].predict(rows, return_std=True)
    assert len(list(rows)) == len(structures)  # refused before anything was read


def test_a_refused_fit_leaves_the_model_as_it_was(structures: list, volumes: np.ndarray) -> None:
    model = make(layers="01").fit(structures, volumes)
    before = model.predict(structures)
    with pytest.raises(ParameterError, match="y has 3 rows"):
        model.set_params(layers="0").fit(structures, volumes[:3])
    assert model.layers_ == (0, 1)
    assert_array_equal(model.predict(structures), before)


@pytest.mark.parametrize("device", ["tpu", None, "cuda:99x"])
def test_unknown_devices_are_refused(device: Any, structures: list, volumes: np.ndarray) -> None:
    with pytest.raises(ParameterError, match="allowed: 'auto', 'cpu', 'cuda'"):
        make(device=device).fit(structures, volumes)


@pytest.mark.parametrize(("n", "n_held", "n_steps"), [(20, 4, 2), (100, 10, 9), (600, 60, 9)])
def test_few_structures_have_several_steps_and_some_held_back(
    n: int, n_held: int, n_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    plain = BatchLoader

    def noted(select, rows, batch_size, **options):
        sizes.append((len(rows), -(-len(rows) // batch_size)))
        return plain(select, rows, batch_size, **options)

    monkeypatch.setattr(_base, "BatchLoader", noted)
    cells = [Structure(Lattice.cubic(3 + i / 1000), ["Po"], [[0, 0, 0]]) for i in range(n)]
    make(cls=CGCNNRegressor, max_epochs=1).fit(cells, np.arange(n))
    assert sizes == [(n - n_held, n_steps), (n_held, 1)]


def test_only_fine_tuning_changes_the_encoder(structures: list, volumes: np.ndarray) -> None:
    shared = resolve_weights("random", 0).encoder
    before = {name: value.clone() for name, value in shared.state_dict().items()}
    tuned = make(encoder="fine-tune", n_members=2).fit(structures, volumes)
    frozen = make().fit(structures, volumes)
    assert all(torch.equal(value, before[name]) for name, value in shared.state_dict().items())
    assert frozen._tuned_encoders == []
    assert len(tuned._tuned_encoders) == 2
    for source in tuned._tuned_encoders:
        after = source.encoder.state_dict()
        assert not torch.equal(after["convs.0.gates.weight"], before["convs.0.gates.weight"])
        assert torch.equal(after["norms.0.running_mean"], before["norms.0.running_mean"])
    again = pickle.loads(pickle.dumps(tuned))
    assert_array_equal(again.predict(structures), tuned.predict(structures))


@pytest.fixture(scope="module")
def smooth_weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of hardly trained weights on graphs of all neighbours."""
    pretrainer = MaskedPretrainer(
        neighbors="smooth",
        cutoff=5.0,
        hidden_dim=8,
        n_conv=2,
        max_epochs=1,
        progress_bar=False,
    )
    structures = load_example_crystals()["structure"][:20]
    return str(pretrainer.fit(structures).save(tmp_path_factory.mktemp("weights") / "smooth"))


def test_frozen_embeddings_of_any_graph_go_with_the_graphs_of_cgcnn(
    structures: list, volumes: np.ndarray, smooth_weights: str
) -> None:
    frozen = make(weights=smooth_weights, layers="012").fit(structures, volumes)
    assert frozen.graph_config_ == GraphConfig()
    alone = [frozen.predict([structure])[0] for structure in structures]
    assert_allclose(frozen.predict(structures), alone, rtol=1e-5)
    tuned = make(weights=smooth_weights, encoder="fine-tune").fit(structures, volumes)
    assert tuned.graph_config_ == GraphConfig("smooth", cutoff=5.0)
    alone = [tuned.predict([structure])[0] for structure in structures]
    assert_allclose(tuned.predict(structures), alone, rtol=1e-5)


def test_encoder_learning_rate(structures: list, volumes: np.ndarray) -> None:
    original = resolve_weights("random", 0).encoder.node_embedding.weight
    moved = []
    for rate in (1e-6, None, 1e-2):
        model = make(encoder="fine-tune", encoder_learning_rate=rate, max_epochs=1)
        model.fit(structures, volumes)
        weight = model._tuned_encoders[0].encoder.node_embedding.weight
        moved.append((weight - original).abs().max().item())
    assert moved[0] < moved[1] < moved[2]


def test_layers_and_weights_matter(structures: list, volumes: np.ndarray, fitted: dict) -> None:
    expected = fitted[NEGNNRegressor].predict(structures)
    assert fitted[NEGNNRegressor].layers_ == (0, 1)
    assert fitted[NEGNNRegressor].networks_[0].config.node_dim == 128
    for layers, n in (("0", 1), ([3, 1, 5], 3)):
        model = make(layers=layers).fit(structures, volumes)
        assert model.networks_[0].config.node_dim == 64 * n
        assert not np.array_equal(model.predict(structures), expected)


def test_other_weights_are_refused_in_prediction(
    structures: list, volumes: np.ndarray, tmp_path: Path, make_weights: Any
) -> None:
    folder = make_weights(tmp_path / "mine", seed=0)
    model = make(weights=folder).fit(structures, volumes)
    assert model.weights_ == str(folder)
    pickled = pickle.dumps(model)
    expected = model.predict(structures)
    model.set_params(weights="random")  # without fitting: what was fitted counts
    assert_array_equal(model.predict(structures), expected)
    make_weights(tmp_path / "mine", seed=1)
    with pytest.raises(WeightsError, match="not those of fitting"):
        pickle.loads(pickled).predict(structures)


def test_memory(structures: list, volumes: np.ndarray, tmp_path: Path, fitted: dict) -> None:
    model = make(memory=tmp_path).fit(structures, volumes)
    assert any(tmp_path.rglob("*.sqlite"))
    expected = fitted[NEGNNRegressor].predict(structures)
    assert_array_equal(model.predict(structures), expected)


@pytest.mark.slow
def test_estimators_do_not_hang_in_forks() -> None:
    program = """
        import multiprocessing
        import numpy as np
        from ssatom import CGCNNRegressor, load_example_crystals
        rows = [row * [3, 3, 3] for row in load_example_crystals()["structure"][:6]]
        y = np.log([row.volume / len(row) for row in rows])
        model = CGCNNRegressor(max_epochs=1, random_state=0)
        expected = model.fit(rows, y).predict(rows)
        with multiprocessing.get_context("fork").Pool(1) as pool:
            found = pool.apply_async(model.predict, (rows,)).get(timeout=60)
            fitted = pool.apply_async(model.fit, (rows, y)).get(timeout=60)
        assert np.allclose(found, expected, 1e-4, 1e-4)
        assert len(fitted.history_) == 1
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        timeout=150,
        check=True,
    )


# Sites -----------------------------------------------------------------------------------------


def pairs_of(structures: list[Structure]) -> list[tuple[Structure, int]]:
    return [(structure, i) for structure in structures for i in range(len(structure))]


def electronegativity(pairs: list[tuple[Structure, int]]) -> np.ndarray:
    return np.array([structure[i].specie.X for structure, i in pairs])


def test_site_level_learns_sites_in_any_order(corpus: list) -> None:
    pairs = pairs_of(corpus[:60])
    np.random.default_rng(0).shuffle(pairs)
    y = electronegativity(pairs)
    model = make(level="site", max_epochs=10, learning_rate=0.03, hidden_dim=16).fit(pairs, y)
    assert model.n_structures_ == 60
    assert model.score(pairs, y) > 0.8
    assert_allclose(model.predict(pairs[::-1])[::-1], model.predict(pairs), rtol=1e-5)


def test_site_level_takes_frames_and_some_sites(structures: list) -> None:
    pairs = [(structure, len(structure) - 1) for structure in structures]
    frame = pd.DataFrame(pairs, columns=["structure", "site_index"])
    for learner in (CGCNNClassifier, NEGNNClassifier):
        y = electronegativity(pairs) > 2
        model = make(learner, level="site").fit(frame, y)
        assert_array_equal(model.predict(pairs), model.predict(frame))
        assert model.predict_proba(iter(pairs)).shape == (24, 2)


def test_sites_of_one_crystal_are_held_back_together(structures: list) -> None:
    from ssatom.estimators._data import group_by_crystal, read_rows

    pairs = pairs_of(structures[:5])
    copies = [(structure.copy(), i) for structure, i in pairs[::-1]]
    groups = group_by_crystal(list(read_rows(pairs + copies, "site")))
    assert len(groups) == 5
    assert sum(map(len, groups)) == 2 * len(pairs)


# Prediction ------------------------------------------------------------------------------------


def test_predictions_do_not_depend_on_batches_and_order(
    fitted: dict, cls: type, structures: list
) -> None:
    expected = outputs(fitted[cls], structures)
    small = pickle.loads(pickle.dumps(fitted[cls])).set_params(batch_size=2)
    assert_allclose(outputs(small, structures), expected, rtol=1e-5)
    assert_allclose(outputs(fitted[cls], structures[::-1])[::-1], expected, rtol=1e-5)
    alone = np.concatenate([outputs(fitted[cls], [structure]) for structure in structures[:3]])
    assert_allclose(alone, expected[:3], rtol=1e-5)


def test_predictions_of_all_cells_agree(fitted: dict, crystals: dict) -> None:
    nacl = crystals["NaCl"]
    predicted = fitted[NEGNNRegressor].predict([nacl, nacl.get_primitive_structure()])
    assert predicted[0] == pytest.approx(predicted[1], rel=1e-5)


def test_generators_are_streamed(fitted: dict, structures: list) -> None:
    read = []

    def stream() -> Any:
        for i in range(1000):
            read.append(i)
            yield structures[i % 24]

    model = fitted[CGCNNRegressor]
    predictions = model.iter_predict(stream())
    first = [next(predictions) for _ in range(24)]
    assert len(read) < 600
    assert_allclose(first, model.predict(structures), rtol=1e-6)
    assert len(model.predict(stream())) == 1000


def test_bad_rows_are_given_as_their_errors(fitted: dict, structures: list) -> None:
    overlapping = structures[0].copy()
    overlapping.append("Cl", [0.001, 0, 0])
    rows = [structures[0], None, overlapping, structures[1]]
    first, no_structure, overlap, last = fitted[NEGNNRegressor].iter_predict(rows)
    assert isinstance(no_structure, StructureError)
    assert "structures[1]" in str(no_structure)
    assert "structures[2]" in str(overlap)
    assert "overlap" in str(overlap)
    assert_allclose([first, last], fitted[NEGNNRegressor].predict(structures[:2]), rtol=1e-6)


def test_classes_are_streamed(fitted: dict, structures: list) -> None:
    model = fitted[NEGNNClassifier]
    assert list(model.iter_predict(iter(structures))) == model.predict(structures).tolist()


def test_no_rows(fitted: dict) -> None:
    assert fitted[NEGNNRegressor].predict([]).shape == (0,)
    assert fitted[NEGNNClassifier].predict_proba([]).shape == (0, 2)
