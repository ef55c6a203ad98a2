"""The errors and warnings of ssatom.

Every error is a :class:`SsatomError` and also the built-in error that people already catch:
a bad crystal is a ``ValueError``, a missing file a ``FileNotFoundError``. Errors and warnings about
structures carry row, source and reason as data; `_message` alone makes their text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

__all__ = [
    "DependencyError",
    "ExtrapolationWarning",
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

_SHOWN = 5  # rows that a message names
_Value = TypeVar("_Value")


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

    Parameters
    ----------
    reason : str
        What is wrong, and what to do about it.
    row : int or None, default=None
        Place of the structure in the list that was given, from 0.
    source : str or None, default=None
        Where it is from: a file, an id, the row of a table.
    formula : str or None, default=None
        Its formula.
    collection : str, default="structures"
        Name of the list: "structures", or "sites" of pairs of structure and site index.

    Examples
    --------
    >>> from ssatom import StructureError
    >>> from ssatom.structures import check_structures
    >>> try:
    ...     check_structures([None])
    ... except StructureError as error:
    ...     print(error.row, str(error).split(";")[0])
    0 structures[0]: this row is None, a missing value
    """

    def __init__(
        self,
        reason: str,
        *,
        row: int | None = None,
        source: str | None = None,
        formula: str | None = None,
        collection: str = "structures",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.row = row
        self.source = source
        self.formula = formula
        self.collection = collection

    def __str__(self) -> str:
        """Place, formula and reason."""
        rows = () if self.row is None else (self.row,)
        formulas = (self.formula,) if self.formula else ()
        return _message(self.reason, rows, self.source, formulas, self.collection)

    def at(self, **place: Any) -> Self:
        """The same error at a `row`, `source`, `formula` or `collection`, to add or to replace.

        It is new, without its traceback and the frames that this keeps alive.
        """
        error = type(self)(self.reason)
        vars(error).update(vars(self) | place)
        return error


class StructureFileError(StructureError, OSError):
    """A file of structures that exists and cannot be read as one, or cannot be written.

    Examples
    --------
    >>> from ssatom import StructureError, StructureFileError
    >>> issubclass(StructureFileError, StructureError) and issubclass(StructureFileError, OSError)
    True
    """

    def __new__(cls, *args: Any, **_: Any) -> Self:
        """That of the system's errors, which dask and ray call by name to send an error."""
        return OSError.__new__(cls, *args)


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


class DependencyError(SsatomError, ImportError):
    """A package that ssatom needs and that is missing, or broken.

    Examples
    --------
    >>> from ssatom.exceptions import DependencyError
    >>> issubclass(DependencyError, ImportError)
    True
    """


class _CrystalWarning(UserWarning):
    """A warning about crystals.

    Carries as data `reason`, `rows` (places in the list), `source` and `formulas` (one a row).
    """

    def __init__(
        self,
        reason: str,
        rows: Sequence[int] = (),
        source: str | None = None,
        formulas: Sequence[str] = (),
    ) -> None:
        super().__init__(reason, rows, source, formulas)
        self.reason = reason
        self.rows = tuple(rows)
        self.source = source
        self.formulas = tuple(formulas)

    def __str__(self) -> str:
        """The first rows with their formulas, the source and the reason."""
        return _message(self.reason, self.rows, self.source, self.formulas)


class GraphWarning(_CrystalWarning):
    """Graphs that are valid and perhaps not what was meant, such as an atom without neighbors.

    Examples
    --------
    >>> import warnings
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom import CrystalGraphConverter, GraphWarning
    >>> atom = Structure(Lattice.cubic(20.0), ["Ar"], [[0, 0, 0]])
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", GraphWarning)  # an isolated atom is intended
    ...     graphs = CrystalGraphConverter().convert([atom])
    >>> graphs.n_edges
    0
    """


class StructureWarning(_CrystalWarning):
    """A structure that was read in the most likely sense, though its source is ambiguous.

    The ambiguity may concern which atoms a crystal has or where they are, so each such structure
    should be checked.

    Examples
    --------
    >>> from ssatom import StructureWarning
    >>> warning = StructureWarning("the occupancy of Na1 is '.', read as 1", source="a.cif")
    >>> warning.source, str(warning)
    ('a.cif', "a.cif: the occupancy of Na1 is '.', read as 1")
    """


class ExtrapolationWarning(_CrystalWarning):
    """Predictions for crystals that are far from all crystals of the training.

    Examples
    --------
    >>> from ssatom import ExtrapolationWarning
    >>> str(ExtrapolationWarning("the prediction extrapolates", [3]))
    'structures[3]: the prediction extrapolates'
    """


class TrainingWarning(UserWarning):
    """A training that ended with weights which predict worse than none would.

    Examples
    --------
    >>> from ssatom import TrainingWarning
    >>> issubclass(TrainingWarning, UserWarning)
    True
    """


def attempt(function: Callable[..., _Value], *args: Any, **place: Any) -> _Value | StructureError:
    """What a function gives of some arguments, or its StructureError, at a place."""
    try:
        return function(*args)
    except StructureError as error:
        return error.at(**place)


def unwrap(value: _Value | StructureError) -> _Value:
    """A value that is no error; an error is raised, without what `attempt` caught behind it."""
    if isinstance(value, StructureError):
        raise value
    return value


def _message(
    reason: str,
    rows: Sequence[int],
    source: str | None,
    formulas: Sequence[str] = (),
    collection: str = "structures",
) -> str:
    """Text such as "structures[3] 'a.cif' (Fe2O3): site 4 …"."""
    several = len(rows) > 1 and len(formulas) == len(rows)
    names = [f" ({formula})" for formula in formulas] if several else [""] * len(rows)
    shown = list(zip(rows, names, strict=True))[:_SHOWN]
    place = ", ".join(f"{collection}[{row}]{name}" for row, name in shown)
    if len(rows) > _SHOWN:
        place += f" and {len(rows) - _SHOWN} more"
    if source:
        source = source if len(source) <= 200 else f"{source[:90]}…{source[-90:]}"
        place = f"{place} '{source}'" if place else source
    if formulas and not several:
        place = f"{place or 'structure'} ({formulas[0]})"
    return f"{place}: {reason}" if place else reason
