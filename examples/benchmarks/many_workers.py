"""Rates, processor time and memory of ``ssatom featurize`` on a long file, with some workers.

    python examples/benchmarks/many_workers.py --rows 10000 --n-jobs 1,2 -o many_workers.json

The file repeats a small one. Each copy has a slightly larger cell, so that no cache serves it. What
the program takes for a single crystal, of start and memory, is taken off. On a machine that does
other work, processor time tells more than seconds.
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


def lines(source: Path | None, n_rows: int) -> Iterator[bytes]:
    """Rows of JSON: the crystals of a file, or the examples, again and again."""
    if source is None:
        structures = list(load_example_crystals()["structure"])
    else:
        structures = [record.structure for record in read_structures(source)]
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
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON to write.")] = None,
) -> None:
    """Measure, and print a table."""
    found: dict[str, Any] = {"rows": rows, "data": str(data or "example crystals"), "runs": []}
    with tempfile.TemporaryDirectory() as folder:
        corpus, one = Path(folder, "long.jsonl"), Path(folder, "one.jsonl")
        with corpus.open("wb") as file:
            file.writelines(lines(data, rows))
        one.write_bytes(next(lines(data, 1)))
        found["bytes_read"] = corpus.stat().st_size
        started = time.process_time()
        n_read = sum(1 for _ in read_structures(corpus))
        found["read_seconds"] = time.process_time() - started
        assert n_read == rows
        measure(one, 1)  # kernels are compiled
        start = measure(one, 1)
        for n in map(int, n_jobs.split(",")):
            run = measure(corpus, n)
            found["bytes_written"] = corpus.with_suffix(".parquet").stat().st_size
            row = {
                "n_jobs": n,
                **{key: round(value, 2) for key, value in run.items()},
                "rows_per_processor_second": round(
                    rows / (run["processor_seconds"] - n * start["processor_seconds"]), 1
                ),
                "MiB_above_start": round(run["MiB"] - start["MiB"], 1),
            }
            found["runs"].append(row)
            typer.echo(json.dumps(row))
    found["start"] = start
    typer.echo(json.dumps({k: v for k, v in found.items() if k != "runs"}))
    if output is not None:
        output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
