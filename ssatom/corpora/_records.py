"""Records of a collection, and how rows of JSON become crystals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from pymatgen.core import Structure

from ssatom.exceptions import StructureError, StructureFileError, attempt
from ssatom.structures._dicts import ID_KEYS, split_row
from ssatom.structures._files import crystal_of


class StructureRecord(NamedTuple):
    """One crystal of a collection.

    Attributes
    ----------
    source : str
        Its id where it has one, else its file, with the row, the line or the frame in it.
    structure : Structure or StructureError
        The crystal, or why there is none.
    properties : dict
        Further entries of the collection, such as labels.

    Examples
    --------
    >>> from ssatom.corpora import load_example_crystals, StructureRecord
    >>> structure = load_example_crystals()["structure"].iloc[0]
    >>> StructureRecord("mine", structure, {"band_gap": 1.1}).properties
    {'band_gap': 1.1}
    """

    source: str
    structure: Structure | StructureError
    properties: dict[str, Any]

    def __repr__(self) -> str:
        what = type(self.structure).__name__
        if isinstance(self.structure, Structure):
            what = f"{self.structure.formula}, {len(self.structure)} sites"
        return f"<StructureRecord {self.source!r}: {what}, properties {list(self.properties)}>"


class Entry(NamedTuple):
    """A crystal as a reader gives it, by its place in the file (":3") and its id, if it has one.

    `read_structures` adds the file to the sources of records, errors and warnings.
    """

    place: str
    name: str | None
    structure: Structure | StructureError
    properties: Mapping[str, Any] = MappingProxyType({})
    doubts: Sequence[str] = ()


Piece: TypeAlias = Callable[[], Iterable[Entry] | Entry] | Entry
"""What a reader cuts its file into: an entry, or a call that makes one or some.

The call is a `functools.partial` of a function of a module, so that another process may do it."""


def entries_in(piece: Piece) -> Iterable[Entry]:
    """The entries of a piece."""
    found = piece if isinstance(piece, Entry) else piece()
    return [found] if isinstance(found, Entry) else found


def lost(place: str, problem: str) -> Entry:
    """An entry without a crystal."""
    return Entry(place, None, StructureFileError(problem))


def entry_of_row(row: Any, place: str, name: str | None = None, column: str | None = None) -> Entry:
    """An entry of a decoded row of JSON, or of its error; `name` is the id, if the row has none."""
    if isinstance(row, dict):
        name = next((str(row[key]) for key in ID_KEYS if row.get(key) is not None), name)
    parts = row if isinstance(row, StructureError) else attempt(split_row, row, column)
    if isinstance(parts, StructureError):
        return Entry(place, name, parts)
    return entry_of_cell(parts[0], place, name, parts[1])


def entry_of_cell(cell: Any, place: str, name: str | None, properties: Mapping[str, Any]) -> Entry:
    """An entry of what `is_cell`, a dict or a text."""
    crystal = attempt(crystal_of, cell)
    if isinstance(crystal, StructureError):
        return Entry(place, name, crystal, properties)
    return Entry(place, name, crystal.structure, properties, crystal.doubts)
