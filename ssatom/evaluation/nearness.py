"""How near crystals are to those that a model was trained on, by their embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ssatom.exceptions import ExtrapolationWarning, ParameterError
from ssatom.warn import warn_user

FAR = 99.0
"""Percentile of nearest distances above which a prediction extrapolates."""

_N_NEAREST = 5
_FLOOR = 0.3  # of the median distance; errors do not vanish at the distance 0


class Nearness:
    """Distances of embeddings to those of the crystals that a model was trained on.

    Parameters
    ----------
    embeddings : ndarray of float, shape (n_train, n_features)
        Of the training crystals, two or more.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.evaluation.nearness import Nearness
    >>> nearness = Nearness(np.array([[0.0], [1.0], [3.0], [6.0]]))
    >>> percentiles, difficulties = nearness.of(np.array([[1.0], [8.5], [90.0]]))
    >>> percentiles
    array([  0.,  75., 100.])
    >>> bool((np.diff(difficulties) > 0).all())
    True
    """

    def __init__(self, embeddings: np.ndarray) -> None:
        if len(embeddings) < 2:
            raise ParameterError(
                f"{len(embeddings)} training crystals; two or more have a nearest one"
            )
        self.embeddings = embeddings
        n_nearest = min(_N_NEAREST, len(embeddings) - 1)
        self._index = NearestNeighbors(n_neighbors=n_nearest, algorithm="brute").fit(embeddings)
        own, _ = self._index.kneighbors()  # of each to the others
        self._nearest = np.sort(own[:, 0])
        means = own.mean(axis=1)
        self._floor = _FLOOR * float(np.median(means) or means.mean() or 1.0)

    def of(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nearest percentile and difficulty of new crystals.

        Parameters
        ----------
        embeddings : ndarray of float, shape (n, n_features)
            Of the new crystals.

        Returns
        -------
        percentiles : ndarray of float64, shape (n,)
            Share of the training crystals, in percent, that have another training crystal nearer
            than the new crystal has one.
        difficulties : ndarray of float64, shape (n,)
            Mean distance to the five nearest training crystals, above a floor of 0.3 times the
            median of that distance among the training crystals; positive.
        """
        if not len(embeddings):
            return np.empty(0), np.empty(0)
        distances = self._index.kneighbors(embeddings)[0].astype(np.float64)
        below = np.searchsorted(self._nearest, distances[:, 0])
        return 100 * below / len(self._nearest), distances.mean(axis=1) + self._floor


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
