"""A run over many crystals into one table: claimed, resumed, written, reported.

What `ssatom featurize` and `ssatom predict` have in common.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from ssatom.cli._output import aligned, counted
from ssatom.exceptions import ParameterError, SsatomError

if TYPE_CHECKING:
    from ssatom.cli._items import Job
    from ssatom.cli._parts import PartFolder

_SHOWN = 5  # names after a warning, and kinds of warnings


class Done(NamedTuple):
    """What a run came to."""

    n_crystals: int
    n_sites: int
    n_rows: int


def check_output(output: Path, suffixes: Sequence[str], overwrite: bool) -> None:
    """Refuse a name that cannot be written, or not without `overwrite`."""
    if output.suffix not in suffixes:
        raise ParameterError(f"--output: '{output}' must end in one of {', '.join(suffixes)}")
    if not output.absolute().parent.is_dir():
        raise SsatomError(f"'{output}': there is no folder '{output.parent}'; make it first")
    if output.exists() and not overwrite:
        raise SsatomError(f"'{output}' exists; give another name, or --overwrite to replace it")


def run_to_table(
    job: Job,
    output: Path,
    describe: Callable[[Done], list[tuple[str, str]]],
    *,
    label: str,
    overwrite: bool,
    progress: bool,
    started: float,
) -> None:
    """Compute all rows, going on where an earlier run was cut, write the table and report.

    Parameters
    ----------
    job : Job
        What to compute.
    output : Path
        The table; the parts are kept beside it until it is written.
    describe : callable
        From what was done to lines of the summary, as pairs of name and text.
    label : str
        Of the progress bar.
    overwrite : bool
        Whether to start anew where parts of other settings are.
    progress : bool
        Whether to show a progress bar.
    started : float
        When the command started, as from ``time.perf_counter()``.

    Raises
    ------
    Exit
        With code 130 if stopped by hand, 3 if some crystals could not be used.
    """
    with _claim(output, job, overwrite) as parts:
        try:
            n_resumed = _fill(job, parts, label, progress)
        except KeyboardInterrupt:
            typer.echo(
                f"stopped; {counted(_total(parts, 'n_records'), 'structure')} are done and kept in "
                f"{parts.path}; give the same command again to go on",
                err=True,
            )
            raise typer.Exit(130) from None
        notes = list(parts.notes())
        _write(output, job, parts)
    done = Done(
        sum(note["n_records"] - len(note["bad"]) for note in notes),
        *(sum(note[key] for note in notes) for key in ("n_sites", "n_rows")),
    )
    rows = [("resumed", f"after {counted(n_resumed, 'structure')}")] if n_resumed else []
    rows += describe(done)
    rows += [("seconds", f"{time.perf_counter() - started:.1f}"), ("output", str(output))]
    typer.echo(aligned(rows))
    report_warnings([row for note in notes for row in note["warnings"]])
    bad = [row for note in notes for row in note["bad"]]
    report_bad(bad, sum(note["n_records"] for note in notes))


def _claim(output: Path, job: Job, overwrite: bool) -> PartFolder:
    """The folder of parts beside the output."""
    from ssatom.cli._parts import PartFolder
    from ssatom.corpora import read_structures

    for path in job.paths:  # a wrong path is refused before anything is written
        read_structures(path, structure_column=job.structure_column)
    folder = output.with_name(output.name + ".part")
    return PartFolder(folder, job.settings(), restart=overwrite)


def _fill(job: Job, parts: PartFolder, label: str, progress: bool) -> int:
    """Add the parts that are missing; the number of structures that were done before."""
    from tqdm import tqdm

    from ssatom.cli._items import chunks, compute, read_items

    n_done = _total(parts, "n_records")
    items = islice(read_items(job.paths, job.structure_column), n_done, None)
    total = count_all(job.paths) if progress else None
    bar = tqdm(desc=label, total=total, initial=n_done, unit=" crystals", disable=not progress)
    with bar:
        for chunk in chunks(items):
            table, notes = compute(chunk, job)
            parts.add(table, notes)
            bar.update(len(chunk))
    return n_done


def count_all(paths: Sequence[Path]) -> int | None:
    """Crystals of all paths, None where only reading would tell."""
    from ssatom.corpora import count_structures

    counts = [count_structures(path) for path in paths]
    return None if None in counts else sum(count or 0 for count in counts)


def _total(parts: PartFolder, key: str) -> int:
    return sum(note[key] for note in parts.notes())


def _write(output: Path, job: Job, parts: PartFolder) -> None:
    from ssatom.cli._tables import WRITERS

    written = parts.path / "table"
    WRITERS[output.suffix](written, parts, job.schema(), job.about())
    parts.finish(written, output)


def report_warnings(rows: list[list[str]]) -> None:
    """Each text once, with the sources that it is about."""
    about: dict[str, list[str]] = {}
    for source, text in rows:
        about.setdefault(text, []).append(source)
    for text, sources in list(about.items())[:_SHOWN]:
        names = ", ".join(sources[:_SHOWN]) + (", …" if len(sources) > _SHOWN else "")
        typer.echo(f"warning: {text} ({counted(len(sources), 'crystal')}: {names})", err=True)
    if len(about) > _SHOWN:
        typer.echo(f"warning: and {len(about) - _SHOWN} more of other kinds", err=True)


def report_bad(bad: list[list[str]], n_all: int, noun: str = "structures") -> None:
    """List what could not be used, as [source, reason]; ends with exit code 3 if there is any."""
    if bad:
        typer.echo(f"\n{len(bad):,} of {n_all:,} {noun} could not be used:", err=True)
        typer.echo(aligned([("source", "reason"), *bad], indent=2), err=True)
        raise typer.Exit(3)
