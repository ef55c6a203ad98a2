"""The training itself, whose loop is Lightning's."""

from __future__ import annotations

import contextlib
import math
import tempfile
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.plugins.environments import LightningEnvironment

from ssatom.exceptions import ParameterError
from ssatom.training.callbacks import (
    BEST,
    LAST,
    VALIDATION_LOSS,
    Checkpoints,
    History,
    NewEpoch,
    Stop,
)
from ssatom.training.config import TrainingConfig
from ssatom.training.loader import BatchLoader
from ssatom.training.process import forget_old_products, training_settings
from ssatom.warn import ignore_for_good


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
    if config.n_devices == 1:
        # Else it would take the tasks of a batch system's job for processes of this training.
        placement["plugins"] = [LightningEnvironment()]
        if index:
            placement["devices"] = [int(index)]
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
        callbacks = [history, Stop(history, config), NewEpoch(config.random_state), checkpoints]
        if config.progress_bar:
            callbacks.append(TQDMProgressBar())
        trainer = _Trainer(
            **_placement(config),
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
    """Row of the epoch whose weights are kept.

    Parameters
    ----------
    history : DataFrame
        From `train`.
    what : str
        Name of the training, for the message.
    learning_rate : float
        The parameter, for the message.

    Returns
    -------
    Series
        The first with the lowest validation loss.

    Raises
    ------
    ParameterError
        If no epoch had a finite validation loss.
    """
    losses = history[VALIDATION_LOSS]
    if not math.isfinite(losses.min()):
        raise ParameterError(
            f"{what} diverged at learning_rate={learning_rate!r}: the validation loss was never "
            "finite; give a lower learning_rate"
        )
    return history.iloc[int(losses.argmin())]
