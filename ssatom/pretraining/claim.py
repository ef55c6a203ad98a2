"""A folder of checkpoints belongs to one run, which its settings tell from others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssatom.exceptions import ParameterError
from ssatom.files import keep_settings
from ssatom.recipe import DEFAULTS, plain_number


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
    wanted: Any = settings["recipe"]

    def with_defaults(kept: dict[str, Any]) -> dict[str, Any]:
        """Settings that did not exist when the run began have their defaults there."""
        return {**kept, "recipe": {name: DEFAULTS.get(name) for name in wanted} | kept["recipe"]}

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    try:
        changes = keep_settings(path, settings, default=plain_number, upgrade=with_defaults)
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
