"""Splits of rows: random, by groups, by official folds; copies of a crystal stay together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ssatom.exceptions import ParameterError
from ssatom.validation import different_ones_of

_MIN_HELD = 4  # of 16 or more; the best epoch of one or two held back would be one of luck

KINDS = ("random", "grouped", "official")
"""Kinds of splits: by chance, by groups, and the folds that a data set comes with."""


def split_rows(
    kind: str,
    seed: int,
    n_rows: int,
    groups: np.ndarray | None = None,
    test_size: float = 0.2,
    folds: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Training and test rows of one split, the same for all features of one data set.

    Parameters
    ----------
    kind : {"random", "grouped", "official"}
        Of the split.
    seed : int
        From 0 on; for official folds the place of the fold tested.
    n_rows : int
        Number of rows.
    groups : ndarray, shape (n_rows,), default=None
        For grouped splits.
    test_size : float, default=0.2
        Share of rows, or of groups, in the test part.
    folds : ndarray, shape (n_rows,), default=None
        For official folds: the fold in which each row is tested.

    Returns
    -------
    train, test : ndarray of int
        Row numbers.

    Examples
    --------
    >>> from ssatom.evaluation import split_rows
    >>> train, test = split_rows("random", seed=0, n_rows=10)
    >>> len(train), len(test)
    (8, 2)
    """
    if kind == "official":
        tested = folds == np.unique(folds)[seed]  # type: ignore[arg-type]
        return np.flatnonzero(~tested), np.flatnonzero(tested)
    from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

    splitter = (GroupShuffleSplit if kind == "grouped" else ShuffleSplit)(
        1, test_size=test_size, random_state=seed
    )
    rows = np.zeros((n_rows, 1))
    train, test = next(splitter.split(rows, groups=groups if kind == "grouped" else None))
    return np.sort(train), np.sort(test)


def check_kinds(
    splits: Sequence[str] | None, groups: np.ndarray | None, folds: np.ndarray | None
) -> list[str]:
    """Kinds of splits of a `splits` argument.

    None is the official folds if there are `folds`, and else random ones, and grouped ones if there
    are `groups`. Raises ParameterError if a kind is unknown or comes twice, or what it needs is not
    there or all the same.
    """
    needed = {"random": True, "grouped": groups is not None, "official": folds is not None}
    if splits is None:
        splits = ["official"] if folds is not None else [k for k in KINDS if needed[k]]
    kinds = different_ones_of("splits", splits, KINDS)
    for kind, source, what in (
        ("grouped", groups, "groups, such as reduced formulas"),
        ("official", folds, "folds, the fold in which each row is tested"),
    ):
        if kind in kinds and source is None:
            raise ParameterError(f"splits has {kind!r}, which needs {what}")
        if kind in kinds and len(np.unique(source)) < 2:  # type: ignore[arg-type]
            name = what.split(",")[0]
            raise ParameterError(f"{name} are all the same; splits {kind!r} need at least two")
    return kinds


def _crystals(keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """First row of each different crystal, and to which of them each row belongs."""
    _, first, crystal = np.unique(
        np.array(keys, dtype=object), return_index=True, return_inverse=True
    )
    return first, crystal


def hold_out(
    keys: Sequence[bytes], n_test: int, random_state: int, classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted rows of random crystals to train on and to test on, each with all copies of it.

    Copies have the same key, and `n_test` counts different crystals. The `classes` of rows are held
    out in their proportions, where there are enough of each.
    """
    from sklearn.model_selection import train_test_split

    first, crystal = _crystals(keys)
    rows = np.sort(first)
    strata = None
    if classes is not None:
        counts = np.unique(classes[rows], return_counts=True)[1]
        if counts.min() >= 2 and len(counts) <= min(n_test, len(rows) - n_test):
            strata = classes[rows]
    _, held = train_test_split(rows, test_size=n_test, random_state=random_state, stratify=strata)
    tested = np.isin(crystal, crystal[held])
    return np.flatnonzero(~tested), np.flatnonzero(tested)


def hold_back(
    keys: Sequence[bytes],
    fraction: float,
    seed: int,
    classes: Sequence[np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted places of random crystals to train on, and to hold back for validation.

    All copies of a crystal, which have the same key, go with it; where only a few are different,
    copies are taken for different. At least one crystal is held back and two are left. With
    `classes`, those of each crystal's rows, crystals are sorted by the first of them and taken at
    equal steps, so that each class is held back in its proportion, and the last crystal of a class
    is left in training.
    """
    first, crystal = _crystals(keys)
    if len(first) <= _MIN_HELD:
        first = crystal = np.arange(len(keys))
    rows = np.sort(first)  # in the order in which they came
    n = len(rows)
    rng = np.random.default_rng(seed)
    order = rows[rng.permutation(n)]
    n_held = min(max(1, min(_MIN_HELD, n // 4), round(fraction * n)), n - 2)
    if classes is None:
        chosen = order[((np.arange(n_held) + 0.5) * n / n_held).astype(int)]
    else:
        order = order[np.argsort([classes[i][0] for i in order], kind="stable")]
        at_steps = ((np.arange(n_held) + rng.random()) * n / n_held).astype(int)
        candidates = np.concatenate([order[at_steps], np.delete(order, at_steps)])
        chosen = _without_last_ones(candidates, crystal, classes)[:n_held]
    held = np.isin(crystal, crystal[chosen])
    return np.flatnonzero(~held), np.flatnonzero(held)


def _without_last_ones(
    candidates: np.ndarray, crystal: np.ndarray, classes: Sequence[np.ndarray]
) -> np.ndarray:
    """The candidates that can all be taken, and none of a class be left; the first if none can."""
    seen: dict[int, set] = {}  # classes of each crystal, of all its copies
    for of, rows in zip(crystal.tolist(), classes, strict=True):
        seen.setdefault(of, set()).update(rows.tolist())
    left = Counter(name for names in seen.values() for name in names)
    taken = []
    for i in candidates.tolist():
        names = seen[int(crystal[i])]
        if all(left[name] > 1 for name in names):
            left.subtract(names)
            taken.append(i)
    return np.array(taken or candidates[:1])
