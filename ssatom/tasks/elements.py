"""Tasks that recover what a masked site is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ssatom.elements import (
    MAX_ATOMIC_NUMBER,
    N_GROUPS,
    N_PERIODS,
    group_numbers,
    period_numbers,
)
from ssatom.graph import GraphConfig
from ssatom.masking import MaskedBatch
from ssatom.repeatable import Linear
from ssatom.tasks.base import PretrainingTask, TaskResult, classify, shared_docs

__all__ = ["ElementTask", "GroupTask", "PeriodTask"]


class _ElementTask(PretrainingTask):
    """Class of the hidden element of each masked site, from the last hidden state."""

    n_classes: int
    _classes: np.ndarray  # of the elements from hydrogen on, counted from 0

    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        return Linear(hidden_dim, self.n_classes)

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        numbers = masked.graphs.numbers[masked.masked_sites]
        logits = head(hidden[-1].index_select(0, masked.masked_sites))
        return classify(logits, torch.from_numpy(self._classes).to(numbers.device)[numbers - 1])


_ELEMENTS = np.arange(1, MAX_ATOMIC_NUMBER + 1)


@shared_docs
class ElementTask(_ElementTask, name="element"):
    """Recover masked elements themselves, 100 classes, with cross-entropy.

    {parameters_section}

    Examples
    --------
    >>> from ssatom.tasks import ElementTask
    >>> ElementTask().n_classes
    100
    """

    n_classes = MAX_ATOMIC_NUMBER
    _classes = _ELEMENTS - 1


@shared_docs
class PeriodTask(_ElementTask, name="period"):
    """Recover the period of masked sites, 9 classes, with cross-entropy.

    Lanthanides and actinides count as periods of their own.

    {parameters_section}

    Examples
    --------
    >>> from ssatom.tasks import PeriodTask
    >>> PeriodTask().n_classes
    9
    """

    n_classes = N_PERIODS
    _classes = period_numbers(_ELEMENTS) - 1


@shared_docs
class GroupTask(_ElementTask, name="group"):
    """Recover the group of masked sites, 18 classes, with cross-entropy.

    {parameters_section}

    Examples
    --------
    >>> from ssatom.tasks import GroupTask
    >>> GroupTask().n_classes
    18
    """

    n_classes = N_GROUPS
    _classes = group_numbers(_ELEMENTS) - 1
