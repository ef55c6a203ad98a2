"""Prediction intervals with a stated coverage, by conformal prediction."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils.validation import check_is_fitted

from ssatom.embeddings import graph_embeddings
from ssatom.embeddings.nearest import Nearness, warn_of_far
from ssatom.exceptions import ParameterError
from ssatom.shared_docs import SharedDocs
from ssatom.structures import check_structures, structure_key
from ssatom.validation import check_target, number, one_a_row, whole_number
from ssatom.warn import told_already

_PRIOR, _STEEPEST = 5.0, 3.0  # weight of the power 1, as a sum of squared logarithms; largest power
_FOLDS = 20  # of held-out rows, each tested with the intervals of the others


@cache
def _conformal() -> type:
    """The regressor of crepes, whose import would change the filters of warnings."""
    with warnings.catch_warnings():
        from crepes import ConformalRegressor as Conformal
    return Conformal


def enough(n_held: int, coverage: float) -> bool:
    """Whether so many held-out rows give intervals of finite width."""
    return (1 - coverage) * (n_held + 1) >= 1


@dataclass(frozen=True, eq=False)
class Calibration:
    """Errors, shape (n_held, n_targets), and difficulties, shape (n_held,), of held-out rows."""

    nearness: Nearness
    errors: np.ndarray
    difficulties: np.ndarray

    def half_widths(self, difficulties: np.ndarray, coverage: float) -> np.ndarray:
        """Half the widths of intervals, shape (n, n_targets)."""
        found = np.empty((len(difficulties), self.errors.shape[1]))
        for target, column in enumerate(self.errors.T):
            power = _power(np.abs(column), self.difficulties)
            conformal = _conformal()().fit(column, sigmas=self.difficulties**power)
            sigmas = difficulties**power
            bounds = conformal.predict_int(np.zeros(len(found)), sigmas, confidence=coverage)
            found[:, target] = bounds[:, 1]
        return found

    def held_half_widths(self, coverage: float) -> np.ndarray:
        """The same for the held-out rows, each by the errors of others; NaN where too few."""
        n = len(self.errors)
        found = np.full(self.errors.shape, np.nan)
        folds = KFold(min(_FOLDS, n), shuffle=True, random_state=0) if n > 1 else None
        for others, fold in folds.split(self.errors) if folds else ():
            if enough(len(others), coverage):
                known = Calibration(self.nearness, self.errors[others], self.difficulties[others])
                found[fold] = known.half_widths(self.difficulties[fold], coverage)
        return found


def _power(sizes: np.ndarray, difficulties: np.ndarray) -> float:
    """Power of the difficulty that sizes of errors follow, drawn towards 1 where rows are few."""
    x = np.log(difficulties) - np.log(difficulties).mean()
    offset = 0.01 * np.median(sizes) or sizes.max() or 1.0  # the logarithm of a hit is no outlier
    slope = (x @ np.log(sizes + offset) + _PRIOR) / (x @ x + _PRIOR)
    return float(np.clip(slope, 0, _STEEPEST))


_shared_docs = SharedDocs("""
X : list, tuple, Series, object array or generator
    Structures.
""")


class ConformalRegressor(MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    """Prediction intervals of a stated coverage for any regressor on structures.

    Cross-validation gives an error for every training row, which is divided by the difficulty of
    the row. The quantile of these ratios at `coverage`, times the difficulty of a new crystal, is
    half the width of its interval: normalised conformal prediction [1]_, [2]_. The difficulty is a
    power, fitted to the errors, of the distance to the nearest training crystal in the embedding,
    so that intervals are wide for crystals unlike the training set.

    Parameters
    ----------
    estimator : regressor
        Such as a pipeline that begins with `GraphEmbeddingFeaturizer`, or `NEGNNRegressor`; it is
        cloned.
    coverage : float, default=0.9
        Share of the values that intervals should hold.
    cv : int or splitter, default=5
        Number of folds, in which copies of a crystal stay together, or an object with ``split``
        that tests every row. Give a PredefinedSplit by groups if new crystals are of other groups.
    weights : str, path, PretrainedEncoder or None, default=None
        Weights of the embedding in which distances are taken; None is the default set.
    random_state : int, default=0
        Seed of the folds.

    Attributes
    ----------
    estimator_ : regressor
        Fitted on all rows.
    calibration_ : Calibration
        Errors and difficulties of all rows, each from the fold in which it was held out. The
        difficulties are scaled to the nearer crystals that a new one finds among all rows.

    Notes
    -----
    The coverage is an average over crystals from the distribution of the training set. It differs
    between kinds of crystals, and is lower for crystals from another distribution. The errors are
    of models fitted to a part of the rows, a little larger than those of the model that predicts.

    References
    ----------
    .. [1] Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018), 10.1080/01621459.2017.1307116
    .. [2] Boström, "crepes: a Python package for generating conformal regressors and predictive
       systems", Proc. Mach. Learn. Res. 179, 24 (2022)

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from ssatom import ConformalRegressor, GraphEmbeddingFeaturizer, load_example_crystals
    >>> table = load_example_crystals().dropna(subset="bulk_modulus_GPa")
    >>> pipeline = make_pipeline(GraphEmbeddingFeaturizer(), Ridge(10))
    >>> model = ConformalRegressor(pipeline, coverage=0.9)
    >>> model = model.fit(table["structure"][:60], table["bulk_modulus_GPa"][:60])
    >>> model.predict_interval(table["structure"][:3]).shape
    (3, 2)
    """

    def __init__(
        self,
        estimator: Any,
        coverage: float = 0.9,
        *,
        cv: Any = 5,
        weights: Any = None,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.coverage = coverage
        self.cv = cv
        self.weights = weights
        self.random_state = random_state

    @_shared_docs
    def fit(self, X: Any, y: Any) -> Self:
        """Fit the estimator in each fold, for the errors, and to all rows, for predictions.

        Parameters
        ----------
        {X}
        y : array-like of float, shape (n_rows,)
            Values.

        Returns
        -------
        self

        Raises
        ------
        StructureError
            At the first bad row.
        ParameterError
            If a parameter or a value of `y` is not allowed, or rows are too few for `coverage`.
        """
        structures = check_structures(X)
        y = check_target(y, len(structures))
        _check_coverage(self.coverage, len(structures))
        embeddings = graph_embeddings(structures, weights=self.weights)
        errors, difficulties, of_parts = np.full((3, len(y)), np.nan)
        draw = np.random.default_rng(self.random_state)
        for train, test in self._folds(structures):
            with told_already():
                model = clone(self.estimator).fit([structures[i] for i in train], y[train])
                predictions = model.predict([structures[i] for i in test])
            errors[test] = y[test] - one_a_row(predictions, len(test))
            difficulties[test] = Nearness(embeddings[train]).of(embeddings[test])[1]
            part = draw.permutation(train)[: max(2, len(train) ** 2 // len(y))]
            of_parts[test] = Nearness(embeddings[part]).of(embeddings[test])[1]
        if (missing := np.flatnonzero(np.isnan(errors))).size:
            raise ParameterError(
                f"cv={self.cv!r} tests no row {missing[0]} ({missing.size} of {len(y)} rows are in "
                "no fold); give a splitter that tests every row"
            )
        # New crystals are nearer to all training crystals than held-out ones are to a part of them:
        # by as much as these are nearer to that part than to a part of it.
        difficulties *= np.exp(np.mean(np.log(difficulties / of_parts)))
        self.calibration_ = Calibration(Nearness(embeddings), errors[:, None], difficulties)
        with told_already():
            self.estimator_ = clone(self.estimator).fit(structures, y)
        return self

    @_shared_docs
    def predict(self, X: Any) -> np.ndarray:
        """Predictions of the estimator fitted on all rows.

        Parameters
        ----------
        {X}

        Returns
        -------
        ndarray of float64, shape (n_rows,)
            Predictions.
        """
        check_is_fitted(self, "estimator_")
        structures = check_structures(X)
        return one_a_row(self.estimator_.predict(structures), len(structures))

    @_shared_docs
    def predict_interval(self, X: Any) -> np.ndarray:
        """Lower and upper bounds, centred at the predictions.

        Parameters
        ----------
        {X}

        Returns
        -------
        ndarray of float64, shape (n_rows, 2)
            Bounds; `coverage` may be set to another value without a new fit.

        Raises
        ------
        ParameterError
            If `coverage` is not in (0, 1), or too high for so few training rows.

        Warns
        -----
        ExtrapolationWarning
            If a nearest percentile is above 99; once, with all such rows.
        """
        check_is_fitted(self, "estimator_")
        coverage = _check_coverage(self.coverage, len(self.calibration_.errors))
        structures = check_structures(X)
        percentiles, difficulties = self._nearness_of(structures)
        warn_of_far(percentiles)
        half = self.calibration_.half_widths(difficulties, coverage)
        with told_already():
            return self.predict(structures)[:, None] + half * [-1, 1]

    @_shared_docs
    def nearest_percentile(self, X: Any) -> np.ndarray:
        """Distance to the nearest training crystal, from 0 (a copy) to 100 (far).

        Parameters
        ----------
        {X}

        Returns
        -------
        ndarray of float64, shape (n_rows,)
            Distances in the embedding, as percentiles of the distances between training crystals
            and their nearest others.
        """
        check_is_fitted(self, "estimator_")
        return self._nearness_of(check_structures(X))[0]

    def _nearness_of(self, structures: list) -> tuple[np.ndarray, np.ndarray]:
        embeddings = graph_embeddings(structures, weights=self.weights)
        return self.calibration_.nearness.of(embeddings)

    def _folds(self, structures: list) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if hasattr(self.cv, "split") and not isinstance(self.cv, str):
            return self.cv.split(structures)
        n_folds = whole_number("cv", self.cv, 2)
        keys = list(map(structure_key, structures))
        if (n_different := len(set(keys))) < n_folds:
            raise ParameterError(f"cv={n_folds} folds of {n_different} different crystals")
        splitter = GroupKFold(n_folds, shuffle=True, random_state=self.random_state)
        return splitter.split(structures, groups=keys)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        return tags


def _check_coverage(coverage: Any, n_rows: int) -> float:
    coverage = number("coverage", coverage, "(0, 1)")
    if not enough(n_rows, coverage):
        raise ParameterError(
            f"coverage={coverage:g} needs {np.ceil(1 / (1 - coverage)) - 1:.0f} rows or more; "
            f"got {n_rows}: give more rows or a lower coverage"
        )
    return coverage
