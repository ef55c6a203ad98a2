"""Features of a data set by the names that the tables use, the slow ones kept on disk."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from ssatom.embeddings.cache import DiskCache
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
from ssatom.exceptions import ParameterError
from ssatom.featurizers import OrbitalFieldMatrixTransformer
from ssatom.structures import structure_key

_CHUNK = 50  # rows a process computes before they are kept on disk


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
    needs : str or None
        Package that has to be installed for it beside those of ssatom.
    """

    make: Callable[[], Any]
    description: str
    slow: bool = False
    needs: str | None = None


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
        "smooth overlap of atomic positions, averaged; one channel, species weighted by number",
        needs="dscribe",
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
        "smooth overlap of atomic positions around the site, species weighted by number",
        needs="dscribe",
    ),
}
"""Descriptors of single sites."""


def available(descriptors: Mapping[str, Descriptor], quick: bool) -> list[str]:
    """Names of the descriptors that can be computed here; a quick look leaves slow ones out."""
    names = [n for n, d in descriptors.items() if d.needs is None or find_spec(d.needs)]
    if missing := sorted(descriptors.keys() - set(names)):
        warnings.warn(
            f"left out, since a package is not installed: {', '.join(missing)}; "
            f"pip install {' '.join(sorted({str(descriptors[n].needs) for n in missing}))}",
            UserWarning,
            stacklevel=3,
        )
    return [name for name in names if not (quick and descriptors[name].slow)]


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
        Folder that keeps finished rows.
    n_jobs : int, default=None
        Processes.
    progress_bar : bool, default=True
        Show chunks done.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_features)

    Raises
    ------
    ParameterError
        If there is no such descriptor.
    """
    known = DESCRIPTORS if dataset.sites is None else SITE_DESCRIPTORS
    if name not in known:
        raise ParameterError(
            f"features {name!r} are unknown; allowed: NE or GE with digits, random- before it, "
            f"{', '.join(known)}"
        )
    featurizer = known[name].make()
    rows = dataset.rows
    disk = DiskCache(cache, "descriptors")
    keys = _keys(featurizer, dataset)
    found = disk.get(keys, ())
    missing = [i for i, key in enumerate(keys) if key not in found]
    chunks = [missing[i : i + _CHUNK] for i in range(0, len(missing), _CHUNK)]
    jobs = [delayed(_featurize)(featurizer, [rows[i] for i in chunk]) for chunk in chunks]
    done = Parallel(n_jobs=n_jobs, return_as="generator")(jobs) if jobs else []
    bar = tqdm(done, desc=f"{name} of {dataset.name}", total=len(jobs), disable=not progress_bar)
    for chunk, features in zip(chunks, bar, strict=True):
        new = {keys[i]: row for i, row in zip(chunk, features, strict=True)}
        disk.put(new)
        found |= new
    return np.array([found[key] for key in keys])


def _featurize(featurizer: Any, rows: list[Any]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # who asks counts bad rows
        return featurizer.fit_transform(rows)


def _keys(featurizer: Any, dataset: Dataset) -> list[bytes]:
    """What tells rows and featurizers apart: content, site and parameters."""
    params = {name: repr(value) for name, value in featurizer.get_params().items()}
    head = json.dumps([type(featurizer).__name__, params]).encode()
    sites = np.full(len(dataset), -1) if dataset.sites is None else dataset.sites
    return [
        hashlib.blake2b(
            head + structure_key(structure) + int(site).to_bytes(8, signed=True)
        ).digest()
        for structure, site in zip(dataset.structures, sites, strict=True)
    ]
