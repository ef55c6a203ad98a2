"""How long and where to train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssatom.exceptions import ParameterError
from ssatom.validation import number, whole_number


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
