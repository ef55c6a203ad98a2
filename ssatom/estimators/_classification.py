"""What the classifiers share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from torch import Tensor, nn

from ssatom.estimators._base import CrystalEstimator
from ssatom.estimators._targets import check_classes, check_sample_weight, refuse_one_class
from ssatom.exceptions import StructureError


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def _hits(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(dim=1) == targets).float()


def _probabilities(outputs: np.ndarray) -> np.ndarray:
    exponentials = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


class CrystalClassifier(ClassifierMixin, CrystalEstimator):
    """Base of the classifiers."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> CrystalClassifier:
        """Train on structures, or on sites.

        Parameters
        ----------
        X : list, tuple, Series, DataFrame, object array or generator
            Structures; with ``level="site"`` pairs of structure and site index.
        y : array-like, shape (n_rows,)
            Classes: whole numbers, strings or bools, at least two different ones.
        sample_weight : array-like of float, shape (n_rows,), default=None
            Weight of each row in loss and early stopping; None for 1. Rows of weight 0 are left
            out.

        Returns
        -------
        self

        Raises
        ------
        StructureError
            At the first bad row.
        ParameterError
            If a parameter is not allowed, lengths differ, there are fewer than four structures,
            `y` has missing values, or one class only where weights are above 0, a weight is
            negative, or training diverges.
        WeightsError
            If the weights of the encoder are unknown or damaged.

        Warns
        -----
        TrainingWarning
            If the validation loss of the best epoch is far above that of predicting the mean.
        """
        self._check_parameters()
        classes, codes = check_classes(y)
        weights = check_sample_weight(sample_weight, len(codes))
        refuse_one_class(classes, codes[weights > 0])
        self._fit(
            X, codes, weights, len(classes), _cross_entropy, ("accuracy", _hits), stratify=True
        )
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        X : list, tuple, Series, DataFrame, object array or generator
            As for `fit`. A generator is read in chunks, never held as a whole.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes)
            In the order of ``classes_``, means over the members; each row sums to 1.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        StructureError
            At the first bad row.
        """
        return _probabilities(self._all_outputs(X)).mean(axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row.

        Parameters
        ----------
        X : list, tuple, Series, DataFrame, object array or generator
            As for `fit`.

        Returns
        -------
        ndarray, shape (n_rows,)
            Of ``classes_``.

        Raises
        ------
        NotFittedError
            If `fit` was not called.
        StructureError
            At the first bad row.
        """
        probabilities = self.predict_proba(X)  # before classes_ is looked for, if not fitted
        return self.classes_[probabilities.argmax(axis=1)]

    def iter_predict(self, X: Any) -> Iterator[Any]:
        """Classes one at a time, for collections larger than memory and with bad rows.

        Parameters
        ----------
        X : list, tuple, Series, DataFrame, object array or generator
            As for `fit`; read in chunks.

        Yields
        ------
        class of ``classes_``, or StructureError
            A bad row gives its error, which is not raised.

        Raises
        ------
        NotFittedError
            At once, if `fit` was not called.
        """
        rows = self.iter_predict_proba(X)
        return (
            row if isinstance(row, StructureError) else self.classes_[row.argmax()] for row in rows
        )

    def iter_predict_proba(self, X: Any) -> Iterator[np.ndarray | StructureError]:
        """Probabilities one row at a time, for collections larger than memory and with bad rows.

        Parameters
        ----------
        X : list, tuple, Series, DataFrame, object array or generator
            As for `fit`; read in chunks.

        Yields
        ------
        ndarray of float64, shape (n_classes,), or StructureError
            In the order of ``classes_``. A bad row gives its error, which is not raised.

        Raises
        ------
        NotFittedError
            At once, if `fit` was not called.
        """
        return (
            row
            if isinstance(row, StructureError)
            else _probabilities(row.astype(np.float64)).mean(axis=0)
            for row in self._outputs(X)
        )
