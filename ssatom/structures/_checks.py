"""Containers of structures and of sites, row by row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias, TypeVar

import numpy as np
from pymatgen.core import IMolecule, IStructure, Site, Structure

from ssatom.exceptions import StructureError, StructureWarning, attempt, unwrap
from ssatom.structures._arrays import StructureArrays, formula_of
from ssatom.structures._convert import ALLOWED, ARRAY_OF_SITES, StructureLike, crystal_of, is_atoms
from ssatom.structures._files import Crystal, shorten
from ssatom.warn import warn_user

_Row = TypeVar("_Row")
_Pair: TypeAlias = "tuple[Structure, int]"


def check_structures(structures: Iterable[StructureLike]) -> list[Structure]:
    """Pymatgen structures of everything that is one, or the first error.

    Parameters
    ----------
    structures : list, tuple, Series, object array, one-column DataFrame or generator
        Of pymatgen Structure, ASE Atoms, or paths of files as for `structure_from_file` (CIF,
        POSCAR, …). All axes count as periodic: where `pbc` is False, at least 8 Å of vacuum must
        lie along the axis.

    Returns
    -------
    list of Structure
        In order; pymatgen structures are handed on, not copied.

    Raises
    ------
    StructureError
        If the container or one of its rows is no structure, is disordered, empty or singular,
        has coordinates that are not finite, or elements outside H to Fm.
    StructureFileError, MissingFileError
        If a file cannot be read, or is not there.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ssatom.structures import check_structures
    >>> [s.reduced_formula for s in check_structures([bulk("NaCl", "rocksalt", a=5.64)])]
    ['NaCl']
    """
    return list(map(unwrap, iter_structures(structures)))


def iter_structures(
    structures: Iterable[StructureLike],
) -> Iterator[Structure | StructureError]:
    """Like `check_structures` one at a time, a bad row given as its error.

    Parameters
    ----------
    structures : iterable of Structure, Atoms or path
        As for `check_structures`; a generator is streamed. Rows that are a StructureError
        already are handed on.

    Returns
    -------
    iterator of Structure or StructureError
        One for each row, in order. A container that is wrong as a whole is refused at once.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ssatom.structures import iter_structures
    >>> [type(item).__name__ for item in iter_structures([bulk("Cu"), None])]
    ['Structure', 'StructureError']
    """
    return _each(_rows(structures, "structures", 1), _structure, "structures")


def iter_arrays(
    structures: Iterable[StructureLike | StructureArrays | StructureError],
) -> Iterator[StructureArrays | StructureError]:
    """Like `iter_structures`, but each structure as plain arrays, and rows may be such arrays.

    Parameters
    ----------
    structures : iterable of Structure, Atoms, path or StructureArrays
        As for `iter_structures`.

    Returns
    -------
    iterator of StructureArrays or StructureError
        One for each row, in order.
    """
    return _each(_rows(structures, "structures", 1), _arrays, "structures")


def check_sites(pairs: Iterable[tuple[StructureLike, int]]) -> list[tuple[Structure, int]]:
    """Sites of structures, or the first error.

    Parameters
    ----------
    pairs : iterable of (structure, site index), or DataFrame or object array of two columns
        Structures as for `check_structures`; indices from 0 to the number of sites less one.

    Returns
    -------
    list of (Structure, int)
        In order.

    Raises
    ------
    StructureError
        If a row is no pair, its structure is bad, or its index is no whole number, negative or
        out of range.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ssatom.structures import check_sites
    >>> [(structure, index)] = check_sites([(bulk("NaCl", "rocksalt", a=5.64), 1)])
    >>> structure[index].species_string
    'Cl'
    """
    return list(map(unwrap, iter_sites(pairs)))


def iter_sites(
    pairs: Iterable[tuple[StructureLike, int]],
) -> Iterator[tuple[Structure, int] | StructureError]:
    """Like `check_sites` one at a time, a bad row given as its error.

    Parameters
    ----------
    pairs : iterable of (structure, site index), or DataFrame or object array of two columns
        As for `check_sites`; a generator is streamed.

    Returns
    -------
    iterator of (Structure, int) or StructureError
        One for each row, in order. A container that is wrong as a whole is refused at once.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ssatom.structures import iter_sites
    >>> for item in iter_sites([(bulk("Cu"), 1)]):
    ...     print(item)
    sites[0] (Cu): site index 1 is out of range; allowed is 0 (1 site, counted from 0)
    """
    return _each(_rows(pairs, "sites", 2), _site, "sites")


def _each(
    rows: Iterable[Any], take: Callable[[Any], tuple[_Row, Crystal]], collection: str
) -> Iterator[_Row | StructureError]:
    """What is taken of each row, or its error; this adds the row to errors and warnings."""
    for i, row in enumerate(rows):
        taken: Any = row
        if not isinstance(row, StructureError):
            taken = attempt(take, row, row=i, collection=collection)
        if isinstance(taken, StructureError):
            yield taken
            continue
        value, crystal = taken
        for doubt in crystal.doubts:
            warn_user(StructureWarning(doubt, [i], crystal.source))
        yield value


def _structure(row: Any) -> tuple[Structure, Crystal]:
    crystal = crystal_of(row)
    return crystal.structure, crystal


def _arrays(row: Any) -> tuple[StructureArrays, Crystal]:
    crystal = crystal_of(row)
    return crystal.arrays, crystal


def _site(row: Any) -> tuple[_Pair, Crystal]:
    if not isinstance(row, tuple | list | np.ndarray) or len(row) != 2:
        raise StructureError(
            f"this row is of type {_kind(row)}; allowed is a pair (structure, site index), such as "
            "(structure, 0)"
        )
    crystal, index = crystal_of(row[0]), row[1]
    structure, n_sites = crystal.structure, len(crystal.arrays.numbers)
    problem = ""
    if isinstance(index, bool | np.bool_) or not isinstance(index, int | np.integer):
        problem = (
            f"is of type {type(index).__name__}; allowed is a whole number, such as int(index)"
        )
    elif not 0 <= index < n_sites:
        allowed = f"0 to {n_sites - 1}" if n_sites > 1 else "0"
        problem = (
            f"is {'negative' if index < 0 else 'out of range'}; allowed is {allowed} "
            f"({n_sites} site{'s' * (n_sites > 1)}, counted from 0)"
        )
    if problem:
        formula = formula_of(structure)
        raise StructureError(f"site index {index!r} {problem}", formula=formula)
    return (structure, int(index)), crystal


def _rows(container: Any, name: str, n_columns: int) -> Iterable[Any]:
    """The rows of a container, without ever making an array of structures."""
    example = "[structure, ...]" if n_columns == 1 else "[(structure, 0), ...]"
    if container is None:
        raise StructureError(f"{name} is None; give a list, such as {example}")
    if isinstance(container, IStructure | IMolecule | str | bytes | os.PathLike) or (
        is_atoms(container)
    ):
        raise StructureError(
            f"{name} is one {_kind(container)} where a list belongs; give {example}"
        )
    if isinstance(container, Mapping | AbstractSet) or not isinstance(container, Iterable):
        raise StructureError(
            f"{name} is of type {_kind(container)}; allowed is a list, tuple, Series, DataFrame, "
            f"object array or generator, such as {example}"
        )
    if hasattr(container, "itertuples"):
        return _frame_rows(container, name, n_columns)
    if isinstance(container, np.ndarray):
        return _array_rows(container, name, n_columns)
    sequence = isinstance(container, tuple | list) and len(container) == n_columns == 2
    if sequence and isinstance(container[1], int | np.integer):  # type: ignore[index]
        raise StructureError(f"{name} is one pair where a list of pairs belongs; give {example}")
    return container


def _frame_rows(frame: Any, name: str, n_columns: int) -> Iterable[Any]:
    if frame.shape[1] != n_columns:
        columns = ", ".join(repr(column) for column in frame.columns)
        wanted = ('one, such as df[["structure"]]', 'two, such as df[["structure", "site_index"]]')
        raise StructureError(
            f"{name} is a DataFrame with columns {columns}; choose {wanted[n_columns - 1]}"
        )
    rows = frame.itertuples(index=False, name=None)
    return (row[0] for row in rows) if n_columns == 1 else rows


def _array_rows(array: np.ndarray, name: str, n_columns: int) -> Iterable[Any]:
    what = f"{name} is an array of shape {array.shape} and dtype {array.dtype}"
    shape = array.shape or (0,)  # an array of no dimension holds no rows
    if array.ndim == 2 and array.shape[1] == n_columns == 1:
        array = array[:, 0]
    if array.size and isinstance(array.flat[0], Site):
        raise StructureError(f"{what} that holds sites; {ARRAY_OF_SITES}")
    if array.dtype.kind not in "OU" or array.ndim != (shape[-1] == n_columns == 2) + 1:
        rows = ALLOWED if n_columns == 1 else "a pair (structure, site index)"
        raise StructureError(f"{what}; allowed is an object array of which each row is {rows}")
    return array


def _kind(value: Any) -> str:
    if isinstance(value, IStructure):
        return f"{type(value).__name__} ({formula_of(value)})"
    if isinstance(value, str | bytes | os.PathLike):
        return f"{type(value).__name__} ({shorten(repr(os.fspath(value)))})"
    return type(value).__name__
