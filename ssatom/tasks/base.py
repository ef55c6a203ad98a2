"""What every pretraining task says and gives."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssatom.exceptions import ParameterError
from ssatom.graph import GraphConfig
from ssatom.masking import MaskedBatch
from ssatom.structures import StructureArrays


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

    A task holds no tensors: `make_head` makes the module that does, and the trainer keeps it.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the loss in the sum over tasks.

    Attributes
    ----------
    name : str
        Short, unique among the tasks of a run: the columns of the curve start with it.
    needs_directions : bool
        Whether graphs must carry the directions of their edges.
    target_rows : {"site", "structure"} or None
        Rows of the targets that `compute_targets` finds once for each structure; None where the
        batch tells all.

    Raises
    ------
    ParameterError
        If `weight` is not positive.

    Examples
    --------
    >>> from ssatom import PretrainingTask
    >>> from ssatom.tasks import make_tasks
    >>> [isinstance(task, PretrainingTask) for task in make_tasks("period,group")]
    [True, True]
    """

    name: str
    needs_directions: bool = False
    target_rows: str | None = None
    weight: float = 1.0  # of those that do not call __init__

    def __init__(self, *, weight: float = 1.0) -> None:
        if not weight > 0:
            raise ParameterError(f"task {self.name}: weight={weight!r} must be positive")
        self.weight = weight

    def __str__(self) -> str:
        """Name, with the settings that are not the defaults, as `make_tasks` takes it."""
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, parameter in inspect.signature(type(self)).parameters.items()
            if getattr(self, name, parameter.default) != parameter.default
        ]
        return self.name + (f"({', '.join(changed)})" if changed else "")

    @abstractmethod
    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        """The module that maps hidden states to predictions.

        Its first values follow from the seed of the run, and its dropout where it is
        `ssatom.repeatable.Dropout`.
        """

    def compute_targets(self, arrays: StructureArrays) -> np.ndarray:
        """What is to be predicted of one structure, where the batch does not tell it.

        Parameters
        ----------
        arrays : StructureArrays
            The structure: its lattice, elements and coordinates, and nothing else.

        Returns
        -------
        ndarray, shape (n_sites, k) or (1, k)
            As `target_rows` says; it is kept to half precision.
        """
        raise NotImplementedError(f"task {self.name} computes no targets")

    def corrupt(self, masked: MaskedBatch, generator: torch.Generator) -> MaskedBatch:
        """Corrupt a batch further, before the network sees it.

        Parameters
        ----------
        masked : MaskedBatch
            The batch, masked.
        generator : torch.Generator
            On the CPU; the only source of draws.

        Returns
        -------
        MaskedBatch
            The same, unless a task has more to hide.
        """
        return masked

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


def classify(logits: Tensor, classes: Tensor) -> TaskResult:
    """Cross-entropy and number of hits; an empty batch has no loss rather than a NaN."""
    loss = F.cross_entropy(logits, classes, reduction="sum") / max(len(classes), 1)
    return TaskResult(loss, (logits.argmax(1) == classes).sum(), len(classes))


def regress(predicted: Tensor, targets: Tensor) -> TaskResult:
    """Huber loss of rows, which count as right where they are off by less than half a unit.

    Parameters
    ----------
    predicted, targets : Tensor, shape (n_items, n_values)
        In units of about the spread of the targets.

    Returns
    -------
    TaskResult
        An item's error is the root of its mean square.
    """
    predicted = predicted.float()
    # Column by column: a sum of all at once has other last digits for each number of threads.
    losses = F.huber_loss(predicted, targets, reduction="none").sum(dim=0)
    loss = losses.sum() / max(targets.numel(), 1)
    near = (predicted.detach() - targets).square().mean(dim=1) < 0.25
    return TaskResult(loss, near.sum(), len(targets))
