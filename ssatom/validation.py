"""The rules that parameters share; a refusal names the parameter, its value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from ssatom.exceptions import ParameterError


def whole_number(name: str, value: Any, least: int) -> int:
    """The value as an int; NumPy's integers are whole numbers, True and 1.0 are not.

    Raises ParameterError if it is no whole number, or smaller than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ParameterError(f"{name}={value!r} must be a whole number of at least {least}")
    return int(value)


def number(name: str, value: Any, interval: str) -> float:
    """The value as a float in an interval such as "[0, 1)" or "(0, inf)".

    Raises ParameterError if it is no finite number, True included, or outside.
    """
    low, high = map(float, interval[1:-1].split(","))
    x = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    ends = [low] * (interval[0] == "[") + [high] * (interval[-1] == "]")
    if math.isfinite(x) and (low < x < high or x in ends):
        return x
    words = {
        "(-inf, inf)": "a finite number",
        "(0, inf)": "a positive number",
        "[0, inf)": "a number from 0 on",
    }
    allowed = words.get(interval, f"a number in {interval}")
    raise ParameterError(f"{name}={value!r} must be {allowed}")


def one_of(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """The value, if it is one of those allowed; None and True are themselves alone.

    Raises ParameterError if it is none of them.
    """
    known = list(allowed)
    kind = str if isinstance(value, str) else type(value)  # NumPy's texts are texts
    if not any(value is one or (kind is type(one) and value == one) for one in known):
        raise ParameterError(f"{name}={value!r} is unknown; allowed: {', '.join(map(repr, known))}")
    return value


def obey(name: str, value: Any, rule: Any, optional: bool = False) -> None:
    """Refuse a value that breaks a rule: the least of whole numbers, an interval, or all choices.

    Raises ParameterError as `whole_number`, `number` and `one_of` do; `optional` allows None.
    """
    if value is None and optional:
        return
    check: Any = {int: whole_number, str: number}.get(type(rule), one_of)
    try:
        check(name, value, rule)
    except ParameterError as error:
        if optional:
            raise ParameterError(f"{error}, or None") from None
        raise


def different_ones_of(name: str, values: Any, allowed: Iterable[str]) -> list[str]:
    """A name, or several different ones, as a list.

    Raises ParameterError if there are none, an unknown one, or one twice.
    """
    known = list(allowed)
    try:
        given = [values] if isinstance(values, str) else list(values)
        good = bool(given) and len(set(given)) == len(given) and set(given) <= set(known)
    except TypeError:
        good = False
    if not good:
        names = ", ".join(map(repr, known))
        raise ParameterError(f"{name}={values!r}; allowed are different ones of {names}")
    return given


def column(name: str, values: Any, n_rows: int) -> Any:
    """Values as a NumPy array with one for each row; ParameterError if there are more or fewer."""
    import numpy as np

    array = np.asarray(values)
    if array.shape != (n_rows,):
        raise ParameterError(f"{name} has shape {array.shape}; allowed is one a row, ({n_rows},)")
    return array


def groups_of(name: str, values: Any, n_rows: int) -> Any:
    """Groups as an array with one for each row; ParameterError if one is missing."""
    import numpy as np
    import pandas as pd

    array = column(name, values, n_rows)
    refuse_missing(name, array, np.asarray(pd.isna(array)), "missing")
    return array


def plain_array(name: str, values: Any) -> Any:
    """Values as a NumPy array: of their own type if they have one of NumPy's, else of objects.

    What is masked is missing. Raises ParameterError if they are None, or are no array.
    """
    import numpy as np

    if values is None:
        raise ParameterError(f"requires {name} to be passed, but the target {name} is None")
    try:
        if np.ma.isMaskedArray(values):
            return np.ma.filled(values.astype(object), np.nan)
        own = isinstance(getattr(values, "dtype", None), np.dtype)
        array = np.asarray(values) if own else np.asarray(values, dtype=object)
        return array.astype(object) if array.dtype.kind in "cTV" else array
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError is PyTorch's
        raise ParameterError(
            f"{name} must hold one value a row; got {type(values).__name__}: {error}"
        ) from None


def place_of(name: str, array: Any, index: tuple[int, ...]) -> str:
    """Where a value of an array is, and what it is, for messages."""
    value = array[index]
    shown = " ".join(repr(value).split())
    return f"{name}[{', '.join(map(str, index))}] is {shown:.80} ({type(value).__name__})"


def _as_float(value: Any) -> float:
    """A number as a float, NaN for what is missing; TypeError or OverflowError for all else."""
    import numpy as np
    import pandas as pd

    if value is None or value is pd.NA:
        return math.nan
    if isinstance(value, str | bytes | np.flexible | np.complexfloating):
        raise TypeError
    if isinstance(value, np.datetime64 | np.timedelta64):  # of any unit
        raise TypeError
    return float(value)


def finite_numbers(name: str, values: Any, n_dims: tuple[int, ...] = (1,)) -> Any:
    """Labels or weights of rows as a new array of finite float64, of one of so many dimensions.

    Raises ParameterError if they are missing, no real numbers, not finite or of another shape.
    """
    import numpy as np

    given = plain_array(name, values)
    if given.ndim not in n_dims or 0 in given.shape[1:]:
        several = ", or (n_rows, n_targets) for several targets" if 2 in n_dims else ""
        raise ParameterError(f"{name} has shape {given.shape}; allowed: (n_rows,){several}")
    array = np.empty(given.shape)
    if given.dtype.kind in "biuf":
        array[...] = given
    else:
        for index, value in np.ndenumerate(given):
            try:
                array[index] = _as_float(value)
            except (TypeError, ValueError, OverflowError):
                must = f"{name} must hold numbers, one a row"
                if isinstance(value, complex | np.complexfloating):
                    must = f"Complex data not supported: {name} must hold real numbers"
                raise ParameterError(
                    f"{must}; {place_of(name, given, index)}; convert texts with pd.to_numeric, "
                    "times to numbers of a unit such as days, intervals to their middles"
                ) from None
    refuse_missing(name, array, ~np.isfinite(array), "not finite")
    return array


def refuse_missing(name: str, values: Any, bad: Any, what: str) -> None:
    """Refuse values of an array of which some are `bad`."""
    if bad.any():
        place = tuple(index[0] for index in bad.nonzero())
        raise ParameterError(
            f"{name}[{', '.join(map(str, place))}] is {values[place]} ({bad.sum()} of {bad.size} "
            f"values are {what}); leave these rows out, for instance with "
            "df.dropna(subset=[target])"
        )


def refuse_constant(name: str, values: Any) -> None:
    """Refuse labels, of which at least one row is given, with a column that does not vary."""
    import numpy as np

    columns = values.reshape(len(values), -1)
    constant = np.ptp(columns, axis=0) <= 1e-12 * np.abs(columns).max(axis=0)
    if constant.any():
        column = int(np.argmax(constant))
        which = name if columns.shape[1] == 1 else f"{name}[:, {column}]"
        raise ParameterError(
            f"{which} is constant ({columns[0, column]:g} in all {len(columns)} rows); there is "
            "nothing to learn, give a target that varies"
        )


def check_target(y: Any, n_rows: int, name: str = "y") -> Any:
    """Labels as a new float64 array: finite, one a row, and not all equal."""
    target = finite_numbers(name, y)
    if len(target) != n_rows:
        raise ParameterError(
            f"{name} has {len(target)} values for {n_rows} rows of features; give one value a row, "
            "in the same order"
        )
    if n_rows:
        refuse_constant(name, target)
    return target


def one_a_row(predictions: Any, n_rows: int) -> Any:
    """Predictions of one number a row, shape (n_rows,), also from models that give a column."""
    import numpy as np

    found = np.asarray(predictions, dtype=np.float64).reshape(n_rows, -1)
    if found.shape[1] != 1:
        raise ParameterError(f"model predicts {found.shape[1]} numbers; fit one for each")
    return found[:, 0]
