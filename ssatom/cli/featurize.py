"""`ssatom featurize`: structure files in, a table of features out."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssatom.cli._output import aligned, counted
from ssatom.exceptions import ParameterError, SsatomError

if TYPE_CHECKING:
    from ssatom.cli._job import Job
    from ssatom.cli._parts import PartFolder

EPILOG = """
**Examples**

- `ssatom featurize cifs/ -o features.csv`: a folder of CIF files, layers 0, 1 and 2 averaged
  over the sites of each crystal
- `ssatom featurize a.cif b.cif --layers 01 --sites all -o sites.parquet`: a row for each site
- `ssatom featurize big.extxyz --sites Ti,Fe -o metals.parquet`: for each site of Ti or Fe
- `ssatom featurize big.jsonl.gz --layers 0123 --pooling mean,std -o features.npz`: two poolings
- `ssatom featurize cifs/ --weights random --random-state 7 -o random.csv`: untrained

**Cut off?** Give the same command again: what is done is kept beside FILE, in FILE.part, and the
run goes on from there.

**Exit codes**: 0 all is well; 1 an error; 2 a wrong option or argument; 3 FILE is written, but
some structures could not be used: they are listed at the end, and FILE has no rows for them.
"""

_SUFFIXES = (".csv", ".parquet", ".npz")
_SHOWN = 5  # names after a warning, and kinds of warnings


def featurize(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Structure files (.cif, POSCAR, …), folders of them, JSON lines (.jsonl) or "
            "extended XYZ (.extxyz), each also with .gz.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Table to write: .csv, .parquet or .npz."
        ),
    ],
    layers: Annotated[
        str,
        typer.Option(help="Layers of the network, a digit each; 0 knows the element alone."),
    ] = "012",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER|random",
            help="Shipped weights by name, a folder of your own, or an untrained network.",
            show_default="see `ssatom weights list`",
        ),
    ] = None,
    pooling: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME…]",
            help="From the sites to the crystal: mean, sum, max, min, std, or several.",
            show_default="mean",
        ),
    ] = None,
    sites: Annotated[
        str | None,
        typer.Option(
            metavar="all|SYMBOLS",
            help="A row for each site instead: all of them, or those of some elements (Ti,O).",
            show_default="a row for each crystal",
        ),
    ] = None,
    random_state: Annotated[int, typer.Option(help="Seed of `--weights random`.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Crystals in one pass; changes no number.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Turn crystal structures into a table of features.

    A row for each crystal, in the order of the files: `source` (its id, or its file, with the line
    or frame in it), `formula`, and the features, named such as `ssatom_L1_017` for unit 17 of
    layer 1. With `--sites` a row for each site, with `site_index` (from 0) and `element`.

    CSV, Parquet and NPZ hold the same float32 numbers. Parquet and NPZ also name the weights and
    their hash; NPZ has one matrix, `features`, and the names of its columns in `columns`.

    Structures are streamed: memory does not grow with their number.
    """
    started = time.perf_counter()
    _check_output(output, overwrite)
    if sites is not None and pooling is not None:
        raise ParameterError("--sites gives sites, which are not pooled; leave out one of the two")
    from ssatom.cli._job import prepare

    options = {"batch_size": batch_size, "device": device}
    job = prepare(paths, layers, weights, pooling, sites, random_state, options)
    parts = _claim(output, job, overwrite)
    try:
        n_resumed = _fill(job, parts, progress)
    except KeyboardInterrupt:
        typer.echo(
            f"stopped; {counted(_total(parts, 'n_records'), 'structure')} are done and kept in "
            f"{parts.path}; give the same command again to go on",
            err=True,
        )
        raise typer.Exit(130) from None
    notes = list(parts.notes())
    _write(output, job, parts)
    _summarize(output, job, notes, n_resumed, time.perf_counter() - started)
    _report_warnings([row for note in notes for row in note["warnings"]])
    bad = [row for note in notes for row in note["bad"]]
    if bad:
        n_all = sum(note["n_records"] for note in notes)
        typer.echo(f"\n{len(bad):,} of {n_all:,} structures could not be used:", err=True)
        typer.echo(aligned([("source", "reason"), *bad], indent=2), err=True)
        raise typer.Exit(3)


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix not in _SUFFIXES:
        raise ParameterError(f"--output: '{output}' must end in one of {', '.join(_SUFFIXES)}")
    if not output.absolute().parent.is_dir():
        raise SsatomError(f"'{output}': there is no folder '{output.parent}'; make it first")
    if output.exists() and not overwrite:
        raise SsatomError(f"'{output}' exists; give another name, or --overwrite to replace it")


def _claim(output: Path, job: Job, overwrite: bool) -> PartFolder:
    """The folder of parts beside the output."""
    from ssatom.cli._parts import PartFolder
    from ssatom.corpora import read_structures

    for path in job.paths:  # a wrong path is refused before anything is written
        read_structures(path)
    folder = output.with_name(output.name + ".part")
    return PartFolder(folder, job.settings(), restart=overwrite)


def _fill(job: Job, parts: PartFolder, progress: bool) -> int:
    """Add the parts that are missing; the number of structures that were done before."""
    from tqdm import tqdm

    from ssatom.cli._job import chunks, compute, read_items
    from ssatom.corpora import count_structures

    n_done = _total(parts, "n_records")
    counts = [count_structures(path) for path in job.paths] if progress else []
    total = None if None in counts else sum(count or 0 for count in counts)
    items = islice(read_items(job.paths), n_done, None)
    bar = tqdm(
        desc="featurize", total=total, initial=n_done, unit=" crystals", disable=not progress
    )
    with bar:
        for chunk in chunks(items):
            table, notes = compute(chunk, job)
            parts.add(table, notes)
            bar.update(len(chunk))
    return n_done


def _total(parts: PartFolder, key: str) -> int:
    return sum(note[key] for note in parts.notes())


def _write(output: Path, job: Job, parts: PartFolder) -> None:
    from ssatom.cli._tables import WRITERS

    about = {"weights": job.weights.name, "weights_sha256": job.weights.sha256}
    written = parts.path / "table"
    WRITERS[output.suffix](written, parts, job.schema(), about)
    parts.finish(written, output)


def _report_warnings(rows: list[list[str]]) -> None:
    """Each text once, with the sources that it is about."""
    about: dict[str, list[str]] = {}
    for source, text in rows:
        about.setdefault(text, []).append(source)
    for text, sources in list(about.items())[:_SHOWN]:
        names = ", ".join(sources[:_SHOWN]) + (", …" if len(sources) > _SHOWN else "")
        typer.echo(f"warning: {text} ({counted(len(sources), 'crystal')}: {names})", err=True)
    if len(about) > _SHOWN:
        typer.echo(f"warning: and {len(about) - _SHOWN} more of other kinds", err=True)


def _summarize(
    output: Path, job: Job, notes: list[dict[str, Any]], n_resumed: int, seconds: float
) -> None:
    n_crystals = sum(note["n_records"] - len(note["bad"]) for note in notes)
    names = job.names
    rows = [
        ("crystals", f"{n_crystals:,}"),
        ("sites", f"{sum(note['n_sites'] for note in notes):,}"),
        ("rows", f"{sum(note['n_rows'] for note in notes):,}"),
        ("columns", f"{len(names):,}, {names[0]} … {names[-1]}"),
        ("weights", f"{job.weights.name}, sha256 {job.weights.sha256[:12]}"),
        ("seconds", f"{seconds:.1f}"),
        ("output", str(output)),
    ]
    if n_resumed:
        rows.insert(0, ("resumed", f"after {counted(n_resumed, 'structure')}"))
    typer.echo(aligned(rows))
