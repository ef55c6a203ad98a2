"""The estimators: scikit-learn's contract, and what they promise beyond it."""

from __future__ import annotations

import inspect
import pickle
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from pymatgen.core import Lattice, Structure
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils import estimator_checks, get_tags

from ssatom import CGCNNClassifier, CGCNNRegressor, NEGNNClassifier, NEGNNRegressor
from ssatom.embeddings import resolve_weights
from ssatom.estimators import PARAMETER_GRID
from ssatom.exceptions import ParameterError, StructureError, WeightsError

TINY: dict[str, Any] = {"n_conv": 1, "hidden_dim": 8, "max_epochs": 2, "random_state": 0}
CLASSES = [NEGNNRegressor, CGCNNRegressor, NEGNNClassifier, CGCNNClassifier]


def make(cls: type = NEGNNRegressor, **settings: Any) -> Any:
    weights = {"weights": "random"} if cls.__name__.startswith("NEGNN") else {}
    return cls(**{**TINY, **weights, **settings})


@pytest.fixture(params=CLASSES, ids=[cls.__name__ for cls in CLASSES])
def cls(request: pytest.FixtureRequest) -> type:
    return request.param


@pytest.fixture(scope="module")
def structures(corpus: list[Structure]) -> list[Structure]:
    return corpus[:24]


@pytest.fixture(scope="module")
def volumes(structures: list[Structure]) -> np.ndarray:
    """Å³ per site."""
    return np.array([s.volume / len(s) for s in structures])


def target(cls: type, volumes: np.ndarray) -> np.ndarray:
    return np.where(volumes > np.median(volumes), "loose", "dense") if is_class(cls) else volumes


def is_class(cls: type) -> bool:
    return cls.__name__.endswith("Classifier")


@pytest.fixture(scope="module")
def fitted(structures: list[Structure], volumes: np.ndarray) -> dict[type, Any]:
    """One of each class, fitted; not to be changed."""
    return {cls: make(cls).fit(structures, target(cls, volumes)) for cls in CLASSES}


def outputs(model: Any, structures: Any) -> np.ndarray:
    return getattr(model, "predict_proba", model.predict)(structures)


# Parameters ------------------------------------------------------------------------------------


def test_init_stores_arguments_and_nothing_else(cls: type) -> None:
    arguments = {name: object() for name in inspect.signature(cls).parameters}
    assert vars(cls(**arguments)) == arguments


def test_get_params_names_every_argument(cls: type) -> None:
    assert set(cls().get_params()) == set(inspect.signature(cls).parameters)


def test_the_networks_of_both_kinds_have_the_same_parameters() -> None:
    of_embeddings = {"layers", "weights", "encoder", "encoder_learning_rate", "memory"}
    for negnn, cgcnn in ((NEGNNRegressor, CGCNNRegressor), (NEGNNClassifier, CGCNNClassifier)):
        mine, theirs = negnn().get_params(), cgcnn().get_params()
        assert set(mine) - set(theirs) == of_embeddings
        assert all(mine[name] == theirs[name] for name in theirs)


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_repr",
        "check_get_params_invariance",
        "check_mixin_order",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_set_params",
        "check_valid_tag_types",
    ],
)
def test_passes_the_checks_of_scikit_learn_that_need_no_arrays(cls: type, check: str) -> None:
    getattr(estimator_checks, check)(cls.__name__, make(cls))


def test_tags(cls: type) -> None:
    tags = get_tags(make(cls))
    assert tags.no_validation
    assert tags.requires_fit
    assert tags.target_tags.required
    assert tags.target_tags.multi_output == (not is_class(cls))
    assert not tags.input_tags.two_d_array
    assert not tags.non_deterministic
    assert (is_classifier if is_class(cls) else is_regressor)(make(cls))


@pytest.mark.parametrize(
    "parameter",
    [
        {"n_conv": 0},
        {"hidden_dim": 2.5},
        {"n_hidden": True},
        {"dropout": 1.0},
        {"learning_rate": 0.0},
        {"learning_rate_schedule": "step"},
        {"weight_decay": -1},
        {"loss": "absolute"},
        {"gradient_clip": 0},
        {"batch_size": 1},
        {"max_epochs": 0},
        {"patience": 0},
        {"validation_fraction": 1.0},
        {"time_budget": -1},
        {"encoder": "thawed"},
        {"encoder_learning_rate": 0},
        {"n_members": 0},
        {"level": "atom"},
        {"precision": "float16"},
        {"layers": "06"},
    ],
    ids=lambda parameter: next(iter(parameter)),
)
def test_parameters_are_checked_in_fit(structures: list, volumes: Any, parameter: dict) -> None:
    [(name, value)] = parameter.items()
    with pytest.raises(ParameterError, match=f"{name}={value!r}.*(give|allowed)"):
        make(**parameter).fit(structures, volumes)


def test_grid_is_that_of_table_1() -> None:
    assert set(PARAMETER_GRID) <= set(CGCNNRegressor().get_params())
    assert [len(PARAMETER_GRID[name]) for name in ("learning_rate", "n_conv")] == [5, 4]
    assert PARAMETER_GRID["hidden_dim"] == [32, 64, 96, 128]


# scikit-learn ----------------------------------------------------------------------------------


def test_fit_returns_itself_and_leaves_the_parameters(fitted: dict, cls: type) -> None:
    model = fitted[cls]
    assert isinstance(model, cls)
    assert model.get_params() == make(cls).get_params()


def test_predictions_have_the_shape_and_kind_of_the_target(
    fitted: dict, cls: type, structures: list
) -> None:
    predicted = fitted[cls].predict(structures[:5])
    assert predicted.shape == (5,)
    if is_class(cls):
        assert set(predicted) <= {"dense", "loose"}
    else:
        assert predicted.dtype == np.float64
        assert np.isfinite(predicted).all()


def test_score(fitted: dict, cls: type, structures: list, volumes: np.ndarray) -> None:
    y = target(cls, volumes)
    score = (accuracy_score if is_class(cls) else r2_score)(y, fitted[cls].predict(structures))
    assert fitted[cls].score(structures, y) == pytest.approx(score)


def test_clone_is_not_fitted_and_fits_alike(
    fitted: dict, cls: type, structures: list, volumes: np.ndarray
) -> None:
    copy = clone(fitted[cls])
    with pytest.raises(NotFittedError, match=f"This {cls.__name__} instance is not fitted"):
        copy.predict(structures)
    copy.fit(structures, target(cls, volumes))
    assert_array_equal(outputs(copy, structures), outputs(fitted[cls], structures))


def test_pickle_is_small_and_predicts_the_same(fitted: dict, cls: type, structures: list) -> None:
    pickled = pickle.dumps(fitted[cls])
    assert len(pickled) < 60_000  # mostly module objects; the network itself has 6,000 numbers
    assert_array_equal(outputs(pickle.loads(pickled), structures), outputs(fitted[cls], structures))


def test_joblib_dump(fitted: dict, cls: type, structures: list, tmp_path: Path) -> None:
    joblib.dump(fitted[cls], tmp_path / "model")
    loaded = joblib.load(tmp_path / "model")
    assert_array_equal(outputs(loaded, structures), outputs(fitted[cls], structures))


def test_cross_val_score(cls: type, structures: list, volumes: np.ndarray) -> None:
    scores = cross_val_score(make(cls), structures, target(cls, volumes), cv=2)
    assert np.isfinite(scores).all()


def test_grid_search_in_a_pipeline(structures: list, volumes: np.ndarray) -> None:
    search = GridSearchCV(
        Pipeline([("model", make())]), {"model__n_hidden": [1, 2]}, cv=2, error_score="raise"
    )
    search.fit(structures, volumes)
    assert search.best_params_["model__n_hidden"] in (1, 2)
    assert search.predict(structures[:3]).shape == (3,)


def test_structures_may_come_in_any_container(
    fitted: dict, structures: list, volumes: np.ndarray
) -> None:
    frame = pd.DataFrame({"structure": structures, "y": volumes}, index=range(7, 31))
    expected = fitted[NEGNNRegressor].predict(structures)
    for X in (frame["structure"], frame[["structure"]], tuple(structures), iter(structures)):
        model = make().fit(X, frame["y"])
        assert_array_equal(model.predict(structures), expected)


def test_refitting_forgets(structures: list, volumes: np.ndarray, fitted: dict) -> None:
    model = make(n_members=2).fit(structures, np.stack([volumes, -volumes], axis=1))
    model.set_params(n_members=1).fit(structures, volumes)
    assert_array_equal(model.predict(structures), fitted[NEGNNRegressor].predict(structures))


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
    model = make(learner, hidden_dim=16, n_conv=2, max_epochs=60, patience=None, learning_rate=0.01)
    model.fit(corpus[:112], y[:112])
    assert model.score(corpus[:112], y[:112]) > 0.8
    assert model.score(corpus[112:], y[112:]) > 0.5


def test_classifier_learns(corpus: list) -> None:
    y = np.array([len(s) for s in corpus])
    model = make(NEGNNClassifier, hidden_dim=16, max_epochs=40, learning_rate=0.01)
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
    from ssatom.estimators._data import split

    held = split(60, 0.1, seed)[1]
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
    make(progress_bar=True).fit(structures, volumes)
    assert "Epoch 1" in "".join(capfd.readouterr())
    assert list(tmp_path.iterdir()) == []


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
    settings = {"max_epochs": 40, "learning_rate": 0.03, "loss": "squared", "patience": None}
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


def test_std_needs_an_ensemble(fitted: dict, structures: list) -> None:
    with pytest.raises(ParameterError, match="n_members=1; fit with n_members=5"):
        fitted[NEGNNRegressor].predict(structures, return_std=True)


def test_only_fine_tuning_changes_the_encoder(structures: list, volumes: np.ndarray) -> None:
    shared = resolve_weights("random", 0).encoder
    before = {name: value.clone() for name, value in shared.state_dict().items()}
    tuned = make(encoder="fine-tune", n_members=2).fit(structures, volumes)
    frozen = make().fit(structures, volumes)
    assert all(torch.equal(value, before[name]) for name, value in shared.state_dict().items())
    assert frozen._tuned_sources == []
    assert len(tuned._tuned_sources) == 2
    for source in tuned._tuned_sources:
        after = source.encoder.state_dict()
        assert not torch.equal(after["convs.0.gates.weight"], before["convs.0.gates.weight"])
        assert torch.equal(after["norms.0.running_mean"], before["norms.0.running_mean"])
    again = pickle.loads(pickle.dumps(tuned))
    assert_array_equal(again.predict(structures), tuned.predict(structures))


def test_encoder_learning_rate(structures: list, volumes: np.ndarray) -> None:
    original = resolve_weights("random", 0).encoder.node_embedding.weight
    moved = []
    for rate in (1e-6, None, 1e-2):
        model = make(encoder="fine-tune", encoder_learning_rate=rate, max_epochs=1)
        model.fit(structures, volumes)
        weight = model._tuned_sources[0].encoder.node_embedding.weight
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


# Sites -----------------------------------------------------------------------------------------


def pairs_of(structures: list[Structure]) -> list[tuple[Structure, int]]:
    return [(structure, i) for structure in structures for i in range(len(structure))]


def electronegativity(pairs: list[tuple[Structure, int]]) -> np.ndarray:
    return np.array([structure[i].specie.X for structure, i in pairs])


def test_site_level_learns_sites_in_any_order(corpus: list) -> None:
    pairs = pairs_of(corpus[:60])
    np.random.default_rng(0).shuffle(pairs)
    y = electronegativity(pairs)
    model = make(level="site", max_epochs=40, learning_rate=0.01, hidden_dim=16).fit(pairs, y)
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


# Errors ----------------------------------------------------------------------------------------


def test_not_fitted(cls: type, structures: list) -> None:
    methods = ["predict", "plot_history"]
    methods += ["iter_predict", "predict_proba"][: 1 + is_class(cls)]
    for method in methods:
        arguments = [] if method == "plot_history" else [structures]
        with pytest.raises(NotFittedError, match=cls.__name__):
            getattr(make(cls), method)(*arguments)


def test_lengths_must_agree(cls: type, structures: list, volumes: np.ndarray) -> None:
    for X in (structures, iter(structures)):
        with pytest.raises(ParameterError, match="X has 24 structures and y has 23 rows; give one"):
            make(cls).fit(X, target(cls, volumes)[:23])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: np.where(np.arange(24) == 3, np.nan, y), r"y\[3\] is nan \(1 of 24.*dropna"),
        (lambda y: np.where(np.arange(24) == 3, np.inf, y), r"y\[3\] is inf"),
        (lambda y: np.full(24, 2.5), r"y is constant \(2.5 in all 24 rows\)"),
        (lambda y: np.stack([y, 0 * y], axis=1), r"y\[:, 1\] is constant"),
        (lambda y: None, "requires y to be passed, but the target y is None"),
        (lambda y: ["a"] * 24, "y must hold numbers"),
        (lambda y: np.ones((24, 1, 1)), r"y has shape \(24, 1, 1\); allowed"),
    ],
)
def test_targets_of_regressors(
    structures: list, volumes: np.ndarray, change: Any, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        make().fit(structures, change(volumes))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["metal"] * 24, r"y has 1 class \('metal'\) in 24 rows; give at least two"),
        (["a", None] * 12, r"y\[1\] is missing \(12 of 24"),
        ([1.0, np.nan] * 12, r"y\[1\] is missing"),
        (None, "requires y to be passed"),
        (np.linspace(0, 1, 24), "continuous"),
    ],
)
def test_targets_of_classifiers(structures: list, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(NEGNNClassifier).fit(structures, y)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(23), r"shape \(23,\); allowed: \(24,\)"),
        (np.where(np.arange(24) == 2, -1.0, 1.0), r"sample_weight\[2\] is -1; weights must"),
        (np.where(np.arange(24) == 2, np.nan, 1.0), r"sample_weight\[2\] is nan"),
        (np.zeros(24), "not all 0"),
    ],
)
def test_sample_weights_are_checked(
    structures: list, volumes: np.ndarray, weights: np.ndarray, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        make().fit(structures, volumes, sample_weight=weights)


def test_too_few_structures(structures: list, volumes: np.ndarray) -> None:
    for n in (0, 1):
        with pytest.raises(ParameterError, match=f"y has {n} rows"):
            make().fit(structures[:n], volumes[:n])
    with pytest.raises(ParameterError, match="3 different structures are too few"):
        make().fit(structures[:3], volumes[:3])
    assert make().fit(structures[:4], volumes[:4]).n_structures_ == 4


def test_bad_structures_are_named(fitted: dict, cls: type, volumes: Any, structures: list) -> None:
    alloy = Structure(Lattice.cubic(2.87), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
    rows = [*structures[:3], alloy, *structures[4:]]
    message = r"structures\[3\].*Fe.*partial occupancy"
    with pytest.raises(StructureError, match=message):
        make(cls).fit(rows, target(cls, volumes))
    with pytest.raises(StructureError, match=message):
        fitted[cls].predict(rows)


def test_bad_sites_are_named(structures: list) -> None:
    pairs = [(structure, 0) for structure in structures]
    pairs[4] = (structures[4], 99)
    with pytest.raises(StructureError, match=r"sites\[4\].*site index 99 is out of range"):
        make(level="site").fit(pairs, np.arange(24))


@pytest.mark.parametrize("X", [None, "nacl.cif", 3])
def test_wrong_containers_are_refused(fitted: dict, X: Any) -> None:
    with pytest.raises(StructureError, match="list"):
        make().fit(X, [1.0, 2.0])
    with pytest.raises(StructureError, match="list"):
        fitted[NEGNNRegressor].predict(X)


def test_one_structure_where_a_list_belongs(structures: list) -> None:
    with pytest.raises(StructureError, match="one Structure"):
        make().fit(structures[0], [1.0, 2.0])


def test_missing_weights(structures: list, volumes: np.ndarray) -> None:
    with pytest.raises(WeightsError, match="no-such-set"):
        make(weights="no-such-set").fit(structures, volumes)
