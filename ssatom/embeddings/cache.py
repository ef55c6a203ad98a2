"""Embeddings that were computed before: in memory, bounded in bytes, and on disk if asked."""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ssatom.exceptions import ParameterError, SsatomError

MAX_BYTES = 512 * 2**20
"""Bound of the process-wide cache."""


class MemoryCache:
    """Arrays by key; the ones longest unused go first when the bound is reached.

    Parameters
    ----------
    max_bytes : int
        Bound on the bytes of all arrays together.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._arrays: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def get(self, key: bytes) -> np.ndarray | None:
        """The array of `key`, or None."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
            return self._arrays.get(key)

    def put(self, key: bytes, array: np.ndarray) -> None:
        """Keep `array`, which is made read-only since callers share it."""
        array.setflags(write=False)
        with self._lock:
            replaced = self._arrays.pop(key, None)
            self.n_bytes += array.nbytes - (0 if replaced is None else replaced.nbytes)
            self._arrays[key] = array
            while self.n_bytes > self.max_bytes:
                self.n_bytes -= self._arrays.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._arrays.clear()
            self.n_bytes = 0


CACHE = MemoryCache(MAX_BYTES)


def clear_cache() -> None:
    """Forget all embeddings kept in this process.

    Examples
    --------
    >>> from ssatom.embeddings import clear_cache
    >>> clear_cache()
    """
    CACHE.clear()


class DiskCache:
    """Arrays by key in one SQLite file, which processes may share.

    A file a row, as joblib's own `Memory` keeps them, would cost more time than computing.

    Parameters
    ----------
    folder : path
        Created if need be.
    name : str, default="embeddings"
        Of the file.
    """

    def __init__(self, folder: Path, name: str = "embeddings") -> None:
        self.path = folder / "ssatom" / f"{name}.sqlite"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, row BLOB)")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise SsatomError(
                f"memory: '{self.path}' cannot be used ({error}); it can be deleted, what it holds "
                "is computed again"
            ) from error

    def get(self, keys: Sequence[bytes], shape: tuple[int, ...]) -> dict[bytes, np.ndarray]:
        """The arrays there are; `shape` is that of one row of each."""
        found = {}
        with self._open() as connection:
            for start in range(0, len(keys), 500):  # SQLite bounds the number of places
                part = keys[start : start + 500]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, row FROM rows WHERE key IN ({marks})"  # noqa: S608
                for key, row in connection.execute(query, part):
                    found[key] = np.frombuffer(row, dtype="<f4").reshape(-1, *shape)
        return found

    def put(self, arrays: dict[bytes, np.ndarray]) -> None:
        """Write arrays of float32."""
        rows = [(key, np.ascontiguousarray(a, dtype="<f4").data) for key, a in arrays.items()]
        with self._open() as connection:
            connection.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", rows)


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
