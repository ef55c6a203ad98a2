"""Structure files of a folder, in order, and what of it cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ssatom.corpora._formats import format_of
from ssatom.corpora._names import printable


class Found(NamedTuple):
    """A file to read, what messages call it, and why it cannot be read or ""."""

    path: Path
    name: str
    problem: str = ""


def walk(root: Path) -> Iterator[Found]:
    """Structure files in the order of their names, those of subfolders after each folder's own.

    Links are followed; each folder is read once, under its own name where it lies in `root`.
    Subfolders, links and files that cannot be read are found too. Tables are not read: the files
    that they name would come twice, and features are tables too.
    """
    yield from _walk(root, root, {os.path.realpath(root)})


def _walk(folder: Path, root: Path, seen: set[str]) -> Iterator[Found]:
    try:
        with os.scandir(folder) as listing:
            entries = [entry for entry in listing if not entry.name.startswith(".")]
    except OSError as error:
        yield _found(folder, root, f"this folder cannot be read ({error.strerror})")
        return
    folders = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        path = folder / entry.name
        try:
            if entry.is_symlink():
                entry.stat()
        except OSError as error:
            if format_of(path) or not path.suffix:  # else it would be ignored in any case
                yield _found(path, root, f"this link leads to no file ({error.strerror})")
            continue
        if entry.is_dir():
            folders.append(path)
        elif format_of(path):
            yield _found(path, root, "" if entry.is_file() else "this is no regular file")
    for path in folders:
        real = os.path.realpath(path)
        if real not in seen and not (path.is_symlink() and _comes_anyway(real, root)):
            seen.add(real)
            yield from _walk(path, root, seen)


def _comes_anyway(real: str, root: Path) -> bool:
    """Whether a folder lies in the root, where it is not hidden."""
    inner = os.path.relpath(real, os.path.realpath(root)).split(os.sep)
    return not any(part.startswith(".") for part in inner)


def _found(path: Path, root: Path, problem: str) -> Found:
    name = path.relative_to(root) if path != root else Path(path.name or path)
    return Found(path, printable(name.as_posix()), problem)
