"""Magnetic structures in .mcif files to a table of sites with moments."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed

from ssatom.corpora._mcif import (
    REASONS,
    MagneticCrystal,
    Unusable,
    find_files,
    read_crystal,
    read_texts,
)
from ssatom.exceptions import StructureFileError
from ssatom.progress import make_bar
from ssatom.structures import formula_of
from ssatom.validation import number

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = [
    *("structure", "site_index", "element", "magmom"),
    *("source", "formula", "transition_temperature_K"),
]


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
    names = find_files(path)
    jobs = (delayed(read_crystal)(*file) for file in read_texts(path, names))
    read = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    bar = make_bar(read, desc=path.name, total=len(names), show=progress_bar)
    sites = _collect(bar, tolerance)
    if sites.table.empty:
        first = sites.dropped.iloc[0]
        counts = ", ".join(f"{n} {what}" for what, n in sites.counts.items() if n)
        raise StructureFileError(
            f"none of its {len(names)} .mcif files gives a site with a moment ({counts}); the "
            f"first is {first.source}: {first.message}",
            source=str(path),
        )
    return sites


def _collect(read: Iterator[MagneticCrystal | Unusable], tolerance: float) -> MagneticSites:
    import pandas as pd

    rows: list[list[Any]] = []
    dropped: list[tuple[str, str, str]] = []
    warned: list[tuple[str, str]] = []
    n_magnetic_sites = 0
    for crystal in read:
        warned += [(crystal.source, message) for message in crystal.warnings]
        if isinstance(crystal, Unusable):
            dropped.append((crystal.source, crystal.reason, crystal.message))
            continue
        n_magnetic_sites += int((crystal.magmoms > tolerance).sum())
        sites = _different(crystal, tolerance)
        rows += [_row(crystal, site) for site in sites]
        if not sites:
            problem = f"all moments are at most {tolerance} μB"
            dropped.append((crystal.source, "no moments", problem))
    return MagneticSites(
        table=_sorted(pd.DataFrame(rows, columns=_COLUMNS)),
        dropped=_sorted(pd.DataFrame(dropped, columns=["source", "reason", "message"])),
        warnings=_sorted(pd.DataFrame(warned, columns=["source", "message"])),
        n_magnetic_sites=n_magnetic_sites,
    )


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values("source", kind="stable", ignore_index=True)


def _different(crystal: MagneticCrystal, tolerance: float) -> list[int]:
    """Sites whose moments are neither zero nor that of an earlier one of the element."""
    found: list[int] = []
    for site in np.flatnonzero(crystal.magmoms > tolerance).tolist():
        element, magmom = crystal.numbers[site], crystal.magmoms[site]
        earlier = [i for i in found if crystal.numbers[i] == element]
        if all(abs(crystal.magmoms[i] - magmom) > tolerance for i in earlier):
            found.append(site)
    return found


def _row(crystal: MagneticCrystal, site: int) -> list[Any]:
    structure = crystal.structure
    return [
        *(structure, site, structure[site].specie.symbol, float(crystal.magmoms[site])),
        *(crystal.source, formula_of(structure), crystal.transition_temperature),
    ]
