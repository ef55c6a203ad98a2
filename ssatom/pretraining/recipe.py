"""The recipe of a set of weights as a small file that `ssatom pretrain --config` takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssatom.pretraining.claim import as_plain

RECIPE = "recipe.toml"
"""Name of the file in a folder of weights."""


def write_recipe(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write settings, options of ``ssatom pretrain`` by their names, into a folder of weights.

    Parameters
    ----------
    folder : path
        It must exist.
    settings : mapping
        Numbers, texts, bools and lists of texts. What is None is left out.
    """
    name = folder.resolve().name
    lines = [f"# ssatom pretrain --config {name}/{RECIPE} CORPUS -o FOLDER"]
    # What JSON writes of such values is TOML too.
    lines += [
        f"{key} = {json.dumps(value, ensure_ascii=False, default=as_plain)}"
        for key, value in settings.items()
        if value is not None
    ]
    (folder / RECIPE).write_text("\n".join(lines) + "\n", encoding="utf-8")
