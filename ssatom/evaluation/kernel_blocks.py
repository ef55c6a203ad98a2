"""A weight for each block of columns of a kernel, chosen by cross-validation.

The distance of a kernel is the weighted sum of the distances of the blocks, so that a block that
decides a property counts more than many columns that do not. The weights minimize the error of
cross-validation by gradient descent; the gradient takes the same time for any number of blocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import minimize

from ssatom.evaluation.kernel_algebra import KERNELS, Kernel, pairwise_distances, solve_and_invert
from ssatom.exceptions import ParameterError

Blocks = dict[Any, np.ndarray]
"""Columns by the name of their block."""

OTHERS = "other columns"
"""Name of the block of all columns that no featurizer of this package made."""

_LEARNED = re.compile(r"(.*ssatom_.+)_\d+")
_ELECTRONS = re.compile(r"(.*ssatom_electrons)_.+?(_mean|_std|_sum|_max|_min|_anion|_cation)?")
_ITERATIONS = 30
_SMOOTH = 0.1  # in standard deviations of the labels: |r| is √(r² + ε²), which has a gradient
_START = 1e-2  # α


def blocks_of_names(names: Sequence[str]) -> Blocks:
    """Columns of each kind and pooling, as "ssatom_L1_mean", and all others."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        if ours := _LEARNED.fullmatch(name):
            block = ours[1]
        elif ours := _ELECTRONS.fullmatch(name):
            block = ours[1] + (ours[2] or "")
        else:
            block = OTHERS
        found.setdefault(block, []).append(place)
    return {block: np.array(places) for block, places in found.items()}


def check_blocks(blocks: Any, n_features: int, names: Sequence[str] | None) -> Blocks:
    """The `blocks` of `KernelRidgeCV` as columns by name."""
    everything: Blocks = {0: np.arange(n_features)}
    if blocks is None:
        return everything
    if isinstance(blocks, str) and blocks == "auto":
        return everything if names is None else blocks_of_names(names)
    try:
        found = {name: np.array(block, dtype=int, ndmin=1) for name, block in _items(blocks)}
        places = np.concatenate(list(found.values()))
    except (TypeError, ValueError):
        places = np.array([])
    if not np.array_equal(np.sort(places), np.arange(n_features)):
        raise ParameterError(
            f"blocks={blocks!r:.200}; allowed are 'auto', None, or lists of column numbers in "
            f"which each of the {n_features} columns (0 to {n_features - 1}) is once"
        )
    return found


def _items(blocks: Any) -> Any:
    return blocks.items() if isinstance(blocks, Mapping) else enumerate(blocks)


def n_weighed(n_rows: int) -> int:
    """Number of rows from which weights are chosen; they bound the time."""
    return min(n_rows, max(300, min(2 * n_rows // 3, 1000)))


def choose_weights(
    X: np.ndarray,
    y: np.ndarray,
    folds: list[np.ndarray],
    blocks: Blocks,
    kernel: str,
    gammas: Sequence[float],
) -> np.ndarray:
    """Weight of each block with the least mean absolute error over folds, for one kernel.

    They are factors of the blocks' distances, about 1 on average over columns, and scaled so that
    one of `gammas` is the best kernel width.
    """
    metric = KERNELS[kernel].metric
    distances = np.array([pairwise_distances(X[:, b], metric) for b in blocks.values()])
    means = distances.mean(axis=(1, 2))
    sizes = np.array([len(block) for block in blocks.values()])
    weights = np.ones(len(blocks))
    useful = np.flatnonzero(means > 0)
    if useful.size:
        start = sizes[useful] / sizes[useful].sum() / means[useful]
        error = CrossValidation(KERNELS[kernel], distances[useful], y, folds)
        bounds = [(at - 9, at + 5) for at in np.log(start)] + [(np.log(1e-8), np.log(10))]
        settings = {"jac": True, "method": "L-BFGS-B", "options": {"maxiter": _ITERATIONS}}
        found = minimize(error, np.log([*start, _START]), bounds=bounds, **settings)
        weights[useful] = np.exp(found.x[:-1])
        width = np.log(np.average(weights[useful], weights=sizes[useful]))
        weights[useful] /= min(gammas, key=lambda gamma: abs(np.log(gamma) - width))
    return weights


class CrossValidation:
    """Logarithm of the smoothed error over folds, and its gradient, at log(weights), log(α)."""

    def __init__(
        self, kernel: Kernel, distances: np.ndarray, y: np.ndarray, folds: list[np.ndarray]
    ) -> None:
        self.kernel, self.distances, self.y, self.folds = kernel, distances, y, folds
        self.softness = _SMOOTH * y.std()

    def __call__(self, place: np.ndarray) -> tuple[float, np.ndarray]:
        weights, alpha = np.exp(place[:-1]), np.exp(place[-1])
        total = np.tensordot(weights, self.distances, 1)
        try:
            _, lower = solve_and_invert(self.kernel.of(total), alpha, self.y)
            error, slope = self._slope(lower + np.tril(lower, -1).T)
        except LinAlgError:  # the line search turns back
            return 1e9, np.zeros_like(place)
        of_alpha = alpha * np.trace(slope)
        slope *= self.kernel.slope(total)
        of_weights = weights * np.tensordot(self.distances, slope, 2)
        return error, np.array([*of_weights, of_alpha])

    def _slope(self, inverse: np.ndarray) -> tuple[float, np.ndarray]:
        """The error and its derivative by each element of K.

        With r_F = (G_FF)⁻¹ (G y)_F and u_F = (G_FF)⁻¹ ∂error/∂r_F the derivative is
        Σ_F (G_:F r_F)(G_:F u_F)ᵀ − (Σ_F G_:F u_F)(G y)ᵀ.
        """
        dual = inverse @ self.y
        residuals, factors = [], []
        for fold in self.folds:
            factors.append(cho_factor(inverse[np.ix_(fold, fold)], check_finite=False))
            residuals.append(cho_solve(factors[-1], dual[fold], check_finite=False))
        sizes = [np.sqrt(r**2 + self.softness**2) for r in residuals]
        total = sum(size.mean() for size in sizes)
        left, right = np.empty((2, len(dual), len(self.folds)))
        for k, fold in enumerate(self.folds):
            slope = residuals[k] / sizes[k] / (len(fold) * total)
            columns = inverse[:, fold]
            left[:, k] = columns @ residuals[k]
            right[:, k] = columns @ cho_solve(factors[k], slope, check_finite=False)
        return float(np.log(total)), left @ right.T - np.outer(right.sum(axis=1), dual)
