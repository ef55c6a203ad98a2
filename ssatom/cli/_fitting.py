"""What `ssatom fit` learns from: rows with targets, what is held out, and the estimator."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure
from tqdm import tqdm

from ssatom.cli._items import Item, apply, chunks, read_items, reason_of
from ssatom.cli._problems import ERROR, Problem
from ssatom.cli._run import count_all
from ssatom.corpora import StructureRecord, read_structures
from ssatom.corpora._formats import is_table
from ssatom.corpora._layout import table_layout
from ssatom.corpora._names import shortened
from ssatom.devices import resolve_device
from ssatom.embeddings import parse_layers, resolve_weights
from ssatom.embeddings.graphs import find_graphs
from ssatom.estimators import (
    CGCNNClassifier,
    CGCNNRegressor,
    NEGNNClassifier,
    NEGNNRegressor,
)
from ssatom.estimators._checks import check_parameters
from ssatom.exceptions import ParameterError, SsatomError, StructureError
from ssatom.graph import GraphConfig
from ssatom.splits import hold_out
from ssatom.structures import StructureArrays, iter_arrays, structure_key
from ssatom.validation import one_of

_MIN_TRAINED, _MIN_HELD = 4, 2  # crystals; what the estimators need, and R² does
_SKIP = "or leave out such rows with --errors skip"


@dataclass
class Rows:
    """Rows with their targets.

    Attributes
    ----------
    sources : list of str
        Where each is from.
    formulas : list of str
        Reduced formula of each.
    arrays : list of StructureArrays
        The crystals, read once for good.
    targets : list of list
        A float, or a class, for each target of each row.
    problems : list of Problem
        Why rows were left out, and what there is to say of others.
    """

    sources: list[str] = field(default_factory=list)
    formulas: list[str] = field(default_factory=list)
    arrays: list[StructureArrays] = field(default_factory=list)
    targets: list[list[Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def bad(self) -> list[list[str]]:
        """Source and reason of each row that was left out."""
        return [[source, reason] for source, kind, reason in self.problems if kind == ERROR]

    def y(self, classify: bool) -> np.ndarray:
        """Targets as the estimators take them."""
        if not classify:
            y = np.array(self.targets, dtype=np.float64)
            return y[:, 0] if y.shape[1:] == (1,) else y  # no row at all has no column either
        labels = [row[0] for row in self.targets]
        kinds = {type(label) for label in labels}
        return np.array([str(label) for label in labels] if len(kinds) > 1 else labels)


def read_rows(
    paths: Sequence[Path],
    targets: Sequence[str],
    structure_column: str | None,
    config: GraphConfig,
    *,
    classify: bool,
    errors: str,
    progress: bool,
) -> Rows:
    """All rows of use."""
    rows = Rows()
    columns = [_columns(path, targets, structure_column) for path in filter(is_table, paths)]
    # All rows of a table have the same columns; elsewhere one may lack what others have.
    at_once = errors == "raise" or is_table(paths[0])
    items = _known(read_items(paths, structure_column), targets, chain(*columns), at_once)
    total = count_all(paths) if progress else None
    with tqdm(desc="read", total=total, unit=" crystals", disable=not progress) as bar:
        number = 0
        for chunk in chunks(items):
            found, problems = apply(chunk, partial(_usable, config=config))
            rows.problems += problems
            for (record, _), arrays in zip(chunk, found, strict=True):
                number += 1
                where = f"row {number} ({record.source})"
                _add(rows, record, arrays, targets, where, classify, errors)
            bar.update(len(chunk))
    return rows


def _add(
    rows: Rows,
    record: StructureRecord,
    arrays: StructureArrays | StructureError,
    targets: Sequence[str],
    where: str,
    classify: bool,
    errors: str,
) -> None:
    """Add a row, or why it is bad."""
    if isinstance(arrays, StructureError):
        if errors == "raise":
            reason = reason_of(arrays, record.source)
            raise StructureError(f"{reason}; {_SKIP}", source=where)
        return
    values = []
    for target in targets:
        value, problem = (_class if classify else _number)(record.properties.get(target))
        if problem:
            if errors == "raise":
                raise SsatomError(f"{where}: target {target!r} {problem}; {_SKIP}")
            reason = f"target {target!r} {problem}"
            rows.problems.append(Problem(record.source, ERROR, reason))
            return
        values.append(value)
    rows.sources.append(record.source)
    rows.formulas.append(record.structure.reduced_formula)  # type: ignore[union-attr]
    rows.arrays.append(arrays)
    rows.targets.append(values)


def _usable(
    structures: list[Structure | StructureError], config: GraphConfig
) -> list[StructureArrays | StructureError]:
    """Crystals whose graphs can be made, or why not; the graphs stay in the cache for the fit."""
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
    for number, item in enumerate(items, 1):
        names |= dict.fromkeys(item.record.properties)
        if number == 1 and at_once and names:
            _refuse_unknown(targets, names, "the first row has")
        yield item
    if names:  # else all rows are bad, which is told with their reasons
        _refuse_unknown(targets, names, "the rows have")


def _refuse_unknown(targets: Sequence[str], names: Iterable[str], who: str) -> None:
    for target in targets:
        if target not in names:
            allowed = ", ".join(map(shortened, names))
            raise ParameterError(f"--target: {who} no column {target!r}; allowed: {allowed}")


def _number(value: Any) -> tuple[float, str]:
    """A number, and what is wrong with it or ""."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        problem = "" if math.isfinite(value) else f"is {value}; give a finite number"
        return float(value), problem
    if value is None:
        return math.nan, "is missing; give a number"
    advice = "for classes add --classify"
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d[\d.,]*,\d+", value):
        advice = "write decimals with a point, and thousands without a comma"
    return math.nan, f"is {shortened(str(value))}, which is no number; {advice}"


def _class(value: Any) -> tuple[Any, str]:
    """A class, and what is wrong with it or ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None, "is missing; give a class"
    if isinstance(value, float) and value.is_integer():
        return int(value), ""
    if isinstance(value, bool | int | str):
        return value, ""
    return None, f"is {shortened(str(value))}, which is no class; for numbers leave out --classify"


def split_rows(
    rows: Rows, y: np.ndarray, targets: Sequence[str], test_size: float, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Random crystals to train on and to hold out, each with all rows that are copies of it.

    Classes are held out in their proportions where there are enough of each.
    """
    keys = [structure_key(arrays) for arrays in rows.arrays]
    n = len(set(keys))
    n_test = max(_MIN_HELD, round(test_size * n))
    if n - n_test < _MIN_TRAINED:
        raise SsatomError(
            f"{n} different crystals of use ({_left_out(rows)}) are too few to "
            f"hold {n_test} out and to train on {_MIN_TRAINED} or more; give at least 20, or a "
            "smaller --test-size"
        )
    train, test = hold_out(keys, n_test, random_state, None if y.dtype.kind == "f" else y)
    for name, column in zip(targets, y[train].reshape(len(train), -1).T, strict=True):
        if (column == column[0]).all():
            raise SsatomError(
                f"target {name!r} is {column[0]} in all {len(train)} rows to train on; there is "
                "nothing to learn, give a target that varies"
            )
    return train, test


def _left_out(rows: Rows) -> str:
    text = f"{len(rows.bad)} rows were left out"
    return text + "".join(f", the first, {source}: {reason}" for source, reason in rows.bad[:1])


def graphs_of(model: Any) -> GraphConfig:
    """Graphs of the encoder of an estimator, or those of its network if it has none."""
    if "weights" not in model.get_params():
        return GraphConfig()
    return resolve_weights(model.weights, model.random_state).graph_config


def make_estimator(estimator: str, classify: bool, settings: dict[str, Any]) -> Any:
    """The estimator of the command line, refused at once where fitting would refuse it."""
    known: dict[str, list[Any]] = {
        "negnn": [NEGNNRegressor, NEGNNClassifier],
        "cgcnn": [CGCNNRegressor, CGCNNClassifier],
    }
    one_of("--estimator", estimator, known)
    given = {name: value for name, value in settings.items() if value is not None}
    if estimator == "cgcnn" and (
        wrong := [name for name in ("layers", "weights") if name in given]
    ):
        raise ParameterError(f"--{wrong[0]} is for --estimator negnn; cgcnn has no encoder")
    model = known[estimator][classify](**given)
    check_parameters(model.get_params(deep=False))
    resolve_device(model.device)
    if estimator == "negnn":
        encoder = resolve_weights(model.weights, model.random_state)
        parse_layers(model.layers, encoder.n_layers)
    return model
