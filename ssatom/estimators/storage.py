"""Folders of fitted estimators: tensors and a card, nothing that could run code when read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure
from safetensors.torch import load_file, save_file
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

import ssatom
from ssatom.elements import atomic_features, element_table_hash
from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
from ssatom.estimators._base import CrystalEstimator
from ssatom.estimators._nodes import Embeddings, LayerEncoder, RawFeatures
from ssatom.estimators._upgrades import UPGRADES
from ssatom.estimators.classifiers import CGCNNClassifier, NEGNNClassifier
from ssatom.estimators.regressors import CGCNNRegressor, NEGNNRegressor
from ssatom.exceptions import ParameterError, WeightsError
from ssatom.files import CardFormat, check_name, filling
from ssatom.graph import GraphConfig
from ssatom.negnn import NEGNN, NEGNNConfig
from ssatom.repeatable import DrawFrom
from ssatom.weights import (
    PretrainedEncoder,
    check_sizes,
    copy_weights,
    list_weights,
    load_pretrained,
    random_weights,
)

FORMAT_VERSION = 5
"""Version of the folder's format; raise it with every change of files or fields."""


CARD = "model.json"
_TENSORS, _HISTORY, _WEIGHTS = "networks.safetensors", "history.csv", "weights"
PARTS = (_TENSORS, _HISTORY, _WEIGHTS)
"""All that a folder may have beside its card."""

_CLASSES = {
    cls.__name__: cls for cls in (NEGNNRegressor, NEGNNClassifier, CGCNNRegressor, CGCNNClassifier)
}
_PLAIN = ("level_", "n_structures_", "best_epochs_", "precision_", "seconds_")  # JSON as they are
_AS_FITTED = "as fitted"

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
    """Whether a folder holds an estimator that saving would replace; refuses other things."""
    return FORMAT.check_replaced(Path(folder) / CARD)


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
    n_targets = int(np.prod(getattr(model, "target_shape_", ()), dtype=int))  # 1 of a classifier
    if names is not None and len(names) != n_targets:
        raise ParameterError(f"target_names={names!r} must name {n_targets} targets")
    weights = model._fitted_weights() if isinstance(model, Embeddings) else None
    card: dict[str, Any] = {
        "kind": FORMAT.kind,
        "format_version": FORMAT_VERSION,
        "package_version": ssatom.__version__,
        "class": type(model).__name__,
        "parameters": _parameters_of(model),
        "target_names": None if names is None else list(map(str, names)),
        "fitted": _fitted_values(model),
        "weights": None if weights is None else _how_to_find(weights),
    }
    own = card["weights"] is not None and card["weights"]["kind"] == "folder"
    with filling(folder, last=CARD, gone=PARTS) as new:
        save_file(_tensors_of(model), new / _TENSORS)
        model.history_.to_csv(new / _HISTORY, index=False, lineterminator="\n")
        if own and weights is not None and weights.folder is not None:
            copy_weights(weights.folder, new / _WEIGHTS / weights.name)
        card["files"] = FORMAT.hashes(new, (_TENSORS, _HISTORY))
        FORMAT.write(new / CARD, json.loads(json.dumps(card, allow_nan=False)))
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
    FORMAT.verify(folder, card.get("files"), needed=(_TENSORS, _HISTORY))
    try:
        model = _build(card, folder)
        model.history_ = pd.read_csv(folder / _HISTORY, float_precision="round_trip")
        model.target_names_ = card["target_names"]
        _check_once(model)
    except WeightsError:
        raise
    except Exception as error:  # whatever a card of odd values leads to
        raise WeightsError(f"{folder}: card and tensors do not fit together: {error}") from error
    return model


# Writing ---------------------------------------------------------------------------------------


def _parameters_of(model: CrystalEstimator) -> dict[str, Any]:
    """Parameters that JSON can hold; of weights only what finds them anywhere else."""
    parameters = model.get_params(deep=False)
    parameters.pop("memory", None)  # a place on this machine
    weights = parameters.get("weights")
    if weights is not None and weights != "random":
        parameters["weights"] = _AS_FITTED
    if not isinstance(parameters["random_state"], int | np.integer):
        parameters["random_state"] = None
    return {name: _jsonable(value) for name, value in parameters.items()}


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):  # range(2) too
        return [_jsonable(item) for item in value]
    return value


def _fitted_values(model: Any) -> dict[str, Any]:
    """What fitting found, apart from tensors and history."""
    fitted = {name: _jsonable(getattr(model, name)) for name in _PLAIN}
    fitted["graph"] = model.graph_config_.to_dict()
    fitted["n_networks"] = len(model.networks_)
    fitted["network"] = model.networks_[0].config.to_dict()
    if hasattr(model, "classes_"):
        kind = "text" if model.classes_.dtype == object else model.classes_.dtype.str
        fitted["classes"] = {"dtype": kind, "values": model.classes_.tolist()}
        if kind == "text" and not all(isinstance(name, str) for name in model.classes_):
            raise ParameterError(
                f"classes {model.classes_.tolist()} are neither all numbers nor all texts; fit on "
                "y.astype(str)"
            )
    else:
        scaler = model.target_scaler_
        fitted["target_shape"] = list(model.target_shape_)
        fitted["scaler"] = {"mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}
        fitted["std_scale"] = model.std_scale_.tolist()
    if isinstance(model, RawFeatures):
        fitted["element_table_sha256"] = element_table_hash(atomic_features())
    else:
        fitted["layers"] = list(model.layers_)
        fitted["weights_seed"] = model._weights_seed
        tuned = model._tuned_encoders
        fitted["tuned_encoder"] = tuned[0].encoder.config.to_dict() if tuned else None
    return fitted


def _tensors_of(model: Any) -> dict[str, Tensor]:
    """All tensors that fitting made."""
    tensors: dict[str, Tensor] = {}
    for i, network in enumerate(model.networks_):
        tensors |= {f"networks.{i}.{name}": x for name, x in network.state_dict().items()}
    for i, layers in enumerate(model._tuned_encoders):
        tensors |= {f"encoders.{i}.{name}": x for name, x in layers.encoder.state_dict().items()}
        tensors["element_features"] = layers.features
    return {name: x.detach().cpu().contiguous() for name, x in tensors.items()}


def _how_to_find(weights: PretrainedEncoder) -> dict[str, Any]:
    """Entry of the card that finds the weights of the encoder again."""
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


def _build(card: dict[str, Any], folder: Path) -> Any:
    """The estimator of a card, and of the tensors beside it."""
    weights = _find_weights(card["weights"], folder)
    parameters, fitted = dict(card["parameters"]), card["fitted"]
    if parameters.get("weights") == _AS_FITTED:
        parameters["weights"] = weights
    elif parameters.get("weights") not in (None, "random"):
        raise ValueError(f"the parameter weights is {parameters['weights']!r:.60}")
    if parameters.pop("memory", None) is not None:
        raise ValueError("it names a place for a cache, which would be written to")
    model: Any = _CLASSES[card["class"]](**parameters)
    for name in _PLAIN:
        setattr(model, name, fitted[name])
    model.graph_config_ = GraphConfig(**fitted["graph"])
    if "classes" in fitted:
        dtype, values = fitted["classes"]["dtype"], fitted["classes"]["values"]
        model.classes_ = np.array(values, dtype=object if dtype == "text" else np.dtype(dtype))
    else:
        model.target_scaler_ = scaler = StandardScaler()
        scaler.mean_ = np.array(fitted["scaler"]["mean"])
        scaler.scale_ = np.array(fitted["scaler"]["scale"])
        scaler.var_, scaler.n_features_in_ = scaler.scale_**2, len(scaler.scale_)
        model.target_shape_ = tuple(fitted["target_shape"])
        model.std_scale_ = np.array(fitted["std_scale"])
    if weights is not None:
        model.layers_ = tuple(fitted["layers"])
        model.weights_, model._weights_seed = weights, fitted["weights_seed"]
        model.weights_sha256_ = card["weights"]["sha256"]
        _check_weights(model, card)
    elif fitted["element_table_sha256"] != element_table_hash(atomic_features()):
        raise WeightsError(
            f"this {card['class']} was fitted on other features of the elements; fit again"
        )
    _restore_modules(model, load_file(folder / _TENSORS), fitted)
    return model


def _check_weights(model: Any, card: dict[str, Any]) -> None:
    """Refuse other weights than those of fitting, and say what has them."""
    try:
        model._fitted_weights()
    except WeightsError as error:
        if card["weights"]["kind"] != "shipped":
            raise
        raise WeightsError(
            f"{error}; ssatom {card['package_version']} came with them: "
            f"pip install ssatom=={card['package_version']}, or fit again"
        ) from error


def _find_weights(weights: dict[str, Any] | None, folder: Path) -> Any:
    """What `weights_` was: a name, a folder, or untrained weights; None for raw features."""
    if weights is None:
        return None
    check_name(folder, weights["name"])
    if weights["kind"] == "shipped" and weights["name"] not in list_weights():
        raise WeightsError(
            f"{folder}: the weights {weights['name']!r:.60} do not come with this ssatom; install "
            "the version that fitted the model"
        )
    if weights["kind"] == "folder":
        return str((folder / _WEIGHTS / weights["name"]).resolve())
    return random_weights(weights["seed"]) if weights["kind"] == "random" else weights["name"]


def _check_once(model: Any) -> None:
    """Predict one crystal, so that parts that do not fit together show at once."""
    salt = Structure(Lattice.cubic(4.0), ["Na", "Cl"], np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    device = model.device
    model.set_params(device="cpu")
    predicted = model.predict([(salt, 0)] if model.level_ == "site" else [salt])
    model.set_params(device=device)
    if predicted.dtype.kind == "f" and not np.isfinite(predicted).all():
        raise ValueError("it predicts numbers that are not finite")


def _restore_modules(model: Any, tensors: dict[str, Tensor], fitted: dict[str, Any]) -> None:
    """Networks and encoders that were trained; every tensor must be used."""

    def filled(module: Any, prefix: str) -> Any:
        names = [name for name in tensors if name.startswith(prefix)]
        state = {name.removeprefix(prefix): tensors.pop(name) for name in names}
        module.load_state_dict(state, strict=True)
        return module.eval().requires_grad_(False)

    config, tuned = NEGNNConfig(**fitted["network"]), fitted.get("tuned_encoder")
    check_sizes(config, tensors)
    if tuned:
        check_sizes(EncoderConfig(**tuned), tensors)
    features = tensors.pop("element_features") if tuned else None
    model.networks_, model._tuned_encoders = [], []
    for i in range(fitted["n_networks"]):
        with DrawFrom(0):  # first values, which are replaced
            model.networks_.append(filled(NEGNN(config), f"networks.{i}."))
            if not tuned:
                continue
            encoder = filled(CrystalGraphEncoder(EncoderConfig(**tuned)), f"encoders.{i}.")
        assert features is not None
        bare = PretrainedEncoder("tuned", encoder, model.graph_config_, features, "")
        model._tuned_encoders.append(LayerEncoder(bare, model.layers_).requires_grad_(False))
    if tensors:
        raise ValueError(f"tensors that belong to nothing: {', '.join(sorted(tensors))}")
