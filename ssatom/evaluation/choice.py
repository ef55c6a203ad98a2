"""Which of several models of crystals has the lowest error in cross-validation."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline

from ssatom.exceptions import TrainingWarning
from ssatom.warn import told_already

FEWEST = 10
"""Different crystals that are needed to choose by cross-validation."""

_FOLDS = ((500, 5), (2_000, 3))  # below so many rows so many folds …
_LARGE = 5  # … from there on one fold of so many, since training takes long


@contextmanager
def _rare_classes() -> Iterator[None]:
    """Without warnings of classes that folds lack."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitFailedWarning)
        warnings.filterwarnings("ignore", "The least populated class")
        yield


@dataclass(frozen=True)
class Candidate:
    """A model of structures, not fitted.

    `groups` names the parameter of its `fit` that keeps copies of a crystal together in folds of
    its own, if it has one; `skipped` is the reason why it is not tried, or "".
    """

    model: Any
    groups: str = ""
    skipped: str = ""

    def fit(self, structures: Sequence[Any], y: np.ndarray, keys: Sequence[Hashable]) -> Any:
        """A clone fitted to some crystals; copies have the same key.

        A search at the end of a pipeline is replaced by what it found.
        """
        more = {self.groups: _numbered(keys)} if self.groups else {}
        with _rare_classes():
            model = clone(self.model).fit(structures, y, **more)
        if isinstance(model, Pipeline) and hasattr(model[-1], "best_estimator_"):
            return make_pipeline(*(step for _, step in model.steps[:-1]), model[-1].best_estimator_)
        return model


@dataclass(frozen=True)
class Trial:
    """Result of a model in cross-validation: errors and time, or why it was not tried.

    `errors` has that of each fold and target, shape (n_folds, n_targets): the mean absolute error,
    or the log loss of a class.
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

    best: str
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
        """A row for each model: errors by target, seconds, and remarks."""
        rows = []
        for trial in self.trials:
            found = trial.errors
            means = [None] * len(targets) if found is None else found.mean(axis=0).tolist()
            rows.append(
                {
                    "model": trial.name,
                    "errors": dict(zip(targets, means, strict=True)),
                    "seconds": None if found is None else round(trial.seconds, 1),
                    "remark": trial.skipped or ("chosen" if trial.name == self.best else ""),
                }
            )
        return rows


def choose_model(
    candidates: Mapping[str, Candidate],
    structures: Sequence[Any],
    y: np.ndarray,
    keys: Sequence[Hashable],
    *,
    classify: bool = False,
    random_state: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Cross-validate models on the same folds, in which copies of a crystal stay together.

    Five folds below 500 rows, three below 2,000, and from there on one fifth held out once. Numbers
    are judged by their mean absolute error, classes by the log loss. Of equal errors the first
    model wins; one at least must not be skipped. `keys` tell crystals apart, with at least `FEWEST`
    different ones. `tell` is called before each fit, with the name of the model and the number of
    its fold. A model that cannot be fitted to a fold is skipped.
    """
    groups = _numbered(keys)
    n_folds = n_folds_of(len(y))
    kind: Any = StratifiedGroupKFold if classify else GroupKFold
    splitter = kind(n_folds, shuffle=True, random_state=random_state)
    with _rare_classes():
        folds = list(splitter.split(groups, y, groups))
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
                errors.append(_errors(candidate, structures, y, groups, train, test, classify))
        except ValueError as error:
            trials.append(Trial(name, skipped=f"cannot be fitted: {error}"))
            continue
        trials.append(Trial(name, np.array(errors), time.perf_counter() - started))
    spread: Any = 1.0 if classify else y.reshape(len(y), -1).std(axis=0)
    tried = [trial for trial in trials if trial.errors is not None]
    best = min(tried, key=lambda trial: float((trial.errors / spread).mean()))
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
    classify: bool,
) -> np.ndarray:
    """Error of each target on the crystals of a fold."""
    with told_already():
        warnings.simplefilter("ignore", TrainingWarning)  # its error tells
        model = candidate.fit([structures[i] for i in train], y[train], groups[train].tolist())
        tested = [structures[i] for i in test]
        if classify:
            return np.array([-minus_log_loss(model, tested, y[test])])
        predicted = model.predict(tested)
    difference = np.abs(np.asarray(predicted) - y[test])
    return difference.reshape(len(test), -1).mean(axis=0)


def minus_log_loss(model: Any, structures: Sequence[Any], y: np.ndarray) -> float:
    """Mean logarithm of the probability of the true class, over rows of classes that it knows."""
    probabilities = model.predict_proba(structures)
    known = np.isin(y, model.classes_)
    true = probabilities[known, np.searchsorted(model.classes_, y[known])]
    return float(np.log(np.maximum(true, np.finfo(np.float64).eps)).mean()) if len(true) else 0.0
