"""A folder of checkpoints belongs to one run, which its settings tell from others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ssatom.exceptions import ParameterError


def claim(folder: Path, mine: dict[str, Any]) -> None:
    """Make a folder this run's; refuse one in which another recipe runs."""
    path = folder / "settings.json"
    if path.exists() and (kept := json.loads(path.read_text())) != mine:
        differing = [k for k in mine if kept.get(k) != mine[k]]
        raise ParameterError(
            f"checkpoint_dir {folder} holds a run with another {' and '.join(differing)}; "
            "give another folder, or the same settings to go on with that run"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(mine, indent=1))
