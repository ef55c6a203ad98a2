"""The one training engine, which pretraining and the estimators share.

Lightning runs the loop. This room settles what must be the same everywhere: the order of the
batches and every draw follow from the seed and the epoch, so that a run that was cut off goes
on exactly as it would have; nothing is printed but a progress bar, and nothing is written but
the checkpoints that were asked for.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, TQDMProgressBar
from torch.utils.data import DataLoader, Dataset, Sampler

from ssatom.exceptions import ParameterError

VALIDATION_LOSS = "validation_loss"
"""Metric that every module must log: early stopping and the choice of the best epoch use it."""

STEP_LOSS = "loss"
"""Metric of single steps, for the progress bar alone."""

_BEST, _LAST = "best.ckpt", "last.ckpt"


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
        "auto", "cpu", "cuda" or another accelerator that Lightning knows.
    n_devices : int, default=1
        Number of devices (or processes on a CPU), trained side by side by Lightning's DDP.
    random_state : int, default=0
        Seed of every draw.
    progress_bar : bool, default=True
        Whether to show progress.

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

    def __post_init__(self) -> None:
        rules = {
            "max_epochs": (self.max_epochs >= 1, "at least 1"),
            "patience": (self.patience is None or self.patience >= 1, "None or at least 1"),
            "min_delta": (self.min_delta >= 0, "0 or more"),
            "time_budget": (self.time_budget is None or self.time_budget >= 0, "None or 0 or more"),
            "n_devices": (self.n_devices >= 1, "at least 1"),
        }
        for name, (holds, allowed) in rules.items():
            if not holds:
                raise ParameterError(f"{name}={getattr(self, name)!r} must be {allowed}")


class _BatchSampler(Sampler[np.ndarray]):
    """Index arrays of batches, shuffled anew each epoch from the seed and the epoch alone.

    Processes that train side by side take turns at the batches of one order; the last ones
    begin again from the first, so that all have as many.
    """

    def __init__(self, indices: np.ndarray, batch_size: int, shuffle: bool, seed: int) -> None:
        self.indices = np.asarray(indices)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self._starts()) // _processes()[1])

    def _starts(self) -> range:
        return range(0, len(self.indices), self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        indices = self.indices
        if self.shuffle:
            indices = np.random.default_rng([self.seed, self.epoch]).permutation(indices)
        (rank, n_processes), starts = _processes(), self._starts()
        for turn in range(len(self)):
            start = starts[(rank + turn * n_processes) % len(starts)]
            yield indices[start : start + self.batch_size]


def _processes() -> tuple[int, int]:
    """Rank of this process among those that train side by side, and their number."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class _BatchDataset(Dataset):
    def __init__(self, make_batch: Callable[[np.ndarray], Any]) -> None:
        self.make_batch = make_batch

    def __getitem__(self, indices: np.ndarray) -> Any:
        return self.make_batch(indices)


def batch_loader(
    make_batch: Callable[[np.ndarray], Any],
    indices: np.ndarray,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
) -> DataLoader:
    """Loader of batches that `make_batch` builds from arrays of indices.

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

    Returns
    -------
    DataLoader
        For `train`.
    """
    sampler = _BatchSampler(indices, batch_size, shuffle, seed)
    # With a generator of its own the loader takes no draw from the global one, where a resumed
    # run would take it at another time.
    return DataLoader(
        _BatchDataset(make_batch), sampler=sampler, batch_size=None, generator=torch.Generator()
    )


class _History(Callback):
    """Metrics of every epoch; part of the checkpoint, so that a resumed run has them all."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k != STEP_LOSS}
        self.rows.append({"epoch": trainer.current_epoch + 1, **metrics})

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning shows a plateau schedule the loss only after the epoch's checkpoint is
        # written; a resumed run makes up for it.
        for schedule in trainer.lr_scheduler_configs:
            behind = schedule.reduce_on_plateau and schedule.scheduler.last_epoch < len(self.rows)
            if behind:
                loss = self.rows[-1][schedule.monitor or VALIDATION_LOSS]
                schedule.scheduler.step(loss)  # type: ignore[arg-type]

    def best_is_last(self) -> bool:
        """Whether no earlier epoch had a validation loss as low as the last one."""
        losses = [row[VALIDATION_LOSS] for row in self.rows]
        losses = [loss if math.isfinite(loss) else math.inf for loss in losses]
        return losses.index(min(losses)) == len(losses) - 1

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]


class _Checkpoints(Checkpoint):
    """Write every epoch's state over the last one's, and keep that of the best epoch too.

    The best goes first: cut off in between, a resumed run repeats the epoch and writes both.
    Without a folder the best stays in memory, since files take longer than a small epoch.
    """

    def __init__(self, folder: Path | None, history: _History) -> None:
        self.folder = folder
        self.history = history
        self.best: dict[str, torch.Tensor] = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        is_best = self.history.best_is_last()
        if self.folder is None:
            if is_best:
                self.best = {k: v.detach().clone() for k, v in pl_module.state_dict().items()}
            return
        if is_best:
            trainer.save_checkpoint(self.folder / _BEST)
        trainer.save_checkpoint(self.folder / _LAST)


class _Stop(Callback):
    """End a run whose loss is flat, or whose time is over.

    Flatness is read from the history, so that a resumed run stops where the whole one would
    have, and may be given more patience; the time is that of this call.
    """

    def __init__(self, history: _History, config: TrainingConfig) -> None:
        self.history = history
        self.config = config
        self.deadline = math.inf

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.config.time_budget is not None:
            self.deadline = time.monotonic() + self.config.time_budget
        trainer.should_stop = trainer.should_stop or self._is_flat()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stop = self._is_flat() or time.monotonic() >= self.deadline
        trainer.should_stop = trainer.should_stop or trainer.strategy.broadcast(stop)

    def _is_flat(self) -> bool:
        if self.config.patience is None:
            return False
        best, waited = math.inf, 0
        for row in self.history.rows:
            loss = row[VALIDATION_LOSS]
            if not math.isfinite(loss):
                return True
            fell = loss < best - self.config.min_delta
            best, waited = (loss, 0) if fell else (best, waited + 1)
        return waited >= self.config.patience


class _Reseed(Callback):
    """Draws inside an epoch (dropout) follow from the epoch, so that resuming repeats them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.manual_seed(self.seed + trainer.current_epoch)


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """No banners, tips and advice about worker processes, which would slow this down."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)


_MALLOPT_TRIM_THRESHOLD, _MALLOPT_MMAP_THRESHOLD = -1, -3


@contextlib.contextmanager
def _keep_freed_memory() -> Iterator[None]:
    """Let glibc keep large freed blocks, which a training step asks for again at once.

    Else every step returns them to the system and takes the page faults of new ones, which
    cost as much time as the arithmetic.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        mallopt, trim = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):  # another C library
        yield
        return
    mallopt(_MALLOPT_MMAP_THRESHOLD, 1 << 30)
    mallopt(_MALLOPT_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        mallopt(_MALLOPT_MMAP_THRESHOLD, 32 << 20)  # where glibc's own adjustment ends
        mallopt(_MALLOPT_TRIM_THRESHOLD, 64 << 20)
        trim(0)


def _check_epochs(last: Path, history: _History, max_epochs: int) -> None:
    """Refuse to go back behind what a checkpoint has done."""
    kept = torch.load(last, map_location="cpu", weights_only=True)["callbacks"]
    n_done = len(kept[history.state_key]["rows"])
    if n_done > max_epochs:
        raise ParameterError(
            f"max_epochs={max_epochs}, but the run in {last.parent} has done {n_done}; give at "
            "least as many, or another folder"
        )


def train(
    module: pl.LightningModule,
    train_loader: DataLoader,
    validation_loader: DataLoader,
    config: TrainingConfig,
) -> pd.DataFrame:
    """Train a module and leave it with the weights of its best epoch.

    Parameters
    ----------
    module : LightningModule
        Logs `VALIDATION_LOSS` once an epoch.
    train_loader, validation_loader : DataLoader
        From `batch_loader`.
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
    """
    history = _History()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet_lightning())
        stack.enter_context(_keep_freed_memory())
        stack.enter_context(torch.random.fork_rng())
        folder = Path(config.checkpoint_dir or stack.enter_context(tempfile.TemporaryDirectory()))
        in_memory = config.checkpoint_dir is None and config.n_devices == 1  # processes need files
        checkpoints = _Checkpoints(None if in_memory else folder, history)
        callbacks = [history, _Stop(history, config), _Reseed(config.random_state), checkpoints]
        if config.progress_bar:
            callbacks.append(TQDMProgressBar())
        trainer = pl.Trainer(
            accelerator=config.device,
            devices=config.n_devices,
            max_epochs=config.max_epochs,
            callbacks=callbacks,
            gradient_clip_val=config.gradient_clip,
            enable_progress_bar=config.progress_bar,
            enable_model_summary=False,
            logger=False,
            use_distributed_sampler=False,  # ours knows of the other processes
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        last = folder / _LAST
        if last.exists():
            _check_epochs(last, history, config.max_epochs)
        trainer.fit(
            module,
            train_loader,
            validation_loader,
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
        best = checkpoints.best
        if not in_memory:
            best = torch.load(folder / _BEST, map_location="cpu", weights_only=True)["state_dict"]
        module.load_state_dict(best)
    return pd.DataFrame(history.rows)
