"""Checks of what the figures are given, shared by all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ssatom.exceptions import ParameterError


class Measured(NamedTuple):
    """A mean and its standard deviation, which is NaN where it is unknown."""

    mean: float
    std: float


def mapping(data: Any, where: str) -> dict[Any, Any]:
    """A mapping, a Series or a DataFrame (by columns) as a dictionary with entries."""
    if not hasattr(data, "items"):
        raise ParameterError(f"{where} needs a mapping, got {type(data).__name__}")
    found = dict(data.items())
    if not found:
        raise ParameterError(f"{where} is empty; there is nothing to draw")
    return found


def by_title(data: Any, where: str, depth: int) -> dict[str, Any]:
    """Panels by title: one without a title where mappings are `depth` deep, several if deeper."""
    found = mapping(data, where)
    first: Any = found
    for _ in range(depth):
        key, first = next(iter(mapping(first, where).items()))
        where += f"[{key!r}]"
    several = hasattr(first, "items")
    return {str(title): panel for title, panel in found.items()} if several else {"": found}


def measured_panels(data: Any, where: str) -> dict[str, dict[str, dict[Any, Measured]]]:
    """Measured values by panel, series and label, without those that are NaN."""
    panels: dict[str, dict[str, dict[Any, Measured]]] = {}
    for title, panel in by_title(data, where, depth=2).items():
        at = f"{where}[{title!r}]" if title else where
        panels[title] = {}
        for name, values in mapping(panel, at).items():
            inner = f"{at}[{name!r}]"
            measured = {
                k: _measured(v, f"{inner}[{k!r}]") for k, v in mapping(values, inner).items()
            }
            found = {k: value for k, value in measured.items() if not np.isnan(value.mean)}
            if not found:
                raise ParameterError(f"{inner} has no value that is a number")
            panels[title][str(name)] = found
    return panels


def _measured(value: Any, where: str) -> Measured:
    try:
        numbers = np.atleast_1d(np.asarray(value, dtype=float))
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape not in ((1,), (2,)) or np.isinf(numbers).any() or (numbers[1:] < 0).any():
        raise ParameterError(
            f"{where} needs a finite mean, or a pair of a mean and a standard deviation from 0 up; "
            f"got {value!r}"
        )
    return Measured(float(numbers[0]), float(numbers[1]) if len(numbers) == 2 else float("nan"))


def of_each(value: Any, titles: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One value for all panels, or a mapping with one for each."""
    if not hasattr(value, "items"):
        return dict.fromkeys(titles, value)
    found = {str(title): one for title, one in value.items()}
    if set(found) != set(titles):
        raise ParameterError(f"{name} needs an entry for each of {list(titles)}, got {list(found)}")
    return found


def vector(values: Any, where: str, length: int | None = None) -> np.ndarray:
    """Finite numbers in one dimension, of the length that belongs to the other arguments."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        array = np.empty(())
    if array.ndim != 1 or not len(array):
        raise ParameterError(f"{where} needs numbers in one dimension, got {_short(values)}")
    if length is not None and len(array) != length:
        raise ParameterError(f"{where} needs {length} entries, one a row, got {len(array)}")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise ParameterError(
            f"{where} needs finite numbers; entry {bad[0]} is {array[bad[0]]} "
            f"({len(bad)} such of {len(array)}); leave such rows out"
        )
    return array


def rows_of(values: Any, where: str, width: int) -> np.ndarray:
    """Rows of so many finite numbers."""
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] != width:
        raise ParameterError(f"{where} needs {width} numbers a row, got shape {array.shape}")
    return np.stack([vector(array[:, i], f"{where}[:, {i}]") for i in range(width)], axis=1)


def _short(values: Any) -> str:
    shape = getattr(values, "shape", None)
    return type(values).__name__ + (f" of shape {shape}" if shape is not None else "")
