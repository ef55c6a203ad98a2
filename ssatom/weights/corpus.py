"""Which crystals a corpus held, compactly: enough to tell whether a user's were among them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from ssatom.structures import StructureArrays

_VOLUME_TOLERANCE = 0.03  # relative; the same compound at another cell or functional


class CorpusIndex:
    """Reduced formula, as a hash, and volume per atom of every crystal of a corpus.

    Parameters
    ----------
    formulas : ndarray of int64, shape (n,)
        Hashes of reduced formulas.
    volumes : ndarray of float32, shape (n,)
        Å³ per atom.
    """

    def __init__(self, formulas: np.ndarray, volumes: np.ndarray) -> None:
        self.formulas = formulas
        self.volumes = volumes

    def __repr__(self) -> str:
        return f"<CorpusIndex: {len(self)} structures>"

    def __len__(self) -> int:
        return len(self.formulas)

    @classmethod
    def of(cls, structures: Iterable[StructureArrays]) -> CorpusIndex:
        """Index of structures."""
        rows = [
            (_formula_hash(s.numbers), abs(np.linalg.det(s.lattice)) / len(s.numbers))
            for s in structures
        ]
        table = np.array(rows, dtype=[("formula", np.int64), ("volume", np.float32)])
        return cls(table["formula"], table["volume"])

    @classmethod
    def concatenate(cls, parts: Sequence[CorpusIndex]) -> CorpusIndex:
        """Index of several corpora together."""
        columns = zip(*[(part.formulas, part.volumes) for part in parts], strict=True)
        return cls(*map(np.concatenate, columns))

    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.lexsort((self.volumes, self.formulas))
        return self.formulas[order], self.volumes[order]

    def contains(self, structures: Iterable[StructureArrays]) -> np.ndarray:
        """Whether the corpus held the same formula with a volume per atom within 3 %."""
        asked = CorpusIndex.of(structures)
        formulas, volumes = self._sorted()
        first = np.searchsorted(formulas, asked.formulas, side="left")
        last = np.searchsorted(formulas, asked.formulas, side="right")
        return np.array(
            [
                bool((np.abs(volumes[a:b] / v - 1) <= _VOLUME_TOLERANCE).any())
                for a, b, v in zip(first, last, asked.volumes, strict=True)
            ],
            dtype=bool,
        )

    def save(self, path: Path) -> None:
        """Write the index as safetensors, sorted, so that equal corpora give equal files."""
        save_file(dict(zip(("formulas", "volumes"), self._sorted(), strict=True)), path)

    @classmethod
    def load(cls, path: Path) -> CorpusIndex:
        """Read what `save` wrote."""
        return cls(**load_file(path))


def _formula_hash(numbers: np.ndarray) -> int:
    elements, counts = np.unique(numbers, return_counts=True)
    counts = counts // np.gcd.reduce(counts)
    text = ",".join(f"{z}:{n}" for z, n in zip(elements.tolist(), counts.tolist(), strict=True))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
