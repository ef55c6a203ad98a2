"""What the regressors share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ssatom.estimators._base import CrystalEstimator
from ssatom.estimators._module import RowFunction
from ssatom.estimators._targets import (
    TargetScaler,
    as_columns,
    check_continuous,
    check_sample_weight,
    refuse_constant,
)
from ssatom.exceptions import ParameterError, StructureError

HUBER_DELTA = 0.3
"""Errors above are counted linearly, in standard deviations of the target."""


def _huber(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.huber_loss(outputs, targets, reduction="none", delta=HUBER_DELTA).mean(
        dim=1
    )


def _squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean(dim=1)


def _absolute(outputs: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
    return ((outputs - targets).abs() * scale.to(outputs.device)).mean(dim=1)


_LOSSES: dict[str, RowFunction] = {"huber": _huber, "squared": _squared}


class CrystalRegressor(RegressorMixin, CrystalEstimator):
    """Base of the regressors."""

    loss: str

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> CrystalRegressor:
        """Train on structures, or on sites.

        Parameters
        ----------
        X : list, tuple, Series, DataFrame, object array or generator
            Structures; with ``level="site"`` pairs of structure and site index.
        y : array-like of float, shape (n_rows,) or (n_rows, n_targets)
            Targets.
        sample_weight : array-like of float, shape (n_rows,), default=None
            Weight of each row in scaling, loss and early stopping; None for 1. Rows of weight 0
            are left out.

        Returns
        -------
        self

        Raises
        ------
        StructureError
            At the first bad row.
        ParameterError
            If a parameter is not allowed, lengths differ, there are fewer than four structures,
            `y` is not finite or constant, a weight is negative, or training diverges.
        WeightsError
            If the weights of the encoder are unknown or damaged.

        Warns
        -----
        TrainingWarning
            If the validation loss of the best epoch is far above that of predicting the mean.
        """
        self._check_parameters()
        targets = check_continuous(y)
        weights = check_sample_weight(sample_weight, len(targets))
        columns = as_columns(targets)
        refuse_constant(columns[weights > 0])
        scaler = TargetScaler.of(columns, weights)
        metric = partial(_absolute, scale=torch.from_numpy(scaler.scale.astype(np.float32)))
        self._fit(
            X,
            scaler.scaled(columns),
            weights,
            columns.shape[1],
            _LOSSES[self.loss],
            ("mae", metric),
        )
        self.target_scaler_ = scaler
        self.target_shape_ = targets.shape[1:]
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predictions for structures, or sites.

        Parameters
        ----------
        X : list, tuple, Series, DataFrame, object array or generator
            As for `fit`. A generator is read in chunks, never held as a whole.
        return_std : bool, default=False
            Whether to give the standard deviation over the members too.

        Returns
        -------
        y : ndarray of float64, shape (n_rows,) or (n_rows, n_targets)
            Means over the members.
        std : ndarray of float64, same shape
            Only with `return_std`.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        StructureError
            At the first bad row.
        ParameterError
            If `return_std` is asked of a single network.
        """
        if return_std:
            self._refuse_single()
        outputs = self._all_outputs(X)
        y = self._in_units(outputs.mean(axis=1))
        return (y, self._deviation(outputs)) if return_std else y

    def iter_predict(self, X: Any, return_std: bool = False) -> Iterator[Any]:
        """Predictions one at a time, for collections larger than memory and with bad rows.

        Parameters
        ----------
        X : list, tuple, Series, DataFrame, object array or generator
            As for `fit`; read in chunks.
        return_std : bool, default=False
            Whether to give pairs of a prediction and its standard deviation over the members.

        Yields
        ------
        float64, or ndarray of shape (n_targets,), or pair of them, or StructureError
            A bad row gives its error, which is not raised.

        Raises
        ------
        NotFittedError
            At once, if `fit` was not called.
        ParameterError
            At once, if `return_std` is asked of a single network.
        """
        rows = self._outputs(X)
        if return_std:
            self._refuse_single()
        return (
            row if isinstance(row, StructureError) else self._one_row(row, return_std)
            for row in rows
        )

    def _one_row(self, outputs: np.ndarray, return_std: bool) -> Any:
        """Prediction from outputs of shape (n_members, n_outputs), with its deviation if asked."""
        outputs = outputs.astype(np.float64)[None]
        y = self._in_units(outputs.mean(axis=1))[0]
        return (y, self._deviation(outputs)[0]) if return_std else y

    def _deviation(self, outputs: np.ndarray) -> np.ndarray:
        std = outputs.std(axis=1, ddof=1) * self.target_scaler_.scale
        return std.reshape(-1, *self.target_shape_)

    def _in_units(self, outputs: np.ndarray) -> np.ndarray:
        return self.target_scaler_.unscaled(outputs).reshape(-1, *self.target_shape_)

    def _refuse_single(self) -> None:
        check_is_fitted(self, "networks_")
        if len(self.networks_) < 2:
            raise ParameterError(
                "return_std=True needs an ensemble, and this was fitted with n_members=1; "
                "fit with n_members=5"
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
