"""The learning rate over the epochs."""

from __future__ import annotations


def linear_decay(epoch: int, learning_rate: float, decay_fraction: float, max_epochs: int) -> float:
    """Learning rate of an epoch: constant, then falling linearly towards zero.

    Parameters
    ----------
    epoch : int
        Counted from 0.
    learning_rate : float
        The constant one.
    decay_fraction : float
        Share of the epochs, the last ones, over which it falls.
    max_epochs : int
        Epochs in all.

    Returns
    -------
    float
        Above 0.

    Examples
    --------
    >>> from ssatom.pretraining.schedule import linear_decay
    >>> [round(linear_decay(epoch, 0.4, 0.5, 6), 2) for epoch in range(6)]
    [0.4, 0.4, 0.4, 0.3, 0.2, 0.1]
    """
    n_decay = round(decay_fraction * max_epochs)
    if not n_decay:
        return float(learning_rate)
    return float(learning_rate * min(1.0, (max_epochs - epoch) / (n_decay + 1)))
