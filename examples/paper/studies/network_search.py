"""A network with hyper-parameters from a short random search on the training part."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import ParameterSampler, train_test_split

from ssatom.estimators import PARAMETER_GRID

RANGES: dict[str, list[Any]] = {**PARAMETER_GRID, "learning_rate": [3e-4, 1e-3, 3e-3]}
"""Table I of the paper, with learning rates that converge within a hundred epochs."""


class SearchedNetwork(RegressorMixin, BaseEstimator):
    """A graph network with hyper-parameters from a random search on some of its rows.

    The first candidate is the network as it is, the others are drawn from `RANGES`. Each trains
    on one part of the rows and is scored on another; the best one then trains on all rows for as
    many epochs as the network says. Test rows are not used.

    Parameters
    ----------
    network : estimator
        `NEGNNRegressor` or `CGCNNRegressor`.
    n_candidates : int, default=4
        Networks tried.
    search_epochs : int, default=30
        Epochs of each of them.
    train_size, valid_size : float, default=1/2, 1/4
        Shares of the rows on which they train and are scored.
    random_state : int or None, default=None
        Seed of rows, candidates and networks.

    Attributes
    ----------
    best_params_ : dict
        The selected ones.
    best_score_ : float
        Minus its mean absolute error in the search, in standard deviations of the targets.
    network_ : estimator
        Trained on all rows.
    """

    def __init__(
        self,
        network: Any,
        *,
        n_candidates: int = 4,
        search_epochs: int = 30,
        train_size: float = 1 / 2,
        valid_size: float = 1 / 4,
        random_state: int | None = None,
    ) -> None:
        self.network = network
        self.n_candidates = n_candidates
        self.search_epochs = search_epochs
        self.train_size = train_size
        self.valid_size = valid_size
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> SearchedNetwork:
        """Search, and train on all rows."""
        rows, y = list(X), np.asarray(y, dtype=np.float64)
        train, valid = train_test_split(
            np.arange(len(rows)),
            train_size=self.train_size,
            test_size=self.valid_size,
            random_state=self.random_state,
        )
        scores = []
        candidates = self._candidates()
        for params in candidates:
            network = self._network({**params, "max_epochs": self.search_epochs})
            network.fit([rows[i] for i in train], y[train])
            errors = np.abs(network.predict([rows[i] for i in valid]) - y[valid])
            scores.append(-float(np.mean(errors / y[train].std(axis=0))))
        best = int(np.argmax(scores))
        self.best_params_, self.best_score_ = candidates[best], scores[best]
        self.network_ = self._network(self.best_params_).fit(rows, y)
        return self

    def fit_columns(self, X: Any, Y: Any) -> list[TargetOfNetwork]:
        """Train one network on several targets; a model for each target is returned."""
        model = clone(self).fit(X, Y)
        return [TargetOfNetwork(model, target) for target in range(np.shape(Y)[1])]

    def predict(self, X: Any) -> np.ndarray:
        """Targets of new rows."""
        return self.network_.predict(list(X))

    def _candidates(self) -> list[dict[str, Any]]:
        defaults = {name: getattr(self.network, name) for name in RANGES}
        drawn = ParameterSampler(RANGES, self.n_candidates - 1, random_state=self.random_state)
        return [defaults, *drawn]

    def _network(self, params: dict[str, Any]) -> Any:
        return clone(self.network).set_params(**params, random_state=self.random_state)


class TargetOfNetwork:
    """One target of a network of several.

    Attributes
    ----------
    best_params_, best_score_
        Of the network.
    """

    def __init__(self, model: SearchedNetwork, target: int) -> None:
        self.model, self.target = model, target
        self.best_params_, self.best_score_ = model.best_params_, model.best_score_

    def predict(self, X: Any) -> np.ndarray:
        """The target of new rows."""
        return self.model.predict(X)[:, self.target]
