"""What happens after each epoch: history, checkpoints, the end of a run, new draws."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint

from ssatom.progress import make_bar
from ssatom.repeatable import seed_dropout

if TYPE_CHECKING:
    from ssatom.training.engine import TrainingConfig

VALIDATION_LOSS = "validation_loss"
"""Metric that every module must log: early stopping and the choice of the best epoch use it."""

STEP_LOSS = "loss"
"""Metric of single steps, for the progress bar alone."""

BEST, LAST = "best.ckpt", "last.ckpt"


class History(Callback):
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


class Checkpoints(Checkpoint):
    """Write every epoch's state over the last one's, and keep that of the best epoch too.

    The best goes first: cut off in between, a resumed run repeats the epoch and writes both.
    Without a folder the best stays in memory, since files take longer than a small epoch.
    """

    def __init__(self, folder: Path | None, history: History) -> None:
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
            trainer.save_checkpoint(self.folder / BEST)
        trainer.save_checkpoint(self.folder / LAST)


class Stop(Callback):
    """End a run whose loss is flat, or whose time is over.

    Flatness is read from the history, so that a resumed run stops where the whole one would
    have, and may be given more patience; the time is that of this call.
    """

    def __init__(self, history: History, config: TrainingConfig) -> None:
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


class NewEpoch(Callback):
    """Order of batches and dropout follow from seed and epoch, so that resuming repeats them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loader: Any = trainer.train_dataloader
        loader.epoch = trainer.current_epoch
        process = trainer.global_rank << 40  # each drops units of its own
        seed_dropout(pl_module, self.seed + trainer.current_epoch + process, pl_module.device)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        seed_dropout(pl_module, None)


class ProgressBar(Callback):
    """One bar for the whole training: which epoch of how many, and the metrics of the last."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.bar: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            n_steps = int(trainer.num_training_batches)
            self.bar = make_bar(
                total=self.config.max_epochs * n_steps,
                initial=trainer.current_epoch * n_steps,
                desc=self.config.label,
                unit=" steps",
                leave=False,
                show=self.config.progress_bar,
            )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.bar is not None:
            name = f"{self.config.label}, " if self.config.label else ""
            epoch = f"epoch {trainer.current_epoch + 1}/{self.config.max_epochs}"
            self.bar.set_description(name + epoch, refresh=False)

    def on_train_batch_end(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.update()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.bar is not None and not self.bar.disable:
            self.bar.set_postfix(trainer.progress_bar_metrics)

    def on_train_end(self, *_: Any) -> None:
        self._close()

    def on_exception(self, *_: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
