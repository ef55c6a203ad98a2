"""Periods, groups and features against what pymatgen knows of the elements."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Element

from ssatom.elements import (
    MASK_NUMBER,
    MAX_ATOMIC_NUMBER,
    N_GROUPS,
    N_PERIODS,
    atomic_features,
    distinct_features,
    element_table_hash,
    group_numbers,
    magpie_features,
    period_numbers,
)

ALL = np.arange(1, MAX_ATOMIC_NUMBER + 1)


def test_groups_are_those_of_pymatgen() -> None:
    assert group_numbers(ALL).tolist() == [Element.from_Z(z).group for z in ALL]


def test_periods_are_the_rows_of_pymatgen_with_the_f_block_apart() -> None:
    elements = [Element.from_Z(z) for z in ALL]
    expected = [8 if e.is_lanthanoid else 9 if e.is_actinoid else e.row for e in elements]
    assert period_numbers(ALL).tolist() == expected


def test_every_class_has_an_element() -> None:
    assert set(period_numbers(ALL)) == set(range(1, N_PERIODS + 1))
    assert N_PERIODS == 9
    assert set(group_numbers(ALL)) == set(range(1, N_GROUPS + 1))
    assert N_GROUPS == 18


@pytest.mark.parametrize(
    ("symbol", "period", "group"),
    [
        ("H", 1, 1), ("He", 1, 18), ("Be", 2, 2), ("B", 2, 13), ("Sc", 4, 3), ("Zn", 4, 12),
        ("Ba", 6, 2), ("La", 8, 3), ("Lu", 8, 3), ("Hf", 6, 4), ("Rn", 6, 18), ("Ra", 7, 2),
        ("Ac", 9, 3), ("Fm", 9, 3),
    ],
)  # fmt: skip
def test_some_elements(symbol: str, period: int, group: int) -> None:
    number = [Element(symbol).Z]
    assert (period_numbers(number)[0], group_numbers(number)[0]) == (period, group)


@pytest.mark.parametrize("lookup", [period_numbers, group_numbers])
@pytest.mark.parametrize("bad", [0, -1, MAX_ATOMIC_NUMBER + 1])
def test_numbers_without_features_are_refused(lookup, bad: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {MAX_ATOMIC_NUMBER}, got"):
        lookup([26, bad])


@pytest.mark.parametrize("lookup", [period_numbers, group_numbers])
def test_nothing_gives_nothing(lookup) -> None:
    assert lookup(np.empty(0, dtype=int)).shape == (0,)


def test_features() -> None:
    table = atomic_features()
    assert table.shape == (MAX_ATOMIC_NUMBER + 1, 92)
    assert table.dtype == np.float32
    assert set(np.unique(table)) == {0.0, 1.0}
    assert not table[MASK_NUMBER].any()
    # One bin a property; up to three properties are unknown.
    per_element = table[1:].sum(axis=1)
    assert per_element.min() >= 6
    assert per_element.max() == 9


def test_features_begin_with_group_and_period() -> None:
    """19 columns of groups, the first for the f block, and then 7 of periods."""
    table = atomic_features()[1:]
    groups, periods = table[:, :19].argmax(axis=1), table[:, 19:26].argmax(axis=1) + 1
    d_and_main = period_numbers(ALL) <= 7
    assert (groups == group_numbers(ALL))[d_and_main].all()
    assert (periods == [Element.from_Z(z).row for z in ALL]).all()


def test_features_cannot_be_changed_by_a_user() -> None:
    with pytest.raises(ValueError, match="read-only"):
        atomic_features()[1, 0] = 2.0


def test_larger_tables_tell_elements_apart_that_share_the_92_features() -> None:
    for table in (distinct_features(), magpie_features()):
        assert (table[57, :92] == table[58, :92]).all()  # La and Ce
        assert (table[57] != table[58]).any()
        assert not table[0].any()


def test_table_hash_is_frozen() -> None:
    """Shipped weights were trained on this table and name its hash."""
    expected = "894c89cf6825abc78f7d9de0e005bcbc900006fadb7084f7305bc304c67a9c92"
    assert element_table_hash(atomic_features()) == expected


def test_table_hash_tells_values_and_shape() -> None:
    table = np.arange(6, dtype=np.float64).reshape(2, 3)
    assert element_table_hash(table) == element_table_hash(table.astype(np.float32))
    assert element_table_hash(table) != element_table_hash(table.T)
    assert element_table_hash(table) != element_table_hash(table + 1)
    assert element_table_hash(table) != element_table_hash(table.reshape(3, 2))
