"""The algebra behind kernel ridge: distances once, at most one decomposition a kernel width.

With G = (K + αI)⁻¹ of all rows, the residuals of a fold F that is left out are
y_F − ŷ_F = (G_FF)⁻¹ (G y)_F, so that no fold is solved by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, eigh
from scipy.linalg.lapack import dpotri
from scipy.spatial.distance import cdist


class Kernel(NamedTuple):
    """A kernel k(γ d), its derivative, and its distance d as SciPy calls it."""

    metric: str
    of: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


def _exponential(d: np.ndarray) -> np.ndarray:
    return np.exp(-d)


def _root(d: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(d, 1e-12))  # the slope of exp(-√d) is infinite at 0


def _matern32(d: np.ndarray) -> np.ndarray:
    root = np.sqrt(3 * d)
    return (1 + root) * np.exp(-root)


KERNELS = {
    "laplacian": Kernel("cityblock", _exponential, lambda d: -np.exp(-d)),
    "rbf": Kernel("sqeuclidean", _exponential, lambda d: -np.exp(-d)),
    "matern12": Kernel(
        "sqeuclidean", lambda d: np.exp(-np.sqrt(d)), lambda d: -np.exp(-_root(d)) / (2 * _root(d))
    ),
    "matern32": Kernel("sqeuclidean", _matern32, lambda d: -1.5 * np.exp(-np.sqrt(3 * d))),
}
"""By name; the Matérn kernels of ν = 1/2 and 3/2 are functions of √(γ ‖x − x'‖²)."""

_CHUNK = 256  # rows of a block of distances
_FEW = 4  # so many inverses take less time than one eigendecomposition


def pairwise_distances(X: np.ndarray, metric: str, n_jobs: int | None = None) -> np.ndarray:
    """Symmetric distances between all rows, half of them computed and then mirrored."""
    distances = np.empty((len(X), len(X)))

    def fill(rows: slice) -> None:
        block = distances[rows, rows.start :]
        block[...] = cdist(X[rows], X[rows.start :], metric)
        distances[rows.stop :, rows] = block[:, rows.stop - rows.start :].T

    # SciPy lets other threads run while it computes.
    Parallel(n_jobs=n_jobs, prefer="threads")(delayed(fill)(rows) for rows in portions(len(X)))
    return distances


def scaled(X: np.ndarray, kernel: str, weights: np.ndarray) -> np.ndarray:
    """Rows between which the kernel's distance is that of X with weighted columns."""
    return X * (weights if KERNELS[kernel].metric == "cityblock" else np.sqrt(weights))


def portions(n_rows: int) -> list[slice]:
    """Rows in portions whose distances to all others take little memory."""
    return [slice(i, min(i + _CHUNK, n_rows)) for i in range(0, n_rows, _CHUNK)]


def grid_line(
    distances: np.ndarray,
    name: str,
    gamma: float,
    Y: np.ndarray,
    folds: list[np.ndarray],
    alphas: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """Cross-validate some α of one kernel and γ, for several labels at once.

    Mean absolute errors of shape (n_labels, n_alphas, n_folds), and the coefficients (K + αI)⁻¹ y
    of all rows, of shape (n_labels, n_rows, n_alphas). One eigendecomposition serves many α; of
    up to four each is solved by itself, which is faster and gives the same numbers.
    """
    kernel = KERNELS[name].of(gamma * distances)
    if len(alphas) <= _FEW:
        try:
            return _by_inverses(kernel, Y, folds, alphas)
        except LinAlgError:  # rounding made a kernel with a small α indefinite
            pass
    try:
        return _by_decomposition(kernel, Y, folds, alphas, "evd")
    except LinAlgError:  # divide and conquer rarely fails where the slower QR iteration does not
        kernel = KERNELS[name].of(gamma * distances)
        return _by_decomposition(kernel, Y, folds, alphas, "ev")


def solve_and_invert(
    kernel: np.ndarray, alpha: float, Y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(K + αI)⁻¹ Y, and the lower half of (K + αI)⁻¹ with zeros above it."""
    matrix = kernel.copy()
    matrix[np.diag_indices_from(matrix)] += alpha
    # The transpose of a symmetric matrix is itself, in the order that LAPACK works in place on.
    factor = cholesky(matrix.T, lower=True, overwrite_a=True, check_finite=False)
    dual = cho_solve((factor, True), Y, check_finite=False)
    return dual, dpotri(factor, lower=1, overwrite_c=1)[0]


def _by_inverses(
    kernel: np.ndarray, Y: np.ndarray, folds: list[np.ndarray], alphas: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Errors and coefficients, from the inverse of K + αI for each α."""
    errors = np.empty((Y.shape[1], len(alphas), len(folds)))
    coefficients = np.empty((Y.shape[1], len(Y), len(alphas)))
    for a, alpha in enumerate(alphas):
        dual, inverse = solve_and_invert(kernel, alpha, Y)
        for k, fold in enumerate(folds):
            block = inverse[np.ix_(fold, fold)]
            block += np.tril(block, -1).T
            errors[:, a, k] = np.abs(_solve(block, dual[fold])).mean(axis=0)
        coefficients[:, :, a] = dual.T
    return np.where(np.isfinite(errors), errors, np.inf), coefficients


def _by_decomposition(
    kernel: np.ndarray, Y: np.ndarray, folds: list[np.ndarray], alphas: Sequence[float], driver: str
) -> tuple[np.ndarray, np.ndarray]:
    """Errors and coefficients, from one eigendecomposition for all α; the kernel is overwritten."""
    values, vectors = eigh(kernel.T, overwrite_a=True, check_finite=False, driver=driver)
    inverse = 1.0 / (np.maximum(values, 0.0)[:, None] + np.asarray(alphas))
    projected = vectors.T @ Y
    coefficients = np.array([vectors @ (inverse * column[:, None]) for column in projected.T])
    roots = np.sqrt(inverse)
    errors = np.empty((Y.shape[1], len(alphas), len(folds)))
    for k, fold in enumerate(folds):
        rows = np.ascontiguousarray(vectors[fold])
        for a in range(len(alphas)):
            half = rows * roots[:, a]
            # Written as a product with its own transpose, it takes half the multiplications.
            residuals = _solve(half @ half.T, coefficients[:, fold, a].T)
            errors[:, a, k] = np.abs(residuals).mean(axis=0)
    return np.where(np.isfinite(errors), errors, np.inf), coefficients


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solution of a positive definite system, which rounding may have made singular."""
    try:
        return cho_solve(cho_factor(matrix, check_finite=False), right, check_finite=False)
    except LinAlgError:
        return np.linalg.lstsq(matrix, right, rcond=None)[0]


# The grid -----------------------------------------------------------------------------------------


SCREENED_SHARE = 3
"""The coarse stage takes one row of this number."""

MIN_SCREENED = 200
"""Least number of rows of the coarse stage; with fewer the whole grid is tried on all rows."""


class Point(NamedTuple):
    """Hyper-parameters."""

    kernel: str
    gamma: float
    alpha: float


class Score(NamedTuple):
    """Errors of shape (n_labels, n_folds) and coefficients of shape (n_labels, n_rows)."""

    errors: np.ndarray
    coefficients: np.ndarray


class KernelGrid:
    """Points of a grid on some rows, each computed once; `weights` are of columns, by kernel."""

    def __init__(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        folds: list[np.ndarray],
        n_jobs: int | None,
        weights: Mapping[str, np.ndarray],
    ) -> None:
        self.X, self.Y, self.folds, self.n_jobs, self.weights = X, Y, folds, n_jobs, weights
        self.scores: dict[Point, Score] = {}
        self.seconds = {"distances": 0.0, "search": 0.0}
        self._distances: dict[str, np.ndarray] = {}

    def compute(self, kernel: str, gamma: float, alphas: Sequence[float]) -> None:
        """Score the points of a kernel and γ that were not scored yet."""
        missing = [alpha for alpha in alphas if Point(kernel, gamma, alpha) not in self.scores]
        if not missing:
            return
        distances = self.distances(kernel)
        start = time.perf_counter()
        errors, coefficients = grid_line(distances, kernel, gamma, self.Y, self.folds, missing)
        for a, alpha in enumerate(missing):
            score = Score(errors[:, a], coefficients[:, :, a].copy())
            self.scores[Point(kernel, gamma, alpha)] = score
        self.seconds["search"] += time.perf_counter() - start

    def distances(self, kernel: str) -> np.ndarray:
        """Pairwise distances that a kernel takes."""
        if kernel not in self._distances:
            start = time.perf_counter()
            self._distances[kernel] = pairwise_distances(
                scaled(self.X, kernel, self.weights[kernel]), KERNELS[kernel].metric, self.n_jobs
            )
            self.seconds["distances"] += time.perf_counter() - start
        return self._distances[kernel]

    def best(self, label: int, kernel: str | None = None) -> Point:
        """The point of least error for a label, of one kernel or of all."""
        points = [point for point in self.scores if kernel in (None, point.kernel)]
        return min(points, key=lambda point: self.scores[point].errors[label].mean())

    def part(self, rows: np.ndarray, kernels: Sequence[str]) -> KernelGrid:
        """A grid on some of the rows, which keep their folds."""
        folds = folds_of_part(self.folds, rows, len(self.X))
        part = KernelGrid(self.X[rows], self.Y[rows], folds, self.n_jobs, self.weights)
        for kernel in kernels:
            part._distances[kernel] = self.distances(kernel)[np.ix_(rows, rows)]
        part.seconds = self.seconds
        return part


def folds_of_part(folds: list[np.ndarray], rows: np.ndarray, n_rows: int) -> list[np.ndarray]:
    """The folds among some of the rows, by their places there; without empty ones."""
    places = np.full(n_rows, -1)
    places[rows] = np.arange(len(rows))
    parts = [places[fold][places[fold] >= 0] for fold in folds]
    return [part for part in parts if part.size]


def search_all(
    grid: KernelGrid, kernels: Sequence[str], gammas: Sequence[float], alphas: Sequence[float]
) -> list[set[Point]]:
    """Try every point; for each label the points tried."""
    for kernel in kernels:
        for gamma in gammas:
            grid.compute(kernel, gamma, alphas)
    return [set(grid.scores)] * grid.Y.shape[1]


def search_coarse_to_fine(
    grid: KernelGrid,
    kernels: Sequence[str],
    gammas: Sequence[float],
    alphas: Sequence[float],
    seed: int | None,
) -> list[set[Point]]:
    """Try every point on a third of the rows, and on all rows those around the best ones.

    On all rows the search starts from the best point of each kernel on a third, and goes on from
    the best point so far until all of its neighbours in γ and α were tried.
    """
    n_screened = len(grid.X) // SCREENED_SHARE
    if n_screened < MIN_SCREENED:
        return search_all(grid, kernels, gammas, alphas)
    rows = np.random.default_rng(seed).permutation(len(grid.X))[:n_screened]
    coarse = grid.part(np.sort(rows), kernels)
    search_all(coarse, kernels, gammas, alphas)
    tried = []
    for label in range(grid.Y.shape[1]):
        points = {coarse.best(label, kernel) for kernel in kernels}
        for point in sorted(points):
            grid.compute(point.kernel, point.gamma, [point.alpha])
        while True:
            best = min(sorted(points), key=lambda p: grid.scores[p].errors[label].mean())
            around = _around(best, gammas, alphas)
            if around <= points:
                break
            for gamma in sorted({point.gamma for point in around}):
                grid.compute(best.kernel, gamma, sorted({point.alpha for point in around}))
            points |= around
        tried.append(points)
    return tried


def _around(point: Point, gammas: Sequence[float], alphas: Sequence[float]) -> set[Point]:
    """A point and its neighbours on the grid."""
    beside = [
        axis[max(place - 1, 0) : place + 2]
        for axis, value in ((gammas, point.gamma), (alphas, point.alpha))
        for place in [list(axis).index(value)]
    ]
    return {Point(point.kernel, gamma, alpha) for gamma in beside[0] for alpha in beside[1]}
