"""The symmetry operations of a CIF block: its own list, or those that its symbol stands for."""

from __future__ import annotations

import re
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import gemmi
import numpy as np

from ssatom.exceptions import StructureFileError

_RIGHT_ANGLE = 0.01  # °, how far an angle may be from 90 and still count as 90
_METRIC_TOLERANCE = 0.02  # of the product of two cell lengths
_TERM = re.compile(r"([+-]?)(?:(\d+(?:\.\d*)?|\.\d+)(?:/([1-9]\d*))?\*?)?([xyz])?")
_SHORT_MONOCLINIC = re.compile(r"([PABCIF])(21?|[mabcnd]|21?/[mabcnd])", re.IGNORECASE)
_WITH_AXIS = {"a": "{} {} 1 1", "b": "{} 1 {} 1", "c": "{} 1 1 {}"}


class Operations(NamedTuple):
    """Symmetry operations, as ``rotations @ frac + translations``."""

    rotations: np.ndarray
    translations: np.ndarray


class Symbols(NamedTuple):
    """What a block calls its space group."""

    hall: str | None
    names: tuple[str, ...]
    number: str | None

    def __str__(self) -> str:
        parts = [f"the Hall symbol '{self.hall}'"] if self.hall else []
        parts += [f"the space group '{name}'" for name in self.names]
        return " and ".join(parts + ([f"number {self.number}"] if self.number else []))


def find_operations(
    listed: tuple[str, ...], symbols: Symbols, lengths: np.ndarray, angles: np.ndarray
) -> tuple[Operations, list[str]]:
    """Operations of a crystal, and what is in doubt about them."""
    if listed:
        operations, warnings = listed_operations(listed), _contradictions(listed, symbols, angles)
    else:
        operations, warnings = _from_symbols(symbols, angles)
    _check_cell(operations, lengths, angles, listed, symbols)
    return operations, warnings


# The list of a file -------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def listed_operations(listed: tuple[str, ...]) -> Operations:
    """Operations of their texts, such as "-x, y+1/2, -z"; they must form a group."""
    parsed = [_parse(text) for text in listed]
    rotations, translations = (np.array(x, dtype=float) for x in zip(*parsed, strict=True))
    keys = _keys(rotations, translations)
    _, first = np.unique(keys, return_index=True)
    first.sort()
    rotations, translations = rotations[first], translations[first]
    _check_group(rotations, translations, keys[first], [listed[i] for i in first])
    return Operations(rotations, translations)


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[list[list[int]], list[float]]:
    """Rotation and shift of a text; gemmi takes shifts in twenty-fourths only."""
    parts = re.sub(r"\s", "", text.lower()).split(",")
    rows = [row for part in parts if (row := _parse_row(part))]
    if not len(rows) == len(parts) == 3:
        raise StructureFileError(
            f"the symmetry operation '{text[:60]}' is not understood; write it like "
            "'-x,y+1/2,-z', in quotes if it has blanks"
        )
    rotation = [row[0] for row in rows]
    if abs(round(np.linalg.det(rotation))) != 1:
        raise StructureFileError(f"the symmetry operation '{text}' is none: it changes the volume")
    return rotation, [row[1] for row in rows]


@lru_cache(maxsize=4096)
def _parse_row(text: str) -> tuple[list[int], float] | None:
    """Coefficients of x, y and z, and the shift, of one part of an operation."""
    terms = [term for term in _TERM.finditer(text) if term[2] or term[4]]
    if not text or "".join(term[0] for term in terms) != text:
        return None
    if not all(term[1] for term in terms[1:]):  # a sign between any two
        return None
    values = dict.fromkeys(("x", "y", "z", None), Fraction(0))
    for sign, number, divisor, axis in (term.groups() for term in terms):
        values[axis] += Fraction(f"{sign}{number or 1}") / int(divisor or 1)
    shift = float(values.pop(None))
    if any(value.denominator != 1 for value in values.values()):
        return None
    nearest = round(shift * 24) / 24  # 1/3 where it was written 0.333
    exact = nearest if abs(shift - nearest) < 0.002 else shift
    return [int(value) for value in values.values()], exact


def _keys(rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """A number for each operation, the same for shifts that differ by lattice vectors."""
    codes = (np.rint(rotations).astype(np.int64).reshape(-1, 9) % 8) @ (8 ** np.arange(9))
    # The odd offset keeps fractions that occur, and their rounding errors, off the steps.
    shifts = np.floor(translations * 720 + 0.37).astype(np.int64) % 720
    return codes * 720**3 + shifts @ (720 ** np.arange(3))


def _check_group(
    rotations: np.ndarray, translations: np.ndarray, keys: np.ndarray, texts: list[str]
) -> None:
    for start in range(0, len(keys), 32):
        first, shift = rotations[start : start + 32], translations[start : start + 32]
        products = np.einsum("aij,bjk->abik", first, rotations)
        shifts = np.einsum("aij,bj->abi", first, translations) + shift[:, None]
        known = np.isin(_keys(products.reshape(-1, 3, 3), shifts.reshape(-1, 3)), keys)
        if not known.all():
            a, b = divmod(int(np.argmin(known)), len(keys))
            raise StructureFileError(
                f"the list of {len(keys)} symmetry operations is not complete: '{texts[b]}' "
                f"followed by '{texts[start + a]}' is not in it; list all operations, or delete "
                "the list if the space group is given by its symbol"
            )


def same_operations(first: Operations, second: Operations) -> bool:
    """Whether two lists hold the same operations, in any order."""
    return set(_keys(*first).tolist()) == set(_keys(*second).tolist())


def _contradictions(listed: tuple[str, ...], symbols: Symbols, angles: np.ndarray) -> list[str]:
    """What the names of the space group say otherwise than the list of operations."""
    group, order = _group_of(listed)
    remedy = "the operations are used. Check that they are complete, or correct the symbol"
    for what, claimed in _claims(symbols):
        if (group.number if group else order) != (claimed.number if group else _order(claimed)):
            got = f"those of {group.xhm()}" if group else f"of another group ({order} rotations)"
            return [f"{what} contradicts the operations that are listed, {got}; {remedy}"]
    for what, named in _settings(symbols, angles):
        if not same_operations(named, listed_operations(listed)):
            got = f"those of {group.xhm()}" if group else "those of another setting"
            return [f"{what} contradicts the operations that are listed, {got}; {remedy}"]
    return []


def _settings(symbols: Symbols, angles: np.ndarray) -> list[tuple[str, Operations]]:
    """Each name that decides on a setting, alone or with the cell, and its operations."""
    settings = []
    if symbols.hall and _is_hall(symbols.hall):
        hall = f"the Hall symbol '{symbols.hall}'"
        settings.append((hall, _operations_of_hall(symbols.hall)))
    for name in symbols.names:
        if not name.strip().isdecimal():
            with suppress(StructureFileError):  # of two origins, or not understood
                group, guesses = _setting(name, angles)
                if not guesses:
                    what = f"the space group '{name}'"
                    settings.append((what, _operations_of_hall(group.hall)))
    return settings


@lru_cache(maxsize=512)
def _group_of(listed: tuple[str, ...]) -> tuple[gemmi.SpaceGroup | None, int]:
    """The tabulated group with these operations, if any, and how many rotations they have."""
    operations = listed_operations(listed)
    order = len(np.unique(operations.rotations.reshape(-1, 9), axis=0))
    try:
        found = gemmi.GroupOps([_gemmi_operation(*pair) for pair in zip(*operations, strict=True)])
    except ValueError:
        return None, order
    return gemmi.find_spacegroup_by_ops(found), order


def _gemmi_operation(rotation: np.ndarray, translation: np.ndarray) -> gemmi.Op:
    shift = translation * gemmi.Op.DEN
    if not np.allclose(shift, np.rint(shift), atol=1e-6):
        raise ValueError("gemmi counts in twenty-fourths")
    operation = gemmi.Op("x,y,z")
    operation.rot = np.rint(rotation * gemmi.Op.DEN).astype(int).tolist()
    operation.tran = np.rint(shift).astype(int).tolist()
    return operation.wrap()


# The names of a space group -----------------------------------------------------------------------


def _from_symbols(symbols: Symbols, angles: np.ndarray) -> tuple[Operations, list[str]]:
    """Operations of the names alone, if these and the cell decide on a setting."""
    claims = _claims(symbols)
    if len({group.number for _, group in claims}) > 1:
        raise StructureFileError(
            f"{symbols} contradict each other, and no symmetry operations are listed; correct "
            "the wrong one, or list the operations"
        )
    settings = _settings(symbols, angles)
    for what, operations in settings[1:]:
        if not same_operations(operations, settings[0][1]):
            raise StructureFileError(
                f"{settings[0][0]} and {what} are different settings, and no symmetry operations "
                "are listed; correct the wrong one, or list the operations"
            )
    if symbols.hall and (_is_hall(symbols.hall) or not settings):
        return _operations_of_hall(symbols.hall), []
    if symbols.hall:
        what, operations = settings[0]
        return operations, [
            f"the Hall symbol '{symbols.hall[:60]}' is not understood; {what} is used. Correct "
            "the Hall symbol, or delete it"
        ]
    if symbols.names:
        group, warnings = _setting(symbols.names[0], angles)
    elif symbols.number:
        group, warnings = _standard_setting(symbols.number, angles)
    else:
        return listed_operations(("x,y,z",)), [
            "guessed setting: the file names no space group and lists no symmetry operations, so "
            "all atoms of the cell are taken to be listed (space group P 1); add the operations "
            "if that is wrong"
        ]
    return _operations_of_hall(group.hall), warnings


def _is_hall(text: str) -> bool:
    try:
        gemmi.symops_from_hall(text)
    except (RuntimeError, ValueError):
        return False
    return True


@lru_cache(maxsize=1024)
def _operations_of_hall(hall: str) -> Operations:
    try:
        operations = gemmi.symops_from_hall(hall)
    except (RuntimeError, ValueError) as error:
        raise StructureFileError(
            f"the Hall symbol '{hall[:60]}' is not understood ({error}), and no symmetry "
            "operations are listed; correct it, or list the operations"
        ) from None
    return listed_operations(tuple(operation.triplet() for operation in operations))


def _claims(symbols: Symbols) -> list[tuple[str, gemmi.SpaceGroup]]:
    """Each name that is understood, with a space group of that type."""
    claims: list[tuple[str, gemmi.SpaceGroup | None]] = []
    if symbols.hall and _is_hall(symbols.hall):
        group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(symbols.hall))
        claims.append((f"the Hall symbol '{symbols.hall}'", group))
    claims += [(f"the space group '{name}'", _lookup(name)) for name in symbols.names]
    if symbols.number:
        claims.append((f"the space group number {symbols.number}", _numbered(symbols.number)))
    return [(what, group) for what, group in claims if group]


def _lookup(name: str) -> gemmi.SpaceGroup | None:
    return next(filter(None, map(gemmi.find_spacegroup_by_name, _spellings(name))), None)


def _spellings(name: str) -> list[str]:
    """A Hermann-Mauguin symbol as gemmi's table has it, for any unique axis."""
    name = re.sub(r"[_~]", "", name).strip()
    name = re.sub(r"([2346])\(([1-5])\)", r"\1\2", name)  # P 2(1)/n of SHELXL-97
    name = re.sub(r"\s*\((?:no\.?)?\s*\d{1,3}\)$", "", name, flags=re.IGNORECASE)
    name = re.sub(r"\(?origin(?: choice)? *([12])\)?$", r":\1", name, flags=re.IGNORECASE)
    # The Inorganic Crystal Structure Database marks origins by S and Z, axes by H and R.
    name = re.sub(r"\s*:?\s*[zZ]$", ":2", re.sub(r"\s*:?\s*[sS]$", ":1", name))
    name = re.sub(r"\s*:?\s*([hHrR])$", lambda found: ":" + found[1].upper(), name)
    short = _SHORT_MONOCLINIC.fullmatch(name.replace(" ", ""))
    if short:
        return [_WITH_AXIS[axis].format(*short.groups()) for axis in "bca"]
    if gemmi.find_spacegroup_by_name(name):
        return [name]
    # A mark of an origin or axes where there is one choice alone, or a symbol in full.
    plain = name.split(":")[0]
    marked = gemmi.find_spacegroup_by_name(plain)
    if marked:
        return [name if marked.ext.strip("\x00") else plain]
    axes = r"\b(?:2|21|4[123]?)/" if " -3 " in name and name[2:4] != "-3" else r"\b(?:2|21)/"
    return [re.sub(axes, "", name)]


def _numbered(text: str) -> gemmi.SpaceGroup:
    if text.isdecimal() and 1 <= int(text) <= 230:
        return gemmi.find_spacegroup_by_number(int(text))
    raise StructureFileError(f"the space group number '{text[:20]}' is none; allowed is 1 to 230")


def _order(group: gemmi.SpaceGroup) -> int:
    return len(group.operations().sym_ops)


def _setting(name: str, angles: np.ndarray) -> tuple[gemmi.SpaceGroup, list[str]]:
    """The one setting that a symbol and the angles of the cell stand for."""
    if name.strip().isdecimal():
        return _standard_setting(name.strip(), angles)
    spellings = _spellings(name)
    if len(spellings) > 1:
        return _monoclinic_setting(name, angles)
    group = gemmi.find_spacegroup_by_name(spellings[0])
    if group is None:
        raise StructureFileError(
            f"the space group '{name[:60]}' is not understood, and no symmetry operations are "
            "listed; correct the symbol, or list the operations"
        )
    return group if ":" in spellings[0] else _decided(group, f"'{name}'", angles), []


def _decided(group: gemmi.SpaceGroup, what: str, angles: np.ndarray) -> gemmi.SpaceGroup:
    """The group with the axes that the cell tells, if it has no two origins."""
    extension = group.ext.strip("\x00")
    if extension in ("1", "2"):
        raise StructureFileError(
            f"the space group {what} has two choices of origin, and no symmetry operations are "
            f"listed; list them, or write the symbol as '{group.hm}:1' or '{group.hm}:2'"
        )
    if extension in ("H", "R"):
        axes = "H" if abs(angles[2] - 120) < 1 and np.allclose(angles[:2], 90, atol=1) else "R"
        return gemmi.find_spacegroup_by_name(f"{group.hm}:{axes}")
    return group


def _monoclinic_setting(name: str, angles: np.ndarray) -> tuple[gemmi.SpaceGroup, list[str]]:
    """The group of a short symbol, whose unique axis has the only angle that is not 90°."""
    symbol = _spellings(name)
    oblique = [
        axis for axis, angle in zip("abc", angles, strict=True) if abs(angle - 90) > _RIGHT_ANGLE
    ]
    groups = dict(zip("bca", map(gemmi.find_spacegroup_by_name, symbol), strict=True))
    known = [axis for axis in "bca" if groups[axis]]
    axis = oblique[0] if oblique else known[0]
    group = groups[axis]
    if len(oblique) > 1 or group is None or (not oblique and axis != "b" and len(known) > 1):
        shown = ", ".join(f"{angle:.6g}" for angle in angles)
        raise StructureFileError(
            f"the space group '{name}' does not fit a cell with the angles {shown}°, and no "
            "symmetry operations are listed; list them, or correct the symbol"
        )
    if oblique:
        return group, []
    return group, [
        f"guessed setting: the space group '{name}' does not tell its unique axis, nor do the "
        f"angles, which are all 90°; read as '{group.hm}'. List the symmetry operations, or write "
        "the symbol in full, if that is wrong"
    ]


def _standard_setting(number: str, angles: np.ndarray) -> tuple[gemmi.SpaceGroup, list[str]]:
    """The standard setting of a number, which is a guess for 3 to 74."""
    group = _decided(_numbered(number), f"number {number}", angles)
    if not 3 <= group.number <= 74:
        return group, []
    if group.number <= 15:
        letter, element = group.hm.split()[0], group.hm.split()[2]
        group, _ = _monoclinic_setting(f"{letter} {element}", angles)
    return group, [
        f"guessed setting: of the space group only the number {number} is given, which has several "
        f"settings; read as '{group.hm}'. List the symmetry operations, or give the full symbol, "
        "if that is wrong"
    ]


# The cell -----------------------------------------------------------------------------------------


def _check_cell(
    operations: Operations,
    lengths: np.ndarray,
    angles: np.ndarray,
    listed: tuple[str, ...],
    symbols: Symbols,
) -> None:
    """Refuse a cell that the operations would change."""
    if len(operations.rotations) == 1:
        return
    cosines = np.ones((3, 3))
    cosines[[1, 0, 0], [2, 2, 1]] = cosines[[2, 2, 1], [1, 0, 0]] = np.cos(np.radians(angles))
    products = lengths[:, None] * lengths
    metric = products * cosines
    moved = operations.rotations.transpose(0, 2, 1) @ metric @ operations.rotations
    if (np.abs(moved - metric) <= _METRIC_TOLERANCE * products).all():
        return
    cell = ", ".join(f"{x:.6g}" for x in [*lengths, *angles])
    what = "the symmetry operations that are listed do" if listed else f"{symbols} does"
    raise StructureFileError(
        f"{what} not fit the cell ({cell}: lengths in Å, angles in °), which they would change; "
        "correct the cell, the axes or the symmetry"
    )
