"""The symmetry operations of a CIF block: its own list, or those that its symbol stands for."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import gemmi
import numpy as np

from ssatom.exceptions import StructureError, StructureFileError, attempt

_RIGHT_ANGLE = 0.01  # °, how far an angle may be from 90 and still count as 90
_METRIC_TOLERANCE = 0.02  # of the product of two cell lengths
_SHORT_MONOCLINIC = re.compile(r"([PABCIF])(21?|[mabcnd]|21?/[mabcnd])", re.IGNORECASE)
_MOST_LISTED = 2000  # operations; a cell of 27 cubic ones has 1,296
_LONGEST_NAME = 100  # characters of a symbol of a space group
_WITH_AXIS = {"a": "{} {} 1 1", "b": "{} 1 {} 1", "c": "{} 1 1 {}"}


class Operations(NamedTuple):
    """Symmetry operations ``rotations @ frac + translations / 24``, all of whole numbers."""

    rotations: np.ndarray
    translations: np.ndarray


class Symbols(NamedTuple):
    """What a block calls its space group."""

    hall: str | None
    names: tuple[str, ...]
    number: str | None


def find_operations(
    listed: tuple[str, ...], symbols: Symbols, lengths: np.ndarray, angles: np.ndarray
) -> tuple[Operations, str, list[str]]:
    """Operations of a crystal, which name contradicts them if they are listed, and doubts."""
    if len(listed) > _MOST_LISTED:
        raise StructureFileError(
            f"it lists {len(listed):,} symmetry operations; allowed are {_MOST_LISTED:,}"
        )
    if long := [name for name in _texts(symbols) if len(name) > _LONGEST_NAME]:
        raise StructureFileError(f"the space group '{long[0][:60]}…' is no symbol; correct it")
    readings = _readings(symbols, tuple(angles.tolist()))
    contradiction = ""
    doubts: list[str] = []
    if listed:
        operations, contradiction = listed_operations(listed), _contradiction(listed, readings)
        what = "the symmetry operations that are listed do"
    else:
        operations, doubts = _named_operations(readings)
        what = " and ".join(reading.what for reading in readings) + " does"
    _check_cell(operations, lengths, angles, what)
    return operations, contradiction, doubts


def _texts(symbols: Symbols) -> list[str]:
    return list(filter(None, (symbols.hall, *symbols.names, symbols.number)))


# The list of a file -------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def listed_operations(listed: tuple[str, ...]) -> Operations:
    """Operations of their texts, such as "-x, y+1/2, -z"; they must form a group."""
    parsed = list(map(_parse, listed))
    rotations = np.array([operation.rot for operation in parsed]) // gemmi.Op.DEN
    translations = np.array([operation.tran for operation in parsed])
    keys = _keys(rotations, translations)
    first = np.sort(np.unique(keys, return_index=True)[1])
    rotations, translations = rotations[first], translations[first]
    _check_group(rotations, translations, keys[first], [listed[i] for i in first])
    return Operations(rotations, translations)


@lru_cache(maxsize=4096)
def _parse(text: str) -> gemmi.Op:
    reason = "of x, y and z"
    try:
        operation = gemmi.Op(text)
    except (RuntimeError, ValueError) as error:
        reason = str(error)
    else:
        whole = not (np.array(operation.rot) % gemmi.Op.DEN).any()
        if whole and not set(text.lower()) & set("abchkl"):  # those of bases and reflections
            if abs(operation.det_rot()) != gemmi.Op.DEN**3:
                raise StructureFileError(
                    f"the symmetry operation '{text[:60]}' is none: it changes the volume"
                )
            return operation.wrap()
    raise StructureFileError(
        f"the symmetry operation '{text[:60]}' is not understood ({reason}); write it like "
        "'-x,y+1/2,-z', in quotes if it has blanks, with shifts in twenty-fourths"
    )


def _keys(rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """A number for each operation, the same for shifts that differ by lattice vectors."""
    codes = (rotations.reshape(-1, 9) % 8) @ (8 ** np.arange(9))
    return codes * 24**3 + (translations % 24) @ (24 ** np.arange(3))


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


def _contradiction(listed: tuple[str, ...], readings: list[_Reading]) -> str:
    """The first name of the space group that contradicts the list of operations, or ""."""
    group, order = _group_of(listed)
    got = f"those of {group.xhm()}" if group else f"of another group or setting ({order} rotations)"

    def contradicts(reading: _Reading) -> bool:
        if reading.type is None:
            return False
        if group is None:
            return order != len(reading.type.operations().sym_ops)
        return group.number != reading.type.number

    wrong = [reading.what for reading in readings if contradicts(reading)] or [
        reading.what
        for reading in readings
        if (named := reading.settled) and not same_operations(named, listed_operations(listed))
    ]
    return f"{wrong[0]} contradicts the operations that are listed, {got}" if wrong else ""


@lru_cache(maxsize=512)
def _group_of(listed: tuple[str, ...]) -> tuple[gemmi.SpaceGroup | None, int]:
    """The tabulated group with these operations, if any, and how many rotations they have."""
    order = len(np.unique(listed_operations(listed).rotations, axis=0))
    different = {operation.triplet(): operation for operation in map(_parse, listed)}
    return gemmi.find_spacegroup_by_ops(gemmi.GroupOps(list(different.values()))), order


# The names of a space group -----------------------------------------------------------------------


class _Reading(NamedTuple):
    """What one name of a space group stands for."""

    what: str
    type: gemmi.SpaceGroup | None
    operations: Operations | None
    doubt: str  # what was guessed, or why there are no operations
    is_number: bool = False

    @property
    def settled(self) -> Operations | None:
        """Operations, if it decides on a setting, alone or with the cell; a number does not."""
        return None if self.doubt or self.is_number else self.operations


@lru_cache(maxsize=1024)
def _readings(symbols: Symbols, angles: tuple[float, ...]) -> list[_Reading]:
    readings = []
    if symbols.hall:
        what = f"the Hall symbol '{symbols.hall[:60]}'"
        group = _group_of_hall(symbols.hall)
        doubt = f"{what} is not understood, and no symmetry operations are listed; correct it"
        readings.append(
            _Reading(what, gemmi.find_spacegroup_by_ops(group), _operations_of(symbols.hall), "")
            if group
            else _Reading(what, None, None, f"{doubt}, or list the operations")
        )
    for name in symbols.names:
        number = name.strip().isdecimal()
        found = attempt(_standard_setting if number else _setting, name.strip(), angles)
        readings.append(_reading(f"the space group '{name}'", _lookup(name), found, number))
    if symbols.number:
        found = attempt(_standard_setting, symbols.number, angles)
        what = f"the space group number {symbols.number}"
        readings.append(_reading(what, _numbered(symbols.number), found, True))
    return readings


def _reading(
    what: str,
    group: gemmi.SpaceGroup | None,
    found: tuple[gemmi.SpaceGroup, str] | StructureError,
    is_number: bool,
) -> _Reading:
    if isinstance(found, StructureError):
        return _Reading(what, group, None, found.reason, is_number)
    return _Reading(what, group, _operations_of(found[0].hall), found[1], is_number)


def _named_operations(readings: list[_Reading]) -> tuple[Operations, list[str]]:
    """Operations of the names alone, if these and the cell decide on a setting."""
    remedy = "and no symmetry operations are listed; correct the wrong one, or list the operations"
    if len({reading.type.number for reading in readings if reading.type}) > 1:
        names = " and ".join(reading.what for reading in readings)
        raise StructureFileError(f"{names} contradict each other, {remedy}")
    settled = [(reading.what, x) for reading in readings if (x := reading.settled) is not None]
    for what, operations in settled:
        if not same_operations(operations, settled[0][1]):
            both = f"{settled[0][0]} and {what}"
            raise StructureFileError(f"{both} are different settings, {remedy}")
    if settled:
        return settled[0][1], [
            f"{reading.what} is not understood; {settled[0][0]} is used. Correct the former, or "
            "delete it"
            for reading in readings
            if reading.type is None and reading.operations is None
        ]
    if not readings:
        return listed_operations(("x,y,z",)), [
            "guessed setting: the file names no space group and lists no symmetry operations, so "
            "all atoms of the cell are taken to be listed (space group P 1); add the operations "
            "if that is wrong"
        ]
    first = readings[0]
    if first.operations is None:
        raise StructureFileError(first.doubt)
    return first.operations, [first.doubt] if first.doubt else []


@lru_cache(maxsize=1024)
def _group_of_hall(hall: str) -> gemmi.GroupOps | None:
    try:
        return gemmi.symops_from_hall(hall)
    except (RuntimeError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _operations_of(hall: str) -> Operations:
    return listed_operations(tuple(x.triplet() for x in gemmi.symops_from_hall(hall)))


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


def _setting(name: str, angles: tuple[float, ...]) -> tuple[gemmi.SpaceGroup, str]:
    """The one setting that a symbol and the angles of the cell stand for, and what was guessed."""
    spellings = _spellings(name)
    if len(spellings) > 1:
        return _monoclinic_setting(name, angles)
    group = gemmi.find_spacegroup_by_name(spellings[0])
    if group is None:
        raise StructureFileError(
            f"the space group '{name[:60]}' is not understood, and no symmetry operations are "
            "listed; correct the symbol, or list the operations"
        )
    return group if ":" in spellings[0] else _decided(group, f"'{name}'", angles), ""


def _decided(group: gemmi.SpaceGroup, what: str, angles: tuple[float, ...]) -> gemmi.SpaceGroup:
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


def _monoclinic_setting(name: str, angles: tuple[float, ...]) -> tuple[gemmi.SpaceGroup, str]:
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
    return group, "" if oblique else (
        f"guessed setting: the space group '{name}' does not tell its unique axis, nor do the "
        f"angles, which are all 90°; read as '{group.hm}'. List the symmetry operations, or write "
        "the symbol in full, if that is wrong"
    )


def _standard_setting(number: str, angles: tuple[float, ...]) -> tuple[gemmi.SpaceGroup, str]:
    """The standard setting of a number, which is a guess for 3 to 74."""
    group = _decided(_numbered(number), f"number {number}", angles)
    if not 3 <= group.number <= 74:
        return group, ""
    if group.number <= 15:
        letter, element = group.hm.split()[0], group.hm.split()[2]
        group, _ = _monoclinic_setting(f"{letter} {element}", angles)
    return group, (
        f"guessed setting: of the space group only the number {number} is given, which has several "
        f"settings; read as '{group.hm}'. List the symmetry operations, or give the full symbol, "
        "if that is wrong"
    )


# The cell -----------------------------------------------------------------------------------------


def _check_cell(operations: Operations, lengths: np.ndarray, angles: np.ndarray, what: str) -> None:
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
    raise StructureFileError(
        f"{what} not fit the cell ({cell}: lengths in Å, angles in °), which they would change; "
        "correct the cell, the axes or the symmetry"
    )
