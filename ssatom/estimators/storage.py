"""Folders of fitted estimators: tensors and a card, nothing that could run code when read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sklearn.utils.validation import check_is_fitted

import ssatom
from ssatom.estimators._base import CrystalEstimator
from ssatom.estimators._nodes import Embeddings
from ssatom.estimators._state import (
    build,
    count_targets,
    fitted_values,
    plain_parameters,
    tensors_of,
)
from ssatom.exceptions import ParameterError, SsatomError, WeightsError
from ssatom.weights import PretrainedEncoder, list_weights, load_pretrained, random_weights
from ssatom.weights.card import seal

FORMAT_VERSION = 3
"""Version of the folder's format; raise it with every change of files or fields."""


def _add_residual(card: dict[str, Any]) -> dict[str, Any]:
    """1 to 2: tuned encoders may be residual, which those of format 1 are not."""
    return _with_encoder_setting(card, 2, {"residual": False})


def _add_radial_units(card: dict[str, Any]) -> dict[str, Any]:
    """2 to 3: states of tuned encoders may end in the radial distribution."""
    return _with_encoder_setting(card, 3, {"radial_units": 0})


def _with_encoder_setting(
    card: dict[str, Any], version: int, setting: dict[str, Any]
) -> dict[str, Any]:
    fitted = dict(card["fitted"])
    if fitted.get("tuned_encoder"):
        fitted["tuned_encoder"] = {**fitted["tuned_encoder"], **setting}
    return {**card, "format_version": version, "fitted": fitted}


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _add_residual,
    2: _add_radial_units,
}
"""One named step from each older version to the next, by the version it starts from."""

CARD = "model.json"
_KIND = "ssatom estimator"
_TENSORS, _HISTORY, _WEIGHTS = "networks.safetensors", "history.csv", "weights"
_NEW = "new"  # what is being written, until it is complete


def check_folder(folder: str | Path) -> bool:
    """Whether a folder holds an estimator that saving would replace; refuses other things.

    Parameters
    ----------
    folder : path
        It need not exist.

    Returns
    -------
    bool
        True if its card is one of `save_estimator`.

    Raises
    ------
    SsatomError
        If it is no folder, or holds something and no such card.
    """
    folder = Path(folder)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if card["kind"] == _KIND:
            return True
    except (OSError, ValueError, TypeError, KeyError):
        pass
    if folder.exists() and (
        not folder.is_dir() or any(file.name != _NEW for file in folder.iterdir())
    ):
        raise SsatomError(
            f"'{folder}' is in the way: it holds something, and no {CARD} of an estimator; give "
            "another name, or move it elsewhere"
        )
    return False


def save_estimator(
    model: CrystalEstimator, folder: str | Path, *, target_names: list[str] | None = None
) -> Path:
    """Write a fitted estimator to a folder that any machine can load.

    Parameters
    ----------
    model : NEGNNRegressor, NEGNNClassifier, CGCNNRegressor or CGCNNClassifier
        Fitted.
    folder : path
        Created. If it exists it must be empty, or hold an estimator, which is replaced.
    target_names : list of str, default=None
        Names of the targets, kept as ``target_names_``.

    Returns
    -------
    Path
        The folder: ``networks.safetensors`` with the tensors, ``history.csv``, the card
        ``model.json`` with parameters, scaler or classes, and hashes, and, if the encoder's
        weights are a folder of one's own, a copy of it under ``weights``. Shipped weights are
        named with their hash.

    Raises
    ------
    NotFittedError
        If `fit` was not called.
    SsatomError
        If the folder holds something else.
    ParameterError
        If there are not as many `target_names` as targets.
    WeightsError
        If the weights of the encoder are not those of fitting, or are neither shipped, nor in a
        folder, nor random.

    See Also
    --------
    load_estimator : The way back.

    Examples
    --------
    >>> import tempfile
    >>> from ssatom import CGCNNRegressor, load_example_crystals
    >>> from ssatom.estimators import load_estimator, save_estimator
    >>> crystals = load_example_crystals()["structure"][:20]
    >>> volumes = [crystal.volume / len(crystal) for crystal in crystals]
    >>> model = CGCNNRegressor(hidden_dim=8, max_epochs=1, random_state=0).fit(crystals, volumes)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load_estimator(save_estimator(model, folder))
    >>> bool((again.predict(crystals) == model.predict(crystals)).all())
    True
    """
    check_is_fitted(model, "networks_")
    folder = Path(folder)
    check_folder(folder)
    names = target_names if target_names is not None else getattr(model, "target_names_", None)
    n_targets = count_targets(model)
    if names is not None and len(names) != n_targets:
        raise ParameterError(f"target_names={names!r} must name {n_targets} targets")
    fitted = fitted_values(model)
    weights = _encoder_weights(model)
    _how_to_find(weights)  # refuses before anything is written
    card = {
        "kind": _KIND,
        "format_version": FORMAT_VERSION,
        "package_version": ssatom.__version__,
        "class": type(model).__name__,
        "parameters": plain_parameters(model),
        "target_names": None if names is None else list(map(str, names)),
        "fitted": fitted,
    }
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / _NEW
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir()
        _write(new, card, model, weights)
    except BaseException:  # the estimator that is there stays whole
        shutil.rmtree(new, ignore_errors=True)
        with suppress(OSError):
            folder.rmdir()  # if it is empty
        raise
    shutil.rmtree(folder / _WEIGHTS, ignore_errors=True)  # of the estimator before
    for file in sorted(new.iterdir(), key=lambda file: file.name == CARD):  # the card is last
        os.replace(file, folder / file.name)
    new.rmdir()
    return folder


def load_estimator(folder: str | Path) -> Any:
    """Load what `save_estimator` or ``ssatom fit`` wrote.

    Parameters
    ----------
    folder : path
        The folder.

    Returns
    -------
    NEGNNRegressor, NEGNNClassifier, CGCNNRegressor or CGCNNClassifier
        Fitted; it predicts the same numbers. ``target_names_`` are the names of the targets, or
        None. `memory`, and a `random_state` that is no int, are None.

    Raises
    ------
    WeightsError
        If the folder is missing, incomplete, changed or of a newer format, or if the weights of
        the encoder are not there or not those of fitting.

    See Also
    --------
    save_estimator : The way there.

    Examples
    --------
    >>> from ssatom.estimators import load_estimator
    >>> load_estimator("nowhere")
    Traceback (most recent call last):
    ...
    ssatom.exceptions.WeightsError: 'nowhere' is no folder of an estimator ...
    """
    folder = Path(folder)
    card = _read_card(folder)
    for name, expected in card["files"].items():
        _verify(folder / name, expected)
    try:
        weights = None if card["weights"] is None else _find_weights(card["weights"], folder)
        model = build(
            card["class"], card["parameters"], card["fitted"], load_file(folder / _TENSORS), weights
        )
        if weights is not None:
            model.weights_sha256_ = card["weights"]["sha256"]
            model._fitted_weights()  # refuses others than those of fitting
    except WeightsError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{folder}: card and tensors do not fit together: {error}") from error
    model.history_ = pd.read_csv(folder / _HISTORY, float_precision="round_trip")
    model.target_names_ = card["target_names"]
    return model


# Writing ---------------------------------------------------------------------------------------


def _write(
    folder: Path, card: dict[str, Any], model: CrystalEstimator, weights: PretrainedEncoder | None
) -> None:
    """Write all files into a new folder."""
    save_file(tensors_of(model), folder / _TENSORS)
    (folder / _TENSORS).chmod(0o644)  # safetensors writes for the owner alone
    model.history_.to_csv(folder / _HISTORY, index=False, lineterminator="\n")
    found = _how_to_find(weights)
    if weights is not None and weights.folder is not None and found and found["kind"] == "folder":
        shutil.copytree(weights.folder, folder / _WEIGHTS / weights.name)
    hashes = {name: _sha256(folder / name) for name in (_TENSORS, _HISTORY)}
    card = json.loads(json.dumps({**card, "weights": found, "files": hashes}, allow_nan=False))
    text = json.dumps({**card, "card_sha256": seal(card)}, indent=1)
    (folder / CARD).write_text(text + "\n")


def _encoder_weights(model: Any) -> PretrainedEncoder | None:
    """The weights of the encoder, still those of fitting; None for raw features."""
    return model._fitted_weights() if isinstance(model, Embeddings) else None


def _how_to_find(weights: PretrainedEncoder | None) -> dict[str, Any] | None:
    if weights is None:
        return None
    found: dict[str, Any] = {"name": weights.name, "sha256": weights.sha256}
    if weights.folder is None:
        seed = weights.name.removeprefix("random-")
        if not seed.isdigit() or random_weights(int(seed)).sha256 != weights.sha256:
            raise WeightsError(
                f"weights {weights.name!r} are in no folder; save them with save_pretrained, and "
                "fit with that folder"
            )
        return {**found, "kind": "random", "seed": int(seed)}
    if weights.name in list_weights() and load_pretrained(weights.name).sha256 == weights.sha256:
        return {**found, "kind": "shipped"}
    return {**found, "kind": "folder"}


# Reading ---------------------------------------------------------------------------------------


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        problem = f"it has no {CARD}" if folder.is_dir() else "there is no such folder"
        raise WeightsError(
            f"'{folder}' is no folder of an estimator ({problem}); give one that `ssatom fit` or "
            "save_estimator wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as a card: {error}") from error
    version = card.get("format_version") if isinstance(card, dict) else None
    if not isinstance(version, int) or card.get("kind") != _KIND:
        raise WeightsError(f"{path} is no card of an estimator")
    if version > FORMAT_VERSION:
        raise WeightsError(
            f"{path} has format {version}, this ssatom reads up to {FORMAT_VERSION}; install a "
            "newer ssatom"
        )
    if card.pop("card_sha256", None) != seal(card):
        raise WeightsError(
            f"{path} was changed after it was written (its card_sha256 does not match); fit again"
        )
    while card["format_version"] < FORMAT_VERSION:
        card = UPGRADES[card["format_version"]](card)
    return card


def _verify(path: Path, expected: str) -> None:
    if not path.is_file():
        raise WeightsError(f"{path} is missing; the folder is incomplete, fit or copy it again")
    found = _sha256(path)
    if found != expected:
        raise WeightsError(
            f"{path} was changed or damaged: its sha256 is {found[:12]}…, the card says "
            f"{expected[:12]}…; fit or copy it again"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find_weights(weights: dict[str, Any], folder: Path) -> Any:
    """What `weights_` was: a name, a folder, or untrained weights."""
    if weights["kind"] == "folder":
        return str((folder / _WEIGHTS / weights["name"]).resolve())
    return random_weights(weights["seed"]) if weights["kind"] == "random" else weights["name"]
