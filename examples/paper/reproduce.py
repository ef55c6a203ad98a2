"""`ssatom reproduce`: the paper's tables and figures from one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EPILOG = """
**Examples**

- `ssatom reproduce --list`
- `ssatom reproduce fig4 -o results`: needs no data
- `ssatom reproduce table2 table3 --data data -o results`
- `ssatom reproduce table4 --quick --data data -o look`
- `ssatom reproduce all --data data -o results`: hours; call it again to go on after a break
"""


def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(help="Tables and figures, or `all`.", metavar="NAME...")
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder of the evaluation data.")] = Path("data"),
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the results.")
    ] = Path("results"),
    weights: Annotated[
        str | None,
        typer.Option(
            help="Name of a shipped set of weights, or a folder.",
            show_default="see `ssatom weights list`",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One split, a coarse grid, no slow descriptor.")
    ] = False,
    n_jobs: Annotated[int, typer.Option(help="Processes; -1 for as many as cores.")] = -1,
    list_all: Annotated[bool, typer.Option("--list", help="List the names and stop.")] = False,
) -> None:
    """Run tables and figures of the paper, and write numbers, tables and figures."""
    from ssatom.cli._output import aligned
    from ssatom.reproduction import STUDIES
    from ssatom.reproduction import reproduce as run
    from ssatom.weights import DEFAULT_WEIGHTS

    if list_all:
        typer.echo(aligned([(study.name, study.title) for study in STUDIES.values()]))
        return
    if not names:
        raise typer.BadParameter("give at least one NAME; `ssatom reproduce --list` lists them")
    chosen = weights or DEFAULT_WEIGHTS
    for file in run(names, data, output, weights=chosen, quick=quick, n_jobs=n_jobs):
        typer.echo(str(file.with_suffix(".md")))
