"""The errors and warnings of ssatom.

Every error is a :class:`SsatomError` and also the built-in error that people already catch:
a bad crystal is a ``ValueError``, a missing file a ``FileNotFoundError``.
"""

from __future__ import annotations

__all__ = [
    "GraphWarning",
    "MissingFileError",
    "ParameterError",
    "SsatomError",
    "StructureError",
    "StructureFileError",
    "WeightsError",
]


class SsatomError(Exception):
    """Base class of every error that ssatom raises on purpose.

    Examples
    --------
    >>> from ssatom.exceptions import SsatomError, StructureError
    >>> issubclass(StructureError, SsatomError) and issubclass(StructureError, ValueError)
    True
    """


class StructureError(SsatomError, ValueError):
    """A structure, a site or a collection of them that cannot be used."""


class StructureFileError(StructureError, OSError):
    """A file of structures that exists and cannot be read as one, or cannot be written."""

    # OSError prints "[Errno ...] ..." when it is given two arguments; ours always get one message.


class MissingFileError(StructureFileError, FileNotFoundError):
    """A path to a structure that leads nowhere."""


class WeightsError(SsatomError, ValueError):
    """Weights that are unknown, damaged, altered or of another format."""


class ParameterError(SsatomError, ValueError):
    """A parameter of a class or function with a value that is not allowed."""


class GraphWarning(UserWarning):
    """A graph that is valid and perhaps not what was meant, such as an atom without neighbors."""
