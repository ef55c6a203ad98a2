"""CIF files: each data block with atoms is a crystal.

gemmi parses the text and knows the space groups. What a block leaves in doubt is an error that
says what to do, or a warning where one reading is sound.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from gemmi import cif
from pymatgen.core import Element, Lattice

from ssatom.exceptions import StructureError, StructureFileError
from ssatom.structures._arrays import StructureArrays, lattice_problem
from ssatom.structures._cif_sites import NULL, expand, parse_number, read_sites
from ssatom.structures._cif_symmetry import Symbols, find_operations
from ssatom.structures._files import decode, read_bytes

_GEMMI_PLACE = re.compile(r"\w*:(\d+)(?::\d+\(\d+\))?:? ?(.*)", re.DOTALL)
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)(?:\s+|$)")
_ANGLES = ("alpha", "beta", "gamma")
_VOLUME_TOLERANCE = 0.02
_SYMBOLS = {element.Z: element.symbol for element in Element}
_NAMED = (
    "_space_group.name_H-M_alt",
    "_symmetry.space_group_name_H-M",
    "_space_group.name_H-M_full",
)


class CifCrystal(NamedTuple):
    """What a data block holds: checked arrays, the label of each site, and what is in doubt."""

    arrays: StructureArrays
    labels: list[str]
    warnings: list[str]


class CifBlock(NamedTuple):
    """A data block with atoms, by its name, and its crystal or why it has none."""

    name: str
    crystal: CifCrystal | StructureError


def read_cif(path: str | os.PathLike[str], where: str) -> list[CifBlock]:
    """The crystals of a file, at least one.

    Raises
    ------
    StructureFileError
        If the file cannot be read, is no CIF, or has no block with atoms.
    """
    blocks = _blocks(decode(read_bytes(path, where)), where)
    crystals = [block for block in blocks if _has_atoms(block)]
    if not crystals:
        names = ", ".join(f"'{block.name}'" for block in blocks[:5]) or "none"
        raise StructureFileError(
            f"{where}: none of the data blocks of this file ({names}) lists atoms; the tags of a "
            "list begin with _atom_site_label or _atom_site_type_symbol"
        )
    return list(_read_blocks(crystals, where))


def count_crystals(content: bytes) -> int:
    """Number of crystals in the bytes of a file; 1 if that cannot be told."""
    if len(re.findall(rb"(?im)^\s*data_", content)) < 2:
        return 1
    try:
        return sum(map(_has_atoms, _blocks(decode(content), "file"))) or 1
    except StructureFileError:
        return 1


def _blocks(text: str, where: str) -> list[cif.Block]:
    try:
        try:
            return list(cif.read_string(text, 1))
        except RuntimeError:  # names that come twice matter only where they are needed
            return list(cif.read_string(text, 0))
    except (ValueError, RuntimeError) as error:
        found = _GEMMI_PLACE.fullmatch(str(error))
        reason = f"line {found[1]}: {found[2]}" if found else str(error)
    remedy = "correct that line"
    if text.startswith("#\\#CIF_2"):
        remedy += "; of CIF 2.0, triple quotes, lists and tables are not read: write CIF 1.1"
    raise StructureFileError(f"{where}: this file is no readable CIF ({reason}); {remedy}")


def _read_blocks(blocks: list[cif.Block], where: str) -> Iterator[CifBlock]:
    seen: dict[str, int] = {}
    for block in blocks:
        seen[block.name] = seen.get(block.name, 0) + 1
        name = block.name if seen[block.name] == 1 else f"{block.name}.{seen[block.name]}"
        try:
            crystal: CifCrystal | StructureError = _read_block(block)
        except StructureError as error:
            place = f"{where} (data block '{name}')" if len(blocks) > 1 else where
            crystal = type(error)(f"{place}{_written_formula(block)}: {error}")
        yield CifBlock(name, crystal)


def _written_formula(block: cif.Block) -> str:
    formula = _value(block, "_chemical_formula.sum")
    return f" ({' '.join(formula.split())[:40]})" if formula else ""


def _column(block: cif.Block, tag: str) -> list[str]:
    """Cells under a data name, written with a dot after the category, or with an underscore."""
    cells = block.find_values(tag.replace(".", "_", 1)) or block.find_values(tag)
    return [cell if cell in NULL else cif.as_string(cell) for cell in cells]


def _value(block: cif.Block, tag: str) -> str | None:
    cells = [cell for cell in _column(block, tag) if cell not in NULL]
    return cells[0].strip() if cells else None


def _has_atoms(block: cif.Block) -> bool:
    """Whether a block lists atoms; a form that nobody filled in does not."""
    tags = ("label", "type_symbol", "fract_x", "Cartn_x")
    return any({*_column(block, f"_atom_site.{tag}")} - NULL for tag in tags)


# One block ----------------------------------------------------------------------------------------


def _read_block(block: cif.Block) -> CifCrystal:
    _check_kind(block)
    _check_names(block)
    lengths, angles, lattice = _cell(block)
    listed = _column(block, "_symmetry.equiv_pos_as_xyz")
    listed = listed or _column(block, "_space_group_symop.operation_xyz")
    operations, warnings = find_operations(
        tuple(text for text in listed if text not in NULL), _symbols(block), lengths, angles
    )
    formula = _formula(_value(block, "_chemical_formula.sum") or "")
    elements = frozenset(formula or ())
    sites, doubts = read_sites(lambda tag: _column(block, tag), elements)
    coords, rows = expand(sites, operations, lattice)
    problem = lattice_problem(lattice, len(coords))
    if problem:
        raise StructureFileError(problem)
    numbers = np.array([site.number for site in sites], dtype=np.int64)[rows]
    labels = [sites[row].label for row in rows.tolist()]
    warnings = [*warnings, *doubts, *_volume_doubt(block, lattice)]
    if formula:
        warnings += _formula_doubt(formula, numbers, _value(block, "_cell.formula_units_Z"))
    return CifCrystal(StructureArrays(lattice, numbers, coords), labels, warnings)


def _check_kind(block: cif.Block) -> None:
    """Refuse what needs more than a cell, operations and sites; and data that contradict."""
    if _column(block, "_space_group_symop_magn_operation.xyz") or _column(
        block, "_space_group_symop.magn_operation_xyz"
    ):
        raise StructureFileError("this is a magnetic CIF; give the file a name that ends in .mcif")
    dimension = _value(block, "_cell.modulation_dimension")
    if _column(block, "_space_group_symop.ssg_operation_algebraic") or dimension not in (None, "0"):
        raise StructureFileError(
            "the structure is modulated, so it has no cell that repeats; give a periodic "
            "approximant instead"
        )


def _check_names(block: cif.Block) -> None:
    """Refuse a block that gives twice, and not alike, what decides on the crystal."""
    values: dict[str, object] = {}
    for item in block:
        for tag, value in _needed(item):
            if values.setdefault(tag, value) != value:
                raise StructureFileError(f"{tag} is given twice, with different values; delete one")


def _needed(item: cif.Item) -> Iterator[tuple[str, object]]:
    """Single values and columns of an item that decide on cell, symmetry or sites."""
    begins = ("_cell", "_symmetry", "_space_group", "_atom_site_fract", "_atom_site_label")
    pair: Any = item.pair
    if pair is not None:
        tag = pair[0].lower().replace(".", "_", 1)
        if tag.startswith(begins):
            yield tag, pair[1]
    elif item.loop is not None:
        tags = item.loop.tags
        if tags[0].lower().startswith(("_atom_site", "_symmetry", "_space_group")):
            values = item.loop.values
            for i, tag in enumerate(tags):
                tag = tag.lower().replace(".", "_", 1)
                if tag.startswith(begins):
                    yield tag, values[i :: len(tags)]


def _cell(block: cif.Block) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lengths in Å, angles in °, and the lattice vectors as rows."""
    tags = [f"_cell.length_{axis}" for axis in "abc"] + [f"_cell.angle_{name}" for name in _ANGLES]
    values = []
    for tag in tags:
        text = _value(block, tag)
        number = parse_number(text) if text else None
        if number is None or number[0] <= 0:
            got = f"is '{text[:40]}'" if text else "is missing"
            raise StructureFileError(
                f"{tag.replace('.', '_')} {got}; give the three lengths in Å and the three angles "
                "in °, as positive numbers"
            )
        values.append(number[0])
    cosines = np.cos(np.radians(values[3:]))
    if max(values[3:]) >= 180 or 1 + 2 * cosines.prod() - (cosines**2).sum() <= 1e-6:
        shown = ", ".join(f"{value:.6g}" for value in values[3:])
        raise StructureFileError(f"the angles {shown}° of the cell span no volume; correct them")
    matrix = np.array(Lattice.from_parameters(*values).matrix, dtype=np.float64, order="C")
    return np.array(values[:3]), np.array(values[3:]), matrix


def _symbols(block: cif.Block) -> Symbols:
    hall = _value(block, "_space_group.name_Hall") or _value(
        block, "_symmetry.space_group_name_Hall"
    )
    names = [_value(block, tag) for tag in _NAMED]
    number = _value(block, "_space_group.IT_number") or _value(block, "_symmetry.Int_Tables_number")
    return Symbols(hall, tuple(name for name in names if name), number)


# Doubts -------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _formula(text: str) -> dict[str, float] | None:
    """Amounts in a formula such as "C2 H6 O", deuterium as hydrogen; None if it is otherwise."""
    amounts: dict[str, float] = {}
    text = text.strip()
    parts = list(_FORMULA_PART.finditer(text))
    if not parts or sum(len(part[0]) for part in parts) != len(text):
        return None
    for part in parts:
        symbol = "H" if part[1] in ("D", "T") else part[1]
        if not Element.is_valid_symbol(symbol) or part[2] == ".":
            return None
        amounts[symbol] = amounts.get(symbol, 0.0) + float(part[2] or 1)
    return amounts


def _formula_doubt(formula: dict[str, float], numbers: np.ndarray, units: str | None) -> list[str]:
    """Where the atoms of the cell do not make up the chemical formula."""
    unique, counts = np.unique(numbers, return_counts=True)
    found = {_SYMBOLS[z]: n for z, n in zip(unique.tolist(), counts.tolist(), strict=True)}
    written = " ".join(f"{symbol}{amount:g}" for symbol, amount in formula.items())
    missing = [symbol for symbol, amount in formula.items() if amount and symbol not in found]
    if missing:
        return [
            f"Missing elements {', '.join(missing)}: _chemical_formula_sum is '{written}', and no "
            "site holds them; add their sites, or correct the formula"
        ]
    ratios = {symbol: n / formula[symbol] for symbol, n in found.items() if formula.get(symbol)}
    cells = " ".join(f"{symbol}{n}" for symbol, n in found.items())
    if len(ratios) < len(found) or max(ratios.values()) > 1.02 * min(ratios.values()):
        return [
            f"the cell holds {cells}, which is not in the ratio of _chemical_formula_sum "
            f"'{written}'; check that sites and symmetry operations are complete"
        ]
    number = parse_number(units) if units else None
    if number is None or number[0] <= 0:
        return []
    size = max(ratios.values())
    # Some programs write the content of the whole cell for the formula, beside its Z.
    is_cell = abs(size - 1) < 0.02 and all(n % number[0] == 0 for n in formula.values())
    if abs(size / number[0] - 1) > 0.02 and not is_cell:
        return [
            f"the cell holds {cells}, and _chemical_formula_sum '{written}' times "
            f"_cell_formula_units_Z {units} says otherwise; check that the symmetry operations "
            "are complete"
        ]
    return []


def _volume_doubt(block: cif.Block, lattice: np.ndarray) -> list[str]:
    text = _value(block, "_cell.volume")
    number = parse_number(text) if text else None
    volume = abs(float(np.linalg.det(lattice)))
    if number is None or number[0] <= 0 or abs(volume / number[0] - 1) < _VOLUME_TOLERANCE:
        return []
    return [
        f"the lengths and angles of the cell give {volume:.6g} Å³, and _cell_volume is {text}; the "
        "former are used. Correct the wrong ones"
    ]
