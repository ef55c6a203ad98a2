"""From the sites of structures to the structures."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

from ssatom.elements import property_table

POOLINGS = ("mean", "sum", "max", "min", "std", "anion", "cation")
"""Ways to go from the sites of a structure to the structure."""

_PULL = {"anion": 0.5, "cation": -0.5}  # per spread of the elements' electronegativities


def pool(
    hidden: np.ndarray, numbers: np.ndarray, counts: np.ndarray, poolings: tuple[str, ...]
) -> np.ndarray:
    """Pooled hidden states of structures.

    "anion" and "cation" are means under weights exp(±χ / 2σ), where χ is the electronegativity of
    a site's element and σ its spread over the elements: the one leans towards the sites that take
    electrons, the other towards those that give them.

    Parameters
    ----------
    hidden : ndarray, shape (n_sites, n_columns)
        Hidden states of the sites, structure by structure.
    numbers : ndarray of int, shape (n_sites,)
        Atomic numbers of the sites.
    counts : ndarray of int, shape (n_structures,)
        Sites of each structure, at least one.
    poolings : tuple of str
        Of `POOLINGS`.

    Returns
    -------
    ndarray of float32, shape (n_structures, n_pooling, n_columns)
        In the order of `poolings`.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.embeddings.pooling import pool
    >>> sodium_chloride = np.array([[0.0], [1.0]])
    >>> pooled = pool(sodium_chloride, np.array([11, 17]), np.array([2]), ("mean", "anion"))
    >>> pooled.ravel().round(2)
    array([0.5 , 0.86], dtype=float32)
    """
    starts = np.cumsum(counts) - counts
    pooled = [_pool_one(hidden, numbers, starts, counts, name) for name in poolings]
    return np.stack(pooled, axis=1).astype(np.float32)


def _pool_one(
    hidden: np.ndarray, numbers: np.ndarray, starts: np.ndarray, counts: np.ndarray, name: str
) -> np.ndarray:
    if name in ("max", "min"):
        return {"max": np.maximum, "min": np.minimum}[name].reduceat(hidden, starts)
    # In float64: a mean must not depend on the number of cells that were given.
    hidden = hidden.astype(np.float64)
    if name in _PULL:
        weights = _pulls(name)[numbers][:, None]
        return np.add.reduceat(weights * hidden, starts) / np.add.reduceat(weights, starts)
    total = np.add.reduceat(hidden, starts)
    if name == "sum":
        return total
    mean = total / counts[:, None]
    if name == "mean":
        return mean
    # The difference of squares would leave rounding where all sites are equal.
    deviations = hidden - np.repeat(mean, counts, axis=0)
    return np.sqrt(np.add.reduceat(np.square(deviations), starts) / counts[:, None])


@cache
def _pulls(name: str) -> np.ndarray:
    """Weights of the elements by atomic number, shape (101,)."""
    electronegativity = property_table(("Electronegativity",))[:, 1]
    return np.exp(_PULL[name] * (electronegativity - electronegativity.mean()))


def pooling_key(poolings: tuple[str, ...]) -> bytes:
    """What tells poolings apart in a cache, the weights of the elements included."""
    pulls = [_pulls(name).tobytes() for name in poolings if name in _PULL]
    digest = hashlib.sha256(b"".join(pulls)).digest()[:8] if pulls else b""
    return ",".join(poolings).encode() + digest
