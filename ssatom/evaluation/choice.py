"""Which of several models of crystals has the lowest error in cross-validation."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GroupKFold

from ssatom.exceptions import GraphWarning, ParameterError, TrainingWarning

FEWEST = 10
"""Different crystals that are needed to choose by cross-validation."""

_FOLDS = ((500, 5), (2_000, 3))  # below so many rows so many folds …
_LARGE = 5  # … from there on one fold of so many, since training takes long


@dataclass(frozen=True)
class Candidate:
    """A regressor on structures, not fitted.

    `groups` names the parameter of its `fit` that keeps copies of a crystal together in folds of
    its own, if it has one; `skipped` is the reason why it is not tried, or "".
    """

    model: Any
    groups: str = ""
    skipped: str = ""

    def fit(self, structures: Sequence[Any], y: np.ndarray, keys: Sequence[Hashable]) -> Any:
        """A clone fitted to some crystals; copies have the same key."""
        more = {self.groups: _numbered(keys)} if self.groups else {}
        return clone(self.model).fit(structures, y, **more)


@dataclass(frozen=True)
class Trial:
    """What cross-validation told of a model: errors, seconds it took, or why it was not tried.

    `errors` has the mean absolute error of each fold and target, shape (n_folds, n_targets).
    """

    name: str
    errors: np.ndarray | None = None
    seconds: float = 0.0
    skipped: str = ""


@dataclass(frozen=True)
class Choice:
    """The model with the lowest error, and the trials of all.

    The error of several targets is the mean of their errors over their standard deviations.
    """

    chosen: str
    n_rows: int
    n_folds: int
    n_fitted: int
    trials: list[Trial] = field(default_factory=list)

    @property
    def how(self) -> str:
        """How it was chosen, in words."""
        if not self.trials:
            return f"without cross-validation, since {self.n_rows} crystals are too few for it"
        if self.n_fitted == self.n_folds:
            return f"{self.n_folds}-fold cross-validation on {self.n_rows:,} crystals"
        return f"one fifth of {self.n_rows:,} crystals, held out once"

    def table(self, targets: Sequence[str]) -> list[dict[str, Any]]:
        """A row for each model: mean absolute errors by target, seconds, and remarks."""
        rows = []
        for trial in self.trials:
            means = [None] * len(targets) if trial.errors is None else trial.errors.mean(axis=0)
            errors = {
                target: None if mean is None else float(mean)
                for target, mean in zip(targets, means, strict=True)
            }
            remark = trial.skipped or ("chosen" if trial.name == self.chosen else "")
            rows.append(
                {
                    "model": trial.name,
                    "mean absolute error": errors,
                    "seconds": None if trial.errors is None else round(trial.seconds, 1),
                    "remark": remark,
                }
            )
        return rows


def choose_model(
    candidates: Mapping[str, Candidate],
    structures: Sequence[Any],
    y: np.ndarray,
    keys: Sequence[Hashable],
    *,
    random_state: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Cross-validate models on the same folds, in which copies of a crystal stay together.

    Five folds below 500 rows, three below 2,000, and from there on one fifth held out once.

    Parameters
    ----------
    candidates : mapping of Candidate
        By name; of equal errors the first wins. One at least must not be skipped.
    structures : sequence
        Crystals.
    y : ndarray of float, shape (n_rows,) or (n_rows, n_targets)
        Targets.
    keys : sequence
        What tells crystals apart, one a row; at least `FEWEST` different ones.
    random_state : int, default=0
        Seed of the folds.
    tell : callable, default none
        Called with the name of a model, and the number of its fold, before it is fitted.

    Returns
    -------
    Choice
        The name of the best, and all trials. A model that cannot be fitted to a fold is skipped.
    """
    groups = _numbered(keys)
    n_folds = n_folds_of(len(y))
    splitter = GroupKFold(n_folds, shuffle=True, random_state=random_state)
    folds = list(splitter.split(groups, groups=groups))
    folds = folds[:1] if len(y) >= _FOLDS[-1][0] else folds
    trials = []
    for name, candidate in candidates.items():
        if candidate.skipped:
            trials.append(Trial(name, skipped=candidate.skipped))
            continue
        started = time.perf_counter()
        try:
            errors = []
            for number, (train, test) in enumerate(folds, 1):
                tell(f"{name}, fold {number} of {len(folds)}")
                errors.append(_errors(candidate, structures, y, groups, train, test))
        except ParameterError as error:
            trials.append(Trial(name, skipped=f"cannot be fitted: {error}"))
            continue
        trials.append(Trial(name, np.array(errors), time.perf_counter() - started))
    spread = y.reshape(len(y), -1).std(axis=0)
    tried = [trial for trial in trials if trial.errors is not None]
    best = min(tried, key=lambda trial: float((trial.errors / spread).mean()))  # type: ignore[operator]
    return Choice(best.name, len(y), n_folds, len(folds), trials)


def n_folds_of(n_rows: int) -> int:
    """Number of parts that rows are cut into."""
    return next((n for limit, n in _FOLDS if n_rows < limit), _LARGE)


def _numbered(keys: Sequence[Hashable]) -> np.ndarray:
    """The number of the crystal of each row."""
    places: dict[Hashable, int] = {}
    return np.array([places.setdefault(key, len(places)) for key in keys])


def _errors(
    candidate: Candidate,
    structures: Sequence[Any],
    y: np.ndarray,
    groups: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> np.ndarray:
    """Mean absolute error of each target on the crystals of a fold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        warnings.simplefilter("ignore", TrainingWarning)  # its error tells
        model = candidate.fit([structures[i] for i in train], y[train], groups[train].tolist())
        predicted = model.predict([structures[i] for i in test])
    difference = np.abs(np.asarray(predicted) - y[test])
    return difference.reshape(len(test), -1).mean(axis=0)
