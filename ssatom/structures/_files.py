"""One crystal as it was read, and bytes and text of files, packed or not."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zlib
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pymatgen.core import Composition, Element, Lattice, Structure

from ssatom.exceptions import StructureFileError
from ssatom.structures._arrays import StructureArrays

_OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".lzma": lzma.open,
}
_SHOWN = 120  # characters of a text in a message


class Crystal:
    """Checked arrays, what is ambiguous about them, and the structure, built when asked for."""

    def __init__(
        self,
        arrays: StructureArrays,
        structure: Structure | None = None,
        *,
        labels: list[str] | None = None,
        doubts: Sequence[str] = (),
        source: str | None = None,
    ) -> None:
        self.arrays = arrays
        self.labels = labels
        self.doubts = doubts
        self.source = source
        if structure is not None:
            self.structure = structure

    @cached_property
    def structure(self) -> Structure:
        """The pymatgen structure."""
        return plain_structure(self.arrays, labels=self.labels)


def plain_structure(arrays: StructureArrays, **fields: Any) -> Structure:
    """Pymatgen structure of arrays.

    Parameters
    ----------
    arrays : StructureArrays
        Lattice, atomic numbers and fractional coordinates.
    **fields : object
        Further arguments of pymatgen's Structure, such as `labels`.

    Returns
    -------
    Structure
        Of elements without charges.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.structures import plain_structure, structure_arrays
    >>> plain_structure(structure_arrays(Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])))[0]
    PeriodicSite: Po (0.0, 0.0, 0.0) [0.0, 0.0, 0.0]
    """
    # Ready-made compositions save a third of the time that it takes to build a structure.
    species: Sequence[Any] = [_composition(number) for number in arrays.numbers.tolist()]
    return Structure(Lattice(arrays.lattice), species, arrays.frac_coords, **fields)


@lru_cache(maxsize=256)
def _composition(number: int) -> Composition:
    return Composition({Element.from_Z(number): 1})


def shorten(text: str) -> str:
    """Text for a message, cut if it is long."""
    return text if len(text) <= _SHOWN else f"{text[:60]}…"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names for a message, the first of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plain_name(path: str | os.PathLike[str]) -> str:
    """Name of a file in lower case, without the ending that tells of packing."""
    name = Path(path).name.lower()
    stem, ending = os.path.splitext(name)
    return stem if ending in _OPENERS else name


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Content of a file, unpacked."""
    opener = _OPENERS.get(Path(path).suffix.lower(), open)
    try:
        with opener(path, "rb") as file:
            return file.read()
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise StructureFileError(f"this file cannot be read ({reason})")


def decode(content: bytes) -> str:
    """Text of a file in UTF-8, UTF-16 with its mark, or else in Latin-1."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
