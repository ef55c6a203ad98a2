"""Rows of Parquet and Excel files as CSV has them: texts, of which the first names the columns."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import orjson

from ssatom.corpora._formats import open_binary
from ssatom.limits import MAX_RATIO, unpacked_limit

_BATCH = 256  # rows
_MOST_CELLS = 20_000_000  # of a sheet whose stated size is believed


def kind_of_sheet(path: Path) -> str | None:
    """The ending by which `SHEETS` knows a file, None if it does not."""
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    return ending if ending in SHEETS else None


def cell_text(value: Any) -> str:
    """A cell as text, a dict as JSON; lines of a longer text stay as they are."""
    if value is None or value != value:
        return ""
    if isinstance(value, dict | list):
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    stripped = text.strip()
    return text if "\n" in stripped else stripped


def _rows(path: Path, read: Callable[[Any], Iterable[Iterable[Any]]]) -> Iterator[list[str]]:
    try:
        with open_binary(path) as file:
            for row in read(file):
                yield [cell_text(cell) for cell in row]
        return
    except OSError:
        raise
    except ImportError:
        problem = "Excel files need openpyxl: pip install 'ssatom[excel]'"
    except Exception as error:  # the libraries raise errors of many kinds
        problem = f"{type(error).__name__}: {str(error)[:200]}"
    raise OSError(problem)


def _parquet(file: Any) -> Iterator[Iterable[Any]]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    parquet = ParquetFile(file)
    texts = [field.name for field in parquet.schema_arrow if pa.types.is_string(field.type)]
    # As a dictionary, a long text that comes again in many rows is held once.
    parquet = ParquetFile(file, read_dictionary=texts)
    metadata = parquet.metadata
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        columns = (group.column(k).total_uncompressed_size for k in range(group.num_columns))
        _check_size(sum(columns), file)
    names = []
    for field in parquet.schema_arrow:
        name = field.name
        if name.startswith("__index_level_"):  # of a DataFrame: ids if it is text, or a plain count
            is_text = "string" in str(field.type)
            name = "id" if is_text and "id" not in parquet.schema_arrow.names else ""
        names.append(name)
    yield names
    for batch in parquet.iter_batches(_BATCH):
        for i in range(len(batch)):  # one row at a time, for the same reason
            yield [column[i].as_py() for column in batch.columns]


def _excel(file: Any) -> Iterator[Iterable[Any]]:
    from openpyxl import load_workbook

    with ZipFile(file) as archive:
        _check_size(sum(one.file_size for one in archive.infolist()), file)
    sheet = load_workbook(file, read_only=True, data_only=True).active
    if (sheet.max_row or 0) * (sheet.max_column or 0) > _MOST_CELLS:
        sheet.reset_dimensions()  # what a sheet states may be a million rows too large
    width = 0
    for row in sheet.iter_rows(values_only=True):
        width = width or len(row)
        yield row + (None,) * (width - len(row))


def _check_size(unpacked: int, file: Any) -> None:
    packed = file.seek(0, os.SEEK_END)
    file.seek(0)
    if unpacked > unpacked_limit(packed):
        raise OSError(f"it unpacks to {unpacked:,} bytes, over {MAX_RATIO} times its own size")


SHEETS: dict[str, Callable[[Path], Iterator[list[str]]]] = {
    ".parquet": lambda path: _rows(path, _parquet),
    ".xlsx": lambda path: _rows(path, _excel),
}
"""Readers of files of rows by their endings."""
