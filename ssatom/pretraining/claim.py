"""A folder of checkpoints belongs to one run, which its settings tell from others."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ssatom.exceptions import ParameterError
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
    path = folder / "settings.json"
    mine = json.loads(json.dumps(settings, default=plain_number))
    if path.exists():
        kept = _read(path)
        # A setting that did not exist when the run began has its default there.
        kept["recipe"] = {k: DEFAULTS.get(k) for k in mine["recipe"]} | kept["recipe"]
        if differing := _differences(kept, mine):
            raise ParameterError(
                f"checkpoint_dir {folder} holds another run: {differing}; give another folder, or "
                "the same settings to go on with that run"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")  # processes side by side may all write
    new.write_text(json.dumps(mine, indent=1))
    os.replace(new, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except ValueError:
        raise ParameterError(
            f"{path} cannot be read; remove the folder to start anew, or give another "
            "checkpoint_dir"
        ) from None


def _differences(kept: dict[str, Any], mine: dict[str, Any]) -> str:
    """Settings that differ, as words; "" if none does."""
    said = []
    for part in {**kept, **mine}:
        old, new = kept.get(part), mine.get(part)
        if not (isinstance(old, dict) and isinstance(new, dict)):
            old, new = {part: old}, {part: new}
        said += [
            f"{name} was {old.get(name)!r} and is {new.get(name)!r}"
            for name in {**old, **new}
            if old.get(name) != new.get(name)
        ]
    return ", ".join(said)
