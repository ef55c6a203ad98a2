"""`ssatom featurize`: structure files in, a table of features out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ssatom.cli._run import Done, check_output, run_to_table
from ssatom.exceptions import ParameterError

EPILOG = """
**Examples**

- `ssatom featurize cifs/ -o features.csv`: a folder of CIF files, layers 0, 1 and 2 averaged
  over the sites of each crystal
- `ssatom featurize data.csv -o features.csv`: the files that a table names, relative to itself
- `ssatom featurize a.cif b.cif --layers 01 --sites all -o sites.parquet`: a row for each site
- `ssatom featurize big.extxyz --sites Ti,Fe -o metals.parquet`: for each site of Ti or Fe
- `ssatom featurize big.jsonl.gz --layers 0123 --pooling mean,std -o features.npz`: two poolings
- `ssatom featurize cifs/ --weights random --random-state 7 -o random.csv`: untrained

**Cut off?** Give the same command again: what is done is kept beside FILE, in FILE.part, and the
run goes on from there.

**Exit codes**: 0 all is well; 1 an error; 2 a wrong option or argument; 3 FILE is written, but
some structures could not be used: they are listed at the end, and FILE has no rows for them.

**Problems** of single structures, which are errors and warnings, are also listed in
FILE.problems.csv, with the columns source, kind and reason; there is none if there are none.
"""

_SUFFIXES = (".csv", ".parquet", ".npz")


def featurize(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Structure files (.cif, POSCAR, …), folders of them, JSON lines (.jsonl), "
            "extended XYZ (.extxyz) or tables of paths (.csv), each also with .gz.",
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
            help="How sites are pooled: mean, or several such as mean,std,max.",
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
    structure_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of a table that holds the paths.",
            show_default="structure, path, file, cif, …",
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
    check_output(output, _SUFFIXES, overwrite)
    if sites is not None and pooling is not None:
        raise ParameterError("--sites gives sites, which are not pooled; leave out one of the two")
    from ssatom.cli._features import prepare

    options = {"batch_size": batch_size, "device": device}
    job = prepare(paths, layers, weights, pooling, sites, random_state, options, structure_column)
    names = job.names

    def describe(done: Done) -> list[tuple[str, str]]:
        return [
            ("crystals", f"{done.n_crystals:,}"),
            ("sites", f"{done.n_sites:,}"),
            ("rows", f"{done.n_rows:,}"),
            ("columns", f"{len(names):,}, {names[0]} … {names[-1]}"),
            ("weights", f"{job.weights.name}, sha256 {job.weights.sha256[:12]}"),
        ]

    run_to_table(
        job,
        output,
        describe,
        label="featurize",
        overwrite=overwrite,
        progress=progress,
        started=started,
    )
