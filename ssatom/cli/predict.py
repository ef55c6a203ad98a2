"""`ssatom predict`: a fitted model and structure files in, a table of predictions out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ssatom.cli._run import Done, check_output, run_to_table

EPILOG = """
**Examples**

- `ssatom predict model/ cifs/ -o predictions.csv`: a folder of CIF files
- `ssatom predict model/ data.csv -o predictions.csv`: the files that a table names
- `ssatom predict model/ big.jsonl.gz -o predictions.parquet`: a large collection, streamed

**Cut off?** Give the same command again: what is done is kept beside FILE, in FILE.part, and the
run goes on from there.

**Exit codes**: 0 all is well; 1 an error; 2 a wrong option or argument; 3 FILE is written, but
some structures could not be used: they are listed at the end, and FILE has no rows for them.

**Problems** of single structures, which are errors and warnings, are also listed in
FILE.problems.csv, with the columns source, kind and reason; there is none if there are none.
"""

_SUFFIXES = (".csv", ".parquet", ".jsonl")


def predict(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Folder that `ssatom fit` wrote.", show_default=False),
    ],
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
            "--output", "-o", metavar="FILE", help="Table to write: .csv, .parquet or .jsonl."
        ),
    ],
    structure_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of a table that holds the paths.",
            show_default="structure, path, file, cif, …",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Predict properties of crystals with a model of `ssatom fit`.

    A row for each crystal, in the order of the files: `source` (its id, or its file, with the line
    or frame in it), `formula`, and each target by its name. Models of several members add
    `<target>_std`, the standard deviation over the members; models of classes add
    `<target>_probability_<class>`.

    Structures are streamed: memory does not grow with their number.
    """
    started = time.perf_counter()
    check_output(output, _SUFFIXES, overwrite)
    from ssatom.cli._prediction import prepare

    job = prepare(model, paths, device, structure_column)

    def describe(done: Done) -> list[tuple[str, str]]:
        return [
            ("crystals", f"{done.n_crystals:,}"),
            ("columns", ", ".join(job.names)),
            ("model", f"{model}, sha256 {job.about()['model_sha256'][:12]}"),
        ]

    run_to_table(
        job,
        output,
        describe,
        label="predict",
        overwrite=overwrite,
        progress=progress,
        started=started,
    )
