"""Outputs that one process at a time writes, and what killed processes left of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ssatom.exceptions import SsatomError
from ssatom.files.atomic import new_name, sweep


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
