"""A structure as checked arrays, its content key, and the messages about what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from pymatgen.core import Composition, DummySpecies, Element, IStructure, Lattice, Structure

from ssatom.exceptions import StructureError
from ssatom.structures._seen import SEEN, look_at
from ssatom.warn import ignore_for_good

SYMBOLS = {element.Z: element.symbol for element in Element}
NUMBERS = {element.symbol: element.Z for element in Element}
MAX_ATOMIC_NUMBER = 100  # as elements.MAX_ATOMIC_NUMBER: there are no features above
_ROUNDED_OCCUPANCY = 0.002  # how far the occupancy of a full site may be from 1, as written
_ROUNDED_SHARE = 0.005  # how far each of several that add up to 1 may be, such as 0.33 of 1/3
FAR = 1e6  # cells; further out, too few digits are left of a fractional coordinate
OPEN_GAP = 8.0  # Å; no bond is longer, so none crosses such a gap
NO_SITES = "the structure has no sites; a crystal needs at least one"
# Å³ per site. In less, even the best packing of spheres has neighbours within 0.3 Å.
MIN_VOLUME_PER_SITE = 0.019
MAX_VOLUME_PER_SITE = 1e12  # Å³; an atom alone in a cube of 1 µm
MAX_COMPONENT = 1e9  # Å; in longer vectors, rounding reaches a millionth of an Å


class StructureArrays(NamedTuple):
    """A structure as plain arrays, its species reduced to elements.

    Attributes
    ----------
    lattice : ndarray of float64, shape (3, 3)
        Lattice vectors as rows, Å.
    numbers : ndarray of int64, shape (n_sites,)
        Atomic numbers, 1 to 100.
    frac_coords : ndarray of float64, shape (n_sites, 3)
        Fractional coordinates as given, not wrapped into the cell.
    """

    lattice: np.ndarray
    numbers: np.ndarray
    frac_coords: np.ndarray

    def __repr__(self) -> str:
        return f"<StructureArrays: {len(self.numbers)} sites>"


class FixedArrays(StructureArrays):
    """Arrays that nobody can write to, so that their key is computed once."""

    # `_replace` may be given other arrays, so it makes none of these.
    _make = StructureArrays._make  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:  # unpickled arrays can be written to
        return StructureArrays, tuple(self)

    @cached_property
    def key(self) -> bytes:
        """As from `structure_key`."""
        return _content_key(self)


def structure_arrays(structure: IStructure) -> StructureArrays:
    """Lattice, atomic numbers and fractional coordinates of a structure, checked.

    Parameters
    ----------
    structure : Structure
        Oxidation states, spins and isotopes are dropped; several species of one element that
        fill a site together (Fe2+ and Fe3+) are that element.

    Returns
    -------
    StructureArrays
        C-contiguous and read-only. A structure that has not changed since gives the same ones.

    Raises
    ------
    StructureError
        If the structure is empty or disordered, has dummy species or elements outside H to Fm,
        coordinates that are not finite, or a cell without volume.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.structures import structure_arrays
    >>> structure_arrays(Structure(Lattice.cubic(3.35), ["Po2-"], [[0, 0, 0]])).numbers
    array([84])
    """
    look = look_at(structure)
    arrays = SEEN.get(structure, look)
    if arrays is not None:
        return arrays
    coords, lattice, pbc, species = look
    if not species:
        raise StructureError(NO_SITES)
    numbers = [_atomic_number(one) for one in species]
    if not 1 <= min(numbers) <= max(numbers) <= MAX_ATOMIC_NUMBER:
        bad = next(i for i, z in enumerate(numbers) if not 1 <= z <= MAX_ATOMIC_NUMBER)
        reason = f"site {bad} {_species_problem(species[bad])}"
        raise StructureError(reason, formula=formula_of(structure))
    # Arrays of bytes, unlike others, cannot be made writeable again.
    arrays = FixedArrays(
        np.frombuffer(lattice).reshape(3, 3),
        np.frombuffer(np.array(numbers, dtype=np.int64).tobytes(), dtype=np.int64),
        np.frombuffer(coords).reshape(-1, 3),
    )
    checked(arrays, pbc)
    SEEN.put(structure, look, arrays)
    return arrays


def checked(arrays: StructureArrays, pbc: Sequence[bool] = (True, True, True)) -> StructureArrays:
    """The same arrays, if cell and coordinates can be used."""
    lattice, numbers, frac_coords = arrays
    problem = lattice_problem(lattice, len(numbers)) or _coordinates_problem(frac_coords)
    if not problem and not all(pbc):
        problem = _open_side_problem(lattice, frac_coords, pbc)
    if problem:
        raise StructureError(problem, formula=reduced_formula(numbers))
    return arrays


class Crystal:
    """Checked arrays, what is ambiguous about them, and the structure, built when asked for."""

    def __init__(
        self,
        arrays: StructureArrays,
        structure: Structure | None = None,
        *,
        labels: list[str] | None = None,
        doubts: Sequence[str] = (),
    ) -> None:
        self.arrays = arrays
        self.labels = labels
        self.doubts = doubts
        self.source: str | None = None
        if structure is not None:
            self.structure = structure

    @cached_property
    def structure(self) -> Structure:
        """The pymatgen structure."""
        return plain_structure(self.arrays, labels=self.labels)


def plain_structure(arrays: StructureArrays, **fields: Any) -> Structure:
    """Pymatgen structure of elements without charges, with further arguments of Structure."""
    # Ready-made compositions save a third of the time that it takes to build a structure.
    species: Sequence[Any] = [_composition(number) for number in arrays.numbers.tolist()]
    return Structure(Lattice(arrays.lattice), species, arrays.frac_coords, **fields)


@lru_cache(maxsize=256)
def _composition(number: int) -> Composition:
    return Composition({Element.from_Z(number): 1})


def structure_key(structure: IStructure | StructureArrays) -> bytes:
    """Content hash of lattice, elements and coordinates.

    Equal for decorated and plain species, and unchanged by anything that pymatgen caches
    inside a structure. Another cell, site order or origin of the same crystal has another key.

    Parameters
    ----------
    structure : Structure or StructureArrays
        Arrays, where they are at hand, save their extraction.

    Returns
    -------
    bytes
        16 bytes of BLAKE2b.

    Raises
    ------
    StructureError
        As from `structure_arrays`.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.structures import structure_key
    >>> plain = Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])
    >>> decorated = Structure(Lattice.cubic(3.35), ["Po2-"], [[0, 0, 0]])
    >>> structure_key(plain) == structure_key(decorated)
    True
    """
    arrays = structure if isinstance(structure, StructureArrays) else structure_arrays(structure)
    return arrays.key if isinstance(arrays, FixedArrays) else _content_key(arrays)


def _content_key(arrays: StructureArrays) -> bytes:
    parts = [arrays.numbers.astype("<i8", copy=False)]
    for floats in (arrays.lattice, arrays.frac_coords):
        parts.append((floats + 0.0).astype("<f8", copy=False))  # -0.0 becomes 0.0
    return blake2b(b"".join(part.tobytes() for part in parts), digest_size=16).digest()


def overlap_error(
    numbers: Sequence[int] | np.ndarray, i: int, j: int, distance: float
) -> StructureError:
    """The error for two atoms in one place, for whoever searches for neighbours.

    `i` and `j` are the two sites, equal for a site and its own periodic image; `distance` is in Å.
    """
    first, second = (f"{site} ({Element.from_Z(int(numbers[site])).symbol})" for site in (i, j))
    if i == j:
        pair = f"site {first} and its own periodic image are"
        remedy = "correct the lattice, whose unit is Å"
    else:
        pair = f"sites {first} and {second} are"
        remedy = (
            'delete one of them, for instance with structure.merge_sites(0.3, mode="delete"), '
            "or correct the coordinates or the lattice, whose unit is Å"
        )
    return StructureError(
        f"{pair} {distance:.3g} Å apart, and atoms that near overlap; {remedy}",
        formula=reduced_formula(numbers),
    )


def reduced_formula(numbers: Sequence[int] | np.ndarray) -> str:
    """Reduced formula of the atomic numbers of all sites, such as "Fe2O3"."""
    unique, counts = np.unique(np.asarray(numbers), return_counts=True)
    amounts = {Element.from_Z(int(z)): int(n) for z, n in zip(unique, counts, strict=True)}
    return formula_of(Composition(amounts))


def formula_of(named: IStructure | Composition) -> str:
    """Reduced formula, without pymatgen's warning about noble gases in sorting the elements."""
    ignore_for_good("No Pauling electronegativity")
    return named.reduced_formula


def lattice_problem(lattice: np.ndarray, n_sites: int) -> str | None:
    """What is wrong with a lattice, for a message; None if nothing is."""
    # By hand: of nine numbers, NumPy's determinant takes several times as long.
    ax, ay, az, bx, by, bz, cx, cy, cz = lattice.ravel().tolist()
    volume = abs(ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx))
    longest = max(map(abs, (ax, ay, az, bx, by, bz, cx, cy, cz)))
    large = longest > MAX_COMPONENT or volume > MAX_VOLUME_PER_SITE * n_sites
    if MIN_VOLUME_PER_SITE * n_sites <= volume and not large:
        return None
    rows = ", ".join("[" + ", ".join(f"{x:.6g}" for x in row) + "]" for row in lattice)
    if not np.isfinite(volume):
        return f"the lattice [{rows}] is not finite; correct it, three vectors in Å"
    if large:
        return (
            f"the lattice [{rows}] is too large: allowed are {MAX_COMPONENT:g} Å in a vector and "
            f"{MAX_VOLUME_PER_SITE:g} Å³ per site; give the vectors in Å"
        )
    return (
        f"the lattice [{rows}] is singular or too small: its volume is {volume:.3g} Å³ for "
        f"{n_sites} site{'s' * (n_sites != 1)}; give three vectors in Å that span a cell"
    )


def _coordinates_problem(frac_coords: np.ndarray) -> str | None:
    if np.abs(frac_coords).max() < FAR:  # not so of NaN
        return None
    finite = np.isfinite(frac_coords).all(axis=1)
    bad = int(np.argmin((np.abs(frac_coords) < FAR).all(axis=1)))
    row = ", ".join(f"{x:.6g}" for x in frac_coords[bad])
    if finite[bad]:
        return (
            f"site {bad} has fractional coordinates [{row}], so far outside the cell that its "
            "place in it is lost to rounding; wrap the coordinates into the cell, and give "
            "fractions of the lattice vectors, not Å"
        )
    return (
        f"site {bad} has fractional coordinates [{row}], which are not finite "
        f"({len(finite) - finite.sum()} such of {len(finite)} sites); correct or remove it"
    )


def _open_side_problem(
    lattice: np.ndarray, frac_coords: np.ndarray, pbc: Sequence[bool]
) -> str | None:
    """Why bonds would cross a side that is not periodic; None if a gap keeps them from it."""
    volume = abs(np.linalg.det(lattice))
    for axis in (axis for axis in range(3) if not pbc[axis]):
        side = np.cross(lattice[axis - 2], lattice[axis - 1])
        height = volume / float(np.linalg.norm(side))
        gap = height * (1 - float(np.ptp(frac_coords[:, axis])))
        if gap < OPEN_GAP:
            return (
                f"pbc={[bool(x) for x in pbc]} says that axis {axis} is not periodic, and along "
                f"it {max(gap, 0.0):.3g} Å lie between the atoms and their next images; all axes "
                f"are periodic here, so at least {OPEN_GAP:g} Å must lie there, which no bond "
                f"crosses: widen the cell, with ASE by atoms.center(vacuum=10.0, axis={axis}), or "
                "set pbc to True if the crystal goes on"
            )
    return None


def _atomic_number(species: Composition) -> int:
    """Atomic number of the element that fills a site, 0 if no single one does."""
    amounts = getattr(species, "_data", None) or {}  # its own methods take several times as long
    if len(amounts) == 1:  # nearly all
        [(specie, amount)] = amounts.items()
        if type(specie) is Element and amount == 1:
            return specie.Z
    if any(isinstance(specie, DummySpecies) for specie in species):
        return 0
    numbers = {specie.Z for specie in species}
    return numbers.pop() if len(numbers) == 1 and is_full(species.num_atoms, len(species)) else 0


def is_full(total: float, n_shares: int) -> bool:
    """Whether occupancies add up to 1, but for the digits with which they are written."""
    allowed = _ROUNDED_OCCUPANCY if n_shares == 1 else n_shares * _ROUNDED_SHARE
    return abs(total - 1) <= allowed + 1e-9


def _species_problem(species: Composition) -> str:
    """Why the species on a site are not one element of the table."""
    dummies = [specie for specie in species if isinstance(specie, DummySpecies)]
    if dummies:
        return (
            f"holds the dummy species {dummies[0]}, which is no element; replace it with an "
            "element, or remove the site if it is a vacancy"
        )
    if not _atomic_number(species):
        parts = [f"{specie} {amount:.4g}" for specie, amount in species.items()]
        if species.num_atoms < 1 - 1e-6:
            parts.append(f"vacant {1 - species.num_atoms:.4g}")
        return (
            f"has partial occupancy ({', '.join(parts)}); order the structure first, for "
            "instance with OrderDisorderedStructureTransformation"
        )
    return (
        f"is {next(iter(species))} (Z = {_atomic_number(species)}); allowed are the elements "
        f"with features, H to Fm (Z = 1 to {MAX_ATOMIC_NUMBER}): leave this structure out"
    )
