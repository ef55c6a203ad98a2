"""The page on the command line, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ssatom.cli import app

_HEAD = """Command line
============

All that ``ssatom COMMAND --help`` tells.

"""


def write_cli_page(folder: Path) -> None:
    """Write ``cli.rst`` into `folder`."""
    program: Any = typer.main.get_command(app)
    lines = list(_command("ssatom", program, None))
    (folder / "cli.rst").write_text(_HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def _command(name: str, command: Any, parent: Any) -> Iterator[str]:
    context = command.make_context(name.split()[-1], [], parent=parent, resilient_parsing=True)
    if not command.hidden:
        yield from (name, ("-" if parent is None or len(name.split()) < 3 else "~") * len(name), "")
        yield from _text(command.help or "")
        usage = " ".join([name, *command.collect_usage_pieces(context)])
        yield from (".. code-block:: text", "", f"   {usage}", "")
        yield from (f".. program:: {name}", "")
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and "--help" not in record[0]:
                yield from _option(*record)
        yield from _text(command.epilog or "")
    for under, one in sorted(getattr(command, "commands", {}).items()):
        yield from _command(f"{name} {under}", one, context)


def _option(names: str, text: str) -> Iterator[str]:
    names = names.replace(" / ", ", ").strip()
    # Without the marks of what may be left out, and without types that the text tells.
    names = re.sub(r"^\[(.*)\]$|^\{(.*)\}$", r"\1\2", re.sub(r" <\S+>", "", names))
    yield from (f".. option:: {names}", "")
    yield from (f"   {line}" for line in _text(text) if line)
    yield ""


def _text(markdown: str) -> Iterator[str]:
    """Lines of a help text, whose code is between single backticks."""
    for line in markdown.strip().splitlines():
        parts = line.split("`")
        # Outside of code a star or a bar would begin markup; ``**bold**`` is the same in both.
        parts[::2] = [
            re.sub(r"(?<!\*)\*(?!\*)|\||_(?=\s|$)", r"\\\g<0>", part) for part in parts[::2]
        ]
        yield "``".join(parts)
    yield ""
