"""Folders of estimators: the same predictions bit for bit, and nothing but what was written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from estimator_cases import CLASSES, make, outputs
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ssatom import (
    CGCNNClassifier,
    NEGNNClassifier,
    NEGNNRegressor,
    ParameterError,
    SsatomError,
    WeightsError,
)
from ssatom.estimators import load_estimator, save_estimator, storage
from ssatom.files.sealed import seal
from ssatom.weights import list_weights, random_weights


@pytest.fixture
def folder(fitted: dict, tmp_path: Path) -> Path:
    """A folder of a NEGNN; tests may change it."""
    return save_estimator(fitted[NEGNNRegressor], tmp_path / "model", target_names=["volume"])


def same(model: Any, again: Any, structures: list) -> None:
    assert type(again) is type(model)
    assert_array_equal(outputs(again, structures), outputs(model, structures))


def test_round_trip(fitted: dict, cls: type, structures: list, tmp_path: Path) -> None:
    model = fitted[cls]
    state = torch.random.get_rng_state()
    again = load_estimator(save_estimator(model, tmp_path / "model"))
    assert torch.equal(torch.random.get_rng_state(), state)
    same(model, again, structures)
    assert again.get_params() == model.get_params()
    assert again.target_names_ is None
    pd.testing.assert_frame_equal(again.history_, model.history_, check_exact=True)
    for name in ("level_", "best_epochs_", "n_structures_", "precision_", "seconds_"):
        assert getattr(again, name) == getattr(model, name)
    assert_array_equal(clone(again).fit(structures, np.arange(24) % 2).n_structures_, 24)
    assert not any("pickle" in path.suffix for path in (tmp_path / "model").rglob("*"))


def test_saved_again_it_is_the_same(folder: Path, structures: list, tmp_path: Path) -> None:
    model = load_estimator(folder)
    before = (folder / "model.json").read_text()
    assert save_estimator(model, folder) == folder  # over itself, with the names it came with
    assert (folder / "model.json").read_text() == before
    assert load_estimator(folder).target_names_ == ["volume"]


def test_names_of_targets_go_with_them(
    folder: Path, structures: list, volumes: np.ndarray, tmp_path: Path
) -> None:
    """A model that is fitted again has other targets."""
    model = load_estimator(folder).set_params(max_epochs=1).fit(structures, volumes)
    assert load_estimator(save_estimator(model, tmp_path / "again")).target_names_ is None


def test_any_sequence_of_layers(structures: list, volumes: np.ndarray, tmp_path: Path) -> None:
    model = make(NEGNNRegressor, layers=range(2), max_epochs=1).fit(structures, volumes)
    again = load_estimator(save_estimator(model, tmp_path / "model"))
    assert again.layers == [0, 1]
    same(model, again, structures)


@pytest.mark.parametrize("learner", [NEGNNRegressor, NEGNNClassifier])
def test_fine_tuned_ensemble(
    learner: type, structures: list, volumes: np.ndarray, tmp_path: Path
) -> None:
    y = np.digitize(volumes, [15, 25]) if learner is NEGNNClassifier else volumes
    model = make(learner, encoder="fine-tune", n_members=2).fit(structures, y)
    again = load_estimator(save_estimator(model, tmp_path / "model"))
    same(model, again, structures)
    if learner is NEGNNRegressor:
        for one, two in zip(
            model.predict(structures, True), again.predict(structures, True), strict=True
        ):
            assert_array_equal(one, two)
    assert len(again.networks_) == len(again._tuned_encoders) == 2


@pytest.mark.parametrize(
    "classes", [[True, False], [3, -1], ["a", "b"], np.array(["a", "b"], dtype=object), [0.0, 2.0]]
)
def test_classes_keep_their_kind(classes: Any, structures: list, tmp_path: Path) -> None:
    model = make(CGCNNClassifier, max_epochs=1)
    model.fit(structures, np.resize(np.asarray(classes), len(structures)))
    again = load_estimator(save_estimator(model, tmp_path / "model"))
    assert again.classes_.dtype == model.classes_.dtype
    assert_array_equal(again.classes_, model.classes_)


def test_sites_and_several_targets(structures: list, tmp_path: Path) -> None:
    pairs = [(structure, i) for structure in structures[:8] for i in range(len(structure))]
    y = np.random.default_rng(0).normal(size=(len(pairs), 2))
    model = make(level="site").fit(pairs, y)
    with pytest.raises(ParameterError, match="must name 2 targets"):
        save_estimator(model, tmp_path / "model", target_names=["x"])
    again = load_estimator(save_estimator(model, tmp_path / "model", target_names=["x", "y"]))
    same(model, again, pairs)
    assert again.predict(pairs).shape == y.shape


# Weights of the encoder ------------------------------------------------------------------------


def test_own_weights_go_inside(
    structures: list, volumes: np.ndarray, tmp_path: Path, make_weights: Any
) -> None:
    own = make_weights(tmp_path / "mine")
    model = make(weights=own).fit(structures, volumes)
    expected = model.predict(structures)
    save_estimator(model, tmp_path / "model")
    shutil.rmtree(own)
    (tmp_path / "model").rename(tmp_path / "moved")
    again = load_estimator(tmp_path / "moved")
    assert_array_equal(again.predict(structures), expected)
    assert_array_equal(clone(again).fit(structures, volumes).predict(structures), expected)
    save_estimator(again, tmp_path / "moved")
    assert_array_equal(load_estimator(tmp_path / "moved").predict(structures), expected)
    make_weights(tmp_path / "moved" / "weights" / "mine", seed=1)
    with pytest.raises(WeightsError, match="not those of fitting"):
        load_estimator(tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "weights")
    with pytest.raises(WeightsError, match="neither a shipped set nor a folder"):
        load_estimator(tmp_path / "moved")


@pytest.mark.skipif(not list_weights(), reason="needs shipped weights")
def test_shipped_weights_are_named(
    structures: list, volumes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(weights=None).fit(structures, volumes)
    same(model, load_estimator(save_estimator(model, tmp_path / "model")), structures)
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert card["weights"]["kind"] == "shipped"
    assert card["weights"]["sha256"] == model.weights_sha256_
    assert not (tmp_path / "model" / "weights").exists()
    monkeypatch.setattr("ssatom.estimators._nodes.resolve_weights", lambda *_: random_weights())
    with pytest.raises(WeightsError, match="not those of fitting"):
        load_estimator(tmp_path / "model")


def test_random_weights_in_memory(structures: list, volumes: np.ndarray, tmp_path: Path) -> None:
    model = make(weights=random_weights(7)).fit(structures, volumes)
    same(model, load_estimator(save_estimator(model, tmp_path / "model")), structures)
    model.weights_ = type(model.weights_)(**{**vars(model.weights_), "name": "nobody's"})
    with pytest.raises(WeightsError, match="in no folder; save them with save_pretrained"):
        save_estimator(model, tmp_path / "other")
    assert not (tmp_path / "other").exists()


# What is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["networks.safetensors", "history.csv"])
def test_changed_files_are_refused(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match=f"{name} was changed or damaged"):
        load_estimator(folder)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=f"{name} is missing"):
        load_estimator(folder)


def change_card(folder: Path, sealed: bool = True, **changes: Any) -> None:
    card = json.loads((folder / "model.json").read_text())
    kept = card.pop("card_sha256")
    card |= changes
    card["card_sha256"] = seal(card) if sealed else kept
    (folder / "model.json").write_text(json.dumps(card))


def test_changed_cards_are_refused(folder: Path) -> None:
    change_card(folder, format_version=storage.FORMAT_VERSION + 1)
    with pytest.raises(WeightsError, match="which wrote it, or a newer one"):
        load_estimator(folder)
    change_card(folder, format_version=storage.FORMAT_VERSION, sealed=False, target_names=["x"])
    with pytest.raises(WeightsError, match="changed after it was written"):
        load_estimator(folder)
    for changes in ({"class": "Pickle"}, {"parameters": {"n_gates": 3}}, {"fitted": {}}):
        change_card(folder, **changes)
        with pytest.raises(WeightsError, match="do not fit together"):
            load_estimator(folder)
    change_card(folder, kind="else")
    with pytest.raises(WeightsError, match="no card of an estimator"):
        load_estimator(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be read as a card"):
        load_estimator(folder)


def test_tensors_of_another_network_are_refused(folder: Path, fitted: dict, tmp_path: Path) -> None:
    other = save_estimator(fitted[CLASSES[1]], tmp_path / "other")  # raw features, 92 long
    shutil.copy(other / "networks.safetensors", folder)
    files = json.loads((other / "model.json").read_text())["files"]
    mine = json.loads((folder / "model.json").read_text())["files"]
    change_card(folder, files={**mine, "networks.safetensors": files["networks.safetensors"]})
    with pytest.raises(WeightsError, match="do not fit together"):
        load_estimator(folder)


def test_folders_of_other_things(fitted: dict, tmp_path: Path) -> None:
    model = fitted[CLASSES[1]]
    for name in ("nowhere", "."):
        with pytest.raises(WeightsError, match="is no folder of an estimator"):
            load_estimator(tmp_path / name)
    (tmp_path / "note.txt").write_text("mine")
    for name in (".", "note.txt"):
        with pytest.raises(SsatomError, match="is in the way"):
            save_estimator(model, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
    with pytest.raises(NotFittedError):
        save_estimator(make(), tmp_path / "model")


def test_versions_and_upgrades_go_together() -> None:
    assert sorted(storage.UPGRADES) == list(range(1, storage.FORMAT_VERSION))


@pytest.mark.parametrize("version", [1, 2])
def test_cards_of_older_formats_are_read(
    structures: list, volumes: np.ndarray, tmp_path: Path, version: int
) -> None:
    """Their tuned encoders had neither residual layers nor radial units."""
    model = make(encoder="fine-tune").fit(structures, volumes)
    folder = save_estimator(model, tmp_path / "model")
    fitted = json.loads((folder / "model.json").read_text())["fitted"]
    for name in ("residual", "radial_units")[version - 1 :]:
        del fitted["tuned_encoder"][name]
    change_card(folder, format_version=version, fitted=fitted)
    same(model, load_estimator(folder), structures)
    assert storage.UPGRADES[version]({"fitted": {"tuned_encoder": None}}) == {
        "format_version": version + 1, "fitted": {"tuned_encoder": None}
    }  # fmt: skip


def test_scaled_deviations_are_kept(structures: list, volumes: np.ndarray, tmp_path: Path) -> None:
    """A card of format 4 had none."""
    model = make(n_members=2).fit(structures, volumes).scale_std(structures[:8], volumes[:8])
    folder = save_estimator(model, tmp_path / "model")
    std = model.predict(structures, return_std=True)[1]
    assert_array_equal(load_estimator(folder).predict(structures, return_std=True)[1], std)
    fitted = json.loads((folder / "model.json").read_text())["fitted"]
    del fitted["std_scale"]
    change_card(folder, format_version=4, fitted=fitted)
    unscaled = load_estimator(folder).predict(structures, return_std=True)[1]
    np.testing.assert_allclose(unscaled * model.std_scale_, std)


def test_members_and_probabilities_one_by_one(
    fitted: dict, structures: list, volumes: np.ndarray
) -> None:
    model = make(n_members=2).fit(structures, volumes)
    pairs = list(model.iter_predict([structures[0], None, *structures[1:3]], return_std=True))
    assert isinstance(pairs.pop(1), ValueError)
    y, std = model.predict(structures[:3], return_std=True)
    np.testing.assert_allclose(np.array(pairs).T, [y, std], rtol=1e-4)
    with pytest.raises(ParameterError, match="needs an ensemble"):
        fitted[NEGNNRegressor].iter_predict(structures, return_std=True)
    rows = list(fitted[NEGNNClassifier].iter_predict_proba([structures[0], None]))
    expected = fitted[NEGNNClassifier].predict_proba(structures[:1])[0]
    np.testing.assert_allclose(rows[0], expected, rtol=1e-6)
    assert isinstance(rows[1], ValueError)
