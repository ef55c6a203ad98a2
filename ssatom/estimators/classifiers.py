"""Classifiers on crystals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from torch import Tensor
from torch.nn import functional

from ssatom.estimators._base import CrystalEstimator
from ssatom.estimators._checks import (
    check_classes,
    check_sample_weight,
    plain_labels,
    refuse_one_class,
)
from ssatom.estimators._docs import shared_docs
from ssatom.estimators._module import Objective
from ssatom.estimators._nodes import Embeddings, RawFeatures
from ssatom.exceptions import StructureError


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none")


def _hits(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(dim=1) == targets).float()


def _probabilities(outputs: np.ndarray) -> np.ndarray:
    return softmax(outputs, axis=-1).mean(axis=1)


class CrystalClassifier(ClassifierMixin, CrystalEstimator):
    """Base of the classifiers."""

    classes_: np.ndarray

    def _encode(self, y: Any, sample_weight: Any) -> tuple:
        classes, codes = check_classes(y)
        weights = check_sample_weight(sample_weight, len(codes))
        refuse_one_class(classes, codes[weights > 0])
        objective = Objective(len(classes), _cross_entropy, "accuracy", _hits, stratified=True)
        return codes, weights, objective, {"classes_": classes}

    @shared_docs
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        {X}

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes)
            In the order of ``classes_``, means over the members; each row sums to 1.

        Raises
        ------
        {NotFittedError, StructureError}
        """
        return self._all(X, _probabilities)

    @shared_docs
    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row.

        Parameters
        ----------
        {X}

        Returns
        -------
        ndarray, shape (n_rows,)
            Classes of ``classes_``.

        Raises
        ------
        {NotFittedError, StructureError}
        """
        probabilities = self.predict_proba(X)  # before classes_ is looked for, if not fitted
        return self.classes_[probabilities.argmax(axis=1)]

    @shared_docs
    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy: the share of rows whose most probable class is the right one.

        Parameters
        ----------
        {X}
        y : array-like, shape (n_rows,)
            Classes, as in `fit`.
        sample_weight : array-like of float, shape (n_rows,), default=None
            Weights of the rows.

        Returns
        -------
        float
            From 0 to 1.

        Raises
        ------
        {NotFittedError, StructureError}
        """
        return super().score(X, plain_labels(y), sample_weight)

    @shared_docs
    def iter_predict(self, X: Any) -> Iterator[Any]:
        """Classes one at a time, for collections larger than memory and with bad rows.

        Parameters
        ----------
        {X}

        Yields
        ------
        class of ``classes_``, or StructureError
            The error of a bad row is given and not raised.

        Raises
        ------
        {NotFittedError}
        """
        return self._each(X, lambda outputs: self.classes_[_probabilities(outputs)[0].argmax()])

    @shared_docs
    def iter_predict_proba(self, X: Any) -> Iterator[np.ndarray | StructureError]:
        """Probabilities one row at a time, for collections larger than memory and with bad rows.

        Parameters
        ----------
        {X}

        Yields
        ------
        ndarray of float64, shape (n_classes,), or StructureError
            In the order of ``classes_``. The error of a bad row is given and not raised.

        Raises
        ------
        {NotFittedError}
        """
        return self._each(X, lambda outputs: _probabilities(outputs)[0])


@shared_docs
class NEGNNClassifier(Embeddings, CrystalClassifier):
    """Graph network on self-supervised embeddings, for classes of crystals or sites.

    The hidden states of a pretrained encoder are the node vectors of a crystal graph network
    [Xie2018]_ that is trained on the classes by cross-entropy: the NEGNN of [Kong2024]_.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {classes_, networks_, history_, best_epochs_, n_structures_, precision_, seconds_}
    {weights_, weights_sha256_, layers_}

    See Also
    --------
    CGCNNClassifier : The same network on the raw features of the elements.

    References
    ----------
    {Kong2024, Xie2018}

    Examples
    --------
    >>> from ssatom import NEGNNClassifier, load_example_crystals
    >>> table = load_example_crystals().dropna(subset="band_gap_eV")[::4]
    >>> metal = table["band_gap_eV"] == 0
    >>> model = NEGNNClassifier(hidden_dim=16, max_epochs=2, random_state=0)
    >>> model.fit(table["structure"], metal).predict_proba(table["structure"][:3]).shape
    (3, 2)
    """

    def __init__(
        self,
        layers: str | int | Sequence[int] = "01",
        weights: Any = None,
        *,
        n_conv: int = 3,
        hidden_dim: int = 64,
        n_hidden: int = 1,
        dropout: float = 0.0,
        encoder: str = "frozen",
        encoder_learning_rate: float | None = None,
        learning_rate: float = 0.001,
        learning_rate_schedule: str = "plateau",
        weight_decay: float = 0.0,
        gradient_clip: float | None = None,
        batch_size: int = 64,
        max_epochs: int = 300,
        patience: int | None = 30,
        validation_fraction: float = 0.1,
        time_budget: float | None = None,
        n_members: int = 1,
        level: str = "structure",
        precision: str = "auto",
        device: str = "auto",
        memory: Any = None,
        random_state: Any = 0,
        progress_bar: bool = True,
    ) -> None:
        self._store(locals())


@shared_docs
class CGCNNClassifier(RawFeatures, CrystalClassifier):
    """Crystal graph network on raw features of the elements, for classes of crystals or sites.

    The network of NEGNN [Kong2024]_ with the 92 features of each element as node vectors
    [Xie2018]_. The difference between the two estimators is the effect of the embeddings.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {classes_, networks_, history_, best_epochs_, n_structures_, precision_, seconds_}

    See Also
    --------
    NEGNNClassifier : The same network on self-supervised embeddings.

    References
    ----------
    {Kong2024, Xie2018}

    Examples
    --------
    >>> from ssatom import CGCNNClassifier, load_example_crystals
    >>> table = load_example_crystals().dropna(subset="band_gap_eV")[::4]
    >>> metal = table["band_gap_eV"] == 0
    >>> model = CGCNNClassifier(hidden_dim=16, max_epochs=2, random_state=0)
    >>> model.fit(table["structure"], metal).predict_proba(table["structure"][:3]).shape
    (3, 2)
    """

    def __init__(
        self,
        *,
        n_conv: int = 3,
        hidden_dim: int = 64,
        n_hidden: int = 1,
        dropout: float = 0.0,
        learning_rate: float = 0.001,
        learning_rate_schedule: str = "plateau",
        weight_decay: float = 0.0,
        gradient_clip: float | None = None,
        batch_size: int = 64,
        max_epochs: int = 300,
        patience: int | None = 30,
        validation_fraction: float = 0.1,
        time_budget: float | None = None,
        n_members: int = 1,
        level: str = "structure",
        precision: str = "auto",
        device: str = "auto",
        random_state: Any = 0,
        progress_bar: bool = True,
    ) -> None:
        self._store(locals())
