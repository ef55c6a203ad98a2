"""Arrays of structures that were converted before, for as long as they have not changed.

A structure can be changed in place without notice. So each call reads all data from which its
arrays are made, and the arrays are used again only if these data are unchanged.
"""

from __future__ import annotations

import weakref
from collections import deque
from operator import attrgetter
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from pymatgen.core import Composition, IStructure

if TYPE_CHECKING:
    from ssatom.structures._arrays import FixedArrays

MAX_BYTES = 64 * 2**20
"""Bound of the process-wide memory of structures."""

_OVERHEAD = 1000  # bytes of an entry besides those of its sites
_PER_SITE = 40  # bytes: coordinates, atomic number, reference to the species

# pymatgen's properties of these names take several times as long.
_species = attrgetter("_species")
_frac_coords = attrgetter("_frac_coords")


Look: TypeAlias = tuple[bytes, bytes, tuple[bool, bool, bool], list[Composition]]
"""Data from which the arrays of a structure are made: the bytes of its coordinates and of its
lattice, which axes are periodic, and the species of its sites.

The bytes come first, since they are the fastest to compare. Species are compared by identity, and
by pymatgen's `==` where they are other objects, which tells elements apart."""


class _Entry(NamedTuple):
    owner: weakref.ref[IStructure]  # the id of a structure that is gone may belong to another
    look: Look
    arrays: FixedArrays

    @property
    def n_bytes(self) -> int:
        return _OVERHEAD + _PER_SITE * len(self.arrays.numbers)


def look_at(structure: IStructure) -> Look:
    """Data from which the arrays of a structure are made."""
    sites, lattice = structure.sites, structure.lattice
    try:
        coords = b"".join(map(_frac_coords, sites))
    except TypeError:  # of a view that is not contiguous
        coords = np.concatenate([site.frac_coords for site in sites]).tobytes()
    species = list(map(_species, sites))
    return coords, lattice.matrix.tobytes(), lattice.pbc, species


class SeenStructures:
    """Arrays by structure, bounded in bytes and dropped with it; at the bound the oldest go."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._entries: dict[int, _Entry] = {}
        self._gone: deque[int] = deque()  # a structure may die within `put`, which holds the lock
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, structure: IStructure, look: Look) -> FixedArrays | None:
        """The arrays of a structure, if it was put here and looks the same."""
        entry = self._entries.get(id(structure))
        if entry is not None and entry.owner() is structure and entry.look == look:
            return entry.arrays
        return None

    def put(self, structure: IStructure, look: Look, arrays: FixedArrays) -> None:
        """Remember the arrays of a structure."""
        key, gone = id(structure), self._gone
        owner = weakref.ref(structure, lambda _: gone.append(key))
        with self._lock:
            while self._gone:
                self._drop(self._gone.popleft())
            self._drop(key)
            entry = self._entries[key] = _Entry(owner, look, arrays)
            self.n_bytes += entry.n_bytes
            while self.n_bytes > self.max_bytes:
                self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget all structures."""
        with self._lock:
            self._entries.clear()
            self._gone.clear()
            self.n_bytes = 0

    def _drop(self, key: int) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.n_bytes -= entry.n_bytes


SEEN = SeenStructures()
