"""File names and other texts that are not UTF-8, as texts that any file and screen can hold."""

from __future__ import annotations

import re
from reprlib import Repr

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def printable(text: str) -> str:
    r"""The text, with ``\xfc`` in place of a byte that is no UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair, as JSON may have it
        return text.encode("utf-8", "backslashreplace").decode()


def file_name(text: str) -> str:
    """The name of a file from what `printable` made of it."""
    return re.sub(r"\\x([89a-f][0-9a-f])", lambda byte: chr(0xDC00 + int(byte[1], 16)), text)


def shortened(text: str) -> str:
    """The text in quotes, without the middle if it is long."""
    return _SHORT.repr(printable(text)).replace("\\\\", "\\")
