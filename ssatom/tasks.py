"""Pretraining tasks: what is predicted, from which head, with which loss and metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssatom.elements import (
    MAX_ATOMIC_NUMBER,
    N_GROUPS,
    N_PERIODS,
    group_numbers,
    period_numbers,
)
from ssatom.graph import GaussianDistanceBasis, GraphConfig
from ssatom.masking import MaskedBatch


class TaskResult(NamedTuple):
    """What a task says of one batch.

    Attributes
    ----------
    loss : Tensor, shape ()
        Mean loss of the items; 0 where there is none.
    correct : Tensor, shape ()
        Number of items predicted right.
    n_items : int
        Number of items predicted.
    """

    loss: Tensor
    correct: Tensor
    n_items: int


class PretrainingTask(ABC):
    """One thing to recover from hidden states; subclass this to add another.

    A task holds no weights: `make_head` makes the module that does, and the trainer keeps it.

    Attributes
    ----------
    name : str
        Short, unique among the tasks of a run: the columns of the curve start with it.
    """

    name: str

    @abstractmethod
    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        """The module that maps hidden states to predictions."""

    @abstractmethod
    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        """Loss and accuracy of one batch.

        Parameters
        ----------
        head : Module
            From `make_head`.
        hidden : list of Tensor, each of shape (n_sites, hidden_dim)
            Hidden states of all layers of the corrupted batch.
        masked : MaskedBatch
            What was hidden, and the truth.
        """


def _classify(logits: Tensor, classes: Tensor) -> TaskResult:
    """Cross-entropy and number of hits; an empty batch has no loss rather than a NaN."""
    loss = F.cross_entropy(logits, classes, reduction="sum") / max(len(classes), 1)
    return TaskResult(loss, (logits.argmax(1) == classes).sum(), len(classes))


class _ElementTask(PretrainingTask):
    """Class of the hidden element of each masked site, from the last hidden state."""

    n_classes: int

    def __init__(self) -> None:
        # Class of each atomic number, with a place for the mask that is never looked up.
        self._classes = F.pad(torch.from_numpy(self._class_table()), (1, 0))

    @staticmethod
    @abstractmethod
    def _class_table():
        """Classes of the elements from hydrogen on, counted from 0."""

    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        return nn.Linear(hidden_dim, self.n_classes)

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        numbers = masked.graphs.numbers[masked.masked_sites]
        logits = head(hidden[-1].index_select(0, masked.masked_sites))
        return _classify(logits, self._classes.to(numbers.device)[numbers])


_ELEMENTS = range(1, MAX_ATOMIC_NUMBER + 1)


class PeriodTask(_ElementTask):
    """Recover the period of masked sites, 9 classes, with cross-entropy.

    Lanthanides and actinides count as periods of their own.

    Examples
    --------
    >>> from ssatom.tasks import PeriodTask
    >>> PeriodTask().n_classes
    9
    """

    name = "period"
    n_classes = N_PERIODS

    @staticmethod
    def _class_table():
        return period_numbers(_ELEMENTS) - 1


class GroupTask(_ElementTask):
    """Recover the group of masked sites, 18 classes, with cross-entropy.

    Examples
    --------
    >>> from ssatom.tasks import GroupTask
    >>> GroupTask().n_classes
    18
    """

    name = "group"
    n_classes = N_GROUPS

    @staticmethod
    def _class_table():
        return group_numbers(_ELEMENTS) - 1


class _PairHead(nn.Module):
    """Classes of pairs of sites, the same in either order."""

    def __init__(self, hidden_dim: int, graph_config: GraphConfig) -> None:
        super().__init__()
        self.basis = GaussianDistanceBasis(graph_config)
        self.layers = nn.Sequential(
            nn.Linear(2 * hidden_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, graph_config.edge_dim),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.layers(torch.cat([first + second, first * second], dim=1))


class DistanceTask(PretrainingTask):
    """Recover the bin of hidden distances, one class a Gaussian centre, with cross-entropy.

    The head sees the last hidden states of the two sites, in either order alike.

    Examples
    --------
    >>> from ssatom.tasks import DistanceTask
    >>> DistanceTask().name
    'distance'
    """

    name = "distance"

    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        return _PairHead(hidden_dim, graph_config)

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        first, second = (
            hidden[-1].index_select(0, sites)
            for sites in masked.graphs.edge_index.index_select(1, masked.hidden_edges)
        )
        bins = cast(_PairHead, head).basis.bins(masked.graphs.distances[masked.hidden_edges])
        return _classify(head(first, second), bins)
