"""Sites without a neighbour: noted structure by structure, told once a call."""

from __future__ import annotations

import numpy as np

from ssatom.exceptions import GraphWarning
from ssatom.graph.neighbors import Candidates
from ssatom.warn import warn_user


class IsolatedSites:
    """Structures in which a site has no neighbour within the cutoff.

    Parameters
    ----------
    cutoff : float
        Radius of the graphs, Å.
    """

    def __init__(self, cutoff: float) -> None:
        self.cutoff = cutoff
        self.rows: list[int] = []

    def note(self, row: int, candidates: Candidates, n_sites: int) -> None:
        """Look at one structure.

        Parameters
        ----------
        row : int
            Its place in the caller's list.
        candidates : Candidates
            Its neighbours.
        n_sites : int
            Its sites.
        """
        if np.count_nonzero(np.bincount(candidates.centers, minlength=n_sites)) < n_sites:
            self.rows.append(row)

    def warn(self) -> None:
        """Tell of all that were noted, at the line of the user's that called this package.

        Warns
        -----
        GraphWarning
            If there are any.
        """
        if not self.rows:
            return
        reason = (
            f"some sites have no neighbour within {self.cutoff:g} Å; "
            "their embeddings tell of the element alone"
        )
        warn_user(GraphWarning(reason, self.rows))
