"""`ssatom predict`: a fitted model and structure files in, a table of predictions out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssatom.cli import _options as options
from ssatom.cli._run import Done, check_output, run_to_table
from ssatom.cli._workers import workers_of

EPILOG = """
**Examples**

- `ssatom predict model/ cifs/ -o predictions.csv`: a folder of CIF files
- `ssatom predict model/ data.csv -o predictions.csv`: the files that a table names
- `ssatom predict model/ big.jsonl.gz -o predictions.parquet`: a large collection, streamed
"""
EPILOG += options.TABLE_NOTES

_SUFFIXES = (".csv", ".parquet", ".jsonl")


def predict(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Folder that `ssatom fit` wrote.", show_default=False),
    ],
    paths: options.Paths,
    output: Annotated[Path, options.output("FILE", "Table to write: .csv, .parquet or .jsonl.")],
    structure_column: options.StructureColumn = None,
    device: options.Device = "auto",
    n_jobs: options.NJobs = None,
    dask: options.Dask = None,
    ray: options.Ray = None,
    overwrite: options.Overwrite = False,
    progress: options.Progress = True,
) -> None:
    """Predict properties of crystals with a model of `ssatom fit`.

    A row for each crystal, in the order of the files: `source` (its id, or its file, with the row,
    line or frame in it), `formula`, and each target by its name. Models of several members add
    `<target>_std`, the standard deviation over the members, scaled to the errors on the rows that
    `ssatom fit` held out; models of classes add `<target>_probability_<class>`.

    `<target>_lower` and `<target>_upper` bound an interval for 90 % of the values (if ten rows or
    more were held out). `nearest_percentile` is how near the nearest crystal trained on is: 0 for a
    copy, 50 for an ordinary distance; above 99 the prediction extrapolates, and a warning tells.

    Structures are streamed: memory does not grow with their number.
    """
    check_output(output, _SUFFIXES, overwrite)
    workers = workers_of(n_jobs, dask, ray)
    from ssatom.cli._prediction import prepare

    job = prepare(model, paths, device, structure_column)

    def describe(done: Done) -> list[tuple[str, str]]:
        return [
            ("crystals", f"{done.n_crystals:,}"),
            ("columns", ", ".join(job.names)),
            ("model", f"{model}, sha256 {job.about['model_sha256'][:12]}"),
        ]

    run_to_table(
        job, output, describe, "predict", workers=workers, overwrite=overwrite, progress=progress
    )
