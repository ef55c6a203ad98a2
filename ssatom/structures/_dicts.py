"""Structures as dicts: pymatgen's, plain arrays and OPTIMADE's, alone or within a row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
from pymatgen.core import IStructure, Structure

from ssatom.exceptions import StructureFileError
from ssatom.structures._arrays import Crystal, StructureArrays, plain_structure, structure_arrays
from ssatom.structures._text import listed, shorten, text_kind

ID_KEYS = ("id", "material_id", "mpid")
_PLAIN_KEYS = {"lattice", "numbers", "frac"}
_PYMATGEN_KEYS = {"lattice", "sites"}
_OPTIMADE_KEYS = {"lattice_vectors", "cartesian_site_positions", "species_at_sites"}
_STRUCTURE_KEYS = {
    *_PLAIN_KEYS, *_PYMATGEN_KEYS, *_OPTIMADE_KEYS, *ID_KEYS, "site_props", "charge", "species",
    "@module", "@class", "@version",
}  # fmt: skip
_MODULES = (  # of objects that site properties may be
    *("numpy", "pymatgen.electronic_structure.core", "pymatgen.core.composition"),
    *("pymatgen.core.lattice", "pymatgen.core.periodic_table", "pymatgen.core.species"),
)
_PARTS = (b'"lattice"', b'"numbers"', b'"frac"', b'"sites"')


def crystal_from_dict(body: dict[str, Any]) -> Crystal:
    """The checked crystal of a dict that `is_structure`; numbers may be those of NumPy."""
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused below
            if "lattice_vectors" in body:
                structure = _from_optimade(body)
            else:
                structure = _from_pymatgen(body) if "sites" in body else _from_plain(body)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        return Crystal(structure_arrays(structure), structure)
    reason = reason if len(reason) <= 300 else f"{reason[:300]}…"
    raise StructureFileError(f"this row makes no structure ({reason}); correct the row")


def plain_copy(body: dict[str, Any]) -> dict[str, Any]:
    """A copy as if read from JSON, with lists for arrays; pymatgen would change the dict itself."""
    try:
        return orjson.loads(
            orjson.dumps(body, default=plain_value, option=orjson.OPT_SERIALIZE_NUMPY)
        )
    except TypeError as error:
        reason = shorten(str(error))
    raise StructureFileError(f"this dict holds more than numbers and text ({reason})")


def plain_value(value: Any) -> Any:
    """A value that JSON has, of an array or an object of pymatgen; raises TypeError of another."""
    for method in ("tolist", "as_dict"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"type {type(value).__name__}")


def is_structure(value: Any) -> bool:
    """Whether a dict is a structure and nothing around it."""
    keys = (_PLAIN_KEYS, _PYMATGEN_KEYS, _OPTIMADE_KEYS)
    return isinstance(value, dict) and any(value.keys() >= needed for needed in keys)


def is_cell(value: Any) -> bool:
    """Whether a cell of a row holds a structure, as an object, a dict or text."""
    if isinstance(value, dict):
        return is_structure(value) or is_structure(value.get("attributes"))
    return isinstance(value, IStructure) or (isinstance(value, str) and bool(text_kind(value)))


def split_row(row: Any, column: str | None = None) -> tuple[Any, dict[str, Any]]:
    """The part of a row that is the structure, and the rest, which are its properties.

    The part is the row, the cell under `column` if it has one, that under "structure", or the only
    one that holds a structure.
    """
    if isinstance(row, str) and is_cell(row):
        return row, {}
    if isinstance(row, list) and any(map(is_cell, row)):
        row = {f"column_{number}": cell for number, cell in enumerate(row, 1)}
    if isinstance(row, dict) and is_structure(row.get("attributes")):  # an OPTIMADE entry
        row = {"id": row.get("id"), **row["attributes"]}
    if is_structure(row) and column not in row:
        rest = {key: value for key, value in row.items() if key not in _STRUCTURE_KEYS}
        labels = rest.pop("props", None) or rest.pop("properties", None) or {}
        if not isinstance(labels, dict):
            raise StructureFileError(
                f"the properties are of type {type(labels).__name__}; allowed is a dict"
            )
        return row, rest | labels
    found = [key for key, cell in row.items() if is_cell(cell)] if isinstance(row, dict) else []
    wanted = "structure" if column is None else column
    if wanted in found or column is not None:
        found = [wanted] if wanted in found else []
    if len(found) == 1:
        skipped = {found[0], *ID_KEYS}
        return row[found[0]], {k: v for k, v in row.items() if k not in skipped}
    got = f"one of type {type(row).__name__}"
    if isinstance(row, dict):
        names = listed([shorten(repr(key)) for key in row], 20)
        got = f"one with the keys {names}" if row else "an empty one"
        got += f", of which {listed(list(map(repr, found)))} are structures" if found else ""
    where = "the key 'structure'" if column is None else f"{column!r}"
    raise StructureFileError(
        "this row has no structure, or not one only; allowed is a row with the keys "
        "'lattice', 'numbers' and 'frac', a pymatgen Structure.as_dict(), an OPTIMADE structure, "
        f"or the text of a CIF, POSCAR or JSON file, alone or under {where}; got {got}"
    )


def load_json(text: bytes) -> Any:
    """Content of JSON text; with NaN, as Python and pandas write it, and a byte-order mark too."""
    # Of a key that stands twice in one row, parsers take one in silence.
    if text.count(b"\n") > 1 or all(text.count(key) < 2 for key in _PARTS):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    try:
        return json.loads(text.decode("utf-8-sig"), object_pairs_hook=_object)  # slower
    except RecursionError:
        problem = "it is nested too deeply"
    raise ValueError(problem)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} comes twice in one object")
    return found


def _from_optimade(body: dict[str, Any]) -> Structure:
    """Structure of an OPTIMADE entry; a site of several elements or a vacancy is disordered."""
    shares = {one["name"]: one for one in body.get("species") or []}
    species = []
    for name in body["species_at_sites"]:
        kind = shares.get(name, {"chemical_symbols": [name], "concentration": [1.0]})
        parts = zip(kind["chemical_symbols"], kind["concentration"], strict=True)
        species.append({symbol: share for symbol, share in parts if symbol != "vacancy"})
    lattice = _floats("lattice_vectors", body["lattice_vectors"], (3, 3))
    where = _floats("cartesian_site_positions", body["cartesian_site_positions"], (len(species), 3))
    return Structure(lattice, species, where, coords_are_cartesian=True)


def _from_pymatgen(body: dict[str, Any]) -> Structure:
    """Structure.from_dict, of a dict whose numbers are numbers."""
    if isinstance(body["lattice"], dict) and "matrix" in body["lattice"]:
        _floats("lattice", body["lattice"]["matrix"], (3, 3))
    for number, site in enumerate(body["sites"]):
        if "abc" in site:
            _floats(f"sites[{number}]['abc']", site["abc"], (3,))
        if properties := site.get("properties"):
            _check_modules(properties)
        for share in site["species"]:
            _check_number(f"sites[{number}]: occu", share["occu"])
    return Structure.from_dict(body)


def _check_modules(value: Any) -> None:
    """Refuse objects but of these modules, since pymatgen imports and calls what a dict names."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    module = value.get("@module") if isinstance(value, dict) else None
    if module is not None and (str(module) not in _MODULES or "@callable" in value):
        raise ValueError(f"a site property is an object of the module {str(module)[:60]!r}")
    for one in inner:
        _check_modules(one)


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
