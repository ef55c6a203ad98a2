"""Run studies one after the other, each once, and write what they found."""

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
from ssatom import MissingFileError, ParameterError
from ssatom.embeddings import resolve_weights
from ssatom.files import claimed, is_leftover
from ssatom.weights import DEFAULT_WEIGHTS
from studies.context import Context
from studies.datasets import where_from
from studies.registry import STUDIES
from studies.report_files import is_complete, write_report
from studies.study import Study


def reproduce(
    names: str | Sequence[str],
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    weights: str = DEFAULT_WEIGHTS,
    quick: bool = False,
    n_jobs: int | None = -1,
    progress_bar: bool = True,
    earlier: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Compute tables and figures of the paper from its data.

    Each study writes its numbers (NAME.json: settings, hashes of data and weights, every split's
    scores, times), a Markdown table of the printed numbers and ours (NAME.md), and its figures
    (PNG and SVG). A study whose files are complete for the same data, weights and settings is not
    computed again, and one that was interrupted continues after the last finished split.

    Parameters
    ----------
    names : str or sequence of str
        Of `STUDIES`, such as "table2" or "fig4"; "all" means all of them.
    data : path
        Folder of the data files.
    output : path
        Folder of the results; made as needed. Its subfolders ``splits`` and ``cache`` hold
        unfinished work and can be deleted.
    weights : str, default=DEFAULT_WEIGHTS
        Name of a shipped set of weights, or a folder.
    quick : bool, default=False
        One split, a coarse grid and no slow descriptor.
    n_jobs : int, default=-1
        Processes; -1 is one for each core, None is one.
    progress_bar : bool, default=True
        Show progress.
    earlier : path, default=None
        Folder of earlier reports. Results of descriptors and of CGCNN, which do not depend on the
        weights, are taken from there, if they are of the same data and the same model.

    Returns
    -------
    list of Path
        The JSON file of each study, in order.

    Raises
    ------
    ParameterError
        If a study is unknown.
    MissingFileError
        If a data file that a study needs is missing; before anything is computed.
    WeightsError
        If the weights are unknown or damaged.
    SsatomError
        If another run is at work on the same output.
    """
    studies = _studies(names)
    known = None if earlier is None else Path(earlier)
    context = Context(Path(data), Path(output), weights, quick, n_jobs, progress_bar, known)
    _check_data(studies, context.data)
    with claimed(context.output):
        return _run(studies, context)


def _run(studies: Sequence[Study], context: Context) -> list[Path]:
    """Run those that are not complete; the files of all."""
    for path in filter(is_leftover, context.output.rglob("*")):  # of runs that were killed
        path.unlink()
    files = [context.output / f"{study.name}.json" for study in studies]
    bar = tqdm(
        list(zip(studies, files, strict=True)), disable=not context.progress_bar, unit="study"
    )
    for study, file in bar:
        bar.set_description(study.name)
        settings = settings_of(study, context)
        if is_complete(file, settings):
            continue
        if file.exists():
            warnings.warn(
                f"'{file}' is incomplete, or of other data, weights or settings; it is computed "
                "again",
                UserWarning,
                stacklevel=3,
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


def settings_of(study: Study, context: Context) -> dict[str, Any]:
    """What decides the numbers of a study; a finished one is identified by it."""
    encoder = resolve_weights(context.weights)
    return {
        "quick": context.quick,
        "weights": {"name": encoder.name, "sha256": encoder.sha256},
        "data": {file: _sha256(context.data, file) for file in study.data},
    }


def _studies(names: str | Sequence[str]) -> list[Study]:
    wanted = [names] if isinstance(names, str) else list(names)
    if wanted == ["all"]:
        return list(STUDIES.values())
    if not wanted or (unknown := [name for name in wanted if name not in STUDIES]):
        raise ParameterError(
            f"no study is called {', '.join(map(repr, unknown)) if wanted else 'nothing'}; "
            f"allowed: all, {', '.join(STUDIES)}"
        )
    return [STUDIES[name] for name in dict.fromkeys(wanted)]


def _check_data(studies: Sequence[Study], folder: Path) -> None:
    """Name all missing files before the first study runs."""
    missing = {
        file: study.name
        for study in studies
        for file in study.data
        if not (folder / file).is_file() and not (folder / file.removesuffix(".gz")).is_file()
    }
    if missing:
        state = "" if folder.is_dir() else ", which is no folder"
        listed = ", ".join(
            f"{file} (for {study}; {where_from(file)})" for file, study in missing.items()
        )
        raise MissingFileError(
            f"data files are missing in '{folder.resolve()}'{state}: {listed}; give the folder of "
            "the data files with --data. They are not part of this repository: "
            "examples/paper/README.md says how to make them from the public sets. The studies fig3 "
            "and fig4 need none"
        )


def _sha256(folder: Path, file: str) -> str:
    path = folder / file
    with (path if path.is_file() else folder / file.removesuffix(".gz")).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _seconds_of_splits(results: Any) -> float:
    """Time to fit and predict all splits, including those of an earlier run."""
    if isinstance(results, Mapping):
        mine = sum(split["seconds"] for split in results.get("splits", []))
        return mine + sum(_seconds_of_splits(value) for value in results.values())
    return 0.0
