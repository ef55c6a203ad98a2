"""Caches of embeddings: in memory, bounded in bytes, and on disk."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from cachetools import LRUCache

from ssatom.exceptions import ParameterError, SsatomError
from ssatom.warn import warn_user

MAX_BYTES = 512 * 2**20
"""Bound of the process-wide cache."""

_Value = TypeVar("_Value")


class CachedRow(NamedTuple):
    """The cached result of one structure.

    `states`, of shape (n_rows, n_columns), are read-only, since callers share them; `remarks` say
    what is unusual about its graph, of which every call warns.
    """

    states: np.ndarray
    remarks: tuple[str, ...] = ()


class MemoryCache(Generic[_Value]):
    """Values by key, bounded in bytes; at the bound, the least recently used are dropped."""

    def __init__(self, max_bytes: int, n_bytes: Callable[[_Value], int]) -> None:
        self._values: LRUCache[Any, _Value] = LRUCache(max_bytes, n_bytes)
        self._lock = Lock()

    @property
    def n_bytes(self) -> int:
        """Bytes of all values."""
        return int(self._values.currsize)

    def get(self, key: Any) -> _Value | None:
        """The value of `key`, or None."""
        with self._lock:
            return self._values.get(key)

    def put(self, key: Any, value: _Value) -> None:
        """Store a value, which callers share, unless it is larger than the bound."""
        with self._lock, suppress(ValueError):
            self._values[key] = value

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._values.clear()


CACHE: MemoryCache[CachedRow] = MemoryCache(MAX_BYTES, lambda row: row.states.nbytes)


# The number of the layout is in the name: files of other layouts keep their tables, unread.
_TABLE = "rows_2"
_COLUMNS = "key BLOB PRIMARY KEY, row BLOB, remarks TEXT, digest BLOB"


class DiskCache:
    """Rows by key in one SQLite file, which processes may share.

    A file a row, as joblib's own `Memory` keeps them, would cost more time than computing. Each row
    has a digest: one that is damaged is as one that is not there. A file that cannot be used at all
    is told of once, and is as an empty one.
    """

    def __init__(self, folder: Path, name: str = "embeddings") -> None:
        self.path = folder / "ssatom" / f"{name}.sqlite"
        self._works = True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SsatomError(
                f"memory: '{self.path.parent}' cannot be made ({error.strerror}); give a folder "
                "that can be written to"
            ) from error
        with self._open() as connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {_TABLE} ({_COLUMNS})")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            self._works = False
            warn_user(
                UserWarning(
                    f"memory: '{self.path}' cannot be used ({error}); what it holds is computed "
                    "anew, and nothing is kept there; delete it, or make room"
                )
            )

    def get(self, keys: Sequence[bytes], n_columns: int) -> dict[bytes, CachedRow]:
        """The rows there are, unharmed."""
        found: dict[bytes, CachedRow] = {}
        if not self._works:
            return found
        with self._open() as connection:
            for start in range(0, len(keys), 500):  # SQLite bounds the number of places
                part = keys[start : start + 500]
                marks = ",".join("?" * len(part))
                query = f"SELECT * FROM {_TABLE} WHERE key IN ({marks})"  # noqa: S608
                for key, row, remarks, digest in connection.execute(query, part):
                    if digest == _digest(key, row, remarks):
                        states = np.frombuffer(row, dtype="<f4").reshape(-1, n_columns)
                        found[key] = CachedRow(states, tuple(json.loads(remarks)))
        return found

    def put(self, rows: Mapping[bytes, CachedRow]) -> None:
        """Write rows, in place of any of the same keys."""
        values = []
        for key, row in rows.items():
            states = np.ascontiguousarray(row.states, dtype="<f4").tobytes()
            remarks = json.dumps(row.remarks)
            values.append((key, states, remarks, _digest(key, states, remarks)))
        if self._works:
            with self._open() as connection:
                query = f"REPLACE INTO {_TABLE} VALUES (?, ?, ?, ?)"  # noqa: S608
                connection.executemany(query, values)


def _digest(key: Any, row: Any, remarks: Any) -> bytes:
    """Of all that is kept of a row; what is damaged may be of any type."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (key, row, remarks):
        content = part if isinstance(part, bytes) else str(part).encode(errors="replace")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.digest()


def disk_cache(memory: Any) -> DiskCache | None:
    """The disk cache of a `memory` argument: None, a path or a `joblib.Memory`."""
    location = getattr(memory, "location", memory)
    if location is None:
        return None
    if not isinstance(location, str | os.PathLike):
        raise ParameterError(
            f"memory={memory!r} must be None, the path of a folder or a joblib.Memory"
        )
    return DiskCache(Path(location))
