"""The .mcif files of a folder or a tar archive, found and read one by one."""

from __future__ import annotations

import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from ssatom.exceptions import MissingFileError, StructureFileError

MAX_FILE_SIZE = 16 * 2**20
"""Bytes; the largest magnetic structures take less than a hundredth of this."""

_SUFFIX = ".mcif"
_BROKEN = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError)

FileText: TypeAlias = tuple[str, str | None, str]
"""Source, text, and for a file that cannot be read None and what is wrong with it."""


def find_files(path: Path) -> dict[str, str]:
    """Names of the files in the folder or archive, and what sources call each."""
    if not path.exists():
        raise MissingFileError(
            f"there is no such folder or archive (looked in {os.getcwd()})", source=str(path)
        )
    names = _in_folder(path) if path.is_dir() else _in_archive(path)
    # Where two names lead to one place, the later file wins, as it does in unpacking.
    by_place = {PurePosixPath(name).as_posix().lstrip("/"): name for name in names}
    wanted = sorted(place for place in by_place if _is_wanted(place))
    if not wanted:
        raise StructureFileError(
            "holds no .mcif files; give a folder or a tar archive that does", source=str(path)
        )
    common = os.path.commonpath([os.path.dirname(place) for place in wanted])
    start = len(common) + 1 if common else 0
    return {by_place[place]: place[start:].removesuffix(_SUFFIX) for place in wanted}


def read_texts(path: Path, sources: dict[str, str]) -> Iterator[FileText]:
    """Each file once; what is wrong with one is told, not raised."""
    if path.is_dir():
        for name, source in sources.items():
            yield _text(source, partial((path / name).open, "rb"))
        return
    with tarfile.open(path) as archive:
        # In the order in which they lie there, so that a packed archive is unpacked only once more.
        members = {member.name: member for member in archive if member.name in sources}
        for member in sorted(members.values(), key=attrgetter("offset")):
            if member.isfile():
                yield _text(sources[member.name], partial(archive.extractfile, member))
            else:  # a link could lead out of the archive
                yield sources[member.name], None, "a link or device in an archive is not read"


def _in_folder(path: Path) -> list[str]:
    files = (file for file in path.rglob(f"*{_SUFFIX}") if file.is_file())
    return [file.relative_to(path).as_posix() for file in files]


def _in_archive(path: Path) -> list[str]:
    try:
        with tarfile.open(path) as archive:
            return [member.name for member in archive if not member.isdir()]
    except _BROKEN as error:
        raise StructureFileError(
            f"cannot be read as a tar archive ({type(error).__name__}: {error}); allowed are "
            "folders of .mcif files, and .tar, .tar.gz, .tar.bz2 and .tar.xz of them",
            source=str(path),
        ) from None


def _is_wanted(place: str) -> bool:
    hidden = any(part.startswith(".") and part != ".." for part in place.split("/"))
    return place.endswith(_SUFFIX) and not hidden


def _text(source: str, open_file: Callable[[], Any]) -> FileText:
    try:
        with open_file() as file:
            content = file.read(MAX_FILE_SIZE + 1)
    except _BROKEN as error:
        return source, None, f"{type(error).__name__}: {error}"
    if len(content) > MAX_FILE_SIZE:
        return source, None, f"the file is larger than {MAX_FILE_SIZE / 2**20:g} MiB"
    return source, content.decode("utf-8", errors="replace"), ""
