"""The atom sites of a CIF block: elements, numbers and occupancies, and all their images."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from ssatom.exceptions import StructureFileError
from ssatom.structures._arrays import FAR, MAX_ATOMIC_NUMBER, NUMBERS, SYMBOLS, is_full
from ssatom.structures._cif_numbers import LONGEST_WORD, parse_number
from ssatom.structures._cif_symmetry import Operations
from ssatom.structures._text import listed

SAME_PLACE = 0.01  # Å; nearer than this, two sites are one
_MOST_ROUNDING = 0.1  # Å, of coordinates with few decimals, when they are moved onto symmetry
_CHUNK = 100_000  # images at a time
_MOST_SHARING = 100  # sites near one place, on average
_FEW = 300  # sites, all pairs of which are looked at

_SYMBOL = re.compile(
    r"\d{0,3}([A-Za-z]{1,2})"
    r"(?:(\d*\.?\d*)[+-]|[+-](\d+\.?\d*|\.\d+)|0)?(?:,spin=[+-]?\d+\.?\d*)?"
)
_HIGHEST_CHARGE = 8.0  # as of osmium in OsO4; a higher number counts atoms, as in PO43-
_LABEL = re.compile(r"([A-Za-z])([A-Za-z]?)([A-Za-z]*)")
# What a label of several atoms has after its first element.
_SEVERAL = re.compile(
    r"[A-Z][A-Za-z]?(?:"
    r"0?(\.)\d|\d*\.\d+([A-Z][a-z]?)"  # Fe0.5, La1.85Sr0.15
    r"|\(?[\d.]*\)?[-/,;:&|+(]([A-Z][a-z]?)"  # Si/Al, O-H1, O(H)
    r"|\d*_?([A-Z][a-z])|(?<=[a-z])([A-CE-SU-Z])(?![A-Za-z])|(?<=H)[23](O)"  # CuZn, SiO4, H2O
    r")"
)
_NUMBERS = NUMBERS | {"D": 1, "T": 1}
_LIGHT = set("HCNOFPS")  # two of them beside each other may be a group of atoms, such as CO
_PARTS = re.compile(r"[A-Z][a-z]?")

NULL = frozenset({".", "?", ""})  # a value that does not apply, is unknown, or is missing

Column: TypeAlias = Callable[[str], list[str]]


class Site(NamedTuple):
    """One line of the list of atoms."""

    label: str
    number: int
    frac: tuple[float, ...]
    occupancy: float
    decimals: int


# Lines --------------------------------------------------------------------------------------------


def read_sites(column: Column, elements: frozenset[str]) -> tuple[list[Site], list[str]]:
    """The atoms that a block lists, and what is ambiguous about them.

    `column` gives the cells of a data name, none if the block lacks it; `elements` are those of
    the chemical formula, if there is one.
    """
    axes = [column(f"_atom_site.fract_{axis}") for axis in "xyz"]
    symbols, labels = column("_atom_site.type_symbol"), column("_atom_site.label")
    if not all(axes):
        raise StructureFileError(_no_fractions(column))
    if not (symbols or labels):
        raise StructureFileError("its sites have neither type symbols nor labels; add elements")
    n_sites = len(labels or symbols)
    symbols, labels = symbols or [""] * n_sites, labels or symbols
    texts = column("_atom_site.occupancy") or ["1"] * n_sites
    if {n_sites} != set(map(len, [symbols, texts, *axes])):
        raise StructureFileError("the columns of its sites have different lengths; correct them")
    sites = []
    for i, (label, symbol, text, *xyz) in enumerate(
        zip(labels, symbols, texts, *axes, strict=True), 1
    ):
        name = next((word for word in (label, symbol) if word not in NULL), f"number {i}")
        number = _number_of(name, symbol, elements)
        frac, decimals = _coordinates(name, xyz)
        sites.append(Site(name, number, frac, _occupancy(name, text), decimals))
    _check_extras(column, sites)
    return sites, _unknown_occupancies(sites, texts)


def _no_fractions(column: Column) -> str:
    if column("_atom_site.Cartn_x"):
        return (
            "its sites have Cartesian coordinates only (_atom_site_Cartn_x); give fractional ones, "
            "or make a structure of them: Structure(lattice, symbols, coords, "
            "coords_are_cartesian=True)"
        )
    return "its sites lack some of _atom_site_fract_x, _y and _z; add the coordinates"


def _coordinates(name: str, texts: list[str]) -> tuple[tuple[float, ...], int]:
    numbers = [parse_number(text) for text in texts]
    for axis, text, number in zip("xyz", texts, numbers, strict=True):
        if text in NULL:
            raise StructureFileError(
                f"site {name} has no coordinates (_atom_site_fract_{axis} is '{text}'); add "
                "them, or delete its line if the crystal is to be read without this atom"
            )
        if number is None or not abs(number[0]) < FAR:
            raise StructureFileError(
                f"site {name} has the coordinate _atom_site_fract_{axis} '{text[:40]}'; allowed "
                "are numbers, fractions of a cell edge, such as 0.25 or 0.2503(4)"
            )
    known = [number for number in numbers if number]
    return tuple(value for value, _ in known), max(decimals for _, decimals in known)


def _occupancy(name: str, text: str) -> float:
    """Occupancy of a site; 1, the default of the format, where it is not given."""
    number = (1.0, 0) if text in NULL else parse_number(text)
    if number is None:
        raise StructureFileError(
            f"site {name} has the occupancy '{text[:40]}'; allowed are numbers from 0 to 1"
        )
    return number[0]


def _unknown_occupancies(sites: list[Site], texts: list[str]) -> list[str]:
    labels = [site.label for site, text in zip(sites, texts, strict=True) if text in NULL]
    if not labels:
        return []
    warning = (
        f"the occupancy of {len(labels)} site{'s' * (len(labels) > 1)} ({listed(labels)}) is not "
        "given; read as 1, the default of the format. Write the numbers if that is wrong"
    )
    lost = {SYMBOLS[site.number] for site, text in zip(sites, texts, strict=True) if text == "."}
    if lost:
        elements = ", ".join(sorted(lost))
        warning += (
            f"; for '.', pymatgen leaves such atoms out and says \"Missing elements {elements}\""
        )
    return [warning]


# Elements -----------------------------------------------------------------------------------------


def _number_of(name: str, symbol: str, elements: frozenset[str]) -> int:
    """Atomic number by the type symbol, or by the label where there is none."""
    by_label = symbol in NULL
    number = _by_label(name, elements) if by_label else _by_symbol(symbol, name, elements)
    if not number:
        raise StructureFileError(f"site {name} {_no_element(symbol, name)}")
    if number > MAX_ATOMIC_NUMBER:
        raise StructureFileError(
            f"site {name} is {symbol} (Z = {number}); allowed are the elements with features, "
            f"H to Fm (Z = 1 to {MAX_ATOMIC_NUMBER}): leave this structure out"
        )
    return number


@lru_cache(maxsize=4096)
def _by_symbol(symbol: str, label: str, elements: frozenset[str]) -> int:
    """Atomic number of a type symbol, with or without isotope, charge and spin; 0 if it is none."""
    found = _SYMBOL.fullmatch(symbol) if len(symbol) <= LONGEST_WORD else None
    if not found or found[1] in "Tt":  # any tetrahedral site, rather than tritium
        return 0
    charge = (found[2] or found[3] or "1").strip(".") or "1"
    if float(charge) > _HIGHEST_CHARGE:
        return 0
    letters = found[1]
    number = _NUMBERS.get(letters.capitalize(), 0)
    if letters == letters.capitalize() or not number:
        return number
    parts, symbol = set(letters.upper()), letters.capitalize()
    if symbol in elements and not parts <= elements:
        return number
    if re.match(symbol + r"(?![A-Za-z])", label) and (symbol in elements or not elements):
        return number
    return 0 if parts <= _LIGHT else number


@lru_cache(maxsize=4096)
def _by_label(label: str, elements: frozenset[str]) -> int:
    """Atomic number that a label such as Na1 begins with; 0 if that is doubtful."""
    number = _beginning(label := label[:LONGEST_WORD], elements)
    if label[:1] in "DTdt" and number == 1:  # seldom a hydrogen isotope
        return 0
    several = _SEVERAL.match(label)
    second = next(filter(None, several.groups()), "") if several else ""
    if second == "." or (second in _NUMBERS and (not elements or second in elements)):
        return 0
    fits = not elements or any(_NUMBERS.get(element) == number for element in elements)
    return number if fits else 0


def _beginning(label: str, elements: frozenset[str]) -> int:
    found = _LABEL.match(label)
    if not found:
        return 0
    first, second, rest = found.groups()
    pair, single = _NUMBERS.get((first + second).capitalize(), 0), _NUMBERS.get(first.upper(), 0)
    if not second:
        return single
    if first.isupper() and second.islower():
        return pair if not rest[:1].islower() else 0
    known = {first.upper(), (first + second).capitalize()} & elements
    if len(known) == 1 and not rest:
        return _NUMBERS.get(known.pop(), 0)
    return single if not pair and second.upper() not in _NUMBERS and not rest else 0


def _no_element(symbol: str, label: str) -> str:
    if symbol in NULL:
        return (
            f"has no type symbol, and its label '{label[:40]}' does not tell the element without "
            "doubt; add _atom_site_type_symbol with elements"
        )
    parts = _PARTS.findall(symbol)
    if len(parts) > 1 and all(part in _NUMBERS for part in parts):
        return (
            f"has the type symbol '{symbol[:40]}', a group of atoms and no element; give each "
            f"atom ({', '.join(parts)}) a line and coordinates of its own"
        )
    return (
        f"has the type symbol '{symbol[:40]}', which is no element; write an element, or delete "
        "the line if there is no atom, as of a dummy or a vacancy"
    )


def _check_extras(column: Column, sites: list[Site]) -> None:
    """Refuse dummies, hydrogen atoms that have no line, and alternatives without occupancy."""
    for site, flag in zip(sites, column("_atom_site.calc_flag"), strict=False):
        if flag.lower() in ("dum", "dummy"):
            raise StructureFileError(
                f"site {site.label} is a dummy (_atom_site_calc_flag {flag}) and no atom; delete "
                "its line"
            )
    for site, text in zip(sites, column("_atom_site.attached_hydrogens"), strict=False):
        number = parse_number(text)
        if number and number[0] > 0:
            raise StructureFileError(
                f"site {site.label} has {text} hydrogen atoms without coordinates "
                "(_atom_site_attached_hydrogens); give each a line of its own, or set the number "
                "to 0 if the crystal is to be read without them"
            )
    groups = {*column("_atom_site.disorder_group")} - NULL - {"0"}
    if len(groups) > 1 and NULL & {*(column("_atom_site.occupancy") or ["?"])}:
        raise StructureFileError(
            "its sites are in several groups of disorder (_atom_site_disorder_group), of which "
            "one is there at a time, and occupancies are missing; keep one of the groups"
        )


# Images -------------------------------------------------------------------------------------------


def expand(
    sites: list[Site], operations: Operations, lattice: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """All atoms of the cell, fractional coordinates (n, 3) and the line of each."""
    n_operations = len(operations.rotations)
    if n_operations == 1:
        coords = np.array([site.frac for site in sites]) + operations.translations[0] / 24
        rows = np.arange(len(sites))
    else:
        step = max(1, _CHUNK // n_operations)
        starts = range(0, len(sites), step)
        parts = [_orbits(sites[start : start + step], operations, lattice) for start in starts]
        coords = np.concatenate([part for part, _ in parts])
        rows = np.concatenate([part + i * step for i, (_, part) in enumerate(parts)])
    coords = coords - np.floor(coords)
    coords[coords > 1 - 1e-12] = 0.0
    kept = _kept(sites, coords, rows, lattice)[rows]
    return coords[kept], rows[kept]


def _orbits(
    sites: list[Site], operations: Operations, lattice: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct images of each site; one that is on an element of symmetry is put there exactly."""
    longest = float(np.sqrt((lattice**2).sum(axis=1).max()))
    rounding = np.array([3 * longest * 10.0**-site.decimals for site in sites])
    limits = np.clip(rounding, SAME_PLACE, _MOST_ROUNDING) ** 2
    coords = np.array([site.frac for site in sites])
    n_same = np.zeros(len(sites))
    while True:
        images = np.einsum("nij,mj->mni", operations.rotations, coords)
        images += operations.translations / 24
        shifts = images - coords[:, None]
        shifts -= np.round(shifts)
        same = ((shifts @ lattice) ** 2).sum(axis=2) < limits[:, None]
        before, n_same = n_same, same.sum(axis=1)
        if (n_same <= before).all():
            break
        coords = coords + (shifts * same[:, :, None]).sum(axis=1) / n_same[:, None]
    return _distinct(sites, images, n_same)


def _distinct(
    sites: list[Site], images: np.ndarray, n_same: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    # An odd offset keeps fractions that occur, and their rounding errors, off the steps.
    steps = np.floor(images * 2**20 + 0.37).astype(np.int64) % 2**20
    keys = steps @ np.array([1, 2**20, 2**40])
    coords, rows = [], []
    for row, site in enumerate(sites):
        _, first = np.unique(keys[row], return_index=True)
        if len(first) * n_same[row] != len(keys[row]):
            raise StructureFileError(
                f"site {site.label} is close to several elements of symmetry, and on none of them "
                "within the digits of its coordinates; give it more digits"
            )
        first.sort()
        coords.append(images[row, first])
        rows.append(np.full(len(first), row))
    return np.concatenate(coords), np.concatenate(rows)


def _kept(
    sites: list[Site], coords: np.ndarray, rows: np.ndarray, lattice: np.ndarray
) -> np.ndarray:
    """Which lines count: all, less those that share the place of an earlier one of the element."""
    pairs = _pairs(coords, rows, lattice)
    if not len(pairs):
        for site in sites:
            _check_occupancy([site])
        return np.ones(len(sites), dtype=bool)
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    links = csr_matrix((np.ones(len(pairs)), pairs.T), shape=(len(sites), len(sites)))
    group = connected_components(links, directed=False)[1]
    order = np.argsort(group, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    kept = np.zeros(len(sites), dtype=bool)
    for members in groups:
        _check_occupancy([sites[i] for i in members])
        kept[members[0]] = True
    return kept


def _pairs(coords: np.ndarray, rows: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Pairs of lines with atoms in one place, shape (n, 2)."""
    radius = min(SAME_PLACE * float(np.linalg.norm(np.linalg.inv(lattice))), 0.49)
    pairs = _pairs_within(coords, radius)
    shifts = coords[pairs[:, 0]] - coords[pairs[:, 1]]
    shifts -= np.round(shifts)
    near = ((shifts @ lattice) ** 2).sum(axis=1) < SAME_PLACE**2
    return rows[pairs[near]].reshape(-1, 2)


def _pairs_within(coords: np.ndarray, radius: float) -> np.ndarray:
    """Pairs of fractional coordinates within a radius, shape (n, 2)."""
    crowd = StructureFileError("its sites crowd in one place, or its cell is a needle; correct it")
    most = 2 * _MOST_SHARING * len(coords)  # each pair twice, and each site with itself
    if len(coords) <= _FEW:  # SciPy takes longer to import than a hundred files to read
        shifts = coords[:, None] - coords
        shifts -= np.round(shifts)
        near = (shifts**2).sum(axis=2) <= radius**2
        if np.count_nonzero(near) > most:
            raise crowd
        return np.argwhere(np.triu(near, k=1))
    from scipy.spatial import cKDTree

    tree = cKDTree(coords, boxsize=1.0)
    if tree.count_neighbors(tree, radius) > most:
        raise crowd
    return tree.query_pairs(radius, output_type="ndarray")


def _check_occupancy(sites: list[Site]) -> None:
    """Refuse sites that one element does not fill."""
    total = sum(site.occupancy for site in sites)
    lowest = min(site.occupancy for site in sites)
    full = is_full(total, len(sites))
    if full and lowest > 0 and len({site.number for site in sites}) == 1:
        return
    parts = ", ".join(f"{SYMBOLS[site.number]} {site.occupancy:.4g}" for site in sites)
    labels = " and ".join(site.label for site in sites)
    what = f"site {labels} has" if len(sites) == 1 else f"sites {labels} share one place and have"
    if lowest <= 0:
        problem = (
            f"an occupancy of 0 or less ({parts}); delete the line of an atom that is not there, "
            "or correct the number"
        )
    elif total > 1 and not full:
        remedy = "delete all but one of the lines" if len(sites) > 1 else "correct the number"
        problem = f"a total occupancy of {total:.4g} ({parts}); {remedy}"
    else:
        problem = (
            f"partial occupancy ({parts}); order the structure first, for instance with "
            "OrderDisorderedStructureTransformation"
        )
    raise StructureFileError(f"{what} {problem}")
