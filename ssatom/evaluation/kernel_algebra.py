"""The algebra behind kernel ridge: distances once, at most one decomposition a kernel width.

With G = (K + αI)⁻¹ of all rows, the residuals of a fold F that is left out are
y_F − ŷ_F = (G_FF)⁻¹ (G y)_F, so that no fold is solved by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
