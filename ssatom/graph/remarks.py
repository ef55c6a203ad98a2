"""What is odd about graphs that are valid: found structure by structure, told once a call."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ssatom.exceptions import GraphWarning
from ssatom.warn import warn_user

SHORT_BOND = 0.6
"""Shorter bonds, in units of the sum of both covalent radii, are told; few crystals have any."""


def graph_remarks(n_neighbors: np.ndarray, shortest: float, cutoff: float) -> tuple[str, ...]:
    """What is odd about one graph.

    Parameters
    ----------
    n_neighbors : ndarray of int, shape (n_sites,)
        Neighbours of each site within the cutoff.
    shortest : float
        Shortest distance of two atoms in units of the sum of their covalent radii.
    cutoff : float
        Radius of the graph, Å.

    Returns
    -------
    tuple of str
        Empty for nearly all crystals.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.graph.remarks import graph_remarks
    >>> graph_remarks(np.array([6, 0]), shortest=0.9, cutoff=5.0)
    ('some sites have no neighbour within 5 Å; their embeddings tell of the element alone',)
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
        self._rows: dict[str, dict[int, None]] = {}

    def note(self, row: int, remarks: Iterable[str]) -> None:
        """Remember the remarks on one structure.

        Parameters
        ----------
        row : int
            Its place in the caller's list.
        remarks : iterable of str
            From `graph_remarks`.
        """
        for remark in remarks:
            self._rows.setdefault(remark, {})[row] = None

    def warn(self) -> None:
        """Tell of each remark once, at the line of the user's that called this package.

        Warns
        -----
        GraphWarning
            For each remark, with all rows that it is about.
        """
        for reason, rows in self._rows.items():
            warn_user(GraphWarning(reason, list(rows)))
