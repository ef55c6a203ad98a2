"""The base class of pretraining tasks, with the checks of what a task returns."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssatom.exceptions import ParameterError
from ssatom.graph import GraphConfig
from ssatom.masking import MaskedBatch
from ssatom.shared_docs import SharedDocs
from ssatom.structures import StructureArrays
from ssatom.validation import number

TASKS: dict[str, type[PretrainingTask]] = {}
"""Every task that can be asked for by its name."""

shared_docs = SharedDocs()
# The section of tasks without other settings.
shared_docs.entries["parameters_section"] = """Parameters
----------
weight : float, default=1.0
    Factor of the loss in the sum over tasks."""

_LARGEST = float(np.finfo(np.float16).max)  # targets are kept to half precision


class TaskResult(NamedTuple):
    """What a task says of one batch.

    Attributes
    ----------
    loss : Tensor, shape ()
        Mean loss of the items; 0 where there is none.
    correct : Tensor or int, shape ()
        Number of items predicted right.
    n_items : int
        Number of items predicted.
    """

    loss: Tensor
    correct: Tensor | int
    n_items: int


class PretrainingTask(ABC):
    """One quantity to predict from hidden states; subclass this to add another.

    A subclass with a name, ``class MyTask(PretrainingTask, name="mine")``, can be given by that
    name to `MaskedPretrainer`. It must have the methods `make_head` and `evaluate`, and
    `compute_targets` where it sets `target_rows`. Tensors that are trained belong to the head.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the loss in the sum over tasks.

    Attributes
    ----------
    name : str
        The name; columns of the training curve contain it.
    needs_directions : bool
        Whether graphs must hold the directions of their edges.
    target_rows : {"site", "structure"} or None
        Whether `compute_targets` gives one row for each site or one for a structure; None where
        the batch holds all that is to be predicted.

    Raises
    ------
    ParameterError
        If `weight` is not positive; for a subclass, if its name is another task's, a method is
        missing or `target_rows` does not fit its methods.

    Examples
    --------
    >>> import torch
    >>> from ssatom.tasks import PretrainingTask, make_tasks, regress
    >>> class VolumeTask(PretrainingTask, name="volume"):
    ...     target_rows = "site"
    ...
    ...     def make_head(self, hidden_dim, graph_config):
    ...         return torch.nn.Linear(hidden_dim, 1)
    ...
    ...     def compute_targets(self, arrays):
    ...         n_sites = len(arrays.numbers)
    ...         volume = abs(np.linalg.det(arrays.lattice)) / n_sites
    ...         return np.full((n_sites, 1), volume / 10)
    ...
    ...     def evaluate(self, head, hidden, masked):
    ...         return regress(head(hidden[-1]), masked.targets[self.name])
    >>> make_tasks("period, volume(weight=0.5)")[1].weight
    0.5
    """

    name: str
    needs_directions: bool = False
    target_rows: str | None = None
    weight: float = 1.0  # of subclasses that do not call __init__

    def __init_subclass__(cls, *, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if name is None:
            if "name" in vars(cls):
                raise ParameterError(
                    f"task {cls.__name__}: give the name with the class, as in "
                    f"class {cls.__name__}({cls.__base__.__name__}, name={cls.name!r})"  # type: ignore[union-attr]
                )
            return
        if not isinstance(name, str) or not name.isidentifier():
            raise ParameterError(f"task {cls.__name__}: name={name!r} must be an identifier")
        cls.name = name
        _check_methods(cls)
        known = TASKS.get(name)
        if known is not None and _place(known) != _place(cls):  # a cell may run again
            raise ParameterError(
                f"task {cls.__name__}: the name {name!r} is that of {_place(known)}; give another"
            )
        TASKS[name] = cls

    def __init__(self, *, weight: float = 1.0) -> None:
        number(f"task {self.name}: weight", weight, "(0, inf)")
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
        """Make the module that maps hidden states to predictions.

        The seed of the run decides its first values, and its dropout if that is
        `ssatom.repeatable.Dropout`.

        Parameters
        ----------
        hidden_dim : int
            Width of a hidden state.
        graph_config : GraphConfig
            Settings of the graphs, among them the length of an edge vector.

        Returns
        -------
        Module
            Its parameters are trained with the encoder.
        """

    def compute_targets(self, arrays: StructureArrays) -> np.ndarray:
        """Compute what is to be predicted of one structure, once before training.

        Parameters
        ----------
        arrays : StructureArrays
            The structure: `lattice` (3, 3) in Å, `numbers` (n_sites,), `frac_coords` (n_sites, 3).

        Returns
        -------
        ndarray, shape (n_sites, k) or (1, k)
            One row for each site or one, as `target_rows` says; finite, of about unit spread. It
            is kept to half precision.
        """
        raise NotImplementedError(f"task {self.name} computes no targets")

    def corrupt(self, masked: MaskedBatch, generator: torch.Generator) -> MaskedBatch:
        """Corrupt a batch further, before the encoder sees it.

        Parameters
        ----------
        masked : MaskedBatch
            The batch, masked.
        generator : torch.Generator
            On the CPU; the only source of draws.

        Returns
        -------
        MaskedBatch
            The same, unless a task has more to hide. Where its `graphs` are others, they are what
            the encoder gets, and `targets` must have their rows.
        """
        return masked

    @abstractmethod
    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        """Compute loss and number of right predictions of one batch.

        Parameters
        ----------
        head : Module
            From `make_head`.
        hidden : list of Tensor, each of shape (n_sites, hidden_dim)
            Hidden states of all layers, first to last, of the corrupted batch.
        masked : MaskedBatch
            The batch before the corruption, what was hidden, and under the name of the task in
            `targets` the rows of `compute_targets` of all its structures, one after the other.

        Returns
        -------
        TaskResult
            `classify` and `regress` make one from predictions.
        """

    # What the trainer calls: the methods above, with their results checked.

    def checked_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        """`make_head`, which must return a module."""
        head = self.make_head(hidden_dim, graph_config)
        self._must("make_head", "a torch.nn.Module", isinstance(head, nn.Module), head)
        return head

    def checked_targets(self, arrays: StructureArrays) -> np.ndarray:
        """`compute_targets`, whose rows must be as many as `target_rows` says, and finite."""
        found = self.compute_targets(arrays)
        of_sites = self.target_rows == "site"
        n_rows, rows = (len(arrays.numbers), "each site") if of_sites else (1, "the structure")
        numbers = isinstance(found, np.ndarray) and found.dtype.kind in "fiub"
        fits = numbers and found.ndim == 2 and len(found) == n_rows and found.shape[1] > 0
        shape = f"an array of numbers of shape ({n_rows}, k), one row for {rows}"
        self._must("compute_targets", shape, fits, found)
        small = bool((np.abs(found.astype("f8")) <= _LARGEST).all())  # False for NaN
        size = f"finite numbers of at most {_LARGEST:g}, best of about unit spread"
        self._must("compute_targets", size, small, found)
        return found

    def checked_corrupt(self, masked: MaskedBatch, generator: torch.Generator) -> MaskedBatch:
        """`corrupt`, which must return a batch with one distance for each edge."""
        found = self.corrupt(masked, generator)
        self._must("corrupt", "a MaskedBatch", isinstance(found, MaskedBatch), found)
        distances, n_edges = found.noised_distances, len(found.graphs.distances)
        fits = distances is None or _has_shape(distances, n_edges)
        shape = f"noised_distances of shape ({n_edges},), one for each edge, or None"
        self._must("corrupt", shape, fits, distances)
        return found

    def checked_result(
        self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch
    ) -> TaskResult:
        """`evaluate`, which must return a loss and two counts."""
        found = self.evaluate(head, hidden, masked)
        self._must("evaluate", "a TaskResult", isinstance(found, TaskResult), found)
        loss = found.loss
        floating = _has_shape(loss) and loss.is_floating_point()
        self._must("evaluate", "a loss of shape (), a float tensor", floating, loss)
        learns = loss.requires_grad or not torch.is_grad_enabled() or not found.n_items
        self._must("evaluate", "a loss with a gradient", learns, loss)
        for name, value in (("correct", found.correct), ("n_items", found.n_items)):
            number = isinstance(value, int) or _has_shape(value)
            self._must("evaluate", f"{name} as a number or a tensor of shape ()", number, value)
        return found

    def _must(self, method: str, expected: str, holds: bool, found: Any) -> None:
        if not holds:
            raise ParameterError(
                f"task {self.name}: {method} must return {expected}; got {_describe(found)}"
            )


def _check_methods(cls: type[PretrainingTask]) -> None:
    """Refuse a named class that lacks a method."""
    needed = ["make_head", "evaluate"] + (["compute_targets"] if cls.target_rows else [])
    computes = cls.compute_targets is not PretrainingTask.compute_targets
    missing = [
        name
        for name in needed
        if getattr(cls, name) is getattr(PretrainingTask, name)
        or getattr(getattr(cls, name), "__isabstractmethod__", False)
    ]
    if missing:
        raise ParameterError(f"task {cls.__name__} lacks the method {' and '.join(missing)}")
    if cls.target_rows not in ("site", "structure", None) or (computes and not cls.target_rows):
        raise ParameterError(
            f"task {cls.__name__}: target_rows={cls.target_rows!r} must be 'site' or 'structure', "
            "which says for what compute_targets gives a row"
            + ("" if computes else ", or None without compute_targets")
        )


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _has_shape(value: Any, *shape: int) -> bool:
    return isinstance(value, Tensor) and value.shape == shape


def _describe(found: Any) -> str:
    """Type of a value, with the shape of an array and its largest number."""
    if isinstance(found, np.ndarray | Tensor):
        text = f"{type(found).__name__} of shape {tuple(found.shape)} and type {found.dtype}"
        if isinstance(found, np.ndarray) and found.dtype.kind in "fiub" and found.size:
            text += f", largest {np.abs(found.astype('f8')).max():g}"
        return text
    return f"{found!r}" if found is None or isinstance(found, int | float) else type(found).__name__


def classify(logits: Tensor, classes: Tensor) -> TaskResult:
    """Cross-entropy and number of right classes; an empty batch has the loss 0.

    Parameters
    ----------
    logits : Tensor, shape (n_items, n_classes)
        Predictions.
    classes : Tensor of int64, shape (n_items,)
        True classes.

    Returns
    -------
    TaskResult
        Right is an item whose largest logit is that of its class.

    Raises
    ------
    ParameterError
        If the shapes do not fit together.
    """
    if logits.ndim != 2 or classes.shape != logits.shape[:1]:
        raise ParameterError(
            f"logits of shape {tuple(logits.shape)} and classes of shape {tuple(classes.shape)} "
            "must have the shapes (n_items, n_classes) and (n_items,)"
        )
    loss = F.cross_entropy(logits, classes, reduction="sum") / max(len(classes), 1)
    return TaskResult(loss, (logits.argmax(1) == classes).sum(), len(classes))


def regress(predicted: Tensor, targets: Tensor) -> TaskResult:
    """Huber loss of rows.

    Parameters
    ----------
    predicted, targets : Tensor, shape (n_items, n_values)
        In units of about the spread of the targets.

    Returns
    -------
    TaskResult
        Right is an item whose root of the mean squared error is below 0.5.

    Raises
    ------
    ParameterError
        If the shapes differ.
    """
    if predicted.shape != targets.shape:
        raise ParameterError(
            f"predictions of shape {tuple(predicted.shape)} and targets of shape "
            f"{tuple(targets.shape)} must have the same shape; look at the head's last layer"
        )
    predicted = predicted.float()
    # Column by column: a sum of all at once has other last digits for each number of threads.
    losses = F.huber_loss(predicted, targets, reduction="none").sum(dim=0)
    loss = losses.sum() / max(targets.numel(), 1)
    near = (predicted.detach() - targets).square().mean(dim=1) < 0.25
    return TaskResult(loss, near.sum(), len(targets))
