"""The rules that parameters share."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ssatom.exceptions import ParameterError
from ssatom.validation import (
    column,
    different_ones_of,
    finite_numbers,
    groups_of,
    number,
    one_of,
    whole_number,
)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, 0, np.float64(2), float("nan")])
def test_no_whole_number_from_1_on(value: Any) -> None:
    with pytest.raises(ParameterError, match=r"n=.* must be a whole number of at least 1"):
        whole_number("n", value, least=1)


@pytest.mark.parametrize("value", [1, np.int8(1), np.uint64(2**63)])
def test_whole_numbers(value: Any) -> None:
    assert whole_number("n", value, least=1) == int(value)
    assert type(whole_number("n", value, least=1)) is int


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("[0, 1)", [0, 0.5, np.float32(0.5)], [1, -0.1, True, "0", None, float("nan"), 1j]),
        ("(0, 1]", [1, 1e-9], [0, 1.1]),
        ("(0, inf)", [1e-300, 10**6], [0, -1, float("inf")]),
        ("[0, inf)", [0], [-1e-9, float("inf")]),
    ],
)
def test_numbers(interval: str, inside: list, outside: list) -> None:
    assert [number("x", value, interval) for value in inside] == [float(v) for v in inside]
    for value in outside:
        with pytest.raises(ParameterError, match=r"x=.* must be a (positive )?number"):
            number("x", value, interval)


def test_names() -> None:
    assert one_of("x", None, ("a", None)) is None
    for value in ("b", 1, ["a"], np.array(["a", "b"]), True):
        with pytest.raises(ParameterError, match=r"x=.* is unknown; allowed: 'a', 1.5"):
            one_of("x", value, ("a", 1.5))
    assert different_ones_of("x", ("b", "a"), "abc") == ["b", "a"]
    for value in ([], "", "d", ["a", "a"], None, 3, [["a"]]):
        with pytest.raises(ParameterError, match=r"x=.*; allowed are different ones of 'a', 'b'"):
            different_ones_of("x", value, ("a", "b"))


def test_columns() -> None:
    assert column("groups", ["a", "b"], 2).tolist() == ["a", "b"]
    for values in (["a"], "ab", [["a"], ["b"]]):
        with pytest.raises(ParameterError, match=r"groups has shape .*; allowed is one a row"):
            column("groups", values, 2)


@pytest.mark.parametrize("missing", [None, float("nan"), np.datetime64("NaT")])
def test_a_group_that_is_missing_is_refused(missing: Any) -> None:
    with pytest.raises(ParameterError, match=r"groups\[1\] is .* \(1 of 2 values are missing\)"):
        groups_of("groups", np.array(["a", missing], dtype=object), 2)
    assert groups_of("groups", ["a", "b"], 2).tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "values",
    [
        pd.array([True, False], dtype="boolean"),
        np.array([True, False], dtype=object),
        pd.Categorical([1.0, 0.0]),
        [Decimal(1), Fraction(0)],
        pd.array([1, 0], dtype="Int64"),
        pd.arrays.SparseArray([1.0, 0.0]),
        np.array([1, np.float32(0)], dtype=object),
    ],
)
def test_numbers_of_any_container(values: Any) -> None:
    found = finite_numbers("y", values)
    assert (found.dtype, found.tolist()) == (np.float64, [1.0, 0.0])


@pytest.mark.parametrize(
    "values",
    [
        ["1", "0"],
        [2, "0"][::-1],
        np.array([b"1", b"0"]),
        pd.Categorical(["a", "b"]),
        pd.cut(np.array([1.0, 2.0]), 2),
        pd.IntervalIndex.from_breaks([0, 1, 2]),
        pd.period_range("2020", periods=2, freq="M"),
        pd.date_range("2020", periods=2),
        pd.Series(pd.date_range("2020", periods=2, tz="UTC")),
        np.array([1, 2], dtype="m8[s]"),
        pd.to_timedelta([1, 2], unit="D"),
        np.array([np.timedelta64(1, "s"), 2], dtype=object),
        [10**400, 1],
        np.zeros(2, dtype=[("a", float)]),
        [[1], [1, 2]],
    ],
)
def test_what_is_no_number_is_refused(values: Any) -> None:
    with pytest.raises(ParameterError, match=r"y must hold numbers, one a row; y\[0\] is .* \("):
        finite_numbers("y", values)


@pytest.mark.parametrize("values", [[1j, 2], np.array([1, 2j]), np.array([np.complex64(1)] * 2)])
def test_complex_numbers_are_refused(values: Any) -> None:
    with pytest.raises(ParameterError, match=r"y must hold real numbers; y\[0\] is .*complex"):
        finite_numbers("y", values)


@pytest.mark.parametrize("values", [pd.array([1, None], dtype="Int64"), [True, pd.NA]])
def test_numbers_that_are_missing_are_refused(values: Any) -> None:
    with pytest.raises(ParameterError, match=r"y\[1\] is nan"):
        finite_numbers("y", values)


@pytest.mark.parametrize("dtype", [float, int])
def test_masked_labels_are_missing(dtype: type) -> None:
    masked = np.ma.array([1, 2, 3], mask=[False, True, False], dtype=dtype)
    with pytest.raises(ParameterError, match=r"y\[1\] is nan"):
        finite_numbers("y", masked)
    assert finite_numbers("y", masked[::2]).tolist() == [1, 3]
