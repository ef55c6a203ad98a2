"""Compute the paper's tables and figures: ``python examples/paper/reproduce.py --help``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from ssatom import ParameterError, SsatomError
from ssatom.weights import DEFAULT_WEIGHTS
from studies.datasets import PUBLIC_SETS, where_from
from studies.registry import STUDIES
from studies.runner import reproduce

_NAMES = "\n".join(f"- `{study.name}`: {study.title}" for study in STUDIES.values())

_DATA = "\n".join(f"- `{file}`: {where_from(file)}" for file in PUBLIC_SETS)

_EPILOG = f"""
**Names**

{_NAMES}

**Data files**, which are not part of the repository; `examples/paper/README.md` says how to make
them from public sets

{_DATA}

**Examples**

- `python examples/paper/reproduce.py fig4 -o results`: needs no data
- `python examples/paper/reproduce.py table2 table3 --data data -o results`
- `python examples/paper/reproduce.py table4 --quick --data data -o quick-results`
- `python examples/paper/reproduce.py all --data data -o results`: takes hours; call it again to
  continue after an interruption
"""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(epilog=_EPILOG, no_args_is_help=True)
def main(
    names: Annotated[
        list[str], typer.Argument(help="Tables and figures, or `all`.", metavar="NAME...")
    ],
    data: Annotated[Path, typer.Option(help="Folder of the data sets.")] = Path("data"),
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the results.")
    ] = Path("results"),
    weights: Annotated[
        str, typer.Option(help="Name of a shipped set of weights, or a folder.")
    ] = DEFAULT_WEIGHTS,
    quick: Annotated[
        bool, typer.Option("--quick", help="One split, a coarse grid and no slow descriptor.")
    ] = False,
    n_jobs: Annotated[int, typer.Option(help="Processes; -1 is one for each core.")] = -1,
    earlier: Annotated[
        Path | None,
        typer.Option(help="Folder of earlier reports that results without the weights come from."),
    ] = None,
) -> None:
    """Compute tables and figures of the paper: numbers, tables and figures, each in a file."""
    warnings.showwarning = _show_warning
    try:
        files = reproduce(
            names, data, output, weights=weights, quick=quick, n_jobs=n_jobs, earlier=earlier
        )
    except (SsatomError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ParameterError) else 1) from None
    for file in files:
        typer.echo(str(file.with_suffix(".md")))


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    app()
