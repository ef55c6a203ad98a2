"""Writers of the kinds of tables, from parts, with flat memory."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ssatom.cli._items import pieces
from ssatom.cli._parts import PartFolder
from ssatom.cli._screen import plain_cell, say

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
