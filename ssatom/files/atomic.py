"""Files and folders that are replaced in one step, once the new ones are complete."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PREFIX = ".ssatom-"  # of what is not complete; readers of folders pass by names with a point


def _new_name() -> str:
    return f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"


def is_leftover(path: Path) -> bool:
    """Whether a file or folder is what a process left that was killed while it wrote.

    Parameters
    ----------
    path : Path
        Only its name counts.

    Returns
    -------
    bool
    """
    return path.name.startswith(_PREFIX)


@contextmanager
def replacing(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """Write a file that replaces `path` once it is complete.

    Parameters
    ----------
    path : Path
        The file; its folder must exist.
    folder : Path, default=None
        Where to write, on the same disk; None is the folder of the file.

    Yields
    ------
    Path
        Where to write. It is removed if anything fails, and `path` stays as it was.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ssatom.files import replacing
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a.txt")) as new:
    ...         _ = new.write_text("complete")
    ...     Path(folder, "a.txt").read_text()
    'complete'
    """
    new = (path.parent if folder is None else folder) / _new_name()
    try:
        yield new
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def write_json(path: Path, content: Any, **options: Any) -> None:
    """Write JSON that reads well in one step, and onto the disk before it replaces the old one.

    Parameters
    ----------
    path : Path
        The file; its folder must exist.
    content : object
        What it will hold.
    **options : object
        Of `json.dumps`.
    """
    with replacing(path) as new, new.open("w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(content, indent=1, **options) + "\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def filling(folder: Path, last: str) -> Iterator[Path]:
    """Write the files of a folder, which replace those of the same names once all are complete.

    Parameters
    ----------
    folder : Path
        Created with its parents if need be. Other files in it stay.
    last : str
        The file that is replaced last: the card, which says what the others must be.

    Yields
    ------
    Path
        A folder to write to. It is removed if anything fails, and `folder` stays as it was.
    """
    there = folder if folder.is_dir() else folder.absolute().parent
    there.mkdir(parents=True, exist_ok=True)
    new = there / _new_name()
    try:
        new.mkdir()
        yield new
        folder.mkdir(exist_ok=True)
        for file in sorted(new.iterdir(), key=lambda file: file.name == last):
            if file.is_dir():
                shutil.rmtree(folder / file.name, ignore_errors=True)
            os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(new, ignore_errors=True)
