"""Splits that keep copies of a crystal together."""

from __future__ import annotations

import numpy as np

from ssatom.splits import hold_out


def test_copies_are_held_out_together_and_classes_in_proportion() -> None:
    keys = [bytes([row // 2]) for row in range(80)]  # each crystal twice
    classes = np.array(["rare" if row >= 64 else "common" for row in range(80)])
    train, test = hold_out(keys, 10, 0, classes)
    assert sorted([*train, *test]) == list(range(80))
    assert {row ^ 1 for row in test} == set(test)
    assert np.count_nonzero(classes[test] == "rare") == 4  # 2 of 8 crystals, as 10 of 40
    assert not np.array_equal(hold_out(keys, 10, 1, classes)[1], test)
