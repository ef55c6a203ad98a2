"""A long table written part by part, so that memory does not grow and a run can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ssatom.corpora._read import files_of
from ssatom.exceptions import SsatomError
from ssatom.files import claim, file_sha256, is_leftover, keep_settings, replacing

_SETTINGS = "settings"  # no .json, which the readers of folders would take for crystals
_LOCK = "lock"
_NOTES = b"ssatom"
_PART = re.compile(r"\d{6,}\.arrow")


class PartFolder:
    """Folder of the parts of a table, held by one run at a time, with the settings of that run.

    A folder with other settings is refused, or begun anew with `restart`.
    """

    def __init__(self, path: Path, settings: dict[str, Any], restart: bool = False) -> None:
        self.path = path
        if path.exists() and not _is_ours(path):
            raise SsatomError(
                f"{path} is in the way: it holds no unfinished run; move it elsewhere"
            )
        path.mkdir(exist_ok=True)
        refusal = f"another run is at work in {path}; let it end, or give another --output"
        self._lock = claim(path / _LOCK, refusal)
        try:
            self._begin(settings, restart)
        except BaseException:
            self._lock.release()
            raise

    def _begin(self, settings: dict[str, Any], restart: bool) -> None:
        """Make the folder a run's of these settings, if it is not already."""
        kept = self.path / _SETTINGS
        if not kept.exists():  # parts of a run that was killed while it removed them
            self._clear()
        try:
            changes = keep_settings(kept, settings, unsaid=("inputs",))
        except ValueError:
            raise SsatomError(f"{kept} is damaged; delete the folder to start anew") from None
        if changes and not restart:
            raise SsatomError(
                f"{self.path} holds an unfinished run with other settings ({changes}); give the "
                "same command as then to go on with it, or --overwrite to start anew"
            )
        if changes:
            self._clear()
            keep_settings(kept, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def add(self, table: pa.Table, notes: dict[str, Any]) -> None:
        """Write one more part, with notes on it."""
        table = table.replace_schema_metadata({_NOTES: json.dumps({**notes, "n_rows": len(table)})})
        with replacing(self.path / f"{len(self.files()):06d}.arrow") as new:  # noqa: SIM117
            with (
                pa.OSFile(os.fsencode(new), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as w,
            ):
                w.write_table(table)

    def files(self) -> list[Path]:
        """Finished parts, in order."""
        return sorted(self.path.glob("*.arrow"))

    def notes(self) -> Iterator[dict[str, Any]]:
        """What was noted of each part, and its "n_rows"."""
        for file in self.files():
            with _opened(file) as part:
                yield json.loads(part.schema.metadata[_NOTES])

    def total(self, key: str) -> int:
        """Sum of a number that was noted of each part."""
        return sum(notes[key] for notes in self.notes())

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The parts one after the other, or some columns of them."""
        for file in self.files():
            with _opened(file) as part:
                table = part.read_all().replace_schema_metadata(None)
            yield table if columns is None else table.select(columns)

    def finish(self) -> None:
        """Drop the parts, whose table is written."""
        self._clear()
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)  # not if another run has just begun here

    def _clear(self) -> None:
        """Remove all parts, the settings first: parts without settings are never resumed."""
        (self.path / _SETTINGS).unlink(missing_ok=True)
        for file in self.path.iterdir():
            if file.name != _LOCK:
                file.unlink()


@contextmanager
def _opened(file: Path) -> Iterator[pa.ipc.RecordBatchFileReader]:
    try:
        with pa.OSFile(os.fsencode(file)) as source:
            yield pa.ipc.open_file(source)
    except pa.ArrowInvalid as error:
        raise SsatomError(
            f"{file} is damaged ({error}); delete '{file.parent}' to start anew"
        ) from error


def _is_ours(path: Path) -> bool:
    """Whether a run made the folder, perhaps one that was killed as it began or ended."""
    if not path.is_dir():
        return False
    names = {file.name for file in path.iterdir() if not is_leftover(file)}
    return _SETTINGS in names or all(name == _LOCK or _PART.fullmatch(name) for name in names)


def input_stamp(path: Path, structure_column: str | None = None) -> dict[str, Any]:
    """Names of the files of crystals and a hash of their content, which show any change.

    Times of files do not: copies keep them, and clocks may be set back.
    """
    digest, n_files = hashlib.sha256(), 0
    for file in files_of(path, structure_column):
        with suppress(OSError):  # of links that lead nowhere, and of folders
            digest.update(os.fsencode(file.name) + b"\0" + file_sha256(file).encode())
            n_files += 1
    return {"path": str(path.resolve()), "files": n_files, "sha256": digest.hexdigest()}
