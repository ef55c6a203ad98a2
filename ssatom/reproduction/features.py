"""Features of a data set by the names that the tables use, the slow ones kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from ssatom.evaluation import (
    CoulombMatrixFeaturizer,
    Dataset,
    ElementFractionFeaturizer,
    EwaldSumMatrixFeaturizer,
    MagpieFeaturizer,
    RadialDistributionFeaturizer,
    SineMatrixFeaturizer,
    SoapFeaturizer,
)
from ssatom.featurizers import OrbitalFieldMatrixTransformer

_CHUNK = 50  # rows of a file in the cache, so that an interruption costs little


@dataclass(frozen=True)
class Descriptor:
    """A rival of the embeddings.

    Attributes
    ----------
    make : callable
        The featurizer.
    description : str
        One line for the table's legend.
    slow : bool
        Takes more than a tenth of a second a row; quick looks leave it out.
    """

    make: Callable[[], Any]
    description: str
    slow: bool = False


DESCRIPTORS = {
    "OFM": Descriptor(
        lambda: OrbitalFieldMatrixTransformer(errors="nan"),
        "orbital field matrix, mean over sites, 1056 numbers as in the paper",
        slow=True,
    ),
    "SM": Descriptor(lambda: SineMatrixFeaturizer(errors="nan"), "eigenvalues of the sine matrix"),
    "ESM": Descriptor(
        lambda: EwaldSumMatrixFeaturizer(errors="nan"), "eigenvalues of the Ewald sum matrix"
    ),
    "ECM": Descriptor(
        lambda: CoulombMatrixFeaturizer(errors="nan"),
        "eigenvalues of the screened Coulomb matrix over neighbouring cells to 10 Å",
    ),
    "Magpie": Descriptor(
        lambda: MagpieFeaturizer(errors="nan"), "Magpie statistics of the composition"
    ),
    "EF+RD": Descriptor(
        lambda: RadialDistributionFeaturizer(errors="nan"),
        "element fractions and an element-weighted radial distribution to 6 Å",
    ),
    "EF": Descriptor(lambda: ElementFractionFeaturizer(errors="nan"), "element fractions alone"),
    "SOAP": Descriptor(
        lambda: SoapFeaturizer(errors="nan"),
        "smooth overlap of atomic positions, averaged, species compressed",
    ),
}
"""Descriptors of whole crystals that nothing was learned for."""

SITE_DESCRIPTORS = {
    "OFM": Descriptor(
        lambda: OrbitalFieldMatrixTransformer("site", errors="nan"),
        "orbital field matrix of the site",
        slow=True,
    ),
    "EF+RD": Descriptor(
        lambda: RadialDistributionFeaturizer("site", errors="nan"),
        "element of the site and its element-weighted radial distribution to 6 Å",
    ),
    "EF": Descriptor(
        lambda: ElementFractionFeaturizer("site", errors="nan"), "element of the site alone"
    ),
    "SOAP": Descriptor(
        lambda: SoapFeaturizer("site", errors="nan"),
        "smooth overlap of atomic positions around the site, species compressed",
    ),
}
"""Descriptors of single sites."""


def descriptor_features(
    name: str, dataset: Dataset, cache: Path, n_jobs: int | None = None, progress_bar: bool = True
) -> np.ndarray:
    """Features of one descriptor, NaN in rows that it cannot take.

    Parameters
    ----------
    name : str
        One of `DESCRIPTORS`, or of `SITE_DESCRIPTORS` for a data set of sites.
    dataset : Dataset
        The rows.
    cache : Path
        Folder that keeps finished chunks, by the hash of data and featurizer.
    n_jobs : int, default=None
        Processes.
    progress_bar : bool, default=True
        Show chunks done.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_features)
    """
    known = DESCRIPTORS if dataset.sites is None else SITE_DESCRIPTORS
    featurizer = known[name].make()
    folder = cache / f"{dataset.name}-{name}-{_key(featurizer, dataset)}"
    rows = dataset.rows
    chunks = [slice(i, min(i + _CHUNK, len(rows))) for i in range(0, len(rows), _CHUNK)]
    jobs = [delayed(_chunk)(featurizer, rows[c], folder / f"{c.start:06d}.npy") for c in chunks]
    done = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    bar = tqdm(done, desc=f"{name} of {dataset.name}", total=len(jobs), disable=not progress_bar)
    return np.vstack(list(bar))


def _chunk(featurizer: Any, rows: list[Any], file: Path) -> np.ndarray:
    """Features of some rows, from their file if there is one."""
    if file.exists():
        return np.load(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # bad rows are counted by who asks
        features = featurizer.fit_transform(rows)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=".npy", dir=file.parent)
    with os.fdopen(handle, "wb") as stream:
        np.save(stream, features)
    os.replace(name, file)  # whole or not at all
    return features


def _key(featurizer: Any, dataset: Dataset) -> str:
    content = [
        type(featurizer).__name__,
        {k: repr(v) for k, v in featurizer.get_params().items()},
        dataset.sha256,
        dataset.ids.tolist(),
        None if dataset.sites is None else dataset.sites.tolist(),
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
