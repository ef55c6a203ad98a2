"""One .mcif file: its crystal with moments, or why there is none."""

from __future__ import annotations

import re
import warnings
from typing import NamedTuple

import numpy as np
from pymatgen.core import Structure

from ssatom.structures import plain_structure, structure_arrays

REASONS = ("unreadable", "incommensurate", "disordered", "no moments")

_TEMPERATURE = re.compile(r"^_transition_temperature[ \t]+([^\r\n]+)", re.MULTILINE)
_NUMBER = r"(\d+\.?\d*|\.\d+)"
_VALUE_OR_RANGE = re.compile(rf"{_NUMBER}(?:\s*-\s*{_NUMBER})?\s*K?")


class MagneticCrystal(NamedTuple):
    """A magnetic cell: the crystal, and the size of each site's moment in μB."""

    source: str
    structure: Structure
    numbers: np.ndarray
    magmoms: np.ndarray
    transition_temperature: float
    warnings: tuple[str, ...]


class Unusable(NamedTuple):
    """A file without a usable crystal; the reason is one of `REASONS`."""

    source: str
    reason: str
    message: str
    warnings: tuple[str, ...]


def read_crystal(source: str, text: str | None, problem: str = "") -> MagneticCrystal | Unusable:
    """Parse a file's text; None where the file could not be read, for the given problem."""
    if text is None:
        return Unusable(source, "unreadable", problem, ())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            crystal = _parse(source, text)
        except Exception as error:  # pymatgen's parser raises whatever comes
            crystal = Unusable(source, _reason(error), f"{type(error).__name__}: {error}", ())
    messages = tuple(dict.fromkeys(str(warning.message) for warning in caught))
    if isinstance(crystal, Unusable) and crystal.reason == "unreadable":
        # pymatgen's errors are general: what went wrong is in its warnings, some within others.
        details = [m for m in messages if not any(m in other for other in {*messages} - {m})]
        crystal = crystal._replace(message="; ".join([crystal.message, *details]))
    return crystal._replace(warnings=messages)


def _parse(source: str, text: str) -> MagneticCrystal | Unusable:
    parsed = Structure.from_str(text, fmt="cif", primitive=False)
    if not parsed.is_ordered:
        site = next(site for site in parsed if not site.is_ordered)
        return Unusable(source, "disordered", f"a site holds {site.species_string}", ())
    moments = parsed.site_properties.get("magmom")
    if moments is None:
        return Unusable(source, "no moments", "the file is of a structure without moments", ())
    magmoms = np.array([np.linalg.norm(moment.global_moment) for moment in moments])
    if not np.isfinite(magmoms).all():
        return Unusable(source, "unreadable", "some moments are not finite numbers", ())
    arrays = structure_arrays(parsed)
    plain = plain_structure(arrays)
    return MagneticCrystal(source, plain, arrays.numbers, magmoms, _temperature(text), ())


def _reason(error: Exception) -> str:
    """Which of `REASONS` an error of pymatgen tells of."""
    if isinstance(error, NotImplementedError):
        words = str(error).lower()
        return next((r for r in ("incommensurate", "disordered") if r in words), "unreadable")
    return "unreadable"


def _temperature(text: str) -> float:
    """The file's transition temperature in K, the middle of a range; NaN without one."""
    found = _TEMPERATURE.search(text)
    if not found:
        return float("nan")
    value = re.sub(r"\([^)]*\)", "", found[1]).strip(" \t'\"")  # less its uncertainty
    limits = _VALUE_OR_RANGE.fullmatch(value)
    return float(np.mean([float(x) for x in limits.groups() if x])) if limits else float("nan")
