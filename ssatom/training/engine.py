"""The training itself, whose loop is Lightning's, with its settings and the order of batches."""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment

from ssatom.exceptions import ParameterError
from ssatom.processes import own_rows, processes
from ssatom.training.callbacks import (
    BEST,
    LAST,
    VALIDATION_LOSS,
    Checkpoints,
    History,
    NewEpoch,
    ProgressBar,
    Stop,
)
from ssatom.training.process import forget_old_products, training_settings
from ssatom.validation import number, whole_number
from ssatom.warn import ignore_for_good


@dataclass(frozen=True)
class TrainingConfig:
    """How long and where to train.

    Parameters
    ----------
    max_epochs : int, default=100
        Epochs at most.
    patience : int or None, default=10
        Stop when the validation loss has not fallen for so many epochs; None never stops early.
    min_delta : float, default=0.0
        What counts as a fall.
    time_budget : float or None, default=None
        Seconds of this call after which the epoch under way is the last one.
    checkpoint_dir : path or None, default=None
        Folder of checkpoints. A run that finds some there goes on from the last.
    gradient_clip : float or None, default=None
        Largest norm of the gradient.
    device : str, default="auto"
        "auto", "cpu", "cuda", one GPU of several such as "cuda:1", or another accelerator that
        Lightning knows.
    n_devices : int, default=1
        Number of devices (or processes on a CPU), trained side by side by Lightning's DDP; several
        need a `checkpoint_dir`.
    random_state : int, default=0
        Seed of every draw.
    progress_bar : bool, default=True
        Show progress, on stderr, in a terminal or a notebook.
    label : str, default=""
        What is trained, for the progress bar.

    Raises
    ------
    ParameterError
        If a setting is out of range.
    """

    max_epochs: int = 100
    patience: int | None = 10
    min_delta: float = 0.0
    time_budget: float | None = None
    checkpoint_dir: str | Path | None = None
    gradient_clip: float | None = None
    device: str = "auto"
    n_devices: int = 1
    random_state: int = 0
    progress_bar: bool = True
    label: str = ""

    def __post_init__(self) -> None:
        whole_number("max_epochs", self.max_epochs, least=1)
        whole_number("n_devices", self.n_devices, least=1)
        number("min_delta", self.min_delta, "[0, inf)")
        if self.patience is not None:
            whole_number("patience", self.patience, least=1)
        if self.time_budget is not None:
            number("time_budget", self.time_budget, "[0, inf)")
        if ":" in self.device and self.n_devices > 1:
            raise ParameterError(
                f"device={self.device!r} is one device, but n_devices={self.n_devices}; give "
                f"device={self.device.partition(':')[0]!r}, or n_devices=1"
            )
        if self.n_devices > 1 and self.checkpoint_dir is None:
            raise ParameterError(
                f"n_devices={self.n_devices} needs a checkpoint_dir, through whose files the "
                "processes share graphs and weights; give one"
            )


class BatchLoader:
    """Batches of one epoch after the other, shuffled anew each from the seed and the epoch alone.

    Processes that train side by side share each step: together they take the rows that one process
    with a `batch_size` as many times as large would take.

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
        return -(-len(self.indices) // self._n_rows())

    def _n_rows(self) -> int:
        """Rows of a step, of all processes together."""
        return self.batch_size * processes()[1]

    def __iter__(self) -> Iterator[Any]:
        indices = self.indices
        if self.shuffle:
            indices = np.random.default_rng([self.seed, self.epoch]).permutation(indices)
        for start in range(0, len(indices), self._n_rows()):
            yield self.make_batch(own_rows(indices[start : start + self._n_rows()]))


def _check_epochs(last: Path, history: History, max_epochs: int) -> None:
    """Refuse to go back behind what a checkpoint has done."""
    kept = torch.load(last, map_location="cpu", weights_only=True)["callbacks"]
    n_done = len(kept[history.state_key]["rows"])
    if n_done > max_epochs:
        raise ParameterError(
            f"max_epochs={max_epochs}, but the run in {last.parent} has done {n_done}; give at "
            "least as many, or another folder"
        )


def _placement(config: TrainingConfig) -> dict[str, Any]:
    """Where to train, as Lightning takes it."""
    accelerator, _, index = config.device.partition(":")
    placement: dict[str, Any] = {"accelerator": accelerator, "devices": config.n_devices}
    # Else it would take the tasks of a batch system's job for processes of this training.
    placement["plugins"] = [LightningEnvironment()]
    if index:
        placement["devices"] = [int(index)]
    if config.n_devices > 1:
        if hasattr(sys, "ps1"):  # Lightning would fork this process, which torch's threads forbid
            raise ParameterError(
                f"n_devices={config.n_devices} starts processes that run the script again, and a "
                "notebook is none; use a script, `ssatom pretrain`, or n_devices=1"
            )
        placement["strategy"] = "ddp"
    return placement


# What Lightning warns of though it is meant: a name of PyTorch's that newer versions call
# deprecated, an encoder in evaluation mode, a GPU to be left alone, a batch of a single site.
_LIGHTNINGS_OWN = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"Found \d+ module\(s\) in eval mode at the start of training",
    "GPU available but not used",
    "`training_step` returned `None`",
)


class _Trainer(pl.Trainer):
    """Lightning's trainer without its check before the first epoch.

    Around that check, which is not wanted here, it reads and sets the global random states of the
    process, where other threads may be drawing.
    """

    def _run_stage(self) -> Any:
        self.strategy.barrier("run-stage")
        self.fit_loop.run()


def train(
    module: pl.LightningModule,
    train_loader: BatchLoader,
    validation_loader: BatchLoader,
    config: TrainingConfig,
) -> pd.DataFrame:
    """Train a module and leave it with the weights of its best epoch.

    Parameters
    ----------
    module : LightningModule
        Logs `VALIDATION_LOSS` once an epoch.
    train_loader, validation_loader : BatchLoader
        Batches to learn from, and held back.
    config : TrainingConfig
        How long and where.

    Returns
    -------
    DataFrame
        One row an epoch: ``epoch`` and every metric that the module logged.

    Raises
    ------
    ParameterError
        If the run in `checkpoint_dir` has more epochs than `max_epochs`.
    KeyboardInterrupt
        If stopped by hand; finished epochs are in `checkpoint_dir`.
    """
    history = History()
    forget_old_products()
    for message in _LIGHTNINGS_OWN:
        ignore_for_good(message)
    with contextlib.ExitStack() as stack:
        stack.enter_context(training_settings())
        folder = Path(config.checkpoint_dir or stack.enter_context(tempfile.TemporaryDirectory()))
        in_memory = config.checkpoint_dir is None and config.n_devices == 1  # processes need files
        checkpoints = Checkpoints(None if in_memory else folder, history)
        callbacks = [
            history,
            Stop(history, config),
            NewEpoch(config.random_state),
            checkpoints,
            ProgressBar(config),
        ]
        trainer = _Trainer(
            **_placement(config),
            max_epochs=config.max_epochs,
            callbacks=callbacks,
            gradient_clip_val=config.gradient_clip,
            enable_progress_bar=False,  # it writes to stdout; ours is a callback
            enable_model_summary=False,
            logger=False,
            use_distributed_sampler=False,  # ours knows of the other processes
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        last = folder / LAST
        if last.exists():
            _check_epochs(last, history, config.max_epochs)
        try:
            trainer.fit(
                module,
                train_loader,
                validation_loader,
                ckpt_path=last if last.exists() else None,
                weights_only=True,
            )
        except SystemExit:  # what Lightning makes of Ctrl-C, which would end a notebook or script
            if trainer.interrupted:
                raise KeyboardInterrupt from None
            raise
        best = checkpoints.best
        if not in_memory:
            best = torch.load(folder / BEST, map_location="cpu", weights_only=True)["state_dict"]
        module.load_state_dict(best)
    return pd.DataFrame(history.rows)


def best_epoch(history: pd.DataFrame, what: str, learning_rate: float) -> pd.Series:
    """Row of the first epoch with the lowest validation loss, whose weights are kept.

    Raises ParameterError if no epoch had a finite one; the message names `what` was trained, and
    the `learning_rate`.
    """
    losses = history[VALIDATION_LOSS]
    if not math.isfinite(losses.min()):
        raise ParameterError(
            f"{what} diverged at learning_rate={learning_rate!r}: the validation loss was never "
            "finite; give a lower learning_rate"
        )
    return history.iloc[int(losses.argmin())]
