"""Regressors on crystals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional

from ssatom.estimators._base import CrystalEstimator
from ssatom.estimators._checks import check_sample_weight, refuse_constant_targets
from ssatom.estimators._docs import shared_docs
from ssatom.estimators._module import Objective, RowFunction
from ssatom.estimators._nodes import Embeddings, RawFeatures
from ssatom.exceptions import ParameterError
from ssatom.validation import finite_numbers

_HUBER_DELTA = 0.3  # standard deviations of the target; larger errors are counted linearly


def _huber(outputs: Tensor, targets: Tensor) -> Tensor:
    losses = functional.huber_loss(outputs, targets, reduction="none", delta=_HUBER_DELTA)
    return losses.mean(dim=1)


def _squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().mean(dim=1)


def _absolute(outputs: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
    return ((outputs - targets).abs() * scale.to(outputs.device)).mean(dim=1)


_LOSSES: dict[str, RowFunction] = {"huber": _huber, "squared": _squared}


class CrystalRegressor(RegressorMixin, CrystalEstimator):
    """Base of the regressors."""

    loss: str
    target_scaler_: StandardScaler
    target_shape_: tuple[int, ...]
    std_scale_: np.ndarray

    def _encode(self, y: Any, sample_weight: Any) -> tuple:
        targets = finite_numbers("y", y, (1, 2))
        weights = check_sample_weight(sample_weight, len(targets))
        columns = targets[:, None] if targets.ndim == 1 else targets
        refuse_constant_targets(columns[weights > 0])
        scaler = StandardScaler().fit(columns, sample_weight=weights)
        scaled = ((columns - scaler.mean_) / scaler.scale_).astype(np.float32)
        metric = partial(_absolute, scale=torch.from_numpy(scaler.scale_.astype(np.float32)))
        objective = Objective(columns.shape[1], _LOSSES[self.loss], "mae", metric)
        found = {
            "target_scaler_": scaler,
            "target_shape_": targets.shape[1:],
            "std_scale_": np.ones(columns.shape[1]),
        }
        return scaled, weights, objective, found

    @shared_docs
    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predictions for structures, or sites.

        Parameters
        ----------
        {X, return_std}

        Returns
        -------
        y : ndarray of float64, shape (n_rows,) or (n_rows, n_targets)
            Means over the members.
        std : ndarray of float64, same shape
            Only with `return_std`.

        Raises
        ------
        {NotFittedError, StructureError}
        ParameterError
            If `return_std` is asked of a single network.
        """
        return self._all(X, self._converter(return_std))

    @shared_docs
    def iter_predict(self, X: Any, return_std: bool = False) -> Iterator[Any]:
        """Predictions one at a time, for collections larger than memory and with bad rows.

        Parameters
        ----------
        {X, return_std}

        Yields
        ------
        float64, or ndarray of shape (n_targets,), or pair of them, or StructureError
            With `return_std` a prediction and its standard deviation. The error of a bad row is
            given and not raised.

        Raises
        ------
        {NotFittedError}
        ParameterError
            If `return_std` is asked of a single network.
        """
        convert = self._converter(return_std)

        def first(outputs: np.ndarray) -> Any:
            found = convert(outputs)
            return (found[0][0], found[1][0]) if return_std else found[0]

        return self._each(X, first)

    def _converter(self, return_std: bool) -> Callable[[np.ndarray], Any]:
        """Function from outputs, shape (n_rows, n_members, n_outputs), to predictions."""
        check_is_fitted(self, "networks_")
        if return_std and len(self.networks_) < 2:
            raise ParameterError(
                "return_std=True needs an ensemble, and this was fitted with n_members=1; "
                "fit with n_members=5"
            )
        scaler, shape = self.target_scaler_, (-1, *self.target_shape_)

        def convert(outputs: np.ndarray) -> Any:
            y = (outputs.mean(axis=1) * scaler.scale_ + scaler.mean_).reshape(shape)
            if not return_std:
                return y
            std = outputs.std(axis=1, ddof=1) * scaler.scale_ * self.std_scale_
            return y, std.reshape(shape)

        return convert

    @shared_docs
    def scale_std(self, X: Any, y: Any) -> Self:
        """Scale the standard deviations of the ensemble on rows that it was not fitted to.

        The spread of the members does not estimate the error. From now on `return_std` gives it
        times `std_scale_`, chosen for each target so that on these rows the root mean squares of
        standard deviation and of error agree [1]_. A new fit resets the scale to 1.

        Parameters
        ----------
        {X}
        y : array-like, shape (n_rows,) or (n_rows, n_targets)
            Their targets.

        Returns
        -------
        self

        Raises
        ------
        {NotFittedError, StructureError}
        ParameterError
            If this is a single network, or `y` has another shape than the predictions.

        References
        ----------
        .. [1] D. Levi et al., Evaluating and Calibrating Uncertainty Prediction in Regression
           Tasks, Sensors 22, 5540 (2022), 10.3390/s22155540
        """
        predictions, std = self.predict(X, return_std=True)
        y = finite_numbers("y", y, (1, 2))
        if y.shape != predictions.shape or not len(y):
            raise ParameterError(
                f"y has shape {y.shape}; allowed is {predictions.shape}, a value for each "
                "prediction of one row or more"
            )
        n_targets = len(self.std_scale_)
        errors, spread = ((y - predictions).reshape(-1, n_targets), std.reshape(-1, n_targets))
        squares = (errors**2).mean(axis=0) / np.maximum((spread**2).mean(axis=0), 1e-300)
        self.std_scale_ = self.std_scale_ * np.sqrt(squares)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


@shared_docs
class NEGNNRegressor(Embeddings, CrystalRegressor):
    """Graph network on self-supervised embeddings, for properties of crystals or sites.

    The hidden states of a pretrained encoder are the node vectors of a crystal graph network
    [Xie2018]_ that is trained on the targets: the NEGNN of [Kong2024]_. Targets are scaled inside;
    several are learned together.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {networks_, history_, best_epochs_, n_structures_, precision_, seconds_, target_scaler_}
    {std_scale_}
    {weights_, weights_sha256_, layers_}

    See Also
    --------
    CGCNNRegressor : The same network on the raw features of the elements.

    References
    ----------
    {Kong2024, Xie2018}

    Examples
    --------
    >>> from ssatom import NEGNNRegressor, load_example_crystals
    >>> table = load_example_crystals().dropna(subset="bulk_modulus_GPa")[:40]
    >>> model = NEGNNRegressor(hidden_dim=16, max_epochs=2, random_state=0)
    >>> model = model.fit(table["structure"], table["bulk_modulus_GPa"])
    >>> model.predict(table["structure"][:3]).shape
    (3,)
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
        loss: str = "huber",
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
class CGCNNRegressor(RawFeatures, CrystalRegressor):
    """Crystal graph network on raw features of the elements, for crystals or sites.

    The network of NEGNN [Kong2024]_ with the 92 features of each element as node vectors
    [Xie2018]_. The difference between the two estimators is the effect of the embeddings.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {networks_, history_, best_epochs_, n_structures_, precision_, seconds_, target_scaler_}
    {std_scale_}

    See Also
    --------
    NEGNNRegressor : The same network on self-supervised embeddings.

    References
    ----------
    {Kong2024, Xie2018}

    Examples
    --------
    >>> from ssatom import CGCNNRegressor, load_example_crystals
    >>> table = load_example_crystals().dropna(subset="bulk_modulus_GPa")[:40]
    >>> model = CGCNNRegressor(hidden_dim=16, max_epochs=2, random_state=0)
    >>> model = model.fit(table["structure"], table["bulk_modulus_GPa"])
    >>> model.predict(table["structure"][:3]).shape
    (3,)
    """

    def __init__(
        self,
        *,
        n_conv: int = 3,
        hidden_dim: int = 64,
        n_hidden: int = 1,
        dropout: float = 0.0,
        loss: str = "huber",
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
