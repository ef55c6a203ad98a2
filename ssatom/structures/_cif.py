"""CIF files: each data block with atoms is a crystal.

gemmi parses the text and knows the space groups. An ambiguous block is an error that says what to
do, or a warning where one reading is sound.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
from gemmi import cif
from pymatgen.core import Composition, Element, Lattice

from ssatom.exceptions import StructureError, StructureFileError, attempt
from ssatom.limits import MAX_SITES
from ssatom.structures._arrays import SYMBOLS, Crystal, StructureArrays, lattice_problem
from ssatom.structures._cif_numbers import parse_number
from ssatom.structures._cif_sites import NULL, Site, expand, read_sites
from ssatom.structures._cif_symmetry import (
    Symbols,
    find_operations,
    listed_operations,
    same_operations,
)
from ssatom.structures._text import decode, listed

_GEMMI_PLACE = re.compile(r"\w*:(\d+)(?::\d+\(\d+\))?:? ?(.*)", re.DOTALL)
_ANGLES = ("alpha", "beta", "gamma")
_VOLUME_TOLERANCE = 0.02
_OPERATIONS = ("_symmetry.equiv_pos_as_xyz", "_space_group_symop.operation_xyz")
_MAGNETIC = ("_space_group_symop_magn_operation.xyz", "_space_group_symop.magn_operation_xyz")
_CENTERINGS = ("_space_group_symop_magn_centering.xyz", "_space_group_symop.magn_centering_xyz")
_MULTIPLICITIES = ("_atom_site.symmetry_multiplicity", "_atom_site.site_symmetry_multiplicity")
_LOOPS = ("_atom_site", "_symmetry", "_space_group")
_NEEDED = ("_cell", "_symmetry", "_space_group", "_atom_site_fract", "_atom_site_label")
_NAMED = (
    "_space_group.name_H-M_alt",
    "_symmetry.space_group_name_H-M",
    "_space_group.name_H-M",
    "_space_group.name_H-M_ref",
    "_symmetry.space_group_name_H-M_alt",
    "_space_group.name_H-M_full",
)


def read_cif(text: str) -> list[tuple[str, Crystal | StructureError]]:
    """Each crystal of a file, at least one, by the name of its data block; "" of a single one."""
    blocks = _blocks(text)
    crystals = [block for block in blocks if _has_atoms(block)]
    if not crystals:
        names = listed([f"'{block.name}'" for block in blocks]) or "none"
        raise StructureFileError(
            f"none of the data blocks of this file ({names}) lists atoms; the tags of a list "
            "begin with _atom_site_label or _atom_site_type_symbol"
        )
    if len(crystals) == 1:
        return [("", _attempt(crystals[0]))]
    seen: Counter[str] = Counter()
    found = []
    for block in crystals:
        seen[block.name] += 1
        again = f".{seen[block.name]}" if seen[block.name] > 1 else ""
        found.append((block.name + again, _attempt(block)))
    return found


def _attempt(block: cif.Block) -> Crystal | StructureError:
    formula = " ".join((_value(block, "_chemical_formula.sum") or "").split())[:40]
    with np.errstate(all="ignore"):  # what is not finite is refused
        return attempt(_read_block, block, formula=formula)


def count_crystals(content: bytes) -> int:
    """Number of crystals in the bytes of a file; 1 if that cannot be told."""
    if len(re.findall(rb"(?im)^[ \t]*data_", content)) < 2:
        return 1
    blocks = attempt(_blocks, decode(content))
    return 1 if isinstance(blocks, StructureError) else sum(map(_has_atoms, blocks)) or 1


def count_images(text: str) -> int:
    """Most images that the sites of a block may have under the operations that it lists."""
    most = 0
    for block in _blocks(text):
        operations = [len(_column(block, tag)) for tag in (*_OPERATIONS, *_MAGNETIC)]
        centerings = [len(_column(block, tag)) for tag in _CENTERINGS]
        n_sites = max(len(_column(block, f"_atom_site.{tag}")) for tag in ("label", "fract_x"))
        most = max(most, n_sites * max(*operations, 1) * max(*centerings, 1))
    return most


def _blocks(text: str) -> list[cif.Block]:
    for checks in (1, 0):  # names that come twice matter only where they are needed
        try:
            return list(cif.read_string(text, checks))
        except (ValueError, RuntimeError) as error:
            found = _GEMMI_PLACE.fullmatch(str(error))
            reason = f"line {found[1]}: {found[2]}" if found else str(error)
    remedy = "correct that line"
    strange = sorted({c for c in text if ord(c) < 32 and c not in "\t\n\r\f\v"})
    if strange:
        codes = ", ".join(f"0x{ord(c):02X}" for c in strange)
        remedy += f", and delete the control characters in the file ({codes})"
    if text.startswith("#\\#CIF_2"):
        remedy += "; of CIF 2.0, triple quotes, lists and tables are not read: write CIF 1.1"
    raise StructureFileError(f"this is no readable CIF ({reason}); {remedy}")


def _column(block: cif.Block, tag: str) -> list[str]:
    """Cells under a data name, written with a dot after the category, or with an underscore."""
    cells = block.find_values(tag.replace(".", "_", 1)) or block.find_values(tag)
    return [cell if cell in NULL else cif.as_string(cell) for cell in cells]


def _first(block: cif.Block, *tags: str) -> list[str]:
    """Cells under the first of some data names that has any."""
    return next(filter(None, (_column(block, tag) for tag in tags)), [])


def _value(block: cif.Block, *tags: str) -> str | None:
    """The value of the first of some data names that has one."""
    cells = (cell.strip() for tag in tags for cell in _column(block, tag) if cell not in NULL)
    return next(cells, None)


def _has_atoms(block: cif.Block) -> bool:
    """Whether a block lists atoms; a form that nobody filled in does not."""
    tags = ("label", "type_symbol", "fract_x", "Cartn_x")
    return any({*_column(block, f"_atom_site.{tag}")} - NULL for tag in tags)


# One block ----------------------------------------------------------------------------------------


def _read_block(block: cif.Block) -> Crystal:
    _check_kind(block)
    _check_names(block)
    lengths, angles, lattice = _cell(block)
    given = _given_operations(block)
    operations, contradiction, doubts = find_operations(given, _symbols(block), lengths, angles)
    if contradiction:
        doubts = [
            f"{contradiction}; the operations are used. Check that they are complete, or correct "
            "the symbol"
        ]
    formula = _formula(_value(block, "_chemical_formula.sum") or "")
    sites, more_doubts = read_sites(lambda tag: _column(block, tag), frozenset(formula))
    if (n_images := len(sites) * len(operations.rotations)) > MAX_SITES:
        raise StructureFileError(f"its sites have {n_images:,} images; allowed are {MAX_SITES:,}")
    coords, rows = expand(sites, operations, lattice)
    problem = lattice_problem(lattice, len(coords))
    if problem:
        raise StructureFileError(problem)
    numbers = np.array([site.number for site in sites], dtype=np.int64)[rows]
    n_units = _value(block, "_cell.formula_units_Z")
    unlisted = _missing_elements(formula, numbers)
    amiss = unlisted or (_formula_doubt(formula, numbers, n_units) if formula else [])
    if contradiction and amiss and not unlisted:
        raise StructureFileError(f"{contradiction}, and {amiss[0]}")
    if amiss or not (formula and n_units):
        _check_multiplicities(block, sites, rows, len(operations.rotations))
    doubts = [*doubts, *more_doubts, *_volume_doubt(block, lattice), *amiss]
    labels = [sites[row].label for row in rows.tolist()]
    return Crystal(StructureArrays(lattice, numbers, coords), labels=labels, doubts=doubts)


def _given_operations(block: cif.Block) -> tuple[str, ...]:
    """The list of symmetry operations; refused if there are two that differ."""
    lists = [tuple(x for x in _column(block, tag) if x not in NULL) for tag in _OPERATIONS]
    lists = list(filter(None, lists))
    if len(lists) == 2 and not same_operations(*map(listed_operations, lists)):
        old, new = (tag.replace(".", "_") for tag in _OPERATIONS)
        raise StructureFileError(f"{old} and {new} list different operations; delete one of them")
    return lists[0] if lists else ()


def _check_multiplicities(
    block: cif.Block, sites: list[Site], rows: np.ndarray, n_operations: int
) -> None:
    """Refuse sites that have another number of images than the file says.

    Older files of SHELXL give the order of the site's symmetry under this name.
    """
    found = np.bincount(rows, minlength=len(sites)).tolist()
    for site, text, images in zip(sites, _first(block, *_MULTIPLICITIES), found, strict=False):
        written = _positive(text)
        if written and images and written != images and written * images != n_operations:
            raise StructureFileError(
                f"site {site.label} has {images} image{'s' * (images > 1)} in the cell, and its "
                f"multiplicity is {text[:40]}; check that the symmetry operations are complete, or "
                "correct the multiplicity"
            )


def _check_kind(block: cif.Block) -> None:
    """Refuse what needs more than a cell, operations and sites."""
    if _first(block, *_MAGNETIC):
        raise StructureFileError("this is a magnetic CIF; give the file a name that ends in .mcif")
    dimension = _value(block, "_cell.modulation_dimension")
    if _column(block, "_space_group_symop.ssg_operation_algebraic") or dimension not in (None, "0"):
        raise StructureFileError(
            "the structure is modulated, so it has no cell that repeats; give a periodic "
            "approximant instead"
        )


def _check_names(block: cif.Block) -> None:
    """Refuse a block that gives twice, and not alike, what cell, symmetry or sites follow from."""
    values: dict[str, object] = {}
    for item in block:
        columns: dict[str, Any] = {}
        pair: Any = item.pair
        if pair is not None:
            columns = {pair[0]: pair[1]}
        elif item.loop is not None and item.loop.tags[0].lower().startswith(_LOOPS):
            tags, cells = item.loop.tags, item.loop.values
            columns = {tag: cells[i :: len(tags)] for i, tag in enumerate(tags)}
        for tag, value in columns.items():
            tag = tag.lower().replace(".", "_", 1)
            if tag.startswith(_NEEDED) and values.setdefault(tag, value) != value:
                raise StructureFileError(f"{tag} is given twice, with different values; delete one")


def _cell(block: cif.Block) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lengths in Å, angles in °, and the lattice vectors as rows."""
    tags = [f"_cell.length_{axis}" for axis in "abc"] + [f"_cell.angle_{name}" for name in _ANGLES]
    values = []
    for tag in tags:
        text = _value(block, tag)
        values.append(_positive(text))
        if not values[-1]:
            got = f"is '{text[:40]}'" if text else "is missing"
            raise StructureFileError(
                f"{tag.replace('.', '_')} {got}; give the three lengths in Å and the three angles "
                "in °, as positive numbers"
            )
    cosines = np.cos(np.radians(values[3:]))
    if max(values[3:]) >= 180 or 1 + 2 * cosines.prod() - (cosines**2).sum() <= 1e-6:
        shown = ", ".join(f"{value:.6g}" for value in values[3:])
        raise StructureFileError(f"the angles {shown}° of the cell span no volume; correct them")
    matrix = np.array(Lattice.from_parameters(*values).matrix, dtype=np.float64, order="C")
    return np.array(values[:3]), np.array(values[3:]), matrix


def _symbols(block: cif.Block) -> Symbols:
    names = filter(None, (_value(block, tag) for tag in _NAMED))
    hall = _value(block, "_space_group.name_Hall", "_symmetry.space_group_name_Hall")
    number = _value(block, "_space_group.IT_number", "_symmetry.Int_Tables_number")
    return Symbols(hall, tuple(dict.fromkeys(names)), None if number == "0" else number)


# Doubts -------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _formula(text: str) -> dict[str, float]:
    """Amounts in a formula such as "C2 H6 O", deuterium as hydrogen; none if it is otherwise."""
    amounts: dict[str, float] = {}
    with suppress(Exception):  # of pymatgen, whatever the text is
        for symbol, amount in Composition(text).get_el_amt_dict().items():
            symbol = "H" if symbol in ("D", "T") else symbol
            amounts[symbol] = amounts.get(symbol, 0.0) + amount
    return amounts if all(map(Element.is_valid_symbol, amounts)) else {}


def _missing_elements(formula: dict[str, float], numbers: np.ndarray) -> list[str]:
    """Elements of the chemical formula that no site holds."""
    found = {SYMBOLS[z] for z in np.unique(numbers).tolist()}
    missing = [symbol for symbol, amount in formula.items() if amount and symbol not in found]
    if not missing:
        return []
    return [
        f"Missing elements {', '.join(missing)}: {_written(formula)} names them, and no site holds "
        "them; add their sites, or correct the formula"
    ]


def _written(formula: dict[str, float]) -> str:
    words = " ".join(f"{symbol}{amount:g}" for symbol, amount in formula.items())
    return f"_chemical_formula_sum '{words}'"


def _formula_doubt(formula: dict[str, float], numbers: np.ndarray, units: str | None) -> list[str]:
    """Where the atoms of the cell do not make up the chemical formula."""
    unique, counts = np.unique(numbers, return_counts=True)
    found = {SYMBOLS[z]: n for z, n in zip(unique.tolist(), counts.tolist(), strict=True)}
    ratios = [n / formula[symbol] for symbol, n in found.items() if formula.get(symbol)]
    cell = f"the cell holds {' '.join(f'{symbol}{n}' for symbol, n in found.items())}"
    if len(ratios) < len(found) or max(ratios) > 1.02 * min(ratios):
        return [
            f"{cell}, which is not in the ratio of {_written(formula)}; check that sites and "
            "symmetry operations are complete"
        ]
    n_units = _positive(units)
    # Some programs write the content of the whole cell for the formula, beside its Z.
    is_cell = abs(max(ratios) - 1) < 0.02 and not any(n % (n_units or 1) for n in formula.values())
    if not n_units or is_cell or abs(max(ratios) / n_units - 1) <= 0.02:
        return []
    return [
        f"{cell}, and {_written(formula)} times _cell_formula_units_Z {units} says otherwise; "
        "check that the symmetry operations are complete"
    ]


def _volume_doubt(block: cif.Block, lattice: np.ndarray) -> list[str]:
    text = _value(block, "_cell.volume")
    written, volume = _positive(text), abs(float(np.linalg.det(lattice)))
    if not written or abs(volume / written - 1) < _VOLUME_TOLERANCE:
        return []
    return [
        f"the lengths and angles of the cell give {volume:.6g} Å³, and _cell_volume is {text}; the "
        "former are used. Correct the wrong ones"
    ]


def _positive(text: str | None) -> float:
    """The number that a text is, 0 if it is none above 0."""
    number = parse_number(text) if text else None
    return max(number[0], 0.0) if number else 0.0
