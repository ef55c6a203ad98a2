"""`ssatom data`: a list of public sets of crystals, and their download."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated

import typer

from ssatom.cli import _options as options
from ssatom.cli._screen import aligned

app = typer.Typer(
    no_args_is_help=True,
    help="List public sets of crystals, and download them.",
    epilog="**Examples**\n\n- `ssatom data list`\n- `ssatom data fetch matbench_phonons -o data/`\n"
    "- `MP_API_KEY=… ssatom data fetch materials-project -o data/`",
)


@app.command("list")
def list_() -> None:
    """List the public sets by name, with their terms; needs no network."""
    from ssatom.corpora import list_datasets

    rows = [
        (one.name, one.licence, textwrap.shorten(one.title, 80, placeholder=" …"))
        for one in list_datasets()
    ]
    typer.echo(aligned([("name", "licence", "what it is"), *rows]))


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Name in `ssatom data list`.", metavar="NAME")],
    output: Annotated[Path, options.output("DIR", "Folder for the set; made if need be.")],
    progress: options.Progress = True,
) -> None:
    """Download a public set into a folder; the same command resumes an interrupted download.

    NAME.about.txt beside the set says where it is from, its licence and what to cite. For the
    Materials Project, give your key in the environment variable MP_API_KEY.
    """
    from ssatom.corpora import fetch as fetch_set

    path = fetch_set(name, output, progress_bar=progress)
    typer.echo((path.parent / f"{name}.about.txt").read_text(encoding="utf-8").rstrip())
    typer.echo(f"output: {path}")
