"""A corpus turned once into graphs and targets, in memory or on disk, and what identifies it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence, Sized
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ssatom.exceptions import ParameterError, StructureError, attempt
from ssatom.graph import CrystalGraphConverter, CrystalGraphs, GraphBatch, GraphRemarks
from ssatom.progress import make_bar
from ssatom.structures import StructureArrays, StructureLike, iter_arrays, structure_key
from ssatom.tasks import PretrainingTask
from ssatom.warn import warn_user
from ssatom.weights import CorpusIndex

_CHUNK = 1000  # structures held at a time
_COMPARED = 100  # structures by which a corpus is known again
_MARKER = "complete.json"
_DTYPE = np.dtype("<f2")  # of targets


class TrainingBatch(NamedTuple):
    """One batch of graphs, with what the tasks computed from their structures."""

    graphs: GraphBatch
    targets: dict[str, torch.Tensor]

    def to(self, device: torch.device | str) -> TrainingBatch:
        """The batch with every tensor on `device`."""
        targets = {name: rows.to(device) for name, rows in self.targets.items()}
        return TrainingBatch(self.graphs.to(device), targets)


class Targets:
    """Rows of targets of one task, in the order of the graphs, to half precision.

    They are kept in the folder of the graphs, or without one in memory.
    """

    def __init__(self, task: PretrainingTask, folder: Path | None) -> None:
        self.task = task
        self.path = None if folder is None else folder / f"targets_{task.name}.bin"
        self._parts: list[np.ndarray] = []
        self._widths: set[int] = set()

    def add(self, structures: Sequence[StructureArrays], *, append: bool) -> None:
        """Compute the rows of more structures; without `append` a file begins anew."""
        found = [self.task.checked_targets(arrays) for arrays in structures]
        self._widths |= {rows.shape[1] for rows in found}
        if len(self._widths) > 1:
            raise ParameterError(
                f"task {self.task.name}: compute_targets must give rows of one length for all "
                f"structures; got lengths {', '.join(map(str, sorted(self._widths)))}"
            )
        rows = np.concatenate(found).astype(_DTYPE)
        if self.path is None:
            self._parts.append(rows)
            return
        with open(self.path, "ab" if append else "wb") as file:
            file.write(rows.tobytes())

    @cached_property
    def _rows(self) -> np.ndarray:
        if self.path is None:
            return np.concatenate(self._parts)
        return np.memmap(self.path, _DTYPE, mode="r")

    def select(self, rows: np.ndarray, graphs: CrystalGraphs) -> torch.Tensor:
        """Rows of the structures at an index array, float32."""
        if self.task.target_rows == "site":
            rows = graphs.sites_of(rows)
            n_rows = graphs.n_sites
        else:
            n_rows = len(graphs)
        return torch.from_numpy(self._rows.reshape(n_rows, -1)[rows].astype("f4"))


class Corpus(NamedTuple):
    """Graphs of all structures, their targets by task, and which crystals they are."""

    graphs: CrystalGraphs
    targets: dict[str, Targets]
    contents: CorpusIndex

    def batch(self, rows: np.ndarray) -> TrainingBatch:
        """Structures at an index array."""
        graphs = self.graphs.select(rows)
        targets = {name: t.select(rows, self.graphs) for name, t in self.targets.items()}
        return TrainingBatch(graphs.to_batch(), targets)


def build_corpus(
    structures: Iterable[StructureLike],
    converter: CrystalGraphConverter,
    folder: Path | None,
    tasks: Sequence[PretrainingTask],
    *,
    progress_bar: bool,
    n_drawn: int | None = None,
    random_state: int = 0,
) -> Corpus:
    """Graphs, targets and fingerprints of a corpus; rows that are no crystals are left out.

    `n_drawn` rows are drawn at random; None takes all. With a `folder` they are written there part
    by part and stay on disk, so that a corpus may be larger than memory; what a finished earlier
    call wrote is opened instead.
    """
    targets = {task.name: Targets(task, folder) for task in tasks if task.target_rows}
    rows = iter_arrays(structures)
    n_given = len(structures) if isinstance(structures, Sized) else None
    if n_drawn is not None:
        draw = np.random.default_rng(random_state).choice(n_given or 0, n_drawn, replace=False)
        drawn, n_given = set(draw.tolist()), n_drawn
        rows = (row for i, row in enumerate(rows) if i in drawn)
    first = list(islice(rows, _COMPARED))
    if folder is not None and (folder / _MARKER).exists():
        return _reopen(folder, _digest(first), n_given, targets)
    parts: list[CrystalGraphs] = []
    indices: list[CorpusIndex] = []
    skipped: list[str] = []
    for arrays, pairs in _chunks(chain(first, rows), converter, skipped, progress_bar):
        part = converter.assemble(arrays, pairs)
        if folder is not None:
            part.save(folder, append=bool(indices))
        else:
            parts.append(part)
        for kept in targets.values():
            kept.add(arrays, append=bool(indices))
        indices.append(CorpusIndex.of(arrays))
    if not indices:
        raise ParameterError("the corpus holds no usable structure" + _because(skipped))
    if skipped:
        warn_user(UserWarning(f"{len(skipped)} structures were left out" + _because(skipped)))
    index = CorpusIndex.concatenate(indices)
    if folder is None:
        return Corpus(CrystalGraphs.concatenate(parts), targets, index)
    index.save(folder / "corpus.safetensors")
    mark = {"n_rows": len(index) + len(skipped), "first": _digest(first)}
    (folder / _MARKER).write_text(json.dumps(mark))
    return Corpus(CrystalGraphs.load(folder), targets, index)


def check_draw(structures: Iterable[StructureLike], n: int | None) -> None:
    """Refuse to draw more structures than there are."""
    if n is None:
        return
    if not isinstance(structures, Sized):
        raise ParameterError(
            f"n_structures={n} needs the number of all structures, which a generator does not "
            "have; give a list, or n_structures=None"
        )
    if n > (n_given := len(structures)):
        raise ParameterError(
            f"n_structures={n} are more than the corpus has: {n_given}; give fewer, or None for all"
        )


def _digest(rows: Sequence[StructureArrays | StructureError]) -> str:
    """Hash that identifies the first rows of a corpus."""
    keys = [structure_key(row) if isinstance(row, StructureArrays) else b"" for row in rows]
    return hashlib.sha256(b"".join(keys)).hexdigest()


def _reopen(folder: Path, digest: str, n_given: int | None, targets: dict[str, Targets]) -> Corpus:
    """What an earlier call wrote, if it was given the same structures.

    The first ones tell, and their number where it is known; to read them all would take as long
    as to make the graphs.
    """
    mark = json.loads((folder / _MARKER).read_text())
    if mark.get("first") != digest or n_given not in (None, mark["n_rows"]):
        raise ParameterError(
            f"{folder} holds graphs of other structures; give another checkpoint_dir, or the "
            "same structures to go on with that run"
        )
    index = CorpusIndex.load(folder / "corpus.safetensors")
    return Corpus(CrystalGraphs.load(folder), targets, index)


def _because(skipped: list[str]) -> str:
    return ": " + "; ".join(skipped[:5]) + (" …" if len(skipped) > 5 else "") if skipped else ""


def _chunks(
    rows: Iterable[StructureArrays | StructureError],
    converter: CrystalGraphConverter,
    skipped: list[str],
    progress_bar: bool,
) -> Iterator[tuple[list[StructureArrays], list]]:
    arrays: list[StructureArrays] = []
    pairs: list = []
    bar = make_bar(rows, desc="graphs", unit=" structures", show=progress_bar)
    remarks = GraphRemarks()
    for i, row in enumerate(bar):
        own = row if isinstance(row, StructureError) else attempt(converter.neighbors, row, row=i)
        if isinstance(own, StructureError):
            skipped.append(str(own))
        elif isinstance(row, StructureArrays):
            pairs.append(own[0])
            arrays.append(row)
            remarks.note(i, own[1], row)
        if len(arrays) == _CHUNK:
            yield arrays, pairs
            arrays, pairs = [], []
    if arrays:
        yield arrays, pairs
    remarks.warn()


def split(n_structures: int, validation_fraction: float, seed: int) -> tuple[np.ndarray, ...]:
    """Random rows for training and for validation, at least one each."""
    n_validation = max(1, round(validation_fraction * n_structures))
    if n_structures <= n_validation:
        raise ParameterError(
            f"{n_structures} structures are too few to hold back "
            f"validation_fraction={validation_fraction} of them; give at least 2"
        )
    order = np.random.default_rng(seed).permutation(n_structures)
    return np.sort(order[n_validation:]), np.sort(order[:n_validation])
