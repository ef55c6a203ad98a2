"""Search of the grid of kernel ridge: which points are tried, and their scores."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ssatom.evaluation.kernel_algebra import KERNELS, grid_line, pairwise_distances, scaled

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
