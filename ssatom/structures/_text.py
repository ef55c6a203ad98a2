"""Bytes and text of files, packed or not, and text for messages."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from reprlib import Repr
from typing import IO, Any

from ssatom.exceptions import StructureFileError
from ssatom.limits import MAX_RATIO, unpacked_limit

_OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".lzma": lzma.open,
}
_CIF = re.compile(r"(?im)^[ \t]*(data_|loop_|_cell)")
_POSCAR = re.compile(r"[^\n\r]*\r?[\n\r][ \t]*[-+.\d]")  # a comment, and a number below it
_LONGEST_PATH = 4096
_PIECE = 2**20  # bytes unpacked at a time
_SHOWN = 120  # characters of a text in a message
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def shorten(text: str) -> str:
    """Text for a message, cut if it is long."""
    return text if len(text) <= _SHOWN else f"{text[:60]}…"


def shortened(text: str) -> str:
    """The text in quotes, without the middle if it is long."""
    return _SHORT.repr(printable(text)).replace("\\\\", "\\")


def printable(text: str) -> str:
    r"""The text, with ``\xfc`` in place of a byte that is no UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair, as JSON may have it
        return text.encode("utf-8", "backslashreplace").decode()


def file_name(text: str) -> str:
    """The name of a file from what `printable` made of it."""
    return re.sub(r"\\x([89a-f][0-9a-f])", lambda byte: chr(0xDC00 + int(byte[1], 16)), text)


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names for a message, the first of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plain_name(path: str | os.PathLike[str]) -> str:
    """Name of a file in lower case, without the ending that tells of packing."""
    name = Path(path).name.lower()
    stem, ending = os.path.splitext(name)
    return stem if ending in _OPENERS else name


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Content of a file, unpacked."""
    opener = _OPENERS.get(Path(path).suffix.lower())
    try:
        with open(path, "rb") as raw:
            if opener is None:
                return raw.read()
            with opener(raw) as file:
                return read_unpacked(file, os.fstat(raw.fileno()).st_size)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise StructureFileError(f"this file cannot be read ({reason})")


def read_unpacked(file: IO[bytes], packed: int) -> bytes:
    """All that a packed file of so many bytes holds; OSError of one that would fill the memory."""
    limit = unpacked_limit(packed)
    pieces, total = [], 0
    while piece := file.read(_PIECE):
        pieces.append(piece)
        total += len(piece)
        if total > limit:
            raise OSError(
                f"it unpacks to more than {limit:,} bytes, over {MAX_RATIO} times its own size; "
                "unpack it first if that is right"
            )
    return b"".join(pieces)


def decode(content: bytes) -> str:
    """Text of a file in UTF-8, UTF-16 with its mark, or else in Latin-1."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def is_text(value: str) -> bool:
    """Whether a string is the text of a structure file, good or bad, and no path."""
    stripped = value.strip()
    lines = any(sign in stripped for sign in "\n\r\0")
    return lines or len(value) > _LONGEST_PATH or text_kind(value) == "json"


def text_kind(text: str) -> str:
    """What a text is: "json" (or a dict as Python prints it), "cif", "poscar", or else ""."""
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return "json" if "lattice" in text else ""
    if not any(sign in text for sign in "\n\r"):
        return ""
    if _CIF.search(text):
        return "cif"
    return "poscar" if _POSCAR.match(text) else ""


def first_line(text: str) -> str:
    """The first line that says something, for messages, at most 80 characters of it."""
    lines = (line.strip() for line in text[:10_000].splitlines())
    return next((line for line in lines if line and line[0] != "#"), "")[:80]
