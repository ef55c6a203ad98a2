"""The paper's table of experimental magnetic moments, extracted again from MAGNDATA's files.

The paper does not say how it selected its sites, but its table shows it: the first site of each
moment is kept, moments are compared as floats, and elements are ignored. The moments of 1.197
(site 12), 1.34 (2) and 1.303 (4 and 20) differ from those of the file's own sites: earlier releases
of pymatgen transformed components along axes of unequal lengths as if the lengths were equal.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from ssatom import MagneticSites, load_magnetic_sites
from studies.context import Context
from studies.datasets import Dataset
from studies.study import Report, Table

ARCHIVE = "magndata_mcif.tar.xz"
PAPER = {"files": 1500, "usable": 1137, "magnetic_sites": 13276, "sites": 1816}
"""Files "more than 1,500", materials left, their atoms with moments, atoms kept."""

SAME_MOMENT = 0.01
"""μB; the criterion of agreement."""

ROUNDING = 1e-6
"""μB; far below the measured digits, far above the rounding errors of floats."""

QUICK_FILES = 200
_AGREES, _ELSEWHERE = "agrees", "moment kept at another site"
_OUTCOMES = (
    *(_AGREES, _ELSEWHERE),
    *("other moment", "other element", "not kept", "file dropped"),
)

# Source, site, symbol of the element, moment in μB.
_Site = tuple[str, int, str, float]


def run(context: Context) -> Report:
    """Extract the table, and compare it with the paper's site by site."""
    sites = _load(context)
    frame = sites.table
    ours = list(zip(frame.source, frame.site_index, frame.element, frame.magmom, strict=True))
    dropped = {*sites.dropped.source}
    paper = _paper_sites(context.dataset("paper_magmom"))
    theirs = [site for site in paper if site[0] in {*frame.source} | dropped]
    compared = _compare(ours, theirs, dropped)
    ours_once, paper_once, theirs_once = map(_without_repeats, (ours, paper, theirs))
    results = {
        "n_files": sum(sites.counts.values()),
        "counts": sites.counts,
        "n_magnetic_sites": sites.n_magnetic_sites,
        "n_sites": len(ours),
        "n_sites_without_repeats": len(ours_once),
        "paper": PAPER,
        "n_repeats_in_paper": len(paper) - len(paper_once),
        "in_both": _agreement(compared),
        "in_both_without_repeats": _agreement(_compare(ours_once, theirs_once, dropped)),
        "disagreeing": [row for row in compared if row["outcome"] != _AGREES],
    }
    return Report(results, tables=_tables(results), reading=[_reading(results)])


def _load(context: Context) -> MagneticSites:
    """The sites; as in the paper, moments that differ in the last digit of a float are two."""
    archive = context.data / ARCHIVE
    options: dict[str, Any] = {
        "tolerance": 0.0,
        "n_jobs": context.n_jobs,
        "progress_bar": context.progress_bar,
    }
    if not context.quick:
        return load_magnetic_sites(archive, **options)
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "part.tar")
        _first_files(archive, part)
        return load_magnetic_sites(part, **options)


def _first_files(archive: Path, part: Path) -> None:
    with tarfile.open(archive) as whole, tarfile.open(part, "w") as few:
        for member in islice((m for m in whole if m.isfile()), QUICK_FILES):
            few.addfile(member, whole.extractfile(member))


def _paper_sites(dataset: Dataset) -> list[_Site]:
    assert dataset.sites is not None
    rows = zip(dataset.ids, dataset.structures, dataset.sites, dataset.y, strict=True)
    return [
        (str(source), int(site), structure[int(site)].specie.symbol, float(magmom))
        for source, structure, site, magmom in rows
    ]


def _compare(ours: list[_Site], theirs: list[_Site], dropped: set[str]) -> list[dict[str, Any]]:
    """Outcome of the comparison for each of the paper's sites."""
    at = {(source, site): (element, magmom) for source, site, element, magmom in ours}
    moments: dict[tuple[str, str], list[float]] = {}
    for source, _, element, magmom in ours:
        moments.setdefault((source, element), []).append(magmom)
    rows = []
    for source, site, element, magmom in theirs:
        here = at.get((source, site))
        known = moments.get((source, element), [])
        if source in dropped:
            outcome = "file dropped"
        elif here is not None and here[0] != element:
            outcome = "other element"
        elif here is not None:
            outcome = _AGREES if abs(here[1] - magmom) < SAME_MOMENT else "other moment"
        else:
            elsewhere = any(abs(value - magmom) < SAME_MOMENT for value in known)
            outcome = _ELSEWHERE if elsewhere else "not kept"
        rows.append(
            {
                "source": source,
                "site": site,
                "outcome": outcome,
                "ours": None if here is None else {"element": here[0], "magmom": here[1]},
                "theirs": {"element": element, "magmom": magmom},
            }
        )
    return rows


def _without_repeats(sites: Iterable[_Site]) -> list[_Site]:
    """Sites whose moment no earlier one of their material and element has."""
    seen: dict[tuple[str, str], list[float]] = {}
    kept = []
    for site in sites:
        source, _, element, magmom = site
        earlier = seen.setdefault((source, element), [])
        if all(abs(magmom - value) > ROUNDING for value in earlier):
            earlier.append(magmom)
            kept.append(site)
    return kept


def _agreement(compared: list[dict[str, Any]]) -> dict[str, Any]:
    outcomes = Counter(row["outcome"] for row in compared)
    return {
        "n_materials": len({row["source"] for row in compared}),
        "n_sites": len(compared),
        "n_agree": outcomes[_AGREES],
        "share": outcomes[_AGREES] / len(compared) if compared else None,
        "outcomes": {outcome: outcomes[outcome] for outcome in _OUTCOMES},
    }


def _tables(results: dict[str, Any]) -> list[Table]:
    columns = [results["in_both"], results["in_both_without_repeats"]]
    rows = [[f"{what}", *(str(c["outcomes"][what]) for c in columns)] for what in _OUTCOMES]
    rows.append(["all", *(str(column["n_sites"]) for column in columns)])
    rows.append(["share that agrees", *(_percent(column["share"]) for column in columns)])
    return [
        Table("From files to sites", ["", "here", "paper"], _counts(results)),
        Table(
            f"The paper's sites whose file is here: same site, element, and moment within "
            f"{SAME_MOMENT} μB",
            ["", "sites", f"repeats within {ROUNDING:g} μB left out on both sides"],
            rows,
        ),
        Table(
            "Sites with another moment or element, μB",
            ["file", "site", "here", "paper"],
            [
                [row["source"], str(row["site"]), _moment(row["ours"]), _moment(row["theirs"])]
                for row in results["disagreeing"]
                if row["outcome"] != _ELSEWHERE
            ],
        ),
    ]


def _counts(results: dict[str, Any]) -> list[list[str]]:
    paper, counts = results["paper"], results["counts"]
    n_dropped = results["n_files"] - counts["usable"]
    reasons = [[f"dropped: {key}", str(n), ""] for key, n in counts.items() if key != "usable"]
    return [
        ["files", str(results["n_files"]), f"more than {paper['files']}"],
        *reasons,
        ["dropped, all", str(n_dropped), f"more than {paper['files'] - paper['usable']}"],
        ["materials with moments", str(counts["usable"]), str(paper["usable"])],
        [
            "sites with nonzero moments",
            str(results["n_magnetic_sites"]),
            str(paper["magnetic_sites"]),
        ],
        ["of different moments, to the last digit", str(results["n_sites"]), str(paper["sites"])],
        [
            f"of moments that differ by more than {ROUNDING:g} μB",
            str(results["n_sites_without_repeats"]),
            str(paper["sites"] - results["n_repeats_in_paper"]),
        ],
    ]


def _moment(site: dict[str, Any] | None) -> str:
    return "not in the table" if site is None else f"{site['element']} {site['magmom']:.3f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _reading(results: dict[str, Any]) -> str:
    both, once = results["in_both"], results["in_both_without_repeats"]
    outcomes = both["outcomes"]
    repeats, n_paper = results["n_repeats_in_paper"], results["paper"]["sites"]
    return (
        f"Of {results['n_files']} files, {results['counts']['usable']} give "
        f"{results['n_sites']} sites; the paper has {results['paper']['usable']} materials and "
        f"{n_paper} sites of an older copy. For {both['n_sites']} of its sites, in "
        f"{both['n_materials']} materials, the file is here, and {both['n_agree']} of them "
        f"({_percent(both['share'])}) are in the table with the same index and element and a "
        f"moment within {SAME_MOMENT} μB. For {outcomes[_ELSEWHERE]} sites the table has "
        f"that moment at another site of the material, {outcomes['other moment']} have another "
        "moment, and the rest have another element or no counterpart. The paper seems to have "
        "compared moments as floats, so that copies of one site by symmetry remain where rounding "
        f"makes them differ: {repeats} of its {n_paper} sites repeat the moment of an earlier site "
        f"of their element and material within {ROUNDING:g} μB. Which copies remain depends on the "
        "order of the arithmetic. Without such repeats, which load_magnetic_sites leaves out by "
        f"default, {once['n_agree']} of {once['n_sites']} sites ({_percent(once['share'])}) agree, "
        f"and the whole table here has {results['n_sites_without_repeats']} sites."
    )
