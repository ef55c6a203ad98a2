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
    """Write the settings of a run that begins; compare them with those of one that began earlier.

    Parameters
    ----------
    path : Path
        JSON file of the settings, in a folder that exists.
    settings : mapping
        Of this run; entries that are mappings are compared entry by entry.
    default : callable, default=None
        Makes values plain that JSON does not know.
    upgrade : callable, default=None
        From settings that an older version kept to the same in today's words.
    unsaid : collection of str, default=()
        Entries whose values are too long to be told.

    Returns
    -------
    str
        How the settings differ; "" if they are the same, or there were none.

    Raises
    ------
    ValueError
        If the file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ssatom.files import keep_settings
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "settings.json")
    ...     keep_settings(file, {"layers": "01"}), keep_settings(file, {"layers": "012"})
    ('', "layers was '01' and is '012'")
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
    """Entries that differ.

    Parameters
    ----------
    kept, mine : mapping
        What is compared.

    Returns
    -------
    dict of str to tuple
        Both values by name; those of entries that are mappings by their own names.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for name in {**kept, **mine}:
        old, new = kept.get(name), mine.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found |= differing(old, new)
        elif old != new:
            found[name] = (old, new)
    return found
