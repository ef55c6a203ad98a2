"""What tasks computed from the structures of a corpus, once, in memory or on disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

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

    def add(self, structures: Sequence[StructureArrays], *, append: bool) -> None:
        """Compute the rows of more structures; without `append` a file begins anew."""
        rows = np.concatenate([self.task.compute_targets(arrays) for arrays in structures])
        rows = rows.astype(_DTYPE)
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

    def select(self, chosen: np.ndarray, graphs: CrystalGraphs) -> torch.Tensor:
        """Rows of the structures at an index array, float32."""
        if self.task.target_rows == "site":
            chosen = graphs.sites_of(chosen)
            n_rows = graphs.n_sites
        else:
            n_rows = len(graphs)
        return torch.from_numpy(self._rows.reshape(n_rows, -1)[chosen].astype("f4"))
