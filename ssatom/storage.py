"""Folders of fitted estimators and pipelines: a card and a file that cannot run code when read."""

from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, BadZipFile

import pandas as pd
import sklearn
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

import ssatom
from ssatom.embeddings import resolve_weights
from ssatom.exceptions import ParameterError, WeightsError
from ssatom.files import CardFormat, filling
from ssatom.weights import PretrainedEncoder, list_weights, load_pretrained, random_weights

# skops is imported in the functions, since it imports all of scikit-learn.

FORMAT_VERSION = 1
"""Version of the folder's format; raise it with every change of files or fields."""

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""One named step from each older version to the next, by the version it starts from."""

CARD = "model.json"
MODEL = "model.skops"
_WEIGHTS = "weights"

FORMAT = CardFormat(
    FORMAT_VERSION,
    UPGRADES,
    noun="an estimator",
    writers="`ssatom fit` or save_estimator",
    remedy="fit it again, or copy the folder again",
    kind="ssatom model",
)
"""How cards are written, sealed and read."""

_SPLITTERS = (
    "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut RepeatedKFold "
    "RepeatedStratifiedKFold ShuffleSplit StratifiedGroupKFold StratifiedKFold "
    "StratifiedShuffleSplit"
)
TRUSTED = (
    "ssatom.estimators.classifiers.CGCNNClassifier",
    "ssatom.estimators.classifiers.NEGNNClassifier",
    "ssatom.estimators.regressors.CGCNNRegressor",
    "ssatom.estimators.regressors.NEGNNRegressor",
    "ssatom.evaluation.intervals.Calibration",
    "ssatom.evaluation.intervals.ConformalRegressor",
    "ssatom.evaluation.kernel_ridge.KernelRidgeCV",
    "ssatom.evaluation.nearness.Nearness",
    "ssatom.featurizers.electronic.ElectronicFeaturizer",
    "ssatom.featurizers.embedding.GraphEmbeddingFeaturizer",
    "ssatom.featurizers.embedding.SelfSupervisedSiteFeaturizer",
    "ssatom.featurizers.ofm.OrbitalFieldMatrixTransformer",
    "numpy.dtype",
    "sklearn.utils._bunch.Bunch",
    *(f"sklearn.model_selection._split.{name}" for name in _SPLITTERS.split()),
)
"""Types that are read beside those which skops trusts: estimators of scikit-learn, and arrays."""

# What skops raises of a file that it, or this version of scikit-learn, cannot make sense of.
_UNREADABLE = (
    AttributeError,
    BadZipFile,
    ImportError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)


def check_folder(folder: str | Path) -> bool:
    """Whether a folder holds an estimator that saving would replace; refuses other things."""
    return FORMAT.check_replaced(Path(folder) / CARD)


def save_estimator(
    model: Any, folder: str | Path, *, target_names: list[str] | None = None
) -> Path:
    """Write a fitted estimator or pipeline to a folder that any machine can load.

    Parameters
    ----------
    model : estimator
        Fitted: an estimator or featurizer of this package, one of scikit-learn, or a pipeline,
        union or ensemble of them; of a search, its ``best_estimator_``. Trees and forests are
        refused, since a file of them that was tampered with can crash the process.
    folder : path
        Created. If it exists it must be empty, or hold an estimator, which is replaced.
    target_names : list of str, default=None
        Names of the targets, kept as ``target_names_``.

    Returns
    -------
    Path
        The folder: ``model.skops`` with parameters, what was learned and arrays, the card
        ``model.json`` with hashes, and, if weights of an encoder are a folder of one's own, a copy
        of it under ``weights``. Shipped weights are named with their hash.

    Raises
    ------
    NotFittedError
        If `fit` was not called.
    SsatomError
        If the folder holds something else.
    ParameterError
        If the model is no estimator or holds something else than the above, such as a function of
        one's own as a pooling, or if there are not as many `target_names` as targets.
    WeightsError
        If the weights of an encoder are not those of fitting, or are neither shipped, nor in a
        folder, nor random.

    See Also
    --------
    load_estimator : The way back.

    Notes
    -----
    The file is one of skops [1]_, which rebuilds objects of known types alone. It belongs to the
    version of scikit-learn that wrote it, which the card names; another one warns.

    References
    ----------
    .. [1] skops, secure persistence of scikit-learn's estimators, https://skops.readthedocs.io

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from ssatom import GraphEmbeddingFeaturizer, load_example_crystals
    >>> from ssatom import load_estimator, save_estimator
    >>> crystals = load_example_crystals()["structure"][:20]
    >>> volumes = [crystal.volume / len(crystal) for crystal in crystals]
    >>> model = make_pipeline(GraphEmbeddingFeaturizer(), Ridge()).fit(crystals, volumes)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load_estimator(save_estimator(model, folder))
    >>> bool((again.predict(crystals) == model.predict(crystals)).all())
    True
    """
    if not isinstance(model, BaseEstimator):
        raise ParameterError(
            f"model is of type {type(model).__name__}; allowed are estimators of ssatom and of "
            "scikit-learn, and pipelines of them"
        )
    check_is_fitted(model)
    folder = Path(folder)
    check_folder(folder)
    names = _names_of(model, target_names)
    bare = copy.deepcopy(model)
    vars(bare).pop("target_names_", None)
    entries, encoders = _detach_weights(bare)
    card: dict[str, Any] = {
        "kind": FORMAT.kind,
        "format_version": FORMAT_VERSION,
        "package_version": ssatom.__version__,
        "scikit_learn_version": sklearn.__version__,
        "class": type(model).__name__,
        "target_names": names,
        "weights": entries,
    }
    data = _dumped(bare)
    with filling(folder, last=CARD) as new:
        _write_file(new / MODEL, data)
        for entry, encoder in zip(entries.values(), encoders, strict=True):
            if entry["kind"] == "folder":
                shutil.copytree(encoder.folder, new / _WEIGHTS / entry["copy"])  # type: ignore[arg-type]
        card["files"] = FORMAT.hashes(new, (MODEL,))
        FORMAT.write(new / CARD, card)
    if all(entry["kind"] != "folder" for entry in entries.values()):
        shutil.rmtree(folder / _WEIGHTS, ignore_errors=True)  # of the estimator before
    return folder


def load_estimator(folder: str | Path) -> Any:
    """Load what `save_estimator` or ``ssatom fit`` wrote.

    Parameters
    ----------
    folder : path
        The folder.

    Returns
    -------
    estimator
        Fitted; it predicts the same numbers. ``target_names_`` are the names of the targets, or
        None. Every `memory` is None.

    Raises
    ------
    WeightsError
        If the folder is missing, incomplete, changed or of a newer format, or holds a type that no
        saved estimator has, or if the weights of an encoder are not there or not those of fitting.

    See Also
    --------
    save_estimator : The way there.

    Examples
    --------
    >>> from ssatom import load_estimator
    >>> load_estimator("nowhere")
    Traceback (most recent call last):
    ...
    ssatom.exceptions.WeightsError: 'nowhere' is no folder of an estimator ...
    """
    folder = Path(folder)
    card = FORMAT.read(folder / CARD)
    FORMAT.verify(folder, card["files"])
    try:
        found = {key: _find_weights(entry, folder) for key, entry in card["weights"].items()}
        model = _loaded((folder / MODEL).read_bytes(), folder / MODEL)
        _attach_weights(model, found)
        model.target_names_ = card["target_names"]
    except WeightsError:
        raise
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{folder}: card and file do not fit together, or the file is of a scikit-learn that "
            f"cannot be read here (it was written with {card.get('scikit_learn_version')}, this is "
            f"{sklearn.__version__}): {reason:.300}"
        ) from error
    return model


def parts_of(model: Any) -> Iterator[BaseEstimator]:
    """An estimator and all estimators inside it, fitted or not, each once.

    Parameters
    ----------
    model : estimator
        Or anything else, which has no parts.

    Yields
    ------
    estimator

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from ssatom.storage import parts_of
    >>> [type(part).__name__ for part in parts_of(make_pipeline(Ridge()))]
    ['Pipeline', 'Ridge']
    """
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        value = waiting.pop()
        if isinstance(value, BaseEstimator):
            if id(value) in seen:
                continue
            seen.add(id(value))
            yield value
            value = vars(value)
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            waiting += reversed(value)


def encoder_of(part: Any) -> PretrainedEncoder | None:
    """Weights of an encoder that an estimator itself uses; None if it uses none."""
    if not type(part).__module__.startswith("ssatom.") or not hasattr(part, "weights"):
        return None
    if hasattr(part, "weights_"):
        return part._fitted_weights()
    seed = getattr(part, "random_state", 0)
    return resolve_weights(part.weights, seed if isinstance(seed, int) else 0)


# Writing ---------------------------------------------------------------------------------------


def _names_of(model: Any, names: list[str] | None) -> list[str] | None:
    """Names of the targets, those given or those that the model came with."""
    if names is None:
        names = getattr(model, "target_names_", None)
    shape = getattr(model, "target_shape_", () if hasattr(model, "classes_") else None)
    n_targets = None if shape is None else (*shape, 1)[0]  # unknown of scikit-learn's own
    if names is not None and n_targets not in (None, len(names)):
        raise ParameterError(f"target_names={names!r} must name {n_targets} targets")
    return None if names is None else list(map(str, names))


def _detach_weights(model: Any) -> tuple[dict[str, dict[str, Any]], list[PretrainedEncoder]]:
    """Put keys of the card in the place of weights; entries by key, and the encoders."""
    entries: dict[str, dict[str, Any]] = {}
    encoders: list[PretrainedEncoder] = []
    for part in parts_of(model):
        if hasattr(part, "memory"):
            part.memory = None  # a place on this machine
        vars(part).update({name: _plain(value) for name, value in vars(part).items()})
        if (encoder := encoder_of(part)) is None:
            continue
        for name in ("weights", "weights_"):
            value = getattr(part, name, "random")
            drawn = isinstance(value, str) and value == "random"  # found by the seed
            if drawn or (value is None and hasattr(part, "weights_")):
                continue
            entry = {**_how_to_find(encoder), "default": value is None}
            key = next((k for k, known in entries.items() if _same(known, entry)), None)
            if key is None:
                key = f"weights {len(entries)} of {CARD}"
                entries[key] = entry
                encoders.append(encoder)
                if entry["kind"] == "folder":
                    taken = any(one.get("copy") == encoder.name for one in entries.values())
                    entry["copy"] = f"{len(entries)}/{encoder.name}" if taken else encoder.name
            setattr(part, name, key)
    return entries, encoders


def _plain(value: Any) -> Any:
    """Ranges and names of columns as lists and arrays, which skops knows."""
    if isinstance(value, pd.Index):
        return value.to_numpy()
    if isinstance(value, range):
        return list(value)
    return [_plain(item) for item in value] if type(value) is list else value


def _same(known: dict[str, Any], entry: dict[str, Any]) -> bool:
    return all(known[name] == value for name, value in entry.items())


def _how_to_find(weights: PretrainedEncoder) -> dict[str, Any]:
    """Entry of the card that finds the weights of an encoder again."""
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


def _dumped(model: Any) -> bytes:
    """The model as skops writes it, if `load_estimator` would read that."""
    from skops.io import dumps

    try:
        data = dumps(model, compression=ZIP_DEFLATED)
    except (TypeError, ValueError, AttributeError, pickle.PicklingError) as error:
        raise ParameterError(
            f"the model holds what cannot be saved ({error}); {_ALLOWED}"
        ) from error
    if unknown := _unknown_types(data):
        raise ParameterError(
            f"the model holds {', '.join(unknown)}, which load_estimator would refuse; {_ALLOWED}"
        )
    return data


_ALLOWED = (
    "allowed are estimators of ssatom and scikit-learn with numbers, texts, arrays or lists of "
    "them (no trees; of a search give its best_estimator_); keep others with skops.io.dump, and "
    "load them with a list of types that you trust"
)


def _unknown_types(data: bytes) -> list[str]:
    from skops.io import get_untrusted_types

    return sorted(set(get_untrusted_types(data=data)) - set(TRUSTED))


def _write_file(path: Path, data: bytes) -> None:
    path.write_bytes(data)


# Reading ---------------------------------------------------------------------------------------


def _loaded(data: bytes, path: Path) -> Any:
    from skops.io import loads

    if unknown := _unknown_types(data):
        raise WeightsError(
            f"{path} holds {', '.join(unknown)}, which no saved estimator has, and was not read; "
            "use files of people you trust"
        )
    return loads(data, trusted=list(TRUSTED))


def _find_weights(entry: dict[str, Any], folder: Path) -> Any:
    """A name, a folder or untrained weights; None where the default set is that of fitting."""
    if entry["default"] and resolve_weights(None).sha256 == entry["sha256"]:
        return None
    found: Any = entry["name"]
    if entry["kind"] == "random":
        found = random_weights(entry["seed"])
    elif entry["kind"] == "folder":
        found = str((folder / _WEIGHTS / entry["copy"]).resolve())
    if (now := resolve_weights(found)).sha256 != entry["sha256"]:
        raise WeightsError(
            f"weights {now.name!r} are not those of fitting: their sha256 is {now.sha256[:12]}…, "
            f"the card says {entry['sha256'][:12]}…; install those again, or fit again"
        )
    return found


def _attach_weights(model: Any, found: dict[str, Any]) -> None:
    """Put weights in the place of keys of the card."""
    for part in parts_of(model):
        for name in ("weights", "weights_"):
            value = getattr(part, name, None)
            if isinstance(value, str) and value in found:
                setattr(part, name, found[value])


__all__ = ["check_folder", "encoder_of", "load_estimator", "parts_of", "save_estimator"]
