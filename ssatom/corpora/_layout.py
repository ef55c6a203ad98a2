"""How a table is written: separator, names of columns, and which holds the structures."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ssatom.corpora._formats import BROKEN, endings, open_binary
from ssatom.corpora._sheets import SHEETS, cell_text, kind_of_sheet
from ssatom.exceptions import ParameterError, StructureFileError, attempt, unwrap
from ssatom.limits import MAX_RECORD
from ssatom.structures._dicts import ID_KEYS
from ssatom.structures._text import is_text, listed, printable, shortened

PATH_COLUMNS = (
    *("structure", "path", "file", "filename", "cif", "poscar"),
    *("structure_path", "structure_file", "file_path", "file_name", "cif_path", "cif_file"),
)
"""Names of columns that may hold paths, in any case; the first one found is taken."""

_DELIMITERS = ",;\t|"
_HEAD = 10  # rows that tell how a table is written


class Layout(NamedTuple):
    """How a table is written."""

    delimiter: str
    columns: list[str]
    path_column: int
    has_names: bool


class Row(NamedTuple):
    """Cells of a row, or what is wrong with it, and the lines of the file that it takes up."""

    cells: list[str]
    problem: str
    first: int
    last: int


def table_layout(path: Path, structure_column: str | None = None) -> Layout:
    """Separator, columns, and which of them holds the paths.

    That is the `structure_column` if one is named, else one of `PATH_COLUMNS`, else the one whose
    cells name files. A table without a first line of names has the columns "structure",
    "column_1", "column_2", …. Raises ParameterError if there is no column of the name given, and
    StructureFileError if the table is empty or damaged, names a column twice, or has no paths.
    """
    return unwrap(attempt(_layout, path, structure_column, source=printable(str(path))))


def _layout(path: Path, structure_column: str | None) -> Layout:
    try:
        heads = {
            delimiter: [row.cells for row in islice(rows_of(path, delimiter), _HEAD) if row.cells]
            for delimiter in (_DELIMITERS if kind_of_sheet(path) is None else ",")
        }
    except BROKEN as error:
        raise StructureFileError(f"cannot be read as a table: {error}") from error
    folder = path.parent
    delimiter = max(heads, key=lambda sign: _fitness(folder, heads[sign], structure_column))
    if not (rows := heads[delimiter]):
        raise StructureFileError("this table is empty; its first line names the columns")
    has_names = _has_names(folder, rows[0], structure_column)
    columns = rows[0] if has_names else []
    found = _path_column(folder, columns, rows[has_names:])
    if not has_names and found is not None:
        others = (f"column_{number}" for number in range(1, len(rows[0])))
        columns = ["structure" if i == found else next(others) for i in range(len(rows[0]))]
    named = [column for column in columns if column]
    if any(printable(column) != column for column in columns):
        raise StructureFileError(
            f"cannot be read as UTF-8: its columns are {_listed(columns)}; save it as CSV in UTF-8"
        )
    if len(set(named)) < len(named):
        raise StructureFileError(f"names a column twice: {_listed(columns)}; rename one of them")
    if structure_column is not None and columns:
        if structure_column not in columns:
            because = "" if has_names else " (it has no first line of names)"
            raise ParameterError(
                f"structure_column={structure_column!r}: '{path}' has no such column{because}; "
                f"allowed: {_listed(columns)}"
            )
        found = columns.index(structure_column)
    if found is None:
        raise StructureFileError(f"this table {_why_no_column(rows[0], has_names)}")
    return Layout(delimiter, columns, found, has_names)


def rows_of(path: Path, delimiter: str) -> Iterator[Row]:
    """Every row that is neither blank nor a comment, the names of the columns included."""
    if (sheet := kind_of_sheet(path)) is not None:
        for number, cells in enumerate(SHEETS[sheet](path), 1):
            if any(cells):
                yield Row(cells, "", number, number)
        return
    first = last = 0  # lines of the row at hand

    def lines(file: io.TextIOWrapper) -> Iterator[str]:
        nonlocal first, last
        for number, line in enumerate(iter(lambda: file.readline(MAX_RECORD), ""), 1):
            if len(line) == MAX_RECORD:
                raise OSError(f"line {number} has {MAX_RECORD:,} characters or more")
            if first or not _is_comment(line, number, path.parent, delimiter):
                first, last = first or number, number
                yield line

    with _open(path) as file:
        # Not strict, it would take a quotation mark that is not closed for the rest of the table.
        reader = csv.reader(lines(file), delimiter=delimiter, skipinitialspace=True, strict=True)
        while True:
            first = 0
            try:
                limit = csv.field_size_limit(MAX_RECORD)
                cells, problem = [cell_text(cell) for cell in next(reader)], ""
            except StopIteration:
                return
            except csv.Error as error:
                cells, problem = [], f"is damaged, perhaps by a quotation mark too many ({error})"
            finally:
                csv.field_size_limit(limit)  # as others expect it
            if problem or any(cells):
                yield Row(cells, problem, first, last)


def _is_comment(line: str, number: int, folder: Path, delimiter: str) -> bool:
    """Whether a line between rows begins with # and names no such file, or is Excel's sep=."""
    if number == 1 and re.fullmatch(r"sep=.\s*", line):
        return True
    if line.lstrip().startswith('"') and line.count('"') % 2:
        return False  # the first line of a longer cell, such as the text of a CIF file
    cell = line.split(delimiter)[0].strip().strip('"')
    return cell.startswith("#") and not files_named(folder, cell)


def files_named(folder: Path, cell: str) -> list[Path]:
    """The file that a cell names, or those whose name without ending it is."""
    if is_text(cell):
        return []
    lower = [cell + ending for ending in endings()]
    upper = [cell + ending.upper() for ending in endings()]
    tried = ([cell], lower, upper) if cell else ()
    return next(filter(None, (_existing(folder, names) for names in tried)), [])


def value_of(cell: str) -> bool | int | float | str | None:
    """What a cell means: a number, true or false, nothing, or the text as it stands."""
    if not cell:
        return None
    if cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    digits = cell.lstrip("+-")
    if "_" in cell or (len(digits) > 1 and digits[0] == "0" and digits[1:].isdigit()):
        return cell  # 1_000 and 007 are names
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def _open(path: Path) -> io.TextIOWrapper:
    """The table as text, whose bytes that are no UTF-8 stay as they are."""
    file = open_binary(path)
    start = file.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in start:
        file.close()
        raise UnicodeError("it is UTF-16 or no text at all; save it as CSV in UTF-8")
    file.seek(0)
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _fitness(folder: Path, rows: list[list[str]], structure_column: str | None) -> tuple:
    """How well a separator fits: a known name, many files, many cells, as many in each row."""
    if not rows:
        return ()
    first = rows[0]
    named = structure_column in first or _known_name(first) is not None
    counts = _counts(folder, [], rows)
    even = sum(len(row) == len(first) for row in rows) / len(rows)
    return named, max(counts), -counts.index(max(counts)), len(first) > 1, even, len(first)


def _has_names(folder: Path, first: list[str], structure_column: str | None) -> bool:
    """Whether the first row names the columns, instead of a crystal."""
    if structure_column in first or {cell.lower() for cell in first} & {*PATH_COLUMNS, *ID_KEYS}:
        return True
    return not any(
        (isinstance(value_of(cell), int | float) and any(sign.isdigit() for sign in cell))
        or cell.lower().endswith(endings())
        or is_text(cell)
        or files_named(folder, cell)
        for cell in first
    )


def _path_column(folder: Path, columns: list[str], rows: list[list[str]]) -> int | None:
    """The column with a known name; else the one that names files, if there is only one."""
    if (known := _known_name(columns)) is not None:
        return known
    for counts in (_counts(folder, columns, rows, exact=True), _counts(folder, columns, rows)):
        best = [i for i, count in enumerate(counts) if count and count == max(counts)]
        if len(best) > 1:
            best = [i for i in best if columns and columns[i].lower() in ID_KEYS]
        if best:
            return best[0]
    return None


def _known_name(columns: list[str]) -> int | None:
    lower = [column.lower() for column in columns]
    return next((lower.index(name) for name in PATH_COLUMNS if name in lower), None)


def _counts(
    folder: Path, columns: list[str], rows: list[list[str]], exact: bool = False
) -> list[int]:
    """Different files that each column names; without their ending only a column of ids may.

    Else numbers would name files: a target of 5 is not the crystal of 5.cif.
    """
    n_columns = len(columns) or (len(rows[0]) if rows else 0)
    rows = [row for row in rows if len(row) == n_columns]
    counts = []
    for i in range(n_columns):
        named = columns and (columns[i].lower() in ID_KEYS or (i == 0 and columns[i]))
        of_ids = not exact and (named if columns else i == 0)
        cells = {row[i] for row in rows}
        if of_ids:
            counts.append(sum(bool(files_named(folder, cell)) for cell in cells))
        else:
            counts.append(sum(is_text(c) or bool(c and _existing(folder, [c])) for c in cells))
    return counts or [0]


def _existing(folder: Path, names: list[str]) -> list[Path]:
    try:
        return [folder / name for name in names if (folder / name).is_file()]
    except (OSError, ValueError):  # too long for a name, such as the text of a CIF file
        return []


def _why_no_column(first: list[str], has_names: bool) -> str:
    if not has_names:
        return (
            f"has no first line of names, and no cell that is a file beside it: {_listed(first)}; "
            "paths are relative to the folder of the table, and names of files may lack their "
            "ending, such as .cif"
        )
    return (
        f"has no column that is known to hold paths of structure files; its columns are "
        f"{_listed(first)}; name the one with the paths 'structure', 'path' or 'file', or give "
        "structure_column; names of files may lack their ending, such as .cif, and columns are "
        "between commas, semicolons, tabs or |"
    )


def _listed(columns: list[str]) -> str:
    return listed(list(map(shortened, columns)), 20)
