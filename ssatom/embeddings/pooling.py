"""Poolings: from the sites of structures to the structures.

A pooling is one entry of `POOLINGS`. What else names poolings, such as messages, takes them from
there.
"""

# ruff: noqa: ARG001  (all poolings have one signature)

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial

import numpy as np

from ssatom.elements import property_table
from ssatom.exceptions import ParameterError

Pooling = str | Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Name of `POOLINGS`, or a function of one structure: f(states, numbers) → pooled states."""

# Weight of a site's electronegativity, in units of its standard deviation over the elements.
_TILTS = {"anion": 0.5, "cation": -0.5}


def _sum(states: np.ndarray, numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    sums = np.empty((len(counts), states.shape[1]))
    ends = np.cumsum(counts).tolist()
    for total, end, count in zip(sums, ends, counts.tolist(), strict=True):
        # In float64: a mean must not depend on the number of cells given.
        np.add.reduce(states[end - count : end], axis=0, dtype=np.float64, out=total)
    return sums


def _mean(states: np.ndarray, numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return _sum(states, numbers, counts) / counts[:, None]


def _max(states: np.ndarray, numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.maximum.reduceat(states, np.cumsum(counts) - counts)


def _min(states: np.ndarray, numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.minimum.reduceat(states, np.cumsum(counts) - counts)


def _std(states: np.ndarray, numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    # The difference of squares would leave rounding where all sites are equal.
    deviations = states - np.repeat(_mean(states, numbers, counts), counts, axis=0)
    return np.sqrt(_mean(np.square(deviations), numbers, counts))


def _tilted(states: np.ndarray, numbers: np.ndarray, counts: np.ndarray, name: str) -> np.ndarray:
    """Mean under weights exp(±χ / 2σ): χ of a site's element, σ over the elements."""
    weights = _weights_of_elements(name)[numbers][:, None]
    return _sum(weights * states, numbers, counts) / _sum(weights, numbers, counts)


@cache
def _weights_of_elements(name: str) -> np.ndarray:
    """By atomic number, shape (101,)."""
    electronegativity = property_table(("Electronegativity",))[:, 1]
    return np.exp(_TILTS[name] * (electronegativity - electronegativity.mean()))


POOLINGS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": _mean,
    "sum": _sum,
    "max": _max,
    "min": _min,
    "std": _std,
    "anion": partial(_tilted, name="anion"),  # a mean that leans to electronegative sites
    "cation": partial(_tilted, name="cation"),  # a mean that leans to electropositive sites
}
"""Functions f(states, numbers, counts) by name: states of shape (n_sites, n_columns) in float32,
atomic numbers, and the number of sites of each structure; to shape (n_structures, n_columns)."""


def parse_pooling(pooling: Pooling | Sequence[Pooling]) -> tuple[Pooling, ...]:
    """Poolings of a `pooling` argument, checked.

    Parameters
    ----------
    pooling : str, callable, or sequence of them
        Names of `POOLINGS`, or functions of one structure.

    Returns
    -------
    tuple of str or callable
        In the order given.

    Raises
    ------
    ParameterError
        If it is empty or unknown, or two poolings have one name.

    Examples
    --------
    >>> from ssatom.embeddings import parse_pooling
    >>> parse_pooling("mean")
    ('mean',)
    """
    allowed = f"allowed: {', '.join(POOLINGS)}, a function, or a tuple of different ones"
    found = (pooling,) if isinstance(pooling, str) or callable(pooling) else pooling
    if not isinstance(found, tuple | list) or not found:
        raise ParameterError(f"pooling={pooling!r} names no pooling; {allowed}")
    for one in found:
        if not callable(one) and not (isinstance(one, str) and one in POOLINGS):
            raise ParameterError(f"pooling={pooling!r}: {one!r} is unknown; {allowed}")
    names = [pooling_name(one) for one in found]
    if len(set(names)) < len(names):
        raise ParameterError(f"pooling={pooling!r} has two poolings of one name; {allowed}")
    return tuple(found)


def pooling_name(pooling: Pooling) -> str:
    """Name of a pooling in the names of columns: that of a function is its ``__name__``."""
    if isinstance(pooling, str):
        return pooling
    function = pooling.func if isinstance(pooling, partial) else pooling
    return str(getattr(function, "__name__", type(function).__name__))


def pool(
    states: np.ndarray, numbers: np.ndarray, counts: np.ndarray, poolings: Iterable[Pooling]
) -> np.ndarray:
    """Pooled states of structures, shape (n_structures, n_poolings, n_columns), as float32.

    `states` and atomic `numbers` are those of all sites, structure by structure; `counts` says how
    many sites each structure has. Raises ParameterError if a function returns anything but finite
    numbers of shape (n_columns,).
    """
    pooled = [
        POOLINGS[one](states, numbers, counts)
        if isinstance(one, str)
        else _pool_with(one, states, numbers, counts)
        for one in poolings
    ]
    return np.stack(pooled, axis=1).astype(np.float32)


def _pool_with(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
    states: np.ndarray,
    numbers: np.ndarray,
    counts: np.ndarray,
) -> np.ndarray:
    """A user's function, structure by structure."""
    ends = np.cumsum(counts)
    parts = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    return np.array([_checked(function, states[part], numbers[part]) for part in parts])


def _checked(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
    states: np.ndarray,
    numbers: np.ndarray,
) -> np.ndarray:
    n_columns = states.shape[1]
    given = f"pooling={pooling_name(function)}, given states of shape {states.shape}"
    expected = f"it must return finite numbers of shape ({n_columns},), one a column"
    result = function(states, numbers)
    try:
        pooled = np.asarray(result, dtype=np.float64)
    except (TypeError, ValueError):
        raise ParameterError(f"{given}, returned {type(result).__name__}; {expected}") from None
    if pooled.shape != (n_columns,):
        raise ParameterError(f"{given}, returned an array of shape {pooled.shape}; {expected}")
    if not np.isfinite(pooled).all():
        raise ParameterError(f"{given}, returned NaN or infinity; {expected}")
    return pooled


def pooling_key(poolings: Iterable[str]) -> bytes:
    """Key of named poolings for caches; it depends on the weights of the elements too."""
    names = tuple(poolings)
    tables = [_weights_of_elements(name).tobytes() for name in names if name in _TILTS]
    digest = hashlib.sha256(b"".join(tables)).digest()[:8] if tables else b""
    return ",".join(names).encode() + digest
