"""Records of a collection, and how rows of JSON become crystals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from pymatgen.core import Structure

from ssatom.exceptions import StructureError, StructureFileError, attempt
from ssatom.structures import StructureArrays, plain_structure, structure_arrays

ID_KEYS = ("id", "material_id", "mpid")
_PLAIN_KEYS = {"lattice", "numbers", "frac"}
_PYMATGEN_KEYS = {"lattice", "sites"}
_STRUCTURE_KEYS = {
    *_PLAIN_KEYS, *_PYMATGEN_KEYS, *ID_KEYS, "site_props", "charge", "@module", "@class", "@version"
}  # fmt: skip


class StructureRecord(NamedTuple):
    """One crystal of a collection.

    Attributes
    ----------
    source : str
        Its id where it has one, else its file, with the line or the frame in it.
    structure : Structure or StructureError
        The crystal, or why there is none.
    properties : dict
        What else the collection says of it.

    Examples
    --------
    >>> from ssatom.corpora import load_example_crystals, StructureRecord
    >>> structure = load_example_crystals()["structure"].iloc[0]
    >>> StructureRecord("mine", structure, {"band_gap": 1.1}).properties
    {'band_gap': 1.1}
    """

    source: str
    structure: Structure | StructureError
    properties: dict[str, Any]

    def __repr__(self) -> str:
        what = type(self.structure).__name__
        if isinstance(self.structure, Structure):
            what = f"{self.structure.formula}, {len(self.structure)} sites"
        return f"<StructureRecord {self.source!r}: {what}, properties {list(self.properties)}>"


class Entry(NamedTuple):
    """A crystal as a reader gives it, by its place in the file (":3") and its id, if it has one.

    `read_structures` adds the file to the sources of records, errors and warnings.
    """

    place: str
    name: str | None
    structure: Structure | StructureError
    properties: Mapping[str, Any] = MappingProxyType({})
    doubts: Sequence[str] = ()


def lost(place: str, problem: str) -> Entry:
    """An entry without a crystal."""
    return Entry(place, None, StructureFileError(problem))


def entry_of_row(row: Any, place: str, name: str | None = None) -> Entry:
    """An entry of a decoded row of JSON, or of its error; `name` is the id, if the row has none."""
    if isinstance(row, dict):
        name = next((str(row[key]) for key in ID_KEYS if row.get(key) is not None), name)
    parts = row if isinstance(row, StructureError) else attempt(_split, row)
    if isinstance(parts, StructureError):
        return Entry(place, name, parts)
    body, properties = parts
    return Entry(place, name, attempt(_build, body), properties)


def _split(row: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The part of a row that is the structure, and the rest, which are its properties."""
    if _is_structure(row):
        rest = {key: value for key, value in row.items() if key not in _STRUCTURE_KEYS}
        labels = rest.pop("props", None) or rest.pop("properties", None) or {}
        if not isinstance(labels, dict):
            raise StructureFileError(
                f"the properties are of type {type(labels).__name__}; allowed is a dict"
            )
        return row, rest | labels
    nested = [k for k, v in row.items() if _is_structure(v)] if isinstance(row, dict) else []
    if "structure" in nested:
        nested = ["structure"]
    if len(nested) == 1:
        skipped = {nested[0], *ID_KEYS}
        return row[nested[0]], {k: v for k, v in row.items() if k not in skipped}
    got = f"one of type {type(row).__name__}"
    if isinstance(row, dict):
        got = f"one with the keys {', '.join(map(repr, row))}" if row else "an empty one"
        got += f", of which {', '.join(map(repr, nested))} are structures" if nested else ""
    raise StructureFileError(
        "this row has no structure, or not one only; allowed is a row with the keys "
        "'lattice', 'numbers' and 'frac', or a pymatgen Structure.as_dict(), either of them "
        f"alone or under the key 'structure'; got {got}"
    )


def _is_structure(value: Any) -> bool:
    return isinstance(value, dict) and (
        value.keys() >= _PLAIN_KEYS or value.keys() >= _PYMATGEN_KEYS
    )


def _build(body: dict[str, Any]) -> Structure:
    try:
        structure = _from_pymatgen(body) if "sites" in body else _from_plain(body)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        structure_arrays(structure)
        return structure
    reason = reason if len(reason) <= 300 else f"{reason[:300]}…"
    raise StructureFileError(f"this row makes no structure ({reason}); correct the row")


def _from_pymatgen(body: dict[str, Any]) -> Structure:
    """Structure.from_dict, of a dict whose numbers are numbers."""
    if isinstance(body["lattice"], dict) and "matrix" in body["lattice"]:
        _floats("lattice", body["lattice"]["matrix"], (3, 3))
    for number, site in enumerate(body["sites"]):
        if "abc" in site:
            _floats(f"sites[{number}]['abc']", site["abc"], (3,))
        for share in site["species"]:
            _check_number(f"sites[{number}]: occu", share["occu"])
    return Structure.from_dict(body)


def _from_plain(body: dict[str, Any]) -> Structure:
    numbers = _atomic_numbers(body["numbers"])
    lattice = _floats("lattice", body["lattice"], (3, 3))
    site_properties = body.get("site_props") or {}
    for key, values in {"frac": body["frac"], **site_properties}.items():
        if len(values) != len(numbers):
            raise ValueError(f"{len(values)} rows of {key} for {len(numbers)} numbers")
    frac_coords = _floats("frac", body["frac"], (len(numbers), 3))
    arrays = StructureArrays(lattice, np.array(numbers, dtype=np.int64), frac_coords)
    structure = plain_structure(arrays, site_properties=site_properties)
    if body.get("charge") is not None:
        _check_number("charge", body["charge"])
        structure.set_charge(body["charge"])
    return structure


def _atomic_numbers(values: Any) -> list[int]:
    """Atomic numbers, also those that a table has made floats (11.0)."""
    if not isinstance(values, list):
        raise ValueError(f"numbers are of type {type(values).__name__}, and must be a list")
    for i, value in enumerate(values):
        whole = type(value) is int or (type(value) is float and value.is_integer())
        if not whole or not 1 <= value <= 118:
            raise ValueError(
                f"numbers[{i}] is {value!r:.60}, and must be an atomic number, 1 to 118"
            )
    return [int(value) for value in values]


def _floats(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.array(values)
    except ValueError:  # rows of different lengths
        array = np.array(None)
    if array.shape == (0,) and shape[0] == 0:
        return np.zeros(shape)
    if array.dtype.kind == "O" and all(x is None or type(x) in (int, float) for x in array.flat):
        array = array.astype(np.float64)  # null is NaN, which is refused where it counts
    if array.shape != shape or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} is an array of shape {array.shape} and type {array.dtype}, and must hold "
            f"numbers in the shape {shape}"
        )
    return array.astype(np.float64)


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is {value!r:.60}, and must be a number")
