"""Batches in an order that follows from the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch


class BatchLoader:
    """Batches of one epoch after the other, shuffled anew each from the seed and the epoch alone.

    Processes that train side by side take turns at the batches of one order; the last ones
    begin again from the first, so that all have as many.

    Parameters
    ----------
    make_batch : callable
        From an index array, shape (n,), to whatever a training step takes.
    indices : ndarray of int
        Rows of this loader.
    batch_size : int
        Rows of a batch; the last one may have fewer.
    shuffle : bool, default=False
        Whether every epoch has an order of its own.
    seed : int, default=0
        Together with the epoch it fixes the order.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.training import BatchLoader
    >>> [batch.tolist() for batch in BatchLoader(np.asarray, np.array([5, 3, 9]), 2)]
    [[5, 3], [9]]
    """

    def __init__(
        self,
        make_batch: Callable[[np.ndarray], Any],
        indices: np.ndarray,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        self.make_batch = make_batch
        self.indices = np.asarray(indices)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0  # set by the engine

    def __len__(self) -> int:
        return -(-len(self._starts()) // _processes()[1])

    def _starts(self) -> range:
        return range(0, len(self.indices), self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        indices = self.indices
        if self.shuffle:
            indices = np.random.default_rng([self.seed, self.epoch]).permutation(indices)
        (rank, n_processes), starts = _processes(), self._starts()
        for turn in range(len(self)):
            start = starts[(rank + turn * n_processes) % len(starts)]
            yield self.make_batch(indices[start : start + self.batch_size])


def _processes() -> tuple[int, int]:
    """Rank of this process among those that train side by side, and their number."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
