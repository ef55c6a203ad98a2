"""Rows of Parquet and Excel files as CSV has them: texts, of which the first names the columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from ssatom.corpora._formats import open_binary

_BATCH = 256  # rows


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
    from pyarrow.parquet import ParquetFile

    parquet = ParquetFile(file)
    names = []
    for field in parquet.schema_arrow:
        name = field.name
        if name.startswith("__index_level_"):  # of a DataFrame: ids if it is text, or a plain count
            is_text = str(field.type).endswith("string")
            name = "id" if is_text and "id" not in parquet.schema_arrow.names else ""
        names.append(name)
    yield names
    for batch in parquet.iter_batches(_BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _excel(file: Any) -> Iterator[Iterable[Any]]:
    from openpyxl import load_workbook

    yield from load_workbook(file, read_only=True, data_only=True).active.iter_rows(
        values_only=True
    )


SHEETS: dict[str, Callable[[Path], Iterator[list[str]]]] = {
    ".parquet": lambda path: _rows(path, _parquet),
    ".xlsx": lambda path: _rows(path, _excel),
}
"""Readers of files of rows by their endings."""
