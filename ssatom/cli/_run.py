"""A run over many crystals into one table: claimed, resumed, written, reported.

What `ssatom featurize` and `ssatom predict` have in common.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from ssatom.cli._disk import writing
from ssatom.cli._output import aligned, counted, say
from ssatom.cli._problems import ERROR, Problem, show_problems, write_problems
from ssatom.exceptions import ParameterError, SsatomError

if TYPE_CHECKING:
    from ssatom.cli._items import Job
    from ssatom.cli._parts import PartFolder


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
    label: str,
    *,
    overwrite: bool,
    progress: bool,
) -> None:
    """Compute all rows, going on where an earlier run was cut, write the table and report.

    `describe` turns what was done into lines of the summary, as pairs of name and text. Ends with
    exit code 130 if it was stopped by hand, 3 if some crystals could not be used.
    """
    started = time.perf_counter()
    with _claim(output, job, overwrite) as parts:
        try:
            n_resumed = _fill(job, output, parts, label, progress)
        except KeyboardInterrupt:
            say(f"stopped; {_kept(parts)}; give the same command again to go on", err=True)
            raise typer.Exit(130) from None
        notes = list(parts.notes())
        problems = [Problem(*row) for note in notes for row in note["problems"]]
        listed = problems_file(output)
        with writing(output, lambda: _go_on(parts)):
            _write(output, job, parts, problems)
    n_records, *counts = (
        sum(note[key] for note in notes) for key in ("n_records", "n_good", "n_sites", "n_rows")
    )
    rows = [("resumed", f"after {counted(n_resumed, 'structure')}")] if n_resumed else []
    rows += describe(Done(*counts))
    written = str(output) if _is_of_use(notes) else "none, since no structure could be used"
    rows += [("seconds", f"{time.perf_counter() - started:.1f}"), ("output", written)]
    say(aligned(rows))
    show_problems(problems, n_records, file=listed)
    if any(problem.kind == ERROR for problem in problems):
        raise typer.Exit(3)


def problems_file(output: Path) -> Path:
    """Where the problems of a table are listed."""
    return output.with_name(output.name + ".problems.csv")


def _kept(parts: PartFolder) -> str:
    done = counted(_total(parts, "n_records"), "structure")
    return f"{done} are done and kept in {parts.path}"


def _go_on(parts: PartFolder) -> str:
    return f"{_kept(parts)}; make room, and give the same command again to go on"


def _claim(output: Path, job: Job, overwrite: bool) -> PartFolder:
    """The folder of parts beside the output."""
    from ssatom.cli._parts import PartFolder
    from ssatom.corpora import read_structures

    for path in job.paths:  # a wrong path is refused before anything is written
        read_structures(path, structure_column=job.structure_column)
    folder = output.with_name(output.name + ".part")
    with writing(folder, "make room, or give another --output"):
        return PartFolder(folder, job.settings(), restart=overwrite)


def _fill(job: Job, output: Path, parts: PartFolder, label: str, progress: bool) -> int:
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
            with writing(output, lambda: _go_on(parts)):
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


def _is_of_use(notes: list[dict[str, Any]]) -> bool:
    """Whether there is anything to put into a table."""
    return not notes or any(note["n_good"] for note in notes)


def _write(output: Path, job: Job, parts: PartFolder, problems: list[Problem]) -> None:
    """Write the table and that of problems; the old ones go, also where nothing replaces them."""
    from ssatom.cli._tables import WRITERS

    table, listed = parts.path / "table", parts.path / "problems"
    new = {}
    try:
        if problems:
            write_problems(listed, problems)
            new[listed] = problems_file(output)
        if _is_of_use(list(parts.notes())):
            WRITERS[output.suffix](table, parts, job.schema(), job.about())
            new[table] = output
    except BaseException:
        for file in (table, listed):  # a disk that is full gets its room back
            file.unlink(missing_ok=True)
        raise
    for file in {output, problems_file(output)} - set(new.values()):
        file.unlink(missing_ok=True)
    parts.finish(new)
