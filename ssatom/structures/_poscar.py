"""VASP's files of positions: POSCAR, CONTCAR, and the head of CHGCAR and LOCPOT."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np

from ssatom.exceptions import StructureFileError
from ssatom.limits import MAX_SITES
from ssatom.structures._arrays import (
    MAX_ATOMIC_NUMBER,
    NUMBERS,
    SYMBOLS,
    Crystal,
    StructureArrays,
    checked,
)
from ssatom.structures._text import decode, plain_name, read_bytes

_POTCAR_TITLE = re.compile(r"^ *(?:VRHFIN *= *)([A-Z][a-z]?) *:", re.MULTILINE)


def read_poscar(path: str | os.PathLike[str]) -> Crystal:
    """The crystal of a file.

    Without a line of elements (VASP 4) they come from symbols after the coordinates, a POTCAR
    beside a file that is named as VASP names it, or a comment that is a list of as many elements.
    """
    lines = decode(read_bytes(path)).splitlines()
    potcar = Path(path).parent / "POTCAR"
    in_use = plain_name(path) in ("poscar", "contcar", "chgcar", "locpot") and potcar.is_file()
    elements = _POTCAR_TITLE.findall(decode(read_bytes(potcar))) if in_use else []
    return parse_poscar(lines, elements)


def parse_poscar(lines: list[str], potcar: list[str]) -> Crystal:
    """The crystal of the lines of a file, beside which a POTCAR has some elements."""
    with np.errstate(all="ignore"):  # what is not finite is refused below
        arrays, doubts = _parse(lines, potcar)
    return Crystal(checked(arrays), doubts=doubts)


def _parse(lines: list[str], potcar: list[str]) -> tuple[StructureArrays, list[str]]:
    lattice, scale = _lattice(lines)
    symbols, counts, place = _kinds(lines)
    if not counts or min(counts) < 0 or not 0 < sum(counts) <= MAX_SITES:
        raise StructureFileError(
            f"line {place} gives the numbers of atoms {counts}; allowed are whole numbers "
            f"above 0, together at most {MAX_SITES:,}"
        )
    wanted = "a line 'Direct' or 'Cartesian'"
    selective = _line(lines, place, wanted)[:1] in ("s", "S")
    place += selective
    mode = _line(lines, place, wanted)[:1]
    if not mode.isalpha():
        raise StructureFileError(
            f"line {place + 1} is {_shown(lines[place])}; allowed is 'Direct' or 'Cartesian'"
        )
    body = _body(lines, place + 1, sum(counts))
    coords = np.array([_floats(line.split()[:3], place + 2 + i) for i, line in enumerate(body)])
    if mode in "cCkK":
        coords = (coords * scale) @ np.linalg.inv(lattice)
    last = [line.split()[6 if selective else 3 :] for line in body]
    if symbols:
        numbers = _repeated(symbols, counts)
        _check_last(last, numbers)
        doubts = _potcar_doubt(symbols, potcar)
    else:
        numbers, doubts = _elements_elsewhere(lines[0], last, counts, potcar)
    return StructureArrays(lattice, np.array(numbers, dtype=np.int64), coords), doubts


def _line(lines: list[str], place: int, wanted: str) -> str:
    if place < len(lines) and lines[place].strip():
        return lines[place].strip()
    raise StructureFileError(f"line {place + 1} is missing or empty, where {wanted} belongs")


def _shown(line: str) -> str:
    return repr(line.strip()[:60])


def _number(word: str) -> float:
    try:
        return float(word.replace("D", "e").replace("d", "e"))
    except ValueError:
        return math.nan


def _floats(words: list[str], number: int) -> list[float]:
    values = list(map(_number, words))
    if len(values) == 3 and np.isfinite(values).all():
        return values
    raise StructureFileError(
        f"line {number} has {_shown(' '.join(words))} where three numbers belong; correct it"
    )


def _lattice(lines: list[str]) -> tuple[np.ndarray, np.ndarray | float]:
    """Lattice vectors as rows in Å, and what Cartesian coordinates are multiplied with."""
    words = _line(lines, 1, "the scale of the lattice").split("!")[0].split()
    words = words[:3] if len(words) > 2 and not math.isnan(_number(words[1])) else words[:1]
    scale = np.array(_floats((words * 3)[:3], 2))
    vectors = [_floats(_line(lines, i, "a lattice vector").split()[:3], i + 1) for i in (2, 3, 4)]
    lattice = np.array(vectors)
    volume = abs(float(np.linalg.det(lattice)))
    if len(words) == 1 and scale[0] < 0 and volume > 0:  # the volume of the cell
        scale = np.full(3, (-scale[0] / volume) ** (1 / 3))
    if min(scale) <= 0 or volume <= 0:
        raise StructureFileError(
            f"lines 2 to 5 give a scale of {_shown(lines[1])} and vectors with a volume of "
            f"{volume:.3g} Å³; correct them, since a cell needs a volume"
        )
    return lattice * scale, scale


def _kinds(lines: list[str]) -> tuple[list[str], list[int], int]:
    """Symbols (none in VASP 4), numbers of atoms, and the index of the line after them."""
    symbols: list[str] = []
    place, wanted = 5, "the elements, or the numbers of atoms,"
    while not _are_counts(words := _words(_line(lines, place, wanted))):
        symbols, place, wanted = symbols + words, place + 1, "the numbers of atoms"
        if place > 60:
            raise StructureFileError("no line of numbers of atoms follows the elements")
    counts = _counts(words, place + 1)
    while len(counts) < len(symbols):  # VASP breaks both after twenty
        words = _words(_line(lines, place + 1, wanted))
        if not _are_counts(words):
            break
        place += 1
        counts += _counts(words, place + 1)
    if symbols and len(counts) != len(symbols):
        raise StructureFileError(
            f"{len(symbols)} elements ({' '.join(symbols[:10])}) have {len(counts)} numbers of "
            "atoms; give one for each"
        )
    return symbols, counts, place + 1


def _are_counts(words: list[str]) -> bool:
    return bool(words) and words[0].lstrip("+-").isdecimal()


def _words(line: str) -> list[str]:
    return re.split("[!#]", line)[0].split()


def _counts(words: list[str], number: int) -> list[int]:
    try:
        return [int(word) for word in words]
    except ValueError:
        problem = f"line {number} has {_shown(' '.join(words))} where numbers of atoms belong"
    raise StructureFileError(f"{problem}, which are whole; correct it")


def _body(lines: list[str], start: int, n_sites: int) -> list[str]:
    """Lines of the coordinates, as many as there are atoms; velocities and grids may follow."""
    end = start + n_sites
    body = lines[start:end]
    empty = next((i for i, line in enumerate(body) if not line.strip()), len(body))
    if empty < n_sites:
        raise StructureFileError(
            f"it has coordinates for {empty} of {n_sites} atoms; correct the numbers of atoms, or "
            "add the coordinates"
        )
    words = lines[end].split()[:3] if end < len(lines) else []
    if len(words) == 3 and not np.isnan(list(map(_number, words))).any():
        raise StructureFileError(
            f"it has coordinates for more than {n_sites} atoms; correct the numbers of atoms, or "
            "put an empty line before the velocities"
        )
    for i, line in enumerate(lines[end:], end):
        mode = line.strip().lower()
        counts = lines[i - 1].split() if i > end and mode[:1] in {*"dcks"} else []
        if mode.startswith("direct configuration") or (counts and all(map(str.isdecimal, counts))):
            raise StructureFileError(
                f"line {i + 1} ({_shown(line)}) begins the coordinates of a second crystal; put "
                "each crystal into a file of its own"
            )
    return body


# Elements -----------------------------------------------------------------------------------------


def _element(symbol: str) -> str:
    return re.split("[/_]", symbol)[0]  # VASP 6 adds the potential and its hash


def _repeated(symbols: list[str], counts: list[int]) -> list[int]:
    numbers = []
    for symbol, count in zip(symbols, counts, strict=True):
        number = NUMBERS.get(_element(symbol), 0)
        if not 0 < number <= MAX_ATOMIC_NUMBER:
            raise StructureFileError(
                f"'{symbol[:40]}' in the line of elements is none; allowed are symbols of H to Fm "
                "(Z = 1 to 100)"
            )
        numbers += [number] * count
    return numbers


def _after(words: list[str]) -> str:
    """The symbol after coordinates, such as "Cl", "Cl 1", "! Cl" or "Cl1"; "" if there is none."""
    symbol, *more = re.sub(r"^[!#]\s*", "", " ".join(words)).split() or [""]
    return "" if any(math.isnan(_number(word)) for word in more) else symbol.rstrip("0123456789")


def _check_last(last: list[list[str]], numbers: list[int]) -> None:
    """Refuse symbols after the coordinates that contradict the line of elements."""
    for i, (words, number) in enumerate(zip(last, numbers, strict=True)):
        if NUMBERS.get(_after(words), number) != number:
            symbol = SYMBOLS[number]
            raise StructureFileError(
                f"site {i} is {symbol} by the line of elements and {_after(words)} by the "
                "symbol after its coordinates; correct one of them"
            )


def _elements_elsewhere(
    comment: str, last: list[list[str]], counts: list[int], potcar: list[str]
) -> tuple[list[int], list[str]]:
    """Elements of a file that has no line of them."""
    after = [NUMBERS.get(_after(words), 0) for words in last]
    if all(after):
        return after, []
    if potcar and len(potcar) == len(counts):
        return _repeated(potcar, counts), []
    if potcar:
        raise StructureFileError(
            f"it has no line of elements (VASP 4) and {len(counts)} kinds of atoms, and the POTCAR "
            f"beside it is for {len(potcar)} ({' '.join(potcar)}); write the elements into a "
            "line above the numbers of atoms"
        )
    symbols = comment.split()
    if len(symbols) == len(counts) and all(symbol in NUMBERS for symbol in symbols):
        return _repeated(symbols, counts), [
            f"elements taken from the comment line {_shown(comment)}, since there is no line of "
            "elements (VASP 4); write them into a line above the numbers of atoms"
        ]
    raise StructureFileError(
        f"it has no line of elements (VASP 4), so its {len(counts)} kinds of atoms are unknown; "
        "write the elements into a line above the numbers of atoms, or put its POTCAR beside it "
        "and name it POSCAR"
    )


def _potcar_doubt(symbols: list[str], potcar: list[str]) -> list[str]:
    elements = [_element(symbol) for symbol in symbols]
    if not potcar or potcar == elements:
        return []
    return [
        f"its elements are {' '.join(elements)}, and the POTCAR beside it, by which VASP goes, is "
        f"for {' '.join(potcar)}; the former are used. Correct the wrong ones"
    ]
