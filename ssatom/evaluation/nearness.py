"""How near crystals are to those that a model was trained on, by their embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ssatom.exceptions import ExtrapolationWarning, ParameterError
from ssatom.warn import warn_user

FAR = 99.0
"""Percentile of nearest distances above which a prediction extrapolates."""


class Nearness:
    """Distances of embeddings to those of two or more training crystals."""

    def __init__(self, embeddings: np.ndarray) -> None:
        if len(embeddings) < 2:
            raise ParameterError("a single training crystal has no nearest other; give two or more")
        self.embeddings = embeddings
        self._index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(embeddings)
        own, _ = self._index.kneighbors()  # of each to the others
        self._distances = np.sort(own[:, 0])
        # Errors do not vanish at the distance 0; where most crystals have copies, the median does.
        self._floor = float(np.median(own) or own.mean() or 1.0)

    def of(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nearest percentiles and positive difficulties of new crystals, each of shape (n,).

        The percentile is the share of the training crystals that have another one nearer than the
        new crystal has one. The difficulty is the distance to the nearest one plus a constant.
        """
        if not len(embeddings):
            return np.empty(0), np.empty(0)
        distances = self._index.kneighbors(embeddings)[0][:, 0].astype(np.float64)
        below = np.searchsorted(self._distances, distances)
        return 100 * below / len(self._distances), distances + self._floor


def warn_of_far(percentiles: np.ndarray, rows: Sequence[int] | None = None) -> None:
    """One warning that names the rows beyond the limit, if there are any."""
    rows = range(len(percentiles)) if rows is None else rows
    far = [row for row, percentile in zip(rows, percentiles, strict=True) if percentile > FAR]
    if far:
        reason = (
            f"farther from the nearest training crystal than {FAR:g} % of the training crystals "
            "are; the prediction extrapolates, and its interval may be too narrow"
        )
        warn_user(ExtrapolationWarning(reason, far))
