"""Folders of estimators: the same predictions bit for bit, and nothing but what was written."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import skops.io
import torch
from estimator_cases import CLASSES, make, outputs
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import VarianceThreshold
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.fixes import parse_version

import ssatom
from ssatom import (
    CGCNNClassifier,
    ConformalRegressor,
    ElectronicFeaturizer,
    GraphEmbeddingFeaturizer,
    KernelRidgeCV,
    NEGNNClassifier,
    NEGNNRegressor,
    OrbitalFieldMatrixTransformer,
    ParameterError,
    SsatomError,
    WeightsError,
    load_estimator,
    save_estimator,
)
from ssatom.files import file_sha256
from ssatom.files.sealed import seal
from ssatom.storage import encoders
from ssatom.storage import folder as folders
from ssatom.storage import parts_of as storage_parts
from ssatom.storage.trusted import TRUSTED
from ssatom.weights import DEFAULT_WEIGHTS, list_weights, load_pretrained, random_weights


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
    for name in ("level_", "best_epochs_", "n_structures_", "precision_"):
        assert getattr(again, name) == getattr(model, name)
    assert_array_equal(clone(again).fit(structures, np.arange(24) % 2).n_structures_, 24)
    assert not any("pickle" in path.suffix for path in (tmp_path / "model").rglob("*"))


def test_saved_again_it_is_the_same(folder: Path, structures: list, tmp_path: Path) -> None:
    model = load_estimator(folder)
    before = json.loads((folder / "model.json").read_text())
    assert save_estimator(model, folder) == folder  # over itself, with the names it came with
    after = json.loads((folder / "model.json").read_text())
    assert {**after, "files": 0, "card_sha256": 0} == {**before, "files": 0, "card_sha256": 0}
    assert load_estimator(folder).target_names_ == ["volume"]
    same(model, load_estimator(folder), structures)


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
    (entry,) = card["weights"].values()
    assert (entry["kind"], entry["sha256"]) == ("shipped", model.weights_sha256_)
    assert not (tmp_path / "model" / "weights").exists()
    monkeypatch.setattr("ssatom.storage.encoders.resolve_weights", lambda *_: random_weights())
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


def test_changed_files_are_refused(folder: Path) -> None:
    name = "model.skops"
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match=f"{name} was changed or damaged"):
        load_estimator(folder)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=f"{name} is missing"):
        load_estimator(folder)


def replace_file(folder: Path, data: bytes) -> None:
    """Another file, for which the card vouches."""
    (folder / "model.skops").write_bytes(data)
    change_card(folder, files={"model.skops": file_sha256(folder / "model.skops")})


def change_card(folder: Path, sealed: bool = True, **changes: Any) -> None:
    card = json.loads((folder / "model.json").read_text())
    kept = card.pop("card_sha256")
    card |= changes
    card["card_sha256"] = seal(card) if sealed else kept
    (folder / "model.json").write_text(json.dumps(card))


def test_changed_cards_are_refused(folder: Path) -> None:
    change_card(folder, format_version=folders.FORMAT_VERSION + 1)
    with pytest.raises(WeightsError, match="which wrote it, or a newer one"):
        load_estimator(folder)
    change_card(folder, format_version=folders.FORMAT_VERSION, sealed=False, target_names=["x"])
    with pytest.raises(WeightsError, match="changed after it was written"):
        load_estimator(folder)
    replace_file(folder, b"no archive")
    with pytest.raises(WeightsError, match="do not fit together"):
        load_estimator(folder)
    change_card(folder, kind="else")
    with pytest.raises(WeightsError, match="no card of an estimator"):
        load_estimator(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be read as a card"):
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
    assert sorted(folders.UPGRADES) == list(range(1, folders.FORMAT_VERSION))


def test_scaled_deviations_are_kept(structures: list, volumes: np.ndarray, tmp_path: Path) -> None:
    model = make(n_members=2).fit(structures, volumes).scale_std(structures[:8], volumes[:8])
    folder = save_estimator(model, tmp_path / "model")
    std = model.predict(structures, return_std=True)[1]
    assert_array_equal(load_estimator(folder).predict(structures, return_std=True)[1], std)


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


# Pipelines -------------------------------------------------------------------------------------


def embeddings(**settings: Any) -> GraphEmbeddingFeaturizer:
    return GraphEmbeddingFeaturizer(**{"layers": "01", "weights": "random", **settings})


def kernel_ridge() -> KernelRidgeCV:
    return KernelRidgeCV(("matern12",), (1e-3, 1e-2), (1e-3, 1e-2), cv=3)


PIPELINES = {
    "union": lambda: make_pipeline(
        FeatureUnion([("a", embeddings()), ("b", ElectronicFeaturizer())]),
        StandardScaler(),
        TransformedTargetRegressor(kernel_ridge(), transformer=StandardScaler()),
    ).set_output(transform="pandas"),
    "cleaning": lambda: make_pipeline(
        embeddings(layers=range(2)), SimpleImputer(), VarianceThreshold(), Ridge()
    ),
    "orbitals": lambda: make_pipeline(OrbitalFieldMatrixTransformer(), Ridge()),
    "columns": lambda: make_pipeline(ColumnTransformer([("a", embeddings(), "x")]), Ridge()),
    "voting": lambda: VotingRegressor([("a", make_pipeline(embeddings(), Ridge()))]),
    "conformal": lambda: ConformalRegressor(
        make_pipeline(embeddings(weights=None), Ridge()), cv=KFold(3)
    ),
    "search": lambda: GridSearchCV(
        make_pipeline(embeddings(), Ridge()),
        {"ridge__alpha": [1.0, 10.0]},
        scoring="neg_mean_absolute_error",
        cv=2,
    ),
    "gaussian process": lambda: make_pipeline(
        embeddings(layers="0"), PCA(2), GaussianProcessRegressor(RBF() + WhiteKernel())
    ),
    "intervals of a network": lambda: ConformalRegressor(make(), cv=2, weights="random"),
}

SLOW = ("orbitals", "intervals of a network", "voting")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in PIPELINES],
)
def test_pipelines(name: str, structures: list, volumes: np.ndarray, tmp_path: Path) -> None:
    X = pd.DataFrame({"x": structures}) if name == "columns" else structures
    model = PIPELINES[name]().fit(X, volumes)
    again = load_estimator(save_estimator(model, tmp_path / "model", target_names=["volume"]))
    same(model, again, X)
    assert again.target_names_ == ["volume"]
    assert not hasattr(model, "target_names_")
    assert again.get_params().keys() == model.get_params().keys()
    if name.startswith(("conformal", "intervals")):
        for method in ("predict_interval", "nearest_percentile"):
            assert_array_equal(getattr(again, method)(X), getattr(model, method)(X))
    refitted = clone(again).fit(X, volumes)
    np.testing.assert_allclose(refitted.predict(X), model.predict(X), rtol=1e-6)


def test_featurizers_keep_the_weights_of_fitting(
    structures: list, volumes: np.ndarray, tmp_path: Path, make_weights: Any
) -> None:
    """Folders of one's own go inside, two of one name too; no place on this machine is kept."""
    own = [make_weights(tmp_path / str(i) / "mine", seed=i) for i in range(2)]
    union = FeatureUnion([(str(i), embeddings(weights=path)) for i, path in enumerate(own)])
    model = make_pipeline(union, Ridge(), memory=str(tmp_path / "cache")).fit(structures, volumes)
    expected, names = model.predict(structures), union.get_feature_names_out().tolist()
    save_estimator(model, tmp_path / "model")
    for path in own:
        shutil.rmtree(path)
    (tmp_path / "model").rename(tmp_path / "moved")
    again = load_estimator(tmp_path / "moved")
    assert_array_equal(again.predict(structures), expected)
    assert again[0].get_feature_names_out().tolist() == names
    assert again.memory is None
    assert model.memory == str(tmp_path / "cache")


@pytest.mark.skipif(len(list_weights()) < 2, reason="needs shipped weights")
def test_another_default_set_changes_no_saved_model(
    structures: list, volumes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_pipeline(embeddings(weights=None), Ridge()).fit(structures[:8], volumes[:8])
    expected = model.predict(structures[:4])
    save_estimator(model, tmp_path / "model")
    assert load_estimator(tmp_path / "model")[0].weights is None
    other = next(name for name in list_weights() if name != DEFAULT_WEIGHTS)
    resolve = encoders.resolve_weights
    monkeypatch.setattr(
        encoders, "resolve_weights", lambda w, *more: resolve(other if w is None else w, *more)
    )
    again = load_estimator(tmp_path / "model")
    assert again[0].weights == DEFAULT_WEIGHTS
    assert_array_equal(again.predict(structures[:4]), expected)
    assert load_pretrained(other).sha256 != load_pretrained(DEFAULT_WEIGHTS).sha256


def first_site(states: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return states[0]


def test_what_loading_would_refuse_is_not_written(
    structures: list, volumes: np.ndarray, tmp_path: Path
) -> None:
    model = make_pipeline(embeddings(pooling=first_site), Ridge())
    model.fit(structures[:8], volumes[:8])
    with pytest.raises(ParameterError, match=r"test_storage\.first_site"):
        save_estimator(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_no_models(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="model is of type dict; allowed are estimators"):
        save_estimator({}, tmp_path / "model")
    with pytest.raises(NotFittedError):
        save_estimator(make_pipeline(embeddings(), Ridge()), tmp_path / "model")


@pytest.mark.parametrize("hostile", [os.system, subprocess.Popen, print])
def test_hostile_types_are_refused(hostile: Any, folder: Path) -> None:
    """Also where the card vouches for the file; the message is one line that names the type."""
    replace_file(folder, skops.io.dumps(FunctionTransformer(hostile)))
    with pytest.raises(WeightsError, match=r"holds .*, which no saved estimator has") as told:
        load_estimator(folder)
    assert hostile.__name__ in str(told.value)
    assert "\n" not in str(told.value)


def test_a_cache_in_the_file_is_not_used(
    structures: list, volumes: np.ndarray, tmp_path: Path
) -> None:
    """What joblib keeps is pickled: a file must not name the place from which it is read."""
    inner = make_pipeline(embeddings(memory=str(tmp_path)), Ridge(), memory=str(tmp_path))
    model = VotingRegressor([("a", inner)]).fit(structures[:6], volumes[:6])
    model.estimators_ = np.array(model.estimators_, dtype=object)
    folder = save_estimator(Ridge().fit([[0.0], [1.0]], [0, 1]), tmp_path / "model")
    replace_file(folder, skops.io.dumps(model))
    again = load_estimator(folder)
    found = [part for part in storage_parts(again) if hasattr(part, "memory")]
    assert len(found) == 4
    assert [part.memory for part in found] == [None] * 4


def test_trusted_types_are_our_estimators() -> None:
    public = [getattr(ssatom, name) for name in ssatom.__all__]
    ours = {
        f"{one.__module__}.{one.__qualname__}"
        for one in public
        if isinstance(one, type) and issubclass(one, BaseEstimator)
    }
    ours -= {  # they have folders of their own
        "ssatom.pretraining.pretrainer.MaskedPretrainer",
        "ssatom.similar.SimilarCrystals",
    }
    trusted = {name for name in TRUSTED if name.startswith("ssatom.")}
    inside = {"Calibration", "Nearness", "NearestRows"}
    assert {name for name in trusted if name.split(".")[-1] not in inside} == ours
    newer = {"_TemperatureScaling", "d2_brier_score"}  # not in all versions of scikit-learn
    for name in TRUSTED:
        module, _, kind = name.rpartition(".")
        if kind in newer and parse_version(sklearn.__version__) < parse_version("1.8"):
            continue
        assert callable(getattr(importlib.import_module(module), kind))


def test_skops_alone_reads_a_network_too(fitted: dict, cls: type, structures: list) -> None:
    again = skops.io.loads(skops.io.dumps(fitted[cls]), trusted=list(TRUSTED))
    assert again.get_params() == fitted[cls].get_params()
    same(fitted[cls], again, structures)


# The frozen format -----------------------------------------------------------------------------

SAVED = Path(__file__).parent / "data" / "saved"


@pytest.mark.parametrize("name", ["network", "pipeline"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_folders_written_earlier_are_read(name: str, crystals: dict) -> None:
    """If this fails, raise FORMAT_VERSION, add a step to UPGRADES and leave these folders alone."""
    card = json.loads((SAVED / name / "model.json").read_text())
    assert set(card) == {
        *("kind", "format_version", "package_version", "scikit_learn_version", "class"),
        *("target_names", "weights", "files", "card_sha256"),
    }
    expected = json.loads((SAVED / f"{name}.json").read_text())
    model = load_estimator(SAVED / name)
    assert model.target_names_ == ["volume"]
    found = model.predict([crystals[crystal] for crystal in expected])
    np.testing.assert_allclose(found, list(expected.values()), rtol=1e-4)
