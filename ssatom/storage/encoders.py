"""Weights of encoders inside a model: taken out before it is written, put back once it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

import ssatom
from ssatom.embeddings import resolve_weights
from ssatom.exceptions import WeightsError
from ssatom.files import check_name
from ssatom.weights import PretrainedEncoder, list_weights, load_pretrained, random_weights

WEIGHTS = "weights"
"""Folder of copies of weights of one's own."""

Entry = dict[str, Any]
"""What the card tells of weights."""


def parts_of(model: Any) -> Iterator[BaseEstimator]:
    """An estimator and all estimators inside it, fitted or not, each once."""
    seen: dict[int, Any] = {}  # kept, so that no other object gets the same id
    waiting = [model]
    while waiting:
        value = waiting.pop()
        inside = list(_inside(value))
        if id(value) in seen or not (inside or isinstance(value, BaseEstimator)):
            continue
        seen[id(value)] = value
        if isinstance(value, BaseEstimator):
            yield value
        waiting += reversed(inside)


def _inside(value: Any) -> Iterable[Any]:
    """What a container, or an object of this package or of scikit-learn, holds."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple | set):
        return value
    if isinstance(value, np.ndarray):
        return value.ravel().tolist() if value.dtype == object else ()
    ours = type(value).__module__.split(".")[0] in ("ssatom", "sklearn")
    return vars(value).values() if ours and hasattr(value, "__dict__") else ()


def encoder_of(part: Any) -> PretrainedEncoder | None:
    """Weights of an encoder that a part of a model itself uses; None if it uses none."""
    if not type(part).__module__.startswith("ssatom.") or not hasattr(part, "weights"):
        return None
    if hasattr(part, "weights_"):
        return part._fitted_weights()
    seed = getattr(part, "random_state", 0)
    return resolve_weights(part.weights, seed if isinstance(seed, int) else 0)


def encoder_in(model: Any) -> PretrainedEncoder | None:
    """Weights of the encoder that a model uses, itself or in a part; None if it uses none."""
    return next(filter(None, map(encoder_of, parts_of(model))), None)


def detach_weights(model: Any) -> tuple[dict[str, Entry], list[PretrainedEncoder]]:
    """Put keys of the card in the place of weights; entries by key, and the encoders."""
    entries: dict[str, Entry] = {}
    encoders: list[PretrainedEncoder] = []
    for part in parts_of(model):
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
                key = f"weights {len(entries)} of the card"
                entries[key] = entry
                encoders.append(encoder)
                if entry["kind"] == "folder":
                    taken = any(one.get("copy") == encoder.name for one in entries.values())
                    entry["copy"] = f"{len(entries)}/{encoder.name}" if taken else encoder.name
            setattr(part, name, key)
    return entries, encoders


def _same(known: Entry, entry: Entry) -> bool:
    return all(known[name] == value for name, value in entry.items())


def _how_to_find(weights: PretrainedEncoder) -> Entry:
    """Entry of the card that finds the weights of an encoder again."""
    found: Entry = {"name": weights.name, "sha256": weights.sha256}
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


def find_weights(entry: Entry, folder: Path, version: str) -> Any:
    """A name, a folder or untrained weights; None where the default set is that of fitting.

    `version` of ssatom saved the estimator.
    """
    if entry["default"] and resolve_weights(None).sha256 == entry["sha256"]:
        return None
    found: Any = entry["name"]
    check_name(folder, found)
    if entry["kind"] == "random":
        found = random_weights(entry["seed"])
    elif entry["kind"] == "folder":
        for part in entry["copy"].split("/"):
            check_name(folder, part)
        found = str((folder / WEIGHTS / entry["copy"]).resolve())
    if entry["kind"] == "shipped" and found not in list_weights():
        raise WeightsError(
            f"weights {found!r} are not among those that ssatom {ssatom.__version__} comes with; "
            f"install the version that saved the estimator, pip install ssatom=={version}, or fit "
            "again"
        )
    if (now := resolve_weights(found)).sha256 != entry["sha256"]:
        raise WeightsError(
            f"weights {now.name!r} are not those of fitting: their sha256 is {now.sha256[:12]}…, "
            f"the card says {entry['sha256'][:12]}…; install the version that saved the estimator, "
            f"pip install ssatom=={version}, or fit again"
        )
    return found


def attach_weights(model: Any, found: dict[str, Any]) -> None:
    """Put weights in the place of keys of the card."""
    for part in parts_of(model):
        for name in ("weights", "weights_"):
            value = getattr(part, name, None)
            if isinstance(value, str) and value in found:
                setattr(part, name, found[value])
