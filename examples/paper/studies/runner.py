"""Run studies one after the other, each once, and keep what they found."""

from __future__ import annotations

import hashlib
import os
import platform
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

import ssatom
from ssatom.embeddings import resolve_weights
from ssatom.exceptions import MissingFileError, ParameterError
from ssatom.reproduction.context import Context
from ssatom.reproduction.report_files import is_complete, write_report
from ssatom.reproduction.studies import STUDIES
from ssatom.reproduction.study import Study
from ssatom.weights import DEFAULT_WEIGHTS


def reproduce(
    names: str | Sequence[str],
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    weights: str = DEFAULT_WEIGHTS,
    quick: bool = False,
    n_jobs: int | None = -1,
    progress_bar: bool = True,
) -> list[Path]:
    """Run tables and figures of the paper on its data.

    Each study writes its numbers (NAME.json: settings, hashes of data and weights, every split's
    scores, times), a Markdown table of the printed numbers and ours (NAME.md), and its figures
    (PNG and SVG). Studies that are there already with the same data, weights and settings are
    not run again, and one that was interrupted goes on with the split where it stopped.

    Parameters
    ----------
    names : str or sequence of str
        Of `STUDIES`, such as "table2" or "fig4"; "all" is all of them.
    data : path
        Folder of the data files.
    output : path
        Folder of the results; made as needed. Its subfolders ``splits`` and ``cache`` keep
        unfinished work and can be deleted.
    weights : str, default="smooth-128x5-mp"
        Name of a shipped set of weights, or a folder.
    quick : bool, default=False
        One split, a coarse grid and no slow descriptor, for a first look.
    n_jobs : int, default=-1
        Processes; -1 is as many as cores, None is one.
    progress_bar : bool, default=True
        Show progress.

    Returns
    -------
    list of Path
        The JSON file of each study, in order.

    Raises
    ------
    ParameterError
        If a study is unknown.
    MissingFileError
        If a data file that a study needs is missing; before anything is run.
    WeightsError
        If the weights are unknown or damaged.

    References
    ----------
    .. [1] Kong et al., "Self-supervised representations and node embedding graph neural networks
       for accurate and multi-scale analysis of materials", Mach. Learn.: Sci. Technol. 5, 035018
       (2024), 10.48550/arXiv.2211.03563

    Examples
    --------
    >>> import tempfile
    >>> from ssatom import reproduce
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [file] = reproduce("fig4", folder, folder, progress_bar=False)
    ...     sorted(path.name for path in file.parent.iterdir())
    ['fig4.json', 'fig4.md', 'fig4.png', 'fig4.svg']
    """
    chosen = _chosen(names)
    context = Context(Path(data), Path(output), weights, quick, n_jobs, progress_bar)
    _check_data(chosen, context.data)
    files = [context.output / f"{study.name}.json" for study in chosen]
    bar = tqdm(list(zip(chosen, files, strict=True)), disable=not progress_bar, unit="study")
    for study, file in bar:
        bar.set_description(study.name)
        settings = _settings(study, context)
        if is_complete(file, settings):
            continue
        if file.exists():
            warnings.warn(
                f"'{file}' is incomplete, or of other data, weights or settings; it is made anew",
                UserWarning,
                stacklevel=2,
            )
        start = time.perf_counter()
        report = study.run(context)
        took = {
            "seconds": time.perf_counter() - start,
            "seconds_of_splits": _seconds_of_splits(report.results),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "ssatom": ssatom.__version__,
        }
        write_report(study, report, {**settings, **took}, context.output)
    return files


def _chosen(names: str | Sequence[str]) -> list[Study]:
    wanted = [names] if isinstance(names, str) else list(names)
    if wanted == ["all"]:
        return list(STUDIES.values())
    if not wanted or (unknown := [name for name in wanted if name not in STUDIES]):
        raise ParameterError(
            f"no study is called {', '.join(map(repr, unknown)) if wanted else 'nothing'}; "
            f"allowed: all, {', '.join(STUDIES)}"
        )
    return [STUDIES[name] for name in dict.fromkeys(wanted)]


def _check_data(chosen: Sequence[Study], folder: Path) -> None:
    """Say at once what is missing, not hours later."""
    missing = {
        file: study.name
        for study in chosen
        for file in study.data
        if not (folder / file).is_file() and not (folder / file.removesuffix(".gz")).is_file()
    }
    if missing:
        state = "" if folder.is_dir() else ", which is no folder"
        listed = ", ".join(f"{file} (for {study})" for file, study in missing.items())
        raise MissingFileError(
            f"data files are missing in '{folder.resolve()}'{state}: {listed}; give the folder "
            "that holds the evaluation data (they are not part of this package), or choose "
            "studies that do not need them"
        )


def _settings(study: Study, context: Context) -> dict[str, Any]:
    """What decides the numbers of a study."""
    encoder = resolve_weights(context.weights)
    return {
        "quick": context.quick,
        "weights": {"name": encoder.name, "sha256": encoder.sha256},
        "data": {file: _sha256(context.data, file) for file in study.data},
    }


def _sha256(folder: Path, file: str) -> str:
    path = folder / file
    with (path if path.is_file() else folder / file.removesuffix(".gz")).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _seconds_of_splits(results: Any) -> float:
    """Time to fit and predict all splits, also those that an earlier run had done."""
    if isinstance(results, Mapping):
        mine = sum(split["seconds"] for split in results.get("splits", []))
        return mine + sum(_seconds_of_splits(value) for value in results.values())
    return 0.0
