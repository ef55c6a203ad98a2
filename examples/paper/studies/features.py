"""Feature sets as objects: which embeddings or rivals a table's row stands for."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm.auto import tqdm

import ssatom
from ssatom.files import replacing
from ssatom.structures import structure_key
from studies.datasets import Dataset
from studies.rivals import Rival, features_of

MEAN = ("mean",)
MIXED = ("mean", "std", "anion", "cation")
POOLINGS = {MEAN: "", MIXED: "-mixed"}
"""Poolings of crystals, with what their labels end in."""

_CHUNK = 50  # rows that one process computes before they are kept on disk


@dataclass(frozen=True)
class FeatureSet:
    """Embeddings: hidden states of some layers.

    Attributes
    ----------
    layers : str
        Numbers of the layers, such as "012".
    level : str
        "structure" for crystals or "site" for sites.
    pooling : tuple of str
        Over the sites of a crystal; one of `POOLINGS`.
    weights : str
        "pretrained" for the weights of the run, or "random" for an encoder of the same sizes
        that was not trained.
    """

    layers: str
    level: str = "structure"
    pooling: tuple[str, ...] = MEAN
    weights: str = "pretrained"

    @property
    def label(self) -> str:
        """The paper's name: "NE01" for sites, "GE012" for crystals."""
        random = "random-" if self.weights == "random" else ""
        prefix = "NE" if self.level == "site" else "GE"
        return f"{random}{prefix}{self.layers}{POOLINGS[self.pooling]}"

    @property
    def description(self) -> str:
        """Pooling and weights, where they are not the usual ones."""
        pooling = [] if self.pooling == MEAN else [", ".join(self.pooling)]
        return "; ".join(pooling + ["random weights"] * (self.weights == "random"))


@dataclass(frozen=True)
class Electrons:
    """Columns of `ElectronicFeaturizer`.

    Attributes
    ----------
    pooling : tuple of str
        Over the sites of a crystal.
    """

    pooling: tuple[str, ...] = ("mean", "std")

    label = "electrons"
    description = "charges, levels and gaps of a universal tight-binding model"


@dataclass(frozen=True)
class JoinedFeatures:
    """Several feature sets side by side.

    Attributes
    ----------
    members : tuple of FeatureSet, Electrons and Rival
        In the order of the columns. Embeddings of crystals stand beside those of their sites.
    """

    members: tuple[FeatureSet | Electrons | Rival, ...]

    @property
    def label(self) -> str:
        """Labels of the members."""
        return " + ".join(member.label for member in self.members)


Features = FeatureSet | Electrons | Rival | JoinedFeatures


def available(rivals: Sequence[Rival], quick: bool) -> list[Rival]:
    """The rivals that can be computed here; a quick run leaves the slow ones out."""
    missing = [r for r in rivals if r.needs is not None and find_spec(r.needs) is None]
    if missing:
        warnings.warn(
            f"left out, since a package is not installed: {', '.join(r.label for r in missing)}; "
            f"pip install {' '.join(sorted({str(r.needs) for r in missing}))}",
            UserWarning,
            stacklevel=3,
        )
    return [r for r in rivals if r not in missing and not (quick and r.slow)]


def find(rivals: Sequence[Rival], label: str) -> Rival:
    """The rival with a label."""
    [found] = [rival for rival in rivals if rival.label == label]
    return found


def rival_features(
    rival: Rival,
    dataset: Dataset,
    cache: Path,
    n_jobs: int | None = None,
    progress_bar: bool = True,
) -> np.ndarray:
    """Features of all rows, computed in chunks that are kept on disk.

    Parameters
    ----------
    rival : Rival
        The descriptor.
    dataset : Dataset
        The rows.
    cache : Path
        Folder of finished chunks; it can be deleted.
    n_jobs : int, default=None
        Processes.
    progress_bar : bool, default=True
        Show progress.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_features)
        NaN in rows for which the descriptor does not exist.
    """
    chunks = [range(i, min(i + _CHUNK, len(dataset))) for i in range(0, len(dataset), _CHUNK)]
    files = [cache / f"{_digest(rival, dataset, chunk)}.npy" for chunk in chunks]
    missing = [i for i, file in enumerate(files) if not file.exists()]
    rows = dataset.rows
    jobs = [delayed(_compute)(rival, [rows[k] for k in chunks[i]], files[i]) for i in missing]
    done = Parallel(n_jobs=n_jobs, return_as="generator")(jobs) if jobs else []
    name = f"{rival.label} of {dataset.name}"
    for _ in tqdm(done, desc=name, total=len(jobs), disable=not progress_bar):
        pass
    found = [np.load(file) for file in files]
    width = max(chunk.shape[1] for chunk in found)
    return np.concatenate([_with_columns(chunk, width) for chunk in found])


def _with_columns(features: np.ndarray, width: int) -> np.ndarray:
    """A chunk with columns of NaN up to a width, for one in which no row has features."""
    columns = width - features.shape[1]
    return np.pad(features, ((0, 0), (0, columns)), constant_values=np.nan)


def _compute(rival: Rival, rows: list, file: Path) -> None:
    """Write the features of a chunk; a chunk in which no row has features has no columns."""
    features = features_of(rival, rows)
    width = max((len(row) for row in features if row is not None), default=0)
    empty = np.full(width, np.nan, dtype=np.float32)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as new, new.open("wb") as stream:
        np.save(stream, np.array([empty if row is None else row for row in features]))


def _digest(rival: Rival, dataset: Dataset, rows: range) -> str:
    """What decides the features of a chunk: descriptor, version, structures and sites."""
    head = f"{ssatom.__version__} {rival.level} {rival.label}".encode()
    keys = [
        structure_key(dataset.structures[i])
        + (b"" if dataset.sites is None else int(dataset.sites[i]).to_bytes(8))
        for i in rows
    ]
    return hashlib.blake2b(head + b"".join(keys), digest_size=16).hexdigest()
