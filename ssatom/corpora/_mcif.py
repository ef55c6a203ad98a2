"""Files of magnetic structures (.mcif), of a folder or a tar archive, and their crystals."""

from __future__ import annotations

import lzma
import os
import re
import tarfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from pymatgen.core import Structure

from ssatom.exceptions import MissingFileError, StructureFileError
from ssatom.structures import plain_structure, structure_arrays

REASONS = ("unreadable", "incommensurate", "disordered", "no moments")

_TEMPERATURE = re.compile(r"^_transition_temperature[ \t]+([^\r\n]+)", re.MULTILINE)
_NUMBER = r"(\d+\.?\d*|\.\d+)"
_VALUE_OR_RANGE = re.compile(rf"{_NUMBER}(?:\s*-\s*{_NUMBER})?\s*K?")
_SUFFIX = ".mcif"
_BROKEN = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError)
MAX_FILE_SIZE = 16 * 2**20  # bytes; the largest take less than a hundredth of this


def find_files(path: Path) -> dict[str, str]:
    """Names of the files in the folder or archive, and what sources call each."""
    if not path.exists():
        raise MissingFileError(
            f"there is no such folder or archive (looked in {os.getcwd()})", source=str(path)
        )
    if path.is_dir():
        files = (file for file in path.rglob(f"*{_SUFFIX}") if file.is_file())
        names = [file.relative_to(path).as_posix() for file in files]
    else:
        names = _in_archive(path)
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


def read_texts(path: Path, sources: dict[str, str]) -> Iterator[tuple[str, str | None, str]]:
    """Source and text of each file; None for the text if it cannot be read, and why."""
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


def _text(source: str, open_file: Callable[[], Any]) -> tuple[str, str | None, str]:
    try:
        with open_file() as file:
            content = file.read(MAX_FILE_SIZE + 1)
    except _BROKEN as error:
        return source, None, f"{type(error).__name__}: {error}"
    if len(content) > MAX_FILE_SIZE:
        return source, None, f"the file is larger than {MAX_FILE_SIZE / 2**20:g} MiB"
    return source, content.decode("utf-8", errors="replace"), ""


class MagneticCrystal(NamedTuple):
    """A magnetic cell: the crystal, and the size of each site's moment in μB."""

    source: str
    structure: Structure
    numbers: np.ndarray
    magmoms: np.ndarray
    transition_temperature: float
    warnings: tuple[str, ...]


class Unusable(NamedTuple):
    """A file without a usable crystal; the reason is one of `REASONS`."""

    source: str
    reason: str
    message: str
    warnings: tuple[str, ...]


def read_crystal(source: str, text: str | None, problem: str = "") -> MagneticCrystal | Unusable:
    """Parse a file's text; None where the file could not be read, for the given problem."""
    if text is None:
        return Unusable(source, "unreadable", problem, ())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            crystal = _parse(source, text)
        except Exception as error:  # pymatgen's parser raises errors of many kinds
            crystal = Unusable(source, _reason(error), f"{type(error).__name__}: {error}", ())
    messages = tuple(dict.fromkeys(str(warning.message) for warning in caught))
    if isinstance(crystal, Unusable) and crystal.reason == "unreadable":
        # pymatgen's errors are general: what went wrong is in its warnings, some within others.
        details = [m for m in messages if not any(m in other for other in {*messages} - {m})]
        crystal = crystal._replace(message="; ".join([crystal.message, *details]))
    return crystal._replace(warnings=messages)


def _parse(source: str, text: str) -> MagneticCrystal | Unusable:
    with np.errstate(all="ignore"):  # what is not finite is refused later
        parsed = Structure.from_str(text, fmt="cif", primitive=False)
    if not parsed.is_ordered:
        site = next(site for site in parsed if not site.is_ordered)
        return Unusable(source, "disordered", f"a site holds {site.species_string}", ())
    moments = parsed.site_properties.get("magmom")
    if moments is None:
        return Unusable(source, "no moments", "the file is of a structure without moments", ())
    magmoms = np.array([np.linalg.norm(moment.global_moment) for moment in moments])
    if not np.isfinite(magmoms).all():
        return Unusable(source, "unreadable", "some moments are not finite numbers", ())
    arrays = structure_arrays(parsed)
    plain = plain_structure(arrays)
    return MagneticCrystal(source, plain, arrays.numbers, magmoms, _temperature(text), ())


def _reason(error: Exception) -> str:
    """Which of `REASONS` an error of pymatgen tells of."""
    if isinstance(error, NotImplementedError):
        words = str(error).lower()
        return next((r for r in ("incommensurate", "disordered") if r in words), "unreadable")
    return "unreadable"


def _temperature(text: str) -> float:
    """The file's transition temperature in K, the middle of a range; NaN without one."""
    found = _TEMPERATURE.search(text)
    if not found:
        return float("nan")
    value = re.sub(r"\([^)]*\)", "", found[1]).strip(" \t'\"")  # less its uncertainty
    limits = _VALUE_OR_RANGE.fullmatch(value)
    return float(np.mean([float(x) for x in limits.groups() if x])) if limits else float("nan")
