"""The table of formats: the reader of each kind of file, by the names that its files have."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import IO, Any

from ssatom.corpora._records import Entry, Piece, entries_in
from ssatom.exceptions import StructureError, StructureFileError
from ssatom.limits import MAX_RECORD
from ssatom.structures import count_in_file, read_crystals

_MOST_PASSED = 32  # times the longest record that is passed over to reach the next line
BROKEN = (OSError, EOFError, UnicodeError, zlib.error)
"""What reading a damaged file may raise."""


@dataclass(frozen=True)
class Format:
    """What cuts a file into pieces, and counts its entries; None where only reading tells.

    Where `takes_column`, `cut` also takes the name of the column of structures. Tables and
    what is not `in_folders` are not read in folders, nor named by tables.
    """

    cut: Callable[..., Iterator[Piece]]
    count: Callable[[Path], int | None]
    is_table: bool = False
    takes_column: bool = False
    in_folders: bool = True


def _cut_unknown(_: Path) -> Iterator[Piece]:
    raise StructureFileError(
        f"the format is not known by this name; allowed are {allowed_names(tables=False)}"
    )


UNKNOWN = Format(_cut_unknown, lambda _: 1, in_folders=False)

FORMATS: dict[str, Format] = {}
"""Formats by patterns of names, each also with .gz; every reader adds its own here."""


def format_of(path: Path) -> Format:
    """Format of a file by its name; what it ends in decides before what it begins with."""
    name = path.name.lower().removesuffix(".gz")
    patterns = sorted(FORMATS, key=lambda pattern: not pattern.startswith("*"))
    return next((FORMATS[p] for p in patterns if fnmatchcase(name, p.lower())), UNKNOWN)


def endings() -> tuple[str, ...]:
    """Endings of names of structure files."""
    names = [name[1:] for name, one in FORMATS.items() if name[0] == "*" and one.in_folders]
    return tuple(name + packed for name in names for packed in ("", ".gz"))


def allowed_names(tables: bool) -> str:
    """The patterns, for messages."""
    shown = [name for name, one in FORMATS.items() if tables or one.in_folders]
    return f"{', '.join(shown)} (each also .gz)"


def cut_file(path: Path, column: str | None = None) -> Iterator[Piece]:
    """Pieces of a file; raises StructureFileError if it cannot be opened, or is of no format."""
    found = format_of(path)
    with reading():
        yield from found.cut(path, column) if found.takes_column else found.cut(path)


def read_file(path: Path) -> Iterator[Entry]:
    """Entries of a file of a known format; raises StructureFileError if it cannot be read."""
    for piece in cut_file(path):
        with reading():
            yield from entries_in(piece)


@contextmanager
def reading() -> Iterator[None]:
    """Turn the system's error into ours."""
    try:
        yield
    except StructureError:
        raise
    except OSError as error:
        raise StructureFileError(f"cannot be read ({error.strerror or error})") from None


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacking .gz."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def lines_of(file: IO[bytes]) -> Iterator[bytes | StructureError]:
    """Each line, or the error of one that is too long to be parsed, which is passed over."""
    while line := file.readline(MAX_RECORD + 1):
        if len(line) <= MAX_RECORD:
            yield line
            continue
        yield StructureFileError(f"this line has more than {MAX_RECORD:,} bytes, and is not read")
        for _ in range(_MOST_PASSED):
            if line.endswith(b"\n") or not line:
                break
            line = file.readline(MAX_RECORD)
        else:
            raise ValueError(f"a line of more than {_MOST_PASSED * MAX_RECORD:,} bytes")


def read_pieces(path: Path, split: Callable[[IO[bytes]], Iterable[Any]]) -> Iterator[Any]:
    """Pieces of a file, such as lines; the last is an error if the file ends before it should."""
    try:
        with open_binary(path) as file:
            yield from split(file)
        return
    except PermissionError:
        raise
    except (ValueError, *BROKEN) as error:
        reason = f"{type(error).__name__}: {error}"
    yield StructureFileError(f"the file cannot be read from here on ({reason})")


def count_pieces(split: Callable[[IO[bytes]], Iterable[Any]], path: Path) -> int | None:
    """Number of pieces that are not blank; None if the file is damaged."""
    with open_binary(path) as file:
        try:
            return sum(1 for one in split(file) if isinstance(one, StructureError) or one.strip())
        except (ValueError, *BROKEN):
            return None


def _read_crystals(path: Path) -> Iterator[Entry]:
    for block, crystal in read_crystals(path):
        place = f"#{block}" if block else ""
        if isinstance(crystal, StructureError):
            yield Entry(place, None, crystal)
        else:
            yield Entry(place, None, crystal.structure, {}, crystal.doubts)


FORMATS |= dict.fromkeys(
    ("*.cif", "*.mcif", "*.vasp", "POSCAR*", "CONTCAR*"),
    Format(lambda path: iter([partial(_read_crystals, path)]), count_in_file),
)
