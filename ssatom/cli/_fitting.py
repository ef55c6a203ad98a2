"""What `ssatom fit` learns from: rows with targets, and which of them are held out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from ssatom.cli._items import Item, apply, chunks, count_all, read_items, reason_of
from ssatom.cli._screen import ERROR, Problem
from ssatom.corpora import StructureRecord, read_structures
from ssatom.corpora._formats import format_of
from ssatom.corpora._layout import table_layout
from ssatom.embeddings.graphs import find_graphs
from ssatom.exceptions import ParameterError, SsatomError, StructureError, unwrap
from ssatom.graph import GraphConfig
from ssatom.progress import make_bar
from ssatom.splits import hold_out
from ssatom.structures import StructureArrays, formula_of, iter_arrays, structure_key
from ssatom.structures._text import shortened

_MIN_TRAINED, _MIN_HELD = 4, 2  # crystals; what the estimators need, and R² does
_SKIP = "or leave out such rows with --errors skip"


@dataclass
class Rows:
    """Crystals, each read once, with their targets and with errors and warnings about rows.

    `table` has the columns source, formula and targets; `structures` are those of its rows, and
    `train` and `test` are the places of the rows to train on and of those held out.
    """

    targets: list[str]
    classify: bool
    errors: str
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    structures: list[StructureArrays] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    train: np.ndarray = field(init=False)
    test: np.ndarray = field(init=False)

    @property
    def bad(self) -> list[list[str]]:
        """Source and reason of each row that was left out."""
        return [[source, reason] for source, kind, reason in self.problems if kind == ERROR]

    @cached_property
    def keys(self) -> list[bytes]:
        """Content keys of the crystals; copies of a crystal have the same key."""
        return [structure_key(arrays) for arrays in self.structures]

    @cached_property
    def y(self) -> np.ndarray:
        """Targets as the estimators take them, shape (n_rows,) or (n_rows, n_targets)."""
        if not self.classify:
            y = self.table[self.targets].to_numpy(np.float64)
            return y[:, 0] if len(self.targets) == 1 else y
        labels = self.table[self.targets[0]].tolist()
        kinds = {type(label) for label in labels}
        return np.array([str(label) for label in labels] if len(kinds) > 1 else labels)

    def take(self, record: StructureRecord, arrays: Any, number: int) -> dict[str, Any] | None:
        """The row of the table for a record.

        A record that cannot be used gives None and a problem, or raises with `errors` "raise".
        """
        row: dict[str, Any] = {"source": record.source}
        where = f"row {number} ({record.source})"
        if isinstance(arrays, StructureError):  # the reader noted the problem
            if self.errors == "raise":
                reason = reason_of(arrays, record.source)
                raise StructureError(f"{reason}; {_SKIP}", source=where)
            return None
        row["formula"] = formula_of(unwrap(record.structure))
        for target in self.targets:
            value, problem = (_class if self.classify else _number)(record.properties.get(target))
            if problem:
                problem = f"target {target!r} {problem}"
                if self.errors == "raise":
                    raise SsatomError(f"{where}: {problem}; {_SKIP}")
                self.problems.append(Problem(record.source, ERROR, problem))
                return None
            row[target] = value
        return row

    def split(self, test_size: float, random_state: int) -> None:
        """Choose random crystals to hold out, each with all rows that are copies of it.

        Classes are held out in their proportions where there are enough of each.
        """
        n = len(set(self.keys))
        n_test = max(_MIN_HELD, round(test_size * n))
        if n - n_test < _MIN_TRAINED:
            first = "".join(f", the first, {source}: {reason}" for source, reason in self.bad[:1])
            raise SsatomError(
                f"{n} different usable crystals ({len(self.bad)} rows were left out{first}) are "
                f"too few to hold {n_test} out and to train on {_MIN_TRAINED} or more; give at "
                "least 20, or a smaller --test-size"
            )
        classes = self.y if self.classify else None
        self.train, self.test = hold_out(self.keys, n_test, random_state, classes)
        trained = self.y[self.train].reshape(len(self.train), -1)
        for name, column in zip(self.targets, trained.T, strict=True):
            if (column == column[0]).all():
                raise SsatomError(
                    f"target {name!r} is {column[0]} in all {len(column)} rows to train on; there "
                    "is nothing to learn, give a target that varies"
                )

    def structures_of(self, places: np.ndarray) -> list[StructureArrays]:
        """Structures of some rows."""
        return [self.structures[i] for i in places]


def read_rows(
    rows: Rows,
    paths: Sequence[Path],
    structure_column: str | None,
    config: GraphConfig,
    progress: bool,
) -> None:
    """Read all rows; their graphs of these settings stay in the cache."""
    columns = [
        _columns(path, rows.targets, structure_column) for path in paths if format_of(path).is_table
    ]
    # All rows of a table have the same columns; elsewhere one may lack what others have.
    at_once = rows.errors == "raise" or format_of(paths[0]).is_table
    items = _known(read_items(paths, structure_column), rows.targets, chain(*columns), at_once)
    total = count_all(paths) if progress else None
    found, number = [], count()
    with make_bar(desc="read", total=total, unit=" crystals", show=progress) as bar:
        for chunk in chunks(items):
            crystals, problems = apply(chunk, partial(_usable, config=config))
            rows.problems += problems
            for (record, _), arrays in zip(chunk, crystals, strict=True):
                if row := rows.take(record, arrays, next(number)):
                    found.append(row)
                    rows.structures.append(arrays)
            bar.update(len(chunk))
    names = ["source", "formula", *rows.targets]
    rows.table = pd.DataFrame(found, columns=names, dtype=object)


def _usable(
    structures: list[Structure | StructureError], config: GraphConfig
) -> list[StructureArrays | StructureError]:
    """Crystals whose graphs can be made, or why not."""
    rows = list(iter_arrays(structures))
    good = [i for i, row in enumerate(rows) if isinstance(row, StructureArrays)]
    graphs = find_graphs([rows[i] for i in good], good, config)  # type: ignore[misc]
    for i, graph in zip(good, graphs, strict=True):
        if isinstance(graph, StructureError):
            rows[i] = graph
    return rows


def _columns(path: Path, targets: Sequence[str], structure_column: str | None) -> list[str]:
    """Columns of a table that may be targets; refuses a target where they have no names."""
    read_structures(path, structure_column=structure_column)  # refuses at once
    layout = table_layout(path, structure_column)
    columns = [name for i, name in enumerate(layout.columns) if name and i != layout.path_column]
    unknown = [target for target in targets if target not in columns]
    if unknown and not layout.has_names:
        raise ParameterError(
            f"--target: '{path}' has no first line of names, so that its columns are called "
            f"{', '.join(map(repr, layout.columns))}; give one of these in place of "
            f"{unknown[0]!r}, or write names into the first line"
        )
    return columns


def _known(
    items: Iterator[Item], targets: Sequence[str], columns: Iterable[str], at_once: bool
) -> Iterator[Item]:
    """The items; refuses a target that none has, or `at_once` one that the first has not."""
    names = dict.fromkeys(columns)

    def check(who: str) -> None:
        unknown = [target for target in targets if target not in names]
        if names and unknown:  # without names all rows are bad, each for its own reason
            allowed = ", ".join(map(shortened, names))
            raise ParameterError(f"--target: {who} no column {unknown[0]!r}; allowed: {allowed}")

    for number, item in enumerate(items, 1):
        names |= dict.fromkeys(item.record.properties)
        if number == 1 and at_once:
            check("the first row has")
        yield item
    check("the rows have")


def _number(value: Any) -> tuple[float, str]:
    """The value as a number, and what is wrong with it, or ""."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # of an int that is too large
            number = math.inf
        problem = "" if math.isfinite(number) else f"is {number}; give a finite number"
        return number, problem
    if value is None:
        return math.nan, "is missing; give a number"
    advice = "for classes add --classify"
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d[\d.,]*,\d+", value):
        advice = "write decimals with a point, and thousands without a comma"
    return math.nan, f"is {shortened(str(value))}, which is no number; {advice}"


def _class(value: Any) -> tuple[Any, str]:
    """The value as a class, and what is wrong with it, or ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None, "is missing; give a class"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**63):
        return value, ""
    return None, f"is {shortened(str(value))}, which is no class; for numbers leave out --classify"
