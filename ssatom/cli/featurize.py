"""`ssatom featurize`: structure files in, a table of features out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssatom.cli import _options as options
from ssatom.cli._run import Done, check_output, run_to_table
from ssatom.cli._workers import workers_of
from ssatom.exceptions import ParameterError

EPILOG = """
**Examples**

- `ssatom featurize cifs/ -o features.csv`: a folder of CIF files, layers 0, 1 and 2 averaged
  over the sites of each crystal
- `ssatom featurize data.csv -o features.csv`: the files that a table names, relative to itself
- `ssatom featurize a.cif b.cif --layers 01 --sites all -o sites.parquet`: a row for each site
- `ssatom featurize big.extxyz --sites Ti,Fe -o metals.parquet`: for each site of Ti or Fe
- `ssatom featurize big.jsonl.gz --layers 0123 --pooling mean,std -o features.npz`: two poolings
- `ssatom featurize big.jsonl.gz --n-jobs 8 -o features.parquet`: eight processes
- `ssatom featurize cifs/ --weights random --random-state 7 -o random.csv`: untrained
"""
EPILOG += options.TABLE_NOTES

_SUFFIXES = (".csv", ".parquet", ".npz")


def featurize(
    paths: options.Paths,
    output: Annotated[Path, options.output("FILE", "Table to write: .csv, .parquet or .npz.")],
    layers: Annotated[
        str, typer.Option(help="Layers of the network, a digit each; 0 knows the element alone.")
    ] = "012",
    weights: options.Weights = None,
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
    structure_column: options.StructureColumn = None,
    random_state: Annotated[int, typer.Option(help="Seed of `--weights random`.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Crystals in one pass; changes no number.")] = 64,
    device: options.Device = "auto",
    n_jobs: options.NJobs = None,
    dask: options.Dask = None,
    ray: options.Ray = None,
    overwrite: options.Overwrite = False,
    progress: options.Progress = True,
) -> None:
    """Turn crystal structures into a table of features.

    A row for each crystal, in the order of the files: `source` (its id, or its file, with the row,
    line or frame in it), `formula`, and the features, named such as `ssatom_L1_017` for unit 17 of
    layer 1. With `--sites` a row for each site, with `site_index` (from 0) and `element`.

    CSV, Parquet and NPZ hold the same float32 numbers. Parquet and NPZ also name the weights and
    their hash; NPZ has one matrix, `features`, and the names of its columns in `columns`.

    Structures are streamed: memory does not grow with their number.
    """
    check_output(output, _SUFFIXES, overwrite)
    workers = workers_of(n_jobs, dask, ray)
    if sites is not None and pooling is not None:
        raise ParameterError("--sites gives sites, which are not pooled; leave out one of the two")
    from ssatom.cli._features import prepare

    job = prepare(
        paths, structure_column, layers, weights, random_state, pooling, sites, batch_size, device
    )

    def describe(done: Done) -> list[tuple[str, str]]:
        return [
            ("crystals", f"{done.n_crystals:,}"),
            ("sites", f"{done.n_sites:,}"),
            ("rows", f"{done.n_rows:,}"),
            ("columns", f"{len(job.names):,}, {job.names[0]} … {job.names[-1]}"),
            ("weights", "{weights}, sha256 {weights_sha256:.12}".format(**job.about)),
        ]

    run_to_table(
        job, output, describe, "featurize", workers=workers, overwrite=overwrite, progress=progress
    )
