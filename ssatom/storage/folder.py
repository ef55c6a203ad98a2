"""Folders of fitted estimators and pipelines: a card and a file that cannot run code when read."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from pymatgen.core import Lattice, Structure
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

import ssatom
from ssatom.exceptions import ParameterError, WeightsError
from ssatom.files import CardFormat, filling
from ssatom.storage.encoders import (
    WEIGHTS,
    attach_weights,
    detach_weights,
    find_weights,
    parts_of,
)
from ssatom.storage.trees import fill_gaps
from ssatom.storage.trusted import dumped, loaded
from ssatom.weights import copy_weights

FORMAT_VERSION = 1
"""Version of the folder's format; raise it with every change of files or fields."""

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""One named step from each older version to the next, by the version it starts from."""

CARD = "model.json"
MODEL = "model.skops"
PARTS = (MODEL, WEIGHTS)
"""All that a folder may have beside its card."""

FORMAT = CardFormat(
    FORMAT_VERSION,
    UPGRADES,
    noun="an estimator",
    writers="`ssatom fit` or save_estimator",
    remedy="fit it again, or copy the folder again",
    kind="ssatom model",
)
"""How cards are written, sealed and read."""


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
        union or ensemble of them, or a search over them.
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
    version of scikit-learn that wrote it, which the card names; another one warns. The same model
    gives the same file: times of fitting, ``seconds_``, become NaN.

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
    bare = _bare(model)
    entries, encoders = detach_weights(bare)
    card: dict[str, Any] = {
        "kind": FORMAT.kind,
        "format_version": FORMAT_VERSION,
        "package_version": ssatom.__version__,
        "scikit_learn_version": sklearn.__version__,
        "class": type(model).__name__,
        "target_names": names,
        "weights": entries,
    }
    data = dumped(bare)
    with filling(folder, last=CARD, gone=PARTS) as new:
        _write_file(new / MODEL, data)
        for entry, encoder in zip(entries.values(), encoders, strict=True):
            if entry["kind"] == "folder":
                copy_weights(encoder.folder, new / WEIGHTS / entry["copy"])  # type: ignore[arg-type]
        card["files"] = FORMAT.hashes(new, (MODEL,))
        FORMAT.write(new / CARD, card)
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
    FORMAT.verify(folder, card.get("files"), needed=(MODEL,))
    try:
        version = card["package_version"]
        entries = card["weights"].items()
        found = {key: find_weights(entry, folder, version) for key, entry in entries}
        model = loaded((folder / MODEL).read_bytes(), str(folder / MODEL))
        for part in parts_of(model):
            if hasattr(part, "memory"):
                part.memory = None  # a cache that someone else filled would be unpickled
        attach_weights(model, found)
        model.target_names_ = card["target_names"]
        _check_once(model)
    except WeightsError:
        raise
    except Exception as error:  # whatever odd values lead to
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{folder}: card and file do not fit together, or the file is of a scikit-learn that "
            f"cannot be read here (it was written with {card.get('scikit_learn_version')}, this is "
            f"{sklearn.__version__}): {reason:.300}"
        ) from error
    return model


def _check_once(model: Any) -> None:
    """Let a network predict one crystal, so that parts that do not fit together show at once."""
    if not hasattr(model, "level_"):
        return
    salt = Structure(Lattice.cubic(4.0), ["Na", "Cl"], np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    device = model.device
    model.set_params(device="cpu")
    predicted = model.predict([(salt, 0)] if model.level_ == "site" else [salt])
    model.set_params(device=device)
    if predicted.dtype.kind == "f" and not np.isfinite(predicted).all():
        raise ValueError("it predicts numbers that are not finite")


def _names_of(model: Any, names: list[str] | None) -> list[str] | None:
    """Names of the targets, those given or those that the model came with."""
    if names is None:
        names = getattr(model, "target_names_", None)
    shape = getattr(model, "target_shape_", () if hasattr(model, "classes_") else None)
    n_targets = None if shape is None else (*shape, 1)[0]  # unknown of scikit-learn's own
    if names is not None and n_targets not in (None, len(names)):
        raise ParameterError(f"target_names={names!r} must name {n_targets} targets")
    return None if names is None else list(map(str, names))


def _bare(model: Any) -> Any:
    """A copy without what belongs to this machine, or what skops does not know."""
    bare = copy.deepcopy(model)
    vars(bare).pop("target_names_", None)  # the card has them
    for part in parts_of(bare):
        if hasattr(part, "memory"):
            part.memory = None
        if "seconds_" in vars(part):  # the same model gives the same file
            part.seconds_ = (
                dict.fromkeys(part.seconds_, np.nan) if isinstance(part.seconds_, dict) else np.nan
            )
        vars(part).update({name: _plain(value) for name, value in vars(part).items()})
        fill_gaps(part)
    return bare


def _plain(value: Any) -> Any:
    """Ranges and names of columns as lists and arrays, which skops knows."""
    if isinstance(value, pd.Index):
        return value.to_numpy()
    if isinstance(value, range):
        return list(value)
    return [_plain(item) for item in value] if type(value) is list else value


def _write_file(path: Path, data: bytes) -> None:
    path.write_bytes(data)
