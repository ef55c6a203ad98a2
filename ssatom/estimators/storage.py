"""Folders of fitted estimators: tensors and a card, nothing that could run code when read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
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
from ssatom.files import CardFormat, filling, is_leftover
from ssatom.weights import PretrainedEncoder, list_weights, load_pretrained, random_weights

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
_TENSORS, _HISTORY, _WEIGHTS = "networks.safetensors", "history.csv", "weights"

FORMAT = CardFormat(
    FORMAT_VERSION,
    UPGRADES,
    noun="an estimator",
    writers="`ssatom fit` or save_estimator",
    remedy="fit it again, or copy the folder again",
    kind="ssatom estimator",
)
"""How cards are written, sealed and read."""


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
    if FORMAT.is_card(folder / CARD):
        return True
    if folder.exists() and not (folder.is_dir() and all(map(is_leftover, folder.iterdir()))):
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
        "kind": FORMAT.kind,
        "format_version": FORMAT_VERSION,
        "package_version": ssatom.__version__,
        "class": type(model).__name__,
        "parameters": plain_parameters(model),
        "target_names": None if names is None else list(map(str, names)),
        "fitted": fitted,
    }
    with filling(folder, last=CARD) as new:
        _write(new, card, model, weights)
    kept = FORMAT.read(folder / CARD)["weights"]
    if not kept or kept["kind"] != "folder":  # the weights of the estimator before
        shutil.rmtree(folder / _WEIGHTS, ignore_errors=True)
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
    card = FORMAT.read(folder / CARD)
    FORMAT.verify(folder, card["files"])
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
    model.history_.to_csv(folder / _HISTORY, index=False, lineterminator="\n")
    found = _how_to_find(weights)
    if weights is not None and weights.folder is not None and found and found["kind"] == "folder":
        shutil.copytree(weights.folder, folder / _WEIGHTS / weights.name)
    files = FORMAT.hashes(folder, (_TENSORS, _HISTORY))
    card = {**card, "weights": found, "files": files}
    FORMAT.write(folder / CARD, json.loads(json.dumps(card, allow_nan=False)))


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


def _find_weights(weights: dict[str, Any], folder: Path) -> Any:
    """What `weights_` was: a name, a folder, or untrained weights."""
    if weights["kind"] == "folder":
        return str((folder / _WEIGHTS / weights["name"]).resolve())
    return random_weights(weights["seed"]) if weights["kind"] == "random" else weights["name"]
