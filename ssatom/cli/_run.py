"""A run over many crystals that writes one table or index, and that can be resumed.

`ssatom featurize`, `predict` and `index` have this in common.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

import ssatom
from ssatom.cli._disk import refuse_replacing, writing
from ssatom.cli._screen import Problem, aligned, counted, say, show_problems, write_problems
from ssatom.cli._workers import Workers
from ssatom.exceptions import ParameterError, SsatomError
from ssatom.files import replacing

if TYPE_CHECKING:
    from ssatom.cli._items import Job
    from ssatom.cli._parts import PartFolder


class Done(NamedTuple):
    """What a run has done."""

    n_crystals: int
    n_sites: int
    n_rows: int


def check_output(output: Path, suffixes: Sequence[str], overwrite: bool) -> None:
    """Refuse an output that cannot be written, or one that exists without `overwrite`."""
    if output.suffix not in suffixes:
        raise ParameterError(f"--output: '{output}' must end in one of {', '.join(suffixes)}")
    if not output.absolute().parent.is_dir():
        raise SsatomError(f"'{output}': there is no folder '{output.parent}'; make it first")
    refuse_replacing(output, _is_there(output), overwrite)


def _is_there(output: Path) -> bool:
    is_empty = output.is_dir() and not any(output.iterdir())
    return output.exists() and not is_empty


def write_table(output: Path, parts: PartFolder, job: Job) -> None:
    """Write the table of all parts."""
    from ssatom.cli._tables import WRITERS

    with replacing(output, parts.path) as new:
        WRITERS[output.suffix](new, parts, job.schema, job.about)


def run_to_table(
    job: Job,
    output: Path,
    describe: Callable[[Done], list[tuple[str, str]]],
    label: str,
    *,
    workers: Workers,
    overwrite: bool,
    progress: bool,
    write: Callable[[Path, PartFolder, Job], None] = write_table,
) -> None:
    """Compute all rows, going on where an earlier run was cut, write the table and report.

    `describe` turns what was done into lines of the summary, as pairs of name and text, and `write`
    makes the output of all parts. Ends with exit code 130 if it was stopped by hand, 3 if some
    crystals could not be used.
    """
    started = time.perf_counter()
    with _claim(output, job, overwrite) as parts:
        try:
            with workers:
                n_resumed = _fill(job, output, parts, label, progress)
        except KeyboardInterrupt:
            say(f"stopped; {_kept(parts)}; give the same command again to go on", err=True)
            raise typer.Exit(130) from None
        problems = [Problem(*row) for note in parts.notes() for row in note["problems"]]
        n_records, *counts = map(parts.total, ("n_records", "n_good", "n_sites", "n_rows"))
        done = Done(*counts)
        is_of_use = done.n_crystals > 0 or n_records == 0
        with writing(output, lambda: _go_on(parts)):
            _write(output, job, parts, problems, write if is_of_use else None)
    rows = [("resumed", f"after {counted(n_resumed, 'structure')}")] if n_resumed else []
    written = str(output) if is_of_use else "none, since no structure could be used"
    rows += [*describe(done), ("seconds", f"{time.perf_counter() - started:.1f}")]
    say(aligned([*rows, ("output", written)]))
    show_problems(problems, n_records, file=_problems_file(output))


def _problems_file(output: Path) -> Path:
    return output.with_name(output.name + ".problems.csv")


def _kept(parts: PartFolder) -> str:
    done = counted(parts.total("n_records"), "structure")
    return f"{done} are done and kept in {parts.path}"


def _go_on(parts: PartFolder) -> str:
    return f"{_kept(parts)}; make room, and give the same command again to go on"


def _claim(output: Path, job: Job, overwrite: bool) -> PartFolder:
    """The folder of parts beside the output."""
    from ssatom.cli._parts import PartFolder, input_stamp
    from ssatom.corpora import read_structures

    for path in job.paths:  # a wrong path is refused before anything is written
        read_structures(path, structure_column=job.structure_column)
    inputs = [input_stamp(path, job.structure_column) for path in job.paths]
    settings = {"inputs": inputs, **job.settings, "ssatom": ssatom.__version__}
    folder = output.with_name(output.name + ".part")
    with writing(folder, "make room, or give another --output"):
        parts = PartFolder(folder, settings, restart=overwrite)
    try:
        # What another run wrote a moment ago.
        refuse_replacing(output, _is_there(output), overwrite)
    except SsatomError:
        parts.finish()
        raise
    return parts


def _fill(job: Job, output: Path, parts: PartFolder, label: str, progress: bool) -> int:
    """Add the missing parts; gives the number of structures that were done before."""
    from ssatom.cli import _items
    from ssatom.parallel import on_workers
    from ssatom.progress import make_bar

    n_done = parts.total("n_records")
    items = islice(_items.cut_items(job.paths, job.structure_column), parts.total("n_pieces"), None)
    total = _items.count_all(job.paths) if progress else None
    bar = make_bar(desc=label, total=total, initial=n_done, unit=" crystals", show=progress)
    with bar:
        parted = _items.pieces(items, lambda one: one.piece.n_bytes, _items.PART_BYTES)
        calls = ((part, job) for part in parted)
        for table, notes in on_workers(_items.compute, calls):
            with writing(output, lambda: _go_on(parts)):
                parts.add(table, notes)
            bar.update(notes["n_records"])
    return n_done


def _write(
    output: Path,
    job: Job,
    parts: PartFolder,
    problems: list[Problem],
    write: Callable[[Path, PartFolder, Job], None] | None,
) -> None:
    """Write the output and the problems, and remove older ones that nothing replaces."""
    with ExitStack() as both:
        if problems:
            write_problems(
                both.enter_context(replacing(_problems_file(output), parts.path)), problems
            )
        if write is not None:
            write(output, parts, job)
    if write is None and output.is_file():
        output.unlink()
    if not problems:
        _problems_file(output).unlink(missing_ok=True)
    parts.finish()
