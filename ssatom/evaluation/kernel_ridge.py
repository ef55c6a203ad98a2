"""Kernel ridge regression with one decomposition of the kernel matrix for all α of a grid."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GroupKFold, KFold, ParameterGrid
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from ssatom.evaluation.kernel_algebra import KERNELS, portions, scaled
from ssatom.evaluation.kernel_blocks import Blocks, check_blocks, choose_weights, n_weighed
from ssatom.evaluation.kernel_search import (
    KernelGrid,
    Point,
    folds_of_part,
    search_all,
    search_coarse_to_fine,
)
from ssatom.exceptions import ParameterError
from ssatom.validation import (
    check_target,
    different_ones_of,
    groups_of,
    one_of,
    plain_array,
)

DECADES = tuple(float(f"1e{exponent}") for exponent in range(-10, 1))
"""1e-10, 1e-9, …, 1: the paper's Table I, for γ and for α."""

_SEARCHES = ("full", "coarse-to-fine")


class KernelRidgeCV(RegressorMixin, BaseEstimator):
    """Kernel ridge regression with its hyper-parameters chosen by cross-validation.

    With the kernels "laplacian" and "rbf" it gives the scores and the choice of
    ``GridSearchCV(KernelRidge())`` over the same folds with the mean absolute error, in a small
    part of its time: pairwise distances are computed once a kernel; for each kernel and γ one
    eigendecomposition K = QΛQᵀ of the kernel of all rows serves all α; and the residuals of a
    fold F follow from a block of the inverse G = (K + αI)⁻¹ as y_F − ŷ_F = (G_FF)⁻¹ (G y)_F
    [1]_, so no fold is solved by itself.

    Parameters
    ----------
    kernels : sequence of str, default=("matern12", "matern32")
        Different ones of "laplacian", exp(-γ ‖x − x'‖₁); "rbf", exp(-γ ‖x − x'‖²); and the Matérn
        kernels of r = √γ ‖x − x'‖₂, "matern12", exp(-r), and "matern32", (1 + √3 r) exp(-√3 r).
        The paper's are "laplacian" and "rbf"; on crystals that no table tests the Matérn kernels
        had errors lower by 2 % to 9 %, except for PBE band gaps.
    gammas : sequence, default=(1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1)
        Kernel widths γ, positive; the paper's Table I [2]_.
    alphas : sequence, default=(1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1)
        Regularization strengths α, positive; the paper's Table I.
    cv : int or splitter, default=10
        Number of folds, or an object with ``split`` whose training rows are all rows but those
        tested. With `groups` given to `fit`, a number means folds that keep groups together.
    shuffle : bool, default=True
        Whether rows are shuffled before they are cut into folds; not used by a splitter.
    random_state : int, default=0
        Seed of the shuffle, and of the rows of the coarse stage.
    search : {"full", "coarse-to-fine"}, default="full"
        "full" tries the whole grid. "coarse-to-fine" tries it on a third of the rows (where that
        is 200 rows or more), and then on all rows the best point of each kernel, and neighbours
        in γ and α of the best point so far until none is left; about a tenth of the time.
    blocks : {"auto"}, None, or sequence or mapping of array-like of int, default="auto"
        Blocks of columns with a weight each; see Notes. "auto" takes them from the names of the
        columns of a DataFrame: each layer and pooling of this package's featurizers is a block,
        so are their coordination numbers and each pooling of electrons, and all other columns are
        one. The columns of an array are one block, and so are all columns with None. A sequence or
        mapping gives the column numbers of each block.
    n_jobs : int, default=None
        Threads that compute distances; None is one, -1 all. The decompositions use the threads
        of the linear algebra library.

    Attributes
    ----------
    best_params_ : dict
        Chosen "kernel", "gamma" and "alpha". Of equal scores the first in the order of
        `cv_results_` wins, which is that of scikit-learn's ParameterGrid.
    best_score_ : float
        Its mean score over folds: minus the mean absolute error.
    best_index_ : int
        Its row in `cv_results_`.
    cv_results_ : dict of arrays
        As GridSearchCV's: "params", "param_kernel" and so on, "split<k>_test_score",
        "mean_test_score", "std_test_score" and "rank_test_score"; a row for each point that was
        tried on all rows.
    dual_coef_ : ndarray of float64, shape (n_rows,)
        Coefficients of the model of the best parameters on all rows.
    block_weights_ : dict of float
        Weight of each block in the distance of the best kernel, by the block's name or number; 1
        where there is one block.
    column_weights_ : ndarray of float64, shape (n_features,)
        The same by column.
    X_fit_ : ndarray of float64, shape (n_rows, n_features)
        The rows it was fitted on.
    n_splits_ : int
        Number of folds.
    seconds_ : dict of float
        Time spent on the "weights" of blocks, on "distances" and on the "search".
    n_features_in_ : int
        Number of features.

    Notes
    -----
    Of n rows, a γ costs about 6 n³ floating-point operations for the decomposition (fewer where
    eigenvalues repeat) and n³/10 for each α with ten folds; memory is a few n × n matrices of
    float64. There is no intercept, as in scikit-learn's KernelRidge: far from all rows the
    prediction is 0.

    A few columns that decide a property count little among hundreds that do not. With several
    blocks b of columns the distance is therefore Σ_b w_b d_b, where d_b is the distance in the
    columns of block b. The weights w_b and α minimize the mean absolute error over the same
    folds, on two thirds of the rows (at least 300, at most 1,000), by gradient descent. They are
    about 1 on average, and scaled so that the best γ is one of `gammas`. The grid is then searched
    with these weights. A coarse search takes two to three times as long with blocks.

    Eigenvalues that rounding made negative count as 0. Relative errors are about 1e-16 times the
    condition number of K + αI, which reaches n/α: for the smallest α of Table I only a few digits
    agree with other algorithms, scikit-learn's included.

    References
    ----------
    .. [1] An, Liu & Venkatesh, Pattern Recognition 40, 2154 (2007), 10.1016/j.patcog.2006.12.015
    .. [2] Kong et al., "Self-supervised Representations and Node Embedding Graph Neural Networks
       for Accurate and Multi-scale Analysis of Materials", arXiv:2211.03563

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom import KernelRidgeCV
    >>> X = np.linspace(0, 6, 60)[:, None]
    >>> model = KernelRidgeCV().fit(X, np.sin(X[:, 0]))
    >>> model.best_params_["kernel"], len(model.cv_results_["params"])
    ('matern32', 242)
    >>> bool(abs(model.predict([[1.5]]) - np.sin(1.5)).max() < 1e-3)
    True
    """

    def __init__(
        self,
        kernels: Sequence[str] = ("matern12", "matern32"),
        gammas: Sequence[float] = DECADES,
        alphas: Sequence[float] = DECADES,
        *,
        cv: Any = 10,
        shuffle: bool = True,
        random_state: int | None = 0,
        search: str = "full",
        blocks: Any = "auto",
        n_jobs: int | None = None,
    ) -> None:
        self.kernels = kernels
        self.gammas = gammas
        self.alphas = alphas
        self.cv = cv
        self.shuffle = shuffle
        self.random_state = random_state
        self.search = search
        self.blocks = blocks
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, groups: Any = None) -> KernelRidgeCV:
        """Search the grid, and keep the model of the best parameters on all rows.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
            Features, scaled as they should be.
        y : array-like of float, shape (n_rows,)
            Labels.
        groups : array-like, shape (n_rows,), default=None
            Rows of one group are always in one fold.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            If a parameter is not allowed, or `y` is constant, not finite or of another length.
        ValueError
            If `X` is no finite two-dimensional array.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        y = plain_array("y", y)
        if y.shape[1:] == (1,):
            y = column_or_1d(y, warn=True)
        self._fit([self], X, check_target(y, len(X))[:, None], groups)
        return self

    def fit_columns(self, X: Any, Y: Any, groups: Any = None) -> list[KernelRidgeCV]:
        """Fit a model to each of several labels in hardly more time than to one.

        Each gets the hyper-parameters, scores and predictions that `fit` would give it; they
        share the decompositions, which depend on the rows alone.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
            Features, scaled as they should be.
        Y : array-like of float, shape (n_rows, n_labels)
            Labels, all of them known in all rows.
        groups : array-like, shape (n_rows,), default=None
            Rows of one group are always in one fold.

        Returns
        -------
        list of KernelRidgeCV
            Fitted clones, one a column; this estimator itself stays unfitted.

        Raises
        ------
        ParameterError, ValueError
            As from `fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from ssatom import KernelRidgeCV
        >>> X = np.linspace(0, 6, 60)[:, None]
        >>> models = KernelRidgeCV().fit_columns(X, np.hstack([np.sin(X), np.cos(X)]))
        >>> [model.predict([[1.5]]).round(2) for model in models]
        [array([1.]), array([0.07])]
        """
        Y = plain_array("Y", Y)
        if Y.ndim != 2 or not Y.shape[1]:
            raise ParameterError(f"Y has shape {Y.shape}; allowed is a column for each label")
        models = [clone(self) for _ in range(Y.shape[1])]
        for model in models:
            checked = validate_data(model, X, dtype=np.float64, ensure_min_samples=2)
        columns = [check_target(Y[:, t], len(checked), f"Y[:, {t}]") for t in range(Y.shape[1])]
        if len(models[0]._blocks()) == 1:
            self._fit(models, checked, np.column_stack(columns), groups)
        else:  # each label has weights and distances of its own
            for model, y in zip(models, columns, strict=True):
                model._fit([model], checked, y[:, None], groups)
        return models

    def _fit(self, models: list[KernelRidgeCV], X: np.ndarray, Y: np.ndarray, groups: Any) -> None:
        """Give each model the results of its column; several blocks take one column."""
        kernels, gammas, alphas = self._grid()
        folds = self._folds(X, Y[:, 0], groups)
        start = time.perf_counter()
        blocks = models[0]._blocks()
        weights = {k: np.ones(len(blocks)) for k in kernels}
        if len(blocks) > 1:
            rows = np.random.default_rng(self.random_state).permutation(len(X))[: n_weighed(len(X))]
            part = (X[rows], Y[rows, 0], folds_of_part(folds, rows, len(X)))
            weights = {k: choose_weights(*part, blocks, k, gammas) for k in kernels}
        of_columns = {k: _by_column(blocks, w) for k, w in weights.items()}
        seconds = time.perf_counter() - start
        grid = KernelGrid(X, Y, folds, self.n_jobs, of_columns)
        if self.search == "full":
            tried = search_all(grid, kernels, gammas, alphas)
        else:
            tried = search_coarse_to_fine(grid, kernels, gammas, alphas, self.random_state)
        axes = {"kernel": kernels, "gamma": gammas, "alpha": alphas}
        params = list(ParameterGrid(axes))
        for label, (model, points) in enumerate(zip(models, tried, strict=True)):
            model._collect(grid, points, label, params)
            best = Point(**model.best_params_)
            model.dual_coef_ = grid.scores[best].coefficients[label]
            model.block_weights_ = dict(zip(blocks, weights[best.kernel].tolist(), strict=True))
            model.column_weights_ = of_columns[best.kernel]
            model.X_fit_ = X
            model.n_splits_ = len(folds)
            model.seconds_ = {"weights": seconds, **grid.seconds}

    def predict(self, X: Any) -> np.ndarray:
        """Labels of new rows.

        Parameters
        ----------
        X : array-like of float, shape (n_rows, n_features)
            Features, scaled as in `fit`.

        Returns
        -------
        ndarray of float64, shape (n_rows,)
            Predictions.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        kernel, gamma = self.best_params_["kernel"], self.best_params_["gamma"]
        X, fitted = (scaled(rows, kernel, self.column_weights_) for rows in (X, self.X_fit_))
        predictions = np.empty(len(X))
        for rows in portions(len(X)):
            distances = cdist(X[rows], fitted, KERNELS[kernel].metric)
            predictions[rows] = KERNELS[kernel].of(gamma * distances) @ self.dual_coef_
        return predictions

    def _blocks(self) -> Blocks:
        """Columns by block, once features were seen."""
        return check_blocks(
            self.blocks, self.n_features_in_, getattr(self, "feature_names_in_", None)
        )

    def _grid(self) -> tuple[list[str], list[float], list[float]]:
        """The three axes, numbers in rising order."""
        one_of("search", self.search, _SEARCHES)
        kernels = different_ones_of("kernels", self.kernels, KERNELS)
        return kernels, _axis("gammas", self.gammas), _axis("alphas", self.alphas)

    def _folds(self, X: np.ndarray, y: np.ndarray, groups: Any) -> list[np.ndarray]:
        """Tested rows of each fold."""
        cv = self.cv
        if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
            cv = _splitter(int(cv), len(X), groups, self.shuffle, self.random_state)
        elif not hasattr(cv, "get_n_splits"):
            raise ParameterError(f"cv={cv!r}; allowed is a number of folds or a splitter")
        folds = []
        for train, test in cv.split(X, y, groups):
            if len(train) + len(test) != len(X) or np.intersect1d(train, test).size:
                raise ParameterError(
                    f"cv={cv!r} trains on {len(train)} and tests on {len(test)} of {len(X)} rows; "
                    "allowed are splitters that train on all rows but those tested, as KFold"
                )
            folds.append(np.sort(test))
        return folds

    def _collect(self, grid: KernelGrid, points: set[Point], label: int, params: list) -> None:
        """`cv_results_` and the choice, in the order of scikit-learn's ParameterGrid."""
        tried = [p for p in params if Point(**p) in points]
        scores = -np.array([grid.scores[Point(**p)].errors[label] for p in tried])
        mean = scores.mean(axis=1)
        results: dict[str, Any] = {"params": tried}
        for name in Point._fields:
            results[f"param_{name}"] = np.array([p[name] for p in tried])
        results |= {f"split{k}_test_score": scores[:, k] for k in range(scores.shape[1])}
        results["mean_test_score"] = mean
        with np.errstate(invalid="ignore"):  # of scores that are not finite
            results["std_test_score"] = scores.std(axis=1)
        results["rank_test_score"] = rankdata(-mean, method="min").astype(np.int32)
        self.cv_results_ = results
        self.best_index_ = int(np.argmax(mean))
        self.best_params_ = {name: tried[self.best_index_][name] for name in Point._fields}
        self.best_score_ = float(mean[self.best_index_])


def _by_column(blocks: Blocks, weights: np.ndarray) -> np.ndarray:
    columns = np.empty(sum(map(len, blocks.values())))
    for block, weight in zip(blocks.values(), weights, strict=True):
        columns[block] = weight
    return columns


def _axis(name: str, values: Sequence[float]) -> list[float]:
    try:
        axis = sorted(float(v) for v in values)
    except (TypeError, ValueError):
        axis = []
    if not axis or len(set(axis)) < len(axis) or not (axis[0] > 0 and np.isfinite(axis[-1])):
        raise ParameterError(f"{name}={values!r}; allowed are different positive numbers")
    return axis


def _splitter(n_folds: int, n_rows: int, groups: Any, shuffle: bool, seed: int | None) -> Any:
    places, what = n_rows, "rows"
    if groups is not None:
        places, what = len(set(groups_of("groups", groups, n_rows).tolist())), "groups"
    if not 2 <= n_folds <= places:
        raise ParameterError(
            f"cv={n_folds} with {places} {what}; allowed is a number of folds from 2 to {places}"
        )
    kind = KFold if groups is None else GroupKFold
    return kind(n_folds, shuffle=shuffle, random_state=seed if shuffle else None)
