"""What counts as a structure, a site or a list of them, row by row."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np
from pymatgen.core import IMolecule, IStructure, Site, Structure

from ssatom.exceptions import StructureError, StructureWarning, attempt, unwrap
from ssatom.structures._arrays import (
    Crystal,
    StructureArrays,
    formula_of,
    reduced_formula,
    structure_arrays,
    structure_key,
)
from ssatom.structures._atoms import structure_from_atoms
from ssatom.structures._dicts import plain_copy, split_row
from ssatom.structures._files import crystal_from_file, crystal_of
from ssatom.structures._text import is_text, shorten
from ssatom.warn import warn_user_of

_MAX_DOUBTS = 20  # in one warning

if TYPE_CHECKING:
    from ase import Atoms

StructureLike: TypeAlias = (
    "Structure | IStructure | Atoms | str | os.PathLike[str] | dict[str, Any]"
)

_ALLOWED = "a pymatgen Structure, ASE Atoms, or the path, the text or the dict of a structure"
_ARRAY_OF_SITES = (
    "NumPy takes structures apart into their sites: give the list of structures itself, or a Series"
)
_Taken = TypeVar("_Taken")


def check_structures(structures: Iterable[StructureLike]) -> list[Structure]:
    """Pymatgen structures of everything that is one, or the first error.

    Parameters
    ----------
    structures : list, tuple, Series, object array, one-column DataFrame or generator
        Of pymatgen Structure, ASE Atoms, paths of files as for `structure_from_file` (CIF,
        POSCAR, …), or such a file's text; of dicts of ``Structure.as_dict()`` or OPTIMADE, also as
        JSON text; or of documents, which have one of these as ``structure``. All axes count as
        periodic: where `pbc` is False, at least 8 Å of vacuum must lie along the axis.

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


def iter_structures(structures: Iterable[StructureLike]) -> Iterator[Structure | StructureError]:
    """Like `check_structures` one at a time, a bad row given as its error.

    A generator is streamed, and errors are handed on. A container that is wrong as a whole is
    refused at once.
    """
    return _each(structures, "structures", lambda crystal, _: crystal.structure)


def iter_arrays(
    structures: Iterable[StructureLike | StructureArrays | StructureError],
) -> Iterator[StructureArrays | StructureError]:
    """Like `iter_structures`, but each structure as plain arrays, and rows may be such arrays."""
    return _each(structures, "structures", lambda crystal, _: crystal.arrays, structure_arrays)


def check_sites(pairs: Iterable[tuple[StructureLike, int]]) -> list[tuple[Structure, int]]:
    """Structures and indices of rows that are pairs of them, or the first error.

    Structures are as for `check_structures`; rows may stand in a DataFrame or an object array of
    two columns. Raises StructureError if a row is no pair, its structure is bad, or its index is no
    whole number, negative or out of range.
    """
    return list(map(unwrap, iter_sites(pairs)))


def iter_sites(
    pairs: Iterable[tuple[StructureLike, int]],
) -> Iterator[tuple[Structure, int] | StructureError]:
    """Like `check_sites` one at a time, a bad row given as its error.

    A generator is streamed. A container that is wrong as a whole is refused at once.
    """
    return _each(pairs, "sites", _site)


def _each(
    container: Any,
    name: str,
    take: Callable[[Crystal, Any], _Taken],
    of_structure: Callable[[Structure], _Taken] | None = None,
) -> Iterator[_Taken | StructureError]:
    """What is taken of each row, or its error; this adds the row to errors and warnings.

    `of_structure` takes the same of a pymatgen structure, without the detour.
    """
    rows = _rows(container, name, 2 if name == "sites" else 1)  # refuses a wrong container at once

    def read(row: Any) -> tuple[Crystal, _Taken]:
        structure, index = _pair(row) if name == "sites" else (row, None)
        crystal = _crystal(structure)
        return crystal, take(crystal, index)

    def stream() -> Iterator[_Taken | StructureError]:
        doubts: list[tuple[Any, StructureWarning]] = []
        for i, row in enumerate(rows):
            if of_structure is not None and type(row) is Structure:
                yield attempt(of_structure, row, row=i, collection=name)
                continue
            known = isinstance(row, StructureError)
            found = row if known else attempt(read, row, row=i, collection=name)
            if isinstance(found, StructureError):
                yield found
                continue
            crystal, taken = found
            if crystal.doubts:
                formula = [reduced_formula(crystal.arrays.numbers)]
                key = structure_key(crystal.arrays)
                for doubt in crystal.doubts:
                    warning = StructureWarning(doubt, [i], crystal.source, formula)
                    doubts.append(([(doubt, crystal.source, key)], warning))
            yield taken
        warn_user_of(doubts, _joined)

    return stream()


def _joined(doubts: list[StructureWarning]) -> StructureWarning:
    """One warning for all rows."""
    if len(doubts) == 1:
        return doubts[0]
    rows = dict.fromkeys(row for doubt in doubts for row in doubt.rows)
    lines = [f"  {doubt}" for doubt in doubts[:_MAX_DOUBTS]]
    if len(doubts) > _MAX_DOUBTS:
        lines.append(f"  and {len(doubts) - _MAX_DOUBTS} more")
    return StructureWarning("read in the most likely sense:\n" + "\n".join(lines), list(rows))


def _pair(row: Any) -> Any:
    if isinstance(row, tuple | list | np.ndarray) and len(row) == 2:
        return row
    raise StructureError(
        f"this row is of type {_kind(row)}; allowed is a pair (structure, site index), such as "
        "(structure, 0)"
    )


def _site(crystal: Crystal, index: Any) -> tuple[Structure, int]:
    n_sites = len(crystal.arrays.numbers)
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
    else:
        return crystal.structure, int(index)
    raise StructureError(f"site index {index!r} {problem}", formula=formula_of(crystal.structure))


_OF_DICT = "; of a dict by ids give list(structures.values())"


def _rows(container: Any, name: str, n_columns: int) -> Iterable[Any]:
    """The rows of a container, without ever making an array of structures."""
    example = "[structure, ...]" if n_columns == 1 else "[(structure, 0), ...]"
    if container is None:
        raise StructureError(f"{name} is None; give a list, such as {example}")
    if isinstance(container, IStructure | IMolecule | str | bytes | os.PathLike) or (
        _is_atoms(container)
    ):
        raise StructureError(
            f"{name} is one {_kind(container)} where a list belongs; give {example}"
        )
    if isinstance(container, Mapping | AbstractSet) or not isinstance(container, Iterable):
        raise StructureError(
            f"{name} is of type {_kind(container)}; allowed is a list, tuple, Series, DataFrame, "
            f"object array or generator, such as {example}"
            f"{_OF_DICT * isinstance(container, Mapping)}"
        )
    if hasattr(container, "itertuples") or hasattr(container, "iter_rows"):  # pandas, polars
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
        wanted = (
            "the one column that holds the structures",
            'two, such as df[["structure", "site_index"]]',
        )
        raise StructureError(
            f"{name} is a DataFrame with columns {columns}; choose {wanted[n_columns - 1]}"
        )
    is_pandas = hasattr(frame, "itertuples")
    rows = frame.itertuples(index=False, name=None) if is_pandas else frame.iter_rows()
    return (row[0] for row in rows) if n_columns == 1 else rows


def _array_rows(array: np.ndarray, name: str, n_columns: int) -> Iterable[Any]:
    what = f"{name} is an array of shape {array.shape} and dtype {array.dtype}"
    shape = array.shape or (0,)  # an array of no dimension holds no rows
    if array.ndim == 2 and array.shape[1] == n_columns == 1:
        array = array[:, 0]
    if array.size and isinstance(array.flat[0], Site):
        raise StructureError(f"{what} that holds sites; {_ARRAY_OF_SITES}")
    if array.dtype.kind not in "OU" or array.ndim != (shape[-1] == n_columns == 2) + 1:
        rows = _ALLOWED if n_columns == 1 else "a pair (structure, site index)"
        raise StructureError(f"{what}; allowed is an object array of which each row is {rows}")
    return array


def _kind(value: Any) -> str:
    if isinstance(value, IStructure):
        return f"{type(value).__name__} ({formula_of(value)})"
    if isinstance(value, str | bytes | os.PathLike):
        return f"{type(value).__name__} ({shorten(repr(os.fspath(value)))})"
    return type(value).__name__


# One row ------------------------------------------------------------------------------------------


def _crystal(row: Any) -> Crystal:
    """The checked crystal of a row, or a StructureError that says what is wrong with it."""
    if isinstance(row, StructureError):
        raise row
    if isinstance(row, StructureArrays):
        return Crystal(row)
    if isinstance(row, str | os.PathLike):
        path = os.fsdecode(row)
        return crystal_of(path) if is_text(path) else crystal_from_file(path)
    if isinstance(row, dict):
        part, _ = split_row(row)
        return crystal_of(plain_copy(part)) if isinstance(part, dict) else _crystal(part)
    if _is_atoms(row):
        structure = structure_from_atoms(row)
    elif isinstance(row, IStructure):
        structure = cast(Structure, row)
    elif isinstance(part := getattr(row, "structure", None), IStructure | dict):
        return _crystal(part)  # a document, as from pymatgen's or mp-api's MPRester
    else:
        raise StructureError(f"this row is {_describe(row)}")
    return Crystal(structure_arrays(structure), structure)


def _is_atoms(value: Any) -> bool:
    """Whether a value is ASE's Atoms, found out without importing ASE."""
    module = sys.modules.get("ase.atoms")  # there if any Atoms are
    return module is not None and isinstance(value, module.Atoms)


def _describe(row: Any) -> str:
    """What a row is that is no structure, and what to do about it."""
    if _is_missing(row):
        return f"{row}, a missing value; leave this row out, or give {_ALLOWED}"
    kind = f"of type {type(row).__name__}"
    if isinstance(row, IMolecule):
        return (
            f"{kind} ({row.formula}), which has no cell; put it into a box, for instance with "
            "molecule.get_boxed_structure(20, 20, 20)"
        )
    if isinstance(row, Site):
        return f"{kind}, one site and no structure; {_ARRAY_OF_SITES}"
    if isinstance(row, tuple) and len(row) == 2 and isinstance(row[0], IStructure):
        return f"{kind}, a pair; give the structure alone, sites go to the featurizers of sites"
    return f"{kind}; allowed is {_ALLOWED}"


def _is_missing(row: Any) -> bool:
    """None, nan, or what pandas puts into their place (told by name: pandas is slow to import)."""
    return (
        row is None
        or (isinstance(row, float) and math.isnan(row))
        or type(row).__name__ in ("NAType", "NaTType")
    )
