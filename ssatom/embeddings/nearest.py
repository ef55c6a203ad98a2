"""Embeddings nearest to others, and how near a training set is to new crystals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.utils import gen_batches

from ssatom.exceptions import ExtrapolationWarning, ParameterError
from ssatom.warn import warn_user

FAR = 99.0
"""Percentile of nearest distances above which a prediction extrapolates."""

_BLOCK = 64  # queries whose distances to all rows are in memory together
_SPARE = 16  # candidates beyond those asked for, of which rounding may have changed the order


class NearestRows:
    """Embeddings that are searched without approximation for those nearest to a query.

    Distances are Euclidean; rows at the same distance come in their order.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self._squares = np.einsum("ij,ij->i", rows, rows)

    def find(self, queries: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances and places of the nearest rows, each of shape (n_queries, n_neighbors)."""
        places = np.empty((len(queries), n_neighbors), dtype=np.intp)
        distances = np.empty(places.shape, dtype=self.rows.dtype)
        n_candidates = min(n_neighbors + _SPARE, len(self.rows))
        for part in gen_batches(len(queries), _BLOCK):
            # Squares less the query's own, in the precision of the rows, which takes a quarter of
            # the time of scikit-learn's NearestNeighbors; those of the candidates are then exact.
            rough = self._squares - 2 * (queries[part] @ self.rows.T)
            near = np.argpartition(rough, n_candidates - 1, axis=1)[:, :n_candidates]
            exact = np.linalg.norm(self.rows[near] - queries[part, None], axis=2)
            order = np.lexsort((near, exact))[:, :n_neighbors]
            places[part] = np.take_along_axis(near, order, axis=1)
            distances[part] = np.take_along_axis(exact, order, axis=1)
        return distances, places


class Nearness:
    """Distances of embeddings to those of two or more training crystals."""

    def __init__(self, embeddings: np.ndarray) -> None:
        if len(embeddings) < 2:
            raise ParameterError("a single training crystal has no nearest other; give two or more")
        self._index = NearestRows(embeddings)
        distances, places = self._index.find(embeddings, 2)
        itself = places[:, 0] == np.arange(len(embeddings))  # or a copy of it, as near
        self._distances = np.sort(np.where(itself, distances[:, 1], distances[:, 0]))
        # Errors do not vanish at the distance 0; where most crystals have copies, the median does.
        self._floor = float(np.median(self._distances) or self._distances.mean() or 1.0)

    @property
    def embeddings(self) -> np.ndarray:
        """Those of the training crystals."""
        return self._index.rows

    def of(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nearest percentiles and positive difficulties of new crystals, each of shape (n,).

        The percentile is the share of the training crystals that have another one nearer than the
        new crystal has one. The difficulty is the distance to the nearest one plus a constant.
        """
        if not len(embeddings):
            return np.empty(0), np.empty(0)
        distances = self._index.find(embeddings, 1)[0][:, 0].astype(np.float64)
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
