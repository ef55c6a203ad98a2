"""A long table in parts, so that memory is flat and a run can be resumed, and files of them all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ssatom.cli._items import pieces
from ssatom.cli._screen import plain_cell, say
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


# Files of all parts -------------------------------------------------------------------------------


_ROW_GROUP = 10_000  # rows of Parquet that are compressed together
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # fixed, so that equal features give equal files


def write_csv(path: Path, parts: PartFolder, schema: pa.Schema, _: dict[str, str]) -> None:
    """Comma-separated text; numbers have the digits that give the same float32 back.

    What a spreadsheet would run stands behind an apostrophe.
    """
    options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
    n_changed = 0
    with path.open("wb") as file:
        file.write(",".join(schema.names).encode() + b"\n")
        with pa.csv.CSVWriter(file, schema, write_options=options) as writer:
            for table in parts.tables():
                plain, n_more = _plain(table)
                n_changed += n_more
                writer.write(plain)
    if n_changed:
        say(
            f"warning: {n_changed:,} texts begin with =, +, - or @; in CSV they stand behind an "
            "apostrophe, so that no spreadsheet runs them (Parquet keeps them as they are)",
            err=True,
        )


def _plain(table: pa.Table) -> tuple[pa.Table, int]:
    """A table with `plain_cell` of all texts, and how many of them changed."""
    n_changed = 0
    for i, field in enumerate(table.schema):
        if field.type == pa.string():
            texts = table.column(i).to_pylist()
            plain = [None if text is None else plain_cell(text) for text in texts]
            if plain != texts:
                n_changed += sum(a != b for a, b in zip(plain, texts, strict=True))
                table = table.set_column(i, field, pa.array(plain, pa.string()))
    return table, n_changed


def write_parquet(path: Path, parts: PartFolder, schema: pa.Schema, about: dict[str, str]) -> None:
    """Parquet; `about` stands in the metadata of the schema under "ssatom"."""
    schema = schema.with_metadata({"ssatom": json.dumps(about)})
    texts = [field.name for field in schema if field.type == pa.string()]
    with (
        path.open("wb") as file,
        pa.parquet.ParquetWriter(file, schema, use_dictionary=texts) as writer,
    ):
        for tables in pieces(parts.tables(), len, _ROW_GROUP):
            writer.write_table(pa.concat_tables(tables).cast(schema))


def write_jsonl(path: Path, parts: PartFolder, _: pa.Schema, __: dict[str, str]) -> None:
    """JSON lines, an object a row."""
    with path.open("wb") as file:
        for table in parts.tables():
            file.writelines(orjson.dumps(row) + b"\n" for row in table.to_pylist())


def write_npz(path: Path, parts: PartFolder, schema: pa.Schema, about: dict[str, str]) -> None:
    """NumPy archive: all features as one matrix "features", whose columns "columns" names."""
    features = [field.name for field in schema if field.type == pa.float32()]
    n_rows = parts.total("n_rows")
    with zipfile.ZipFile(path, "w") as archive:
        for field in schema:
            if field.name not in features:
                dtype = _dtype(field, parts)
                values = (table.column(0).to_pylist() for table in parts.tables([field.name]))
                _stream(archive, field.name, (n_rows,), (np.array(v, dtype) for v in values), dtype)
        shape = (n_rows, len(features))
        _stream(archive, "features", shape, map(_matrix, parts.tables(features)), np.dtype("<f4"))
        for name, value in {"columns": features, **about}.items():
            array = np.array(value)
            _stream(archive, name, array.shape, [array], array.dtype)


def _dtype(field: pa.Field, parts: PartFolder) -> np.dtype:
    """NumPy's dtype of a column; of text, as wide as its longest."""
    if field.type != pa.string():
        return np.dtype("<i8")
    texts = (table.column(0).to_pylist() for table in parts.tables([field.name]))
    return np.dtype(f"<U{max((len(text) for column in texts for text in column), default=1) or 1}")


def _matrix(table: pa.Table) -> np.ndarray:
    return np.stack([column.to_numpy() for column in table.columns], axis=1)


def _stream(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    pieces: Iterable[np.ndarray],
    dtype: np.dtype,
) -> None:
    """Write an array into the archive, piece by piece."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    entry = zipfile.ZipInfo(f"{name}.npy", date_time=_ZIP_TIME)
    with archive.open(entry, "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece).tobytes())


WRITERS = {".csv": write_csv, ".parquet": write_parquet, ".npz": write_npz, ".jsonl": write_jsonl}
"""Writers by suffix; each takes the path, the parts, the schema, and what to say of the table."""
