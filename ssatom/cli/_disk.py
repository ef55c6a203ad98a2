"""Errors of the disk (full, read-only, broken) in one line that says what is kept."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ssatom.exceptions import SsatomError

_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE, errno.EACCES,
    errno.EPERM,
}  # fmt: skip


def disk_error(error: BaseException | None) -> str | None:
    """The system's reason why something could not be written; None for any other error.

    Libraries wrap the error of the system: safetensors gives its number in a text, and PyTorch
    says only that a file is too short.
    """
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        if found := re.search(r"\(os error (\d+)\)", str(error)):
            number = int(found[1])
        if number in _ERRORS:
            return os.strerror(number)
        if isinstance(error, RuntimeError) and re.search(
            "unexpected pos|file write failed", str(error)
        ):
            return "the file could not be written to its end"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def refuse_replacing(output: object, exists: bool, overwrite: bool) -> None:
    """Refuse to replace an output that exists, without `--overwrite`."""
    if exists and not overwrite:
        raise SsatomError(f"'{output}' exists; give another name, or --overwrite to replace it")


@contextmanager
def writing(what: object, kept: str | Callable[[], str]) -> Iterator[None]:
    """Turn an error of the disk into an SsatomError that says what is kept and how to go on."""
    try:
        yield
    except SsatomError:
        raise
    except Exception as error:
        if (reason := disk_error(error)) is None:
            raise
        advice = kept if isinstance(kept, str) else kept()
        raise SsatomError(f"'{what}' cannot be written ({reason}); {advice}") from error
