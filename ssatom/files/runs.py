"""Runs that are resumed with the settings they began with, and with no others."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ssatom.files.atomic import write_json


def keep_settings(
    path: Path,
    settings: Mapping[str, Any],
    *,
    default: Callable[[Any], Any] | None = None,
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    unsaid: Collection[str] = (),
) -> str:
    """Write the settings of a run that begins, or tell how they differ from an earlier one's.

    The answer is "" if they are the same, or there were none. Entries that are mappings are
    compared entry by entry, and values of the entries `unsaid` are too long to be told. `default`
    makes values plain that JSON does not know; `upgrade` turns settings that an older version kept
    into today's words. Raises ValueError if the file is damaged.
    """
    mine = json.loads(json.dumps(settings, default=default))
    if not path.exists():
        write_json(path, mine)
        return ""
    kept = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(kept, dict):
        raise ValueError(f"{path} holds no settings")
    kept = upgrade(kept) if upgrade else kept
    return ", ".join(
        name if name in unsaid else f"{name} was {old!r} and is {new!r}"
        for name, (old, new) in differing(kept, mine).items()
    )


def differing(kept: Mapping[str, Any], mine: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Entries that differ, with both values; entries of mappings by their own names."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in {**kept, **mine}:
        old, new = kept.get(name), mine.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found |= differing(old, new)
        elif old != new:
            found[name] = (old, new)
    return found
