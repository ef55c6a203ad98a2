"""Numbers that stay: against references in float64, and files of releases. See `frozen.py`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import frozen
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from typer.testing import CliRunner

from ssatom import GraphEmbeddingFeaturizer, SimilarCrystals, WeightsError
from ssatom.cli import app
from ssatom.embeddings import POOLINGS, clear_cache, embed
from ssatom.files.sealed import seal
from ssatom.storage import load_estimator
from ssatom.weights import PretrainedEncoder, list_weights, load_pretrained

CRYSTALS = list(frozen.crystals().values())
RELEASES = sorted(frozen.DATA.glob("release-*"))
MODELS = ["negnn", "tuned", "cgcnn"]
ALL = [*list_weights(), *frozen.OPTIONS]


def weights_of(name: str) -> PretrainedEncoder:
    return frozen.option(name) if name in frozen.OPTIONS else load_pretrained(name)


def embeddings(weights: PretrainedEncoder, poolings: Any = ("mean",), **options: Any) -> np.ndarray:
    """Computed anew, shape (20, n_poolings, n_columns)."""
    clear_cache()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(list(embed(CRYSTALS, weights, pooling=tuple(poolings), **options)))


# References ------------------------------------------------------------------------------------


def test_there_are_20_crystals_of_their_formulas() -> None:
    formulas = [crystal.reduced_formula for crystal in CRYSTALS]
    assert len(set(formulas)) == 19  # diamond and graphite
    assert {"SrTiO3", "Al2O3", "MoS2", "TiPbO3", "FeS2", "Ar"} < set(formulas)


def test_references_are_those_of_the_shipped_weights() -> None:
    kept = {path.stem for path in frozen.FROZEN.glob("*.npz")}
    assert kept == {*list_weights(), "options"}, f"write the references: {frozen.COMMAND}"
    options = np.load(frozen.FROZEN / "options.npz").files
    assert options == frozen.OPTIONS, f"write the references of options: {frozen.COMMAND}"
    for name in list_weights():
        sha256 = str(np.load(frozen.FROZEN / f"{name}.npz")["sha256"])
        told = f"'{name}' has other tensors; write its references: {frozen.COMMAND}"
        assert sha256 == load_pretrained(name).sha256, told


@pytest.mark.parametrize("name", list_weights())
def test_shipped_embeddings_are_the_references(name: str) -> None:
    weights, expected = weights_of(name), np.load(frozen.FROZEN / f"{name}.npz")["mean"]
    assert frozen.difference(weights, embeddings(weights)[:, 0], expected) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", list_weights())
def test_shipped_embeddings_in_float64_are_the_references(name: str) -> None:
    weights, expected = weights_of(name), np.load(frozen.FROZEN / f"{name}.npz")["mean"]
    exact = frozen.exact_embeddings(weights, ["mean"])[:, 0]
    assert frozen.difference(weights, exact, expected) <= 1e-7


@pytest.mark.parametrize("name", frozen.OPTIONS)
def test_embeddings_of_every_option_are_the_references(name: str) -> None:
    weights, expected = weights_of(name), np.load(frozen.FROZEN / "options.npz")[name]
    poolings = list(POOLINGS) if expected.shape[1] > 1 else ["mean"]
    assert expected.shape[1] == len(poolings)
    assert frozen.difference(weights, embeddings(weights, poolings), expected) <= 1e-5
    assert frozen.difference(weights, frozen.exact_embeddings(weights, poolings), expected) <= 1e-7


def test_options_have_every_setting() -> None:
    """A setting that is added to graphs or encoders gets an option here."""
    found = [frozen.option(name) for name in frozen.OPTIONS]
    for kind in ("graph_config", "encoder"):
        settings = [
            vars(w.graph_config if kind == "graph_config" else w.encoder.config) for w in found
        ]
        same = {k for k in settings[0] if len({s[k] for s in settings}) == 1}
        untried = same - {"node_dim", "hidden_dim", "n_conv", "dropout"}
        told = f"give an option of tests/frozen.py another {untried}; then {frozen.COMMAND}"
        assert not untried, told


@pytest.mark.parametrize("name", ALL)
def test_embeddings_are_the_same_bits_in_any_batch_order_and_thread(name: str) -> None:
    weights = weights_of(name)
    expected = embeddings(weights, batch_size=1)
    before = torch.get_num_threads()
    try:
        for n_threads, batch_size in ((1, 7), (2, 64)):
            torch.set_num_threads(n_threads)
            assert_array_equal(embeddings(weights, batch_size=batch_size), expected)
    finally:
        torch.set_num_threads(before)
    clear_cache()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backwards = list(embed(CRYSTALS[::-1], weights, pooling=("mean",)))
    assert_array_equal(np.array(backwards)[::-1], expected)


_PLAIN = """
import sys, numpy as np
import test_frozen
found = {name: test_frozen.embeddings(test_frozen.weights_of(name)) for name in test_frozen.ALL}
np.savez(sys.argv[1], **found)
"""


@pytest.mark.slow
def test_compiled_loops_and_torch_give_the_same_numbers(tmp_path: Path) -> None:
    """Without compiled loops torch computes, to float32's rounding."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": path}
    command = [sys.executable, "-c", _PLAIN, str(tmp_path / "plain.npz")]
    subprocess.run(command, check=True, env=environment)
    plain = np.load(tmp_path / "plain.npz")
    for name in ALL:
        weights = weights_of(name)
        assert frozen.difference(weights, plain[name], embeddings(weights)) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_features_are_the_same_bits_on_any_backend(backend: str) -> None:
    joblib = pytest.importorskip("joblib")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = GraphEmbeddingFeaturizer().transform(CRYSTALS)
        clear_cache()
        with joblib.parallel_config(backend, n_jobs=2):
            parts = joblib.Parallel()(
                joblib.delayed(GraphEmbeddingFeaturizer().transform)(CRYSTALS[i : i + 5])
                for i in range(0, 20, 5)
            )
    assert_array_equal(np.concatenate(parts), expected)


# Files of releases -----------------------------------------------------------------------------


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def release(request: pytest.FixtureRequest) -> Path:
    return request.param


def outputs(model: Any, structures: list) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(model, "predict_proba", model.predict)(structures)


def test_there_are_files_of_a_release() -> None:
    assert RELEASES


@pytest.mark.parametrize("name", MODELS)
def test_models_of_releases_predict_what_they_did(name: str, release: Path) -> None:
    expected = np.load(release / "predictions.npz")
    model = load_estimator(release / name)
    found = outputs(model, CRYSTALS)
    assert np.abs(found - expected[name]).max() <= 1e-5 * np.abs(expected[name]).max()
    if name == "negnn":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            std = model.predict(CRYSTALS, return_std=True)[1]
        assert np.abs(std - expected["std"]).max() <= 1e-5 * np.abs(expected[name]).max()


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_the_same_bits_in_any_batch_order_and_thread(
    name: str, release: Path
) -> None:
    model = load_estimator(release / name)
    expected = outputs(model, CRYSTALS)
    before = torch.get_num_threads()
    try:
        for n_threads, batch_size in ((2, 2), (1, 7)):
            torch.set_num_threads(n_threads)
            clear_cache()
            again = outputs(model.set_params(batch_size=batch_size), CRYSTALS[::-1])
            assert_array_equal(again[::-1], expected)
    finally:
        torch.set_num_threads(before)


def test_features_of_releases_are_computed_again(release: Path, tmp_path: Path) -> None:
    kept = pd.read_csv(release / "features.csv")
    expected = kept.iloc[:, 2:].to_numpy(np.float32)
    assert_array_equal(pd.read_parquet(release / "features.parquet").iloc[:, 2:], expected)
    arrays = np.load(release / "features.npz")
    assert_array_equal(arrays["features"], expected)
    assert arrays["columns"].tolist() == list(kept)[2:]
    command = ["featurize", release / "crystals.jsonl", "--weights", release / "waves"]
    done = CliRunner().invoke(app, [*map(str, command), "-o", str(tmp_path / "new.csv")])
    assert done.exit_code == 0, done.output
    new = pd.read_csv(tmp_path / "new.csv")
    assert list(new) == list(kept)
    assert new["source"].tolist() == kept["source"].tolist()
    assert np.abs(new.iloc[:, 2:].to_numpy() - expected).max() <= 1e-5 * np.abs(expected).max()


def test_indices_of_releases_find_what_they_hold(release: Path) -> None:
    index = SimilarCrystals.load(release / "index", release / "waves")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = index.query(CRYSTALS, n_neighbors=1)
    assert found["id"].tolist() == list(frozen.crystals())


def test_a_model_of_weights_that_are_gone_says_what_has_them(release: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(release / "negnn", folder)
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    del card["card_sha256"]
    [entry] = card["weights"].values()
    entry |= {"kind": "shipped", "name": "of-old", "sha256": "0" * 64, "default": False}
    for name in ([], ["other tensors"]):
        if name:  # the name is shipped still, with other tensors
            entry["name"] = list_weights()[0]
        text = json.dumps({**card, "card_sha256": seal(card)})
        (folder / "model.json").write_text(text, encoding="utf-8")
        version = card["package_version"]
        with pytest.raises(WeightsError, match=f"pip install ssatom=={version}, or fit again"):
            load_estimator(folder)
