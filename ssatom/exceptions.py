"""The errors and warnings of ssatom.

Every error is a :class:`SsatomError` and also the built-in error that people already catch:
a bad crystal is a ``ValueError``, a missing file a ``FileNotFoundError``.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "GraphWarning",
    "MissingFileError",
    "ParameterError",
    "SsatomError",
    "StructureError",
    "StructureFileError",
    "StructureWarning",
    "TrainingWarning",
    "WeightsError",
]

_SHOWN = 5  # rows that a warning names


class SsatomError(Exception):
    """Base class of every error that ssatom raises on purpose.

    Examples
    --------
    >>> from ssatom.exceptions import SsatomError, StructureError
    >>> issubclass(StructureError, SsatomError) and issubclass(StructureError, ValueError)
    True
    """


class StructureError(SsatomError, ValueError):
    """A structure, a site or a collection of them that cannot be used.

    Examples
    --------
    >>> from ssatom import StructureError
    >>> from ssatom.structures import check_structures
    >>> try:
    ...     check_structures([None])
    ... except StructureError as error:
    ...     print(str(error).split(";")[0])
    structures[0] is None, a missing value
    """


class StructureFileError(StructureError, OSError):
    """A file of structures that exists and cannot be read as one, or cannot be written.

    Examples
    --------
    >>> from ssatom import StructureError, StructureFileError
    >>> issubclass(StructureFileError, StructureError) and issubclass(StructureFileError, OSError)
    True
    """

    # OSError prints "[Errno ...] ..." when it is given two arguments; ours always get one message.


class MissingFileError(StructureFileError, FileNotFoundError):
    """A path to a structure that leads nowhere.

    Examples
    --------
    >>> from ssatom import read_structures
    >>> try:
    ...     list(read_structures("nowhere.cif"))
    ... except FileNotFoundError as error:
    ...     print(type(error).__name__)
    MissingFileError
    """


class WeightsError(SsatomError, ValueError):
    """Weights that are unknown, damaged, altered or of another format.

    Examples
    --------
    >>> from ssatom import WeightsError, load_pretrained
    >>> try:
    ...     load_pretrained("no-such-weights")
    ... except WeightsError as error:
    ...     print(str(error).split(";")[0])
    weights='no-such-weights' is neither a shipped set nor a folder
    """


class ParameterError(SsatomError, ValueError):
    """A parameter of a class or function with a value that is not allowed.

    Examples
    --------
    >>> from ssatom import GraphConfig, ParameterError
    >>> try:
    ...     GraphConfig(cutoff=-1.0)
    ... except ParameterError as error:
    ...     print(error)
    cutoff=-1.0 must be a positive number
    """


class GraphWarning(UserWarning):
    """Graphs that are valid and perhaps not what was meant, such as an atom without neighbors.

    Parameters
    ----------
    reason : str
        What is the matter with them.
    rows : sequence of int, default=()
        Places of the structures in the list that was given.

    Examples
    --------
    >>> import warnings
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom import CrystalGraphConverter, GraphWarning
    >>> atom = Structure(Lattice.cubic(20.0), ["Ar"], [[0, 0, 0]])
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", GraphWarning)  # an atom alone is what is meant
    ...     graphs = CrystalGraphConverter().convert([atom])
    >>> graphs.n_edges
    0
    """

    def __init__(self, reason: str, rows: Sequence[int] = ()) -> None:
        super().__init__(reason, rows)
        self.reason = reason
        self.rows = tuple(rows)

    def __str__(self) -> str:
        """The first rows and the reason."""
        places = ", ".join(f"structures[{row}]" for row in self.rows[:_SHOWN])
        if len(self.rows) > _SHOWN:
            places += f" and {len(self.rows) - _SHOWN} more"
        return f"{places}: {self.reason}" if places else self.reason


class StructureWarning(UserWarning):
    """A structure that was read in the most likely sense, though its source leaves a doubt.

    Such a doubt may concern which atoms a crystal has or where they are, so it should be looked
    at for each structure.

    Parameters
    ----------
    where : str
        The place of the structure: its file, its row, or both.
    reason : str
        What is in doubt, how it was read, and what to do if that is not what was meant.

    Examples
    --------
    >>> from ssatom import StructureWarning
    >>> warning = StructureWarning("a.cif", "site Na1 has the occupancy '.', read as 1")
    >>> warning.where, str(warning)
    ('a.cif', "a.cif: site Na1 has the occupancy '.', read as 1")
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        """The place and the reason."""
        return f"{self.where}: {self.reason}"


class TrainingWarning(UserWarning):
    """A training that ended with weights which predict worse than none would.

    Examples
    --------
    >>> from ssatom import TrainingWarning
    >>> issubclass(TrainingWarning, UserWarning)
    True
    """
