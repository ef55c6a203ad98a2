"""Rates, processor time and memory of ``ssatom featurize`` on a long file, with some workers.

    python examples/benchmarks/many_workers.py --rows 10000 --n-jobs 1,2 -o many_workers.json

The file repeats a small one. Each copy has a slightly larger cell, so that no cache serves it.
A tenth of the rows is run before all of them, and rates are of the other nine tenths. On a
machine that does other work, processor time tells more than seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer

from ssatom import load_example_crystals
from ssatom.corpora import read_structures

_PROGRAM = "from ssatom.cli import main; main()"


def lines(source: Path | None, max_sites: int, n_rows: int) -> Iterator[bytes]:
    """Rows of JSON: the small crystals of a file, or of the examples, again and again."""
    if source is None:
        structures = list(load_example_crystals()["structure"])
    else:
        structures = [record.structure for record in read_structures(source)]
    structures = [structure for structure in structures if len(structure) <= max_sites]
    for i in range(n_rows):
        structure = structures[i % len(structures)]
        row = {
            "lattice": structure.lattice.matrix * (1 + 1e-5 * (i // len(structures))),
            "numbers": [site.specie.Z for site in structure],
            "frac": np.asarray(structure.frac_coords),
        }
        yield orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"


def measure(corpus: Path, n_jobs: int) -> dict[str, float]:
    """Seconds, processor seconds of all processes, and MiB of the largest, of one run."""
    code = (
        "import json, resource, subprocess, sys, time; started = time.perf_counter();"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(json.dumps([time.perf_counter() - started, used.ru_utime + used.ru_stime,"
        "used.ru_maxrss / 1024]))"
    )
    output = corpus.with_suffix(".parquet")
    command = [sys.executable, "-c", _PROGRAM, "featurize", corpus, "-o", output, "--overwrite"]
    command += ["--no-progress", "--n-jobs", n_jobs]
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)], check=True, capture_output=True, text=True
    )
    return dict(zip(("seconds", "processor_seconds", "MiB"), json.loads(run.stdout), strict=True))


def main(
    rows: Annotated[int, typer.Option(help="Crystals in the long file.")] = 10_000,
    n_jobs: Annotated[str, typer.Option(help="Numbers of processes, with commas.")] = "1,2",
    data: Annotated[Path | None, typer.Option(help="Small file; the examples without.")] = None,
    max_sites: Annotated[int, typer.Option(help="Leave out larger crystals.")] = 10_000,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON to write.")] = None,
) -> None:
    """Measure, and print a table."""
    source = str(data or "example crystals")
    found: dict[str, Any] = {"rows": rows, "data": source, "max_sites": max_sites, "runs": []}
    with tempfile.TemporaryDirectory() as folder:
        long, short = Path(folder, "long.jsonl"), Path(folder, "short.jsonl")
        for path, n_rows in ((long, rows), (short, rows // 10)):
            with path.open("wb") as file:
                file.writelines(lines(data, max_sites, n_rows))
        started = time.process_time()
        n_read = sum(1 for _ in read_structures(short))
        found["read_ms_per_row"] = (time.process_time() - started) / n_read * 1000
        found["bytes_read_per_row"] = long.stat().st_size / rows
        for n in map(int, n_jobs.split(",")):
            start, run = (
                {"rows": n_rows, "n_jobs": n, **measure(path, n)}
                for path, n_rows in ((short, rows // 10), (long, rows))
            )
            found["bytes_written_per_row"] = long.with_suffix(".parquet").stat().st_size / rows
            used = run["processor_seconds"] - start["processor_seconds"]
            run["rows_per_processor_second"] = 0.9 * rows / used
            found["runs"] += [start, run]
            typer.echo(f"{json.dumps(start)}\n{json.dumps(run)}")
    typer.echo(json.dumps(found))
    if output is not None:
        output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
