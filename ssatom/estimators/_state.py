"""Fitted estimators as plain values and tensors, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ssatom.elements import atomic_features, element_table_hash
from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
from ssatom.estimators._base import CrystalEstimator
from ssatom.estimators._nodes import LayerEncoder, RawFeatures
from ssatom.estimators.classifiers import CGCNNClassifier, NEGNNClassifier
from ssatom.estimators.regressors import CGCNNRegressor, NEGNNRegressor
from ssatom.exceptions import ParameterError, WeightsError
from ssatom.graph import GraphConfig
from ssatom.negnn import NEGNN, NEGNNConfig
from ssatom.repeatable import DrawFrom
from ssatom.weights import PretrainedEncoder

_CLASSES = {
    cls.__name__: cls for cls in (NEGNNRegressor, NEGNNClassifier, CGCNNRegressor, CGCNNClassifier)
}
_PLAIN = ("level_", "n_structures_", "best_epochs_", "precision_", "seconds_")  # JSON as they are
_AS_FITTED = "as fitted"


def count_targets(model: Any) -> int:
    """Number of targets; one for a classifier."""
    return 1 if hasattr(model, "classes_") else int(np.prod(model.target_shape_, dtype=int))


def plain_parameters(model: CrystalEstimator) -> dict[str, Any]:
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


def fitted_values(model: Any) -> dict[str, Any]:
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
    if isinstance(model, RawFeatures):
        fitted["element_table_sha256"] = element_table_hash(atomic_features())
    else:
        fitted["layers"] = list(model.layers_)
        fitted["weights_seed"] = model._weights_seed
        tuned = model._tuned_encoders
        fitted["tuned_encoder"] = tuned[0].encoder.config.to_dict() if tuned else None
    return fitted


def tensors_of(model: Any) -> dict[str, Tensor]:
    """All tensors that fitting made."""
    tensors: dict[str, Tensor] = {}
    for i, network in enumerate(model.networks_):
        tensors |= {f"networks.{i}.{name}": x for name, x in network.state_dict().items()}
    for i, layers in enumerate(model._tuned_encoders):
        tensors |= {f"encoders.{i}.{name}": x for name, x in layers.encoder.state_dict().items()}
        tensors["element_features"] = layers.features
    return {name: x.detach().cpu().contiguous() for name, x in tensors.items()}


def build(
    kind: str,
    parameters: dict[str, Any],
    fitted: dict[str, Any],
    tensors: dict[str, Tensor],
    weights: Any,
) -> Any:
    """An estimator from what the functions above gave.

    Parameters
    ----------
    kind : str
        Name of the class.
    parameters, fitted, tensors : dict
        From `plain_parameters`, `fitted_values` and `tensors_of`.
    weights : str, PretrainedEncoder or None
        What finds the weights of the encoder; None for raw features.
    """
    if parameters.get("weights") == _AS_FITTED:
        parameters = {**parameters, "weights": weights}
    model: Any = _CLASSES[kind](**parameters)
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
    if weights is not None:
        model.layers_ = tuple(fitted["layers"])
        model.weights_, model._weights_seed = weights, fitted["weights_seed"]
    elif fitted["element_table_sha256"] != element_table_hash(atomic_features()):
        raise WeightsError(f"this {kind} was fitted on other features of the elements; fit again")
    _restore_modules(model, tensors, fitted)
    return model


def _restore_modules(model: Any, tensors: dict[str, Tensor], fitted: dict[str, Any]) -> None:
    """Networks and encoders that were trained; every tensor must be used."""
    config = NEGNNConfig(**fitted["network"])
    tuned = fitted.get("tuned_encoder")
    features = tensors.pop("element_features") if tuned else None
    networks: list[NEGNN] = []
    encoders: list[LayerEncoder] = []
    for i in range(fitted["n_networks"]):
        with DrawFrom(0):  # first values, which are replaced
            networks.append(_filled(NEGNN(config), _taken(tensors, f"networks.{i}.")))
            if tuned:
                encoder = CrystalGraphEncoder(EncoderConfig(**tuned))
                _filled(encoder, _taken(tensors, f"encoders.{i}."))
        if tuned:
            assert features is not None
            bare = PretrainedEncoder("tuned", encoder, model.graph_config_, features, "")
            encoders.append(LayerEncoder(bare, model.layers_).requires_grad_(False))
    if tensors:
        raise ValueError(f"tensors that belong to nothing: {', '.join(sorted(tensors))}")
    model.networks_, model._tuned_encoders = networks, encoders


def _taken(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}


def _filled(module: Any, tensors: dict[str, Tensor]) -> Any:
    module.load_state_dict(tensors, strict=True)
    return module.eval().requires_grad_(False)
