"""A folder of checkpoints belongs to one run, which its settings tell from others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ssatom.encoder import EncoderConfig
from ssatom.exceptions import ParameterError
from ssatom.files import keep_settings


def claim(folder: Path, settings: dict[str, dict[str, Any] | str]) -> None:
    """Make a folder this run's; refuse one in which another recipe runs.

    Parameters
    ----------
    folder : path
        Made as needed.
    settings : dict
        What tells runs apart, in parts.

    Raises
    ------
    ParameterError
        If the folder is another run's, with what differs, or its settings cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    try:
        changes = keep_settings(path, settings, default=as_plain, upgrade=_with_all_sizes)
    except ValueError:
        raise ParameterError(
            f"{path} cannot be read; remove the folder to start anew, or give another "
            "checkpoint_dir"
        ) from None
    if changes:
        raise ParameterError(
            f"checkpoint_dir {folder} holds another run: {changes}; give another folder, or the "
            "same settings to go on with that run"
        )


def _with_all_sizes(kept: dict[str, Any]) -> dict[str, Any]:
    """Settings with the encoder's sizes that did not exist when the run began."""
    return {**kept, "encoder": EncoderConfig(**kept["encoder"]).to_dict()}


def as_plain(value: Any) -> Any:
    """The value, a NumPy number as Python's, which JSON can hold."""
    return value.item() if isinstance(value, np.generic) else value
