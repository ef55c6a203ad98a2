"""What is odd about graphs that are valid: found structure by structure, told once a call."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np

from ssatom.exceptions import GraphWarning
from ssatom.structures import StructureArrays, reduced_formula, structure_key
from ssatom.warn import warn_user_of

SHORT_BOND = 0.6
"""Shorter bonds, in units of the sum of both covalent radii, are told; few crystals have any."""


def graph_remarks(n_neighbors: np.ndarray, shortest: float, cutoff: float) -> tuple[str, ...]:
    """What is odd about a graph: nothing for nearly all crystals.

    `n_neighbors` are those of each site within the `cutoff`, Å; `shortest` is the shortest distance
    of two atoms in units of the sum of their covalent radii.
    """
    remarks = []
    if not n_neighbors.all():
        remarks.append(
            f"some sites have no neighbour within {cutoff:g} Å; their embeddings tell of the "
            "element alone"
        )
    if shortest < SHORT_BOND:
        remarks.append(
            f"some atoms are nearer than {SHORT_BOND:g} times the sum of their covalent radii, "
            "which is shorter than any bond; check the coordinates and the lattice, whose unit is Å"
        )
    return tuple(remarks)


class GraphRemarks:
    """Remarks of the rows of one call; each row is named once, though several may note it."""

    def __init__(self) -> None:
        self._formulas: dict[str, dict[int, str]] = {}  # by reason and row
        self._keys: dict[int, bytes] = {}  # which tell structures apart, by row

    def note(self, row: int, remarks: Iterable[str], arrays: StructureArrays) -> None:
        """Remember the remarks on one structure.

        Parameters
        ----------
        row : int
            Its place in the caller's list.
        remarks : iterable of str
            From `graph_remarks`.
        arrays : StructureArrays
            The structure.
        """
        for remark in remarks:
            self._formulas.setdefault(remark, {})[row] = reduced_formula(arrays.numbers)
            self._keys[row] = structure_key(arrays)

    def warn(self) -> None:
        """Tell of all remarks, at the line of the user's that called this package.

        Warns
        -----
        GraphWarning
            Once, with all rows that it is about; once more for other remarks on other rows.
        """
        reasons: dict[tuple[int, ...], list[str]] = {}
        for reason, formula_of in self._formulas.items():
            reasons.setdefault(tuple(sorted(formula_of)), []).append(reason)
        for rows, told in reasons.items():
            found = (([(reason, self._keys[row]) for reason in told], row) for row in rows)
            warn_user_of(found, partial(self._warning, told))

    def _warning(self, told: list[str], rows: list[int]) -> GraphWarning:
        formulas = [self._formulas[told[0]][row] for row in rows]
        return GraphWarning("; ".join(told), rows, formulas=formulas)
