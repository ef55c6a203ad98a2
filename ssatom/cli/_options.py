"""Options and notes that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ssatom.exceptions import ParameterError

FILES = (
    "Structure files (.cif, POSCAR, …), folders of them, JSON (.json, .jsonl), frames of ASE "
    "(.extxyz, .traj, .db), or tables of paths or texts (.csv, .parquet, .xlsx), also with .gz."
)
Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help=FILES, show_default=False)]
StructureColumn = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of a table or JSON that holds the structures.",
        show_default="structure, path, file, cif, …",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FOLDER|random",
        help="Shipped weights by name, a folder of your own, or an untrained network.",
        show_default="see `ssatom weights list`",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
_WORKERS = "Many workers"
NJobs = Annotated[
    int | None,
    typer.Option(
        "--n-jobs",
        "-j",
        metavar="N",
        help="Processes of this machine; -1 is one a core.",
        show_default="1",
        rich_help_panel=_WORKERS,
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Scheduler of a dask cluster, such as tcp://10.0.0.1:8786, whose workers compute.",
        show_default=False,
        rich_help_panel=_WORKERS,
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Head of a ray cluster, such as 10.0.0.1:6379 or auto, whose workers compute.",
        show_default=False,
        rich_help_panel=_WORKERS,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the output if it exists already.")
]
Progress = Annotated[bool, typer.Option(help="Show progress, if stderr is a terminal.")]


def output(metavar: str, text: str) -> Any:
    """The option that says where to write."""
    return typer.Option("--output", "-o", metavar=metavar, help=text)


_UNITS = {"h": 3600, "m": 60, "s": 1, "": 1}


def parse_duration(text: str | None) -> float | None:
    """Seconds of a text such as "8h", "1h30m" or "90"."""
    if text is None:
        return None
    pieces = re.findall(r"(\d+(?:\.\d+)?)([hms]?)", text)
    if not pieces or "".join(map("".join, pieces)) != text:
        raise ParameterError(
            f"time_budget={text!r} is no time; allowed: seconds, or such as 8h, 90m, 1h30m"
        )
    return sum(float(number) * _UNITS[unit] for number, unit in pieces)


TABLE_NOTES = """
**Cut off?** Give the same command again: finished parts are kept beside FILE, in FILE.part, and the
run goes on from there, with any number of workers.

**Many workers** change no number and no byte of FILE. Those of a cluster have the same version of
ssatom, and see input files and weights under the same paths.

**Exit codes**: 0 all is well; 1 an error; 2 a wrong option or argument; 3 some structures could not
be used: they are listed at the end, and FILE has no rows for them. If no structure could be used,
no FILE is written.

**Problems** of single structures, errors and warnings, are also listed in FILE.problems.csv, with
the columns source, kind and reason; this file is written only if there are problems.
"""
"""How commands that write a table end."""
