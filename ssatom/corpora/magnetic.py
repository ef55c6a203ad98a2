"""Magnetic structures in .mcif files to a table of sites with moments."""

from __future__ import annotations

import lzma
import os
import re
import tarfile
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from joblib import Parallel, delayed
from pymatgen.core import Structure

from ssatom.exceptions import MissingFileError, StructureFileError
from ssatom.progress import make_bar
from ssatom.structures import formula_of, plain_structure, structure_arrays
from ssatom.validation import number

if TYPE_CHECKING:
    import pandas as pd

REASONS = ("unreadable", "incommensurate", "disordered", "no moments")
MAX_FILE_SIZE = 16 * 2**20  # bytes; the largest take less than a hundredth of this
_COLUMNS = [
    *("structure", "site_index", "element", "magmom"),
    *("source", "formula", "transition_temperature_K"),
]
_TEMPERATURE = re.compile(r"^_transition_temperature[ \t]+([^\r\n]+)", re.MULTILINE)
_NUMBER = r"(\d+\.?\d*|\.\d+)"
_VALUE_OR_RANGE = re.compile(rf"{_NUMBER}(?:\s*-\s*{_NUMBER})?\s*K?")
_SUFFIX = ".mcif"
_BROKEN = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError)
_Text: TypeAlias = tuple[str | None, str]


@dataclass(frozen=True, eq=False)
class MagneticSites:
    """Sites with magnetic moments, and the files that gave none.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a site, by file and then by site, with the columns

        - ``structure``: pymatgen ``Structure`` of the magnetic cell, ordered, of plain elements
          without moments, one object for all sites of a file;
        - ``site_index``: the site in it, from 0;
        - ``element``: symbol;
        - ``magmom``: size of the moment in μB, above 0;
        - ``source``: the file's path, without what all paths begin with and without ``.mcif``;
        - ``formula``: reduced formula;
        - ``transition_temperature_K``: K, the middle of a range, NaN where the file has no number
          or a bound alone (">293").
    dropped : pandas.DataFrame
        One row a file that gave no site: ``source``, ``reason`` and ``message``. Reasons are
        "unreadable" (pymatgen builds no crystal of it), "incommensurate", "disordered" and
        "no moments" (all are zero).
    warnings : pandas.DataFrame
        Warnings of pymatgen, also about dropped files: ``source`` and ``message``.
    n_magnetic_sites : int
        Sites with nonzero moments before those that repeat another were left out.

    Examples
    --------
    >>> from ssatom import MagneticSites
    >>> import pandas as pd
    >>> table = pd.DataFrame({"source": ["Fe", "Fe"], "magmom": [2.2, 1.9]})
    >>> dropped = pd.DataFrame({"source": ["Cu"], "reason": ["no moments"]})
    >>> MagneticSites(table, dropped, pd.DataFrame(), n_magnetic_sites=2).counts
    {'usable': 1, 'unreadable': 0, 'incommensurate': 0, 'disordered': 0, 'no moments': 1}
    """

    table: pd.DataFrame
    dropped: pd.DataFrame
    warnings: pd.DataFrame
    n_magnetic_sites: int

    def __repr__(self) -> str:
        return f"<MagneticSites: {len(self.table)} sites, {len(self.dropped)} files dropped>"

    @property
    def counts(self) -> dict[str, int]:
        """Number of files by what became of them: "usable", and each reason, also where 0."""
        reasons = Counter(self.dropped["reason"])
        usable = int(self.table["source"].nunique())
        return {"usable": usable} | {reason: reasons[reason] for reason in REASONS}


def load_magnetic_sites(
    path: str | os.PathLike[str],
    *,
    tolerance: float = 1e-6,
    n_jobs: int | None = None,
    progress_bar: bool = True,
) -> MagneticSites:
    """Read magnetic structures, as of MAGNDATA, into a table of sites with different moments.

    Files are read by pymatgen, of each the first data block. Those that it cannot process,
    disordered and incommensurate ones, and those without moments are dropped and counted by
    reason. Of the sites with nonzero moments, the first of each size is kept, element by element:
    sites that symmetry relates, and others of equal moment, would repeat one row.

    Parameters
    ----------
    path : str or path-like
        Folder of ``.mcif`` files, with subfolders, or a tar archive of them (packed or not), which
        is read without being unpacked to disk.
    tolerance : float, default=1e-6
        Moments of one element in one material are different when they differ by more than this,
        in μB; moments up to this are zero. With 0, moments that are equal but for rounding in
        the last digit stand several times where symmetry turns them.
    n_jobs : int, default=None
        Processes; None is 1, -1 one a core. A file takes about 0.05 s.
    progress_bar : bool, default=True
        Show files done, on stderr, in a terminal or a notebook.

    Returns
    -------
    MagneticSites
        The table, and the files that are not in it.

    Raises
    ------
    MissingFileError
        If there is nothing at the path.
    StructureFileError
        If it is neither a folder nor an archive with ``.mcif`` files, the archive is damaged, or
        none of its files gives a site.
    ParameterError
        If the tolerance is negative or not finite.

    Notes
    -----
    The published table of 1,816 sites of MAGNDATA [1]_ in [2]_ follows from ``tolerance=0``, other
    elements of exactly the same moment left out too. Some releases of pymatgen give a wrong size
    to moments that symmetry turns between axes of unequal lengths.

    References
    ----------
    .. [1] S. V. Gallego et al., Journal of Applied Crystallography 49, 1750 (2016),
       https://doi.org/10.1107/S1600576716012863
    .. [2] https://doi.org/10.48550/arXiv.2211.03563

    Examples
    --------
    >>> from ssatom import load_magnetic_sites
    >>> sites = load_magnetic_sites("magndata.tar.xz")  # doctest: +SKIP
    >>> sites.counts  # doctest: +SKIP
    >>> pairs = list(zip(sites.table.structure, sites.table.site_index))  # doctest: +SKIP
    """
    number("tolerance", tolerance, "[0, inf)")
    path = Path(path)
    texts = _texts(path)
    jobs = (delayed(_read)(*text, tolerance) for text in texts)
    read = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    bar = make_bar(read, desc=path.name, total=len(texts), show=progress_bar)
    return _collect(bar, len(texts), path)


class _File(NamedTuple):
    """What a file gives: rows of the table, or a reason with a message; and warnings."""

    source: str
    rows: list[list[Any]]
    n_magnetic: int
    reason: str
    message: str
    warnings: list[str]


def _collect(files: Iterable[_File], n_files: int, path: Path) -> MagneticSites:
    import pandas as pd

    def table(columns: list[str], rows: list[Any]) -> pd.DataFrame:
        frame = pd.DataFrame(rows, columns=columns)
        return frame.sort_values("source", kind="stable", ignore_index=True)

    read = list(files)
    dropped = [(one.source, one.reason, one.message) for one in read if one.reason]
    sites = MagneticSites(
        table(_COLUMNS, [row for one in read for row in one.rows]),
        table(["source", "reason", "message"], dropped),
        table(["source", "message"], [(one.source, text) for one in read for text in one.warnings]),
        sum(one.n_magnetic for one in read),
    )
    if sites.table.empty:
        first = sites.dropped.iloc[0]
        counts = ", ".join(f"{n} {what}" for what, n in sites.counts.items() if n)
        raise StructureFileError(
            f"none of its {n_files} .mcif files gives a site with a moment ({counts}); the "
            f"first is {first.source}: {first.message}",
            source=str(path),
        )
    return sites


# Files --------------------------------------------------------------------------------------------


def _texts(path: Path) -> list[tuple[str, str | None, str]]:
    """Source and text of each file of the folder or archive; without a text, what is wrong."""
    if not path.exists():
        raise MissingFileError(
            f"there is no such folder or archive (looked in {os.getcwd()})", source=str(path)
        )
    # Where two names lead to one place, the later file wins, as it does in unpacking.
    found = dict(_of_folder(path) if path.is_dir() else _of_archive(path))
    if not found:
        raise StructureFileError(
            "holds no .mcif files; give a folder or a tar archive that does", source=str(path)
        )
    common = os.path.commonpath([os.path.dirname(place) for place in found])
    start = len(common) + 1 if common else 0
    return [(place[start:].removesuffix(_SUFFIX), *text) for place, text in sorted(found.items())]


def _of_folder(path: Path) -> Iterator[tuple[str, _Text]]:
    for file in path.rglob(f"*{_SUFFIX}"):
        place = file.relative_to(path).as_posix()
        if file.is_file() and _is_wanted(place):
            yield place, _text(partial(file.open, "rb"))


def _of_archive(path: Path) -> Iterator[tuple[str, _Text]]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                place = PurePosixPath(member.name).as_posix().lstrip("/")
                if member.isfile() and _is_wanted(place):
                    yield place, _text(partial(archive.extractfile, member))
                elif not member.isdir() and _is_wanted(place):  # a link could lead out of it
                    yield place, (None, "a link or device in an archive is not read")
    except _BROKEN as error:
        raise StructureFileError(
            f"cannot be read as a tar archive ({type(error).__name__}: {error}); allowed are "
            "folders of .mcif files, and .tar, .tar.gz, .tar.bz2 and .tar.xz of them",
            source=str(path),
        ) from None


def _is_wanted(place: str) -> bool:
    hidden = any(part.startswith(".") and part != ".." for part in place.split("/"))
    return place.endswith(_SUFFIX) and not hidden


def _text(open_file: Callable[[], Any]) -> _Text:
    try:
        with open_file() as file:
            content = file.read(MAX_FILE_SIZE + 1)
    except _BROKEN as error:
        return None, f"{type(error).__name__}: {error}"
    if len(content) > MAX_FILE_SIZE:
        return None, f"the file is larger than {MAX_FILE_SIZE / 2**20:g} MiB"
    return content.decode("utf-8", errors="replace"), ""


# Crystals -----------------------------------------------------------------------------------------


class _UnusableError(Exception):
    """Why a file gives no site: one of `REASONS`, and a message."""


def _read(source: str, text: str | None, problem: str, tolerance: float) -> _File:
    """The sites of a file's text; None where the file could not be read, for the given problem."""
    if text is None:
        return _File(source, [], 0, "unreadable", problem, [])
    rows: list[list[Any]] = []
    n_magnetic, reason, message = 0, "", ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            structure, numbers, magmoms = _parse(text)
            n_magnetic = int((magmoms > tolerance).sum())
            for site in _different(numbers, magmoms, tolerance):
                symbol, size = structure[site].specie.symbol, float(magmoms[site])
                of_file = source, formula_of(structure), _temperature(text)
                rows.append([structure, site, symbol, size, *of_file])
        except _UnusableError as error:
            reason, message = error.args
        except Exception as error:  # pymatgen's parser raises errors of many kinds
            reason, message = _reason(error), f"{type(error).__name__}: {error}"
    told = list(dict.fromkeys(str(warning.message) for warning in caught))
    if reason == "unreadable":
        # pymatgen's errors are general: what went wrong is in its warnings, some within others.
        details = [one for one in told if not any(one in other for other in {*told} - {one})]
        message = "; ".join([message, *details])
    return _File(source, rows, n_magnetic, reason, message, told)


def _parse(text: str) -> tuple[Structure, np.ndarray, np.ndarray]:
    """Crystal, atomic numbers and the sizes of the moments in μB."""
    with np.errstate(all="ignore"):  # what is not finite is refused later
        parsed = Structure.from_str(text, fmt="cif", primitive=False)
    if not parsed.is_ordered:
        site = next(site for site in parsed if not site.is_ordered)
        raise _UnusableError("disordered", f"a site holds {site.species_string}")
    moments = parsed.site_properties.get("magmom")
    if moments is None:
        raise _UnusableError("no moments", "the file is of a structure without moments")
    magmoms = np.array([np.linalg.norm(moment.global_moment) for moment in moments])
    if not np.isfinite(magmoms).all():
        raise _UnusableError("unreadable", "some moments are not finite numbers")
    arrays = structure_arrays(parsed)
    return plain_structure(arrays), arrays.numbers, magmoms


def _different(numbers: np.ndarray, magmoms: np.ndarray, tolerance: float) -> list[int]:
    """Sites whose moments are neither zero nor that of an earlier one of the element."""
    found: list[int] = []
    for site in np.flatnonzero(magmoms > tolerance).tolist():
        alike = (i for i in found if numbers[i] == numbers[site])
        if all(abs(magmoms[i] - magmoms[site]) > tolerance for i in alike):
            found.append(site)
    if not found:
        raise _UnusableError("no moments", f"all moments are at most {tolerance} μB")
    return found


def _reason(error: Exception) -> str:
    """Which of `REASONS` an error of pymatgen tells of."""
    words = str(error).lower() if isinstance(error, NotImplementedError) else ""
    return next((r for r in ("incommensurate", "disordered") if r in words), "unreadable")


def _temperature(text: str) -> float:
    """The file's transition temperature in K, the middle of a range; NaN without one."""
    found = _TEMPERATURE.search(text)
    # Less its uncertainty, in brackets.
    value = re.sub(r"\([^)]*\)", "", found[1]).strip(" \t'\"") if found else ""
    limits = _VALUE_OR_RANGE.fullmatch(value)
    return float(np.mean([float(x) for x in limits.groups() if x])) if limits else float("nan")
