"""Targets that tasks compute from the structures of a corpus, in memory or on disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ssatom.exceptions import ParameterError
from ssatom.graph import CrystalGraphs
from ssatom.structures import StructureArrays
from ssatom.tasks import PretrainingTask

_DTYPE = np.dtype("<f2")


class Targets:
    """Rows of targets of one task, in the order of the graphs, to half precision.

    Parameters
    ----------
    task : PretrainingTask
        One that computes targets.
    folder : path or None
        Where the graphs are; None keeps the rows in memory.
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
