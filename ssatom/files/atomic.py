"""Outputs: replaced in one step, held by one process, made with the settings they began with."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ssatom.exceptions import SsatomError

_PREFIX = ".ssatom-"  # of what is not complete; readers of folders pass by names with a point


def new_name(path: Path, own: str | None = None) -> str:
    """Name of what is written before it replaces `path`; of equal length for names of any length.

    `own` tells one writer from another; None gives a name that nobody else has.
    """
    key = hashlib.sha256(os.fsencode(path.absolute().name)).hexdigest()[:8]
    return f"{_PREFIX}{key}-{own or f'{os.getpid()}-{secrets.token_hex(4)}'}"


def sweep(path: Path) -> None:
    """Remove what killed processes left of writing `path`, which nobody may be writing now."""
    pattern = new_name(path, "[0-9]*-*")
    for folder in filter(Path.is_dir, (path.absolute().parent, path)):
        for left in folder.glob(pattern):
            _remove(left)


def _remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether the name is that of what a process left that was killed while it wrote."""
    return path.name.startswith(_PREFIX)


@contextmanager
def replacing(path: Path, folder: Path | None = None) -> Iterator[Path]:
    """Write a file that replaces `path` once it is complete; the block gets where to write.

    That is in `folder`, on the same disk, or beside the file. What was written is removed if
    anything fails, and `path` stays as it was.
    """
    new = (path.parent if folder is None else folder) / new_name(path)
    try:
        yield new
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def write_json(path: Path, content: Any, **options: Any) -> None:
    """Write JSON that reads well in one step, and onto the disk before it replaces the old one."""
    with replacing(path) as new, new.open("w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(content, indent=1, **options) + "\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def filling(folder: Path, last: str, gone: Collection[str] = ()) -> Iterator[Path]:
    """Write the files of a folder, which replace those of the same names once all are complete.

    The block gets a folder to write to. A process that is killed leaves the old folder, or the new
    one, or one without the file `last`, the card: never the files of two under one card. Files and
    folders named in `gone` belong to the old one, and are removed where the new one has none; all
    others stay. If anything fails, the folder stays as it was.
    """
    there = folder if folder.is_dir() else folder.absolute().parent
    there.mkdir(parents=True, exist_ok=True)
    new = there / new_name(folder)
    try:
        new.mkdir()
        yield new
        if there == folder:
            _move_all(new, folder, last, gone)
        else:
            os.replace(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _move_all(new: Path, folder: Path, last: str, gone: Collection[str]) -> None:
    """Move what is in one folder to another, which has no file `last` in the meantime."""
    (folder / last).unlink(missing_ok=True)
    for name in gone:
        if not (new / name).exists():
            _remove(folder / name)
    for file in sorted(new.iterdir(), key=lambda file: file.name == last):
        if file.is_dir():
            _remove(folder / file.name)
        os.replace(file, folder / file.name)


def was_cut(folder: Path, last: str) -> bool:
    """Whether a process was killed while it moved new files, `last` at the end, into a folder."""
    return any(is_leftover(path) and (path / last).is_file() for path in folder.iterdir())


# Claims -------------------------------------------------------------------------------------------


def claim(file: Path, refusal: str) -> FileLock:
    """Take a lock file, which the system gives back when this process ends, however it ends.

    Raises SsatomError, with the text of `refusal`, if another process has it, or if it cannot be
    made.
    """
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not file.exists():  # a folder of the system, which takes no file and says no reason
            raise SsatomError(f"cannot write to '{file.parent}'") from None
        raise SsatomError(refusal) from None
    except OSError as error:
        raise SsatomError(f"cannot write to '{file.parent}' ({error.strerror})") from error
    return lock


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold a file or folder that is to be written, and remove what killed processes left of it.

    It need not exist, but one of its parents must. Raises SsatomError if another process holds it,
    or its folder cannot be written to.
    """
    path = path.absolute()
    there = next(folder for folder in path.parents if folder.is_dir())
    file = there / new_name(path, "lock")
    refusal = f"another run is at work on '{path}'; let it end, or give another name"
    lock = claim(file, refusal)
    try:
        sweep(path)
        yield
    finally:
        with suppress(OSError):  # where an open file cannot be removed
            file.unlink()
        lock.release()


# Settings -----------------------------------------------------------------------------------------


def keep_settings(
    path: Path,
    settings: Mapping[str, Any],
    *,
    default: Callable[[Any], Any] | None = None,
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    unsaid: Collection[str] = (),
) -> str:
    """Write the settings of a run that begins, or tell how they differ from an earlier one's.

    The answer is "" if they are the same, or there were none. Entries that are mappings are
    compared entry by entry, and values of the entries `unsaid` are too long to be told. `default`
    makes values plain that JSON does not know; `upgrade` turns settings that an older version kept
    into today's words. Raises ValueError if the file is damaged.
    """
    mine = json.loads(json.dumps(settings, default=default))
    if not path.exists():
        write_json(path, mine)
        return ""
    kept = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(kept, dict):
        raise ValueError(f"{path} holds no settings")
    kept = upgrade(kept) if upgrade else kept
    return ", ".join(
        name if name in unsaid else f"{name} was {old!r} and is {new!r}"
        for name, (old, new) in differing(kept, mine).items()
    )


def differing(kept: Mapping[str, Any], mine: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Entries that differ, with both values; entries of mappings by their own names."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in {**kept, **mine}:
        old, new = kept.get(name), mine.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found |= differing(old, new)
        elif old != new:
            found[name] = (old, new)
    return found
