"""The converter: structures in, graphs out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ssatom.elements import covalent_radii
from ssatom.exceptions import attempt, unwrap
from ssatom.graph.config import GraphConfig
from ssatom.graph.container import CrystalGraphs
from ssatom.graph.neighbors import NeighborPairs, choose, expected_edges, find_neighbors
from ssatom.graph.remarks import SHORT_BOND, GraphRemarks, graph_remarks
from ssatom.graph.search import MIN_DISTANCE, refuse_overlap
from ssatom.kernels import Pairs
from ssatom.structures import StructureArrays, StructureLike, iter_arrays


class CrystalGraphConverter:
    """Turn crystal structures into graphs whose edges carry distances.

    Edges run from a neighbour to the centre that listens to it. A site's 12 places go to its
    nearest neighbours within the cutoff, and where the last shell of equal distance does not
    fit as a whole, each of its members has an equal share of what is left. Graphs of the kind
    "smooth" take all neighbours instead, and weigh them less the farther they are. So the graph,
    up to the order of its sites, does not depend on cell, orientation, origin or order.

    Parameters
    ----------
    config : GraphConfig, default=GraphConfig()
        Settings of the graphs.

    References
    ----------
    Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301

    Examples
    --------
    The second shell of CsCl has six members for the four places that the first one leaves.

    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.graph import CrystalGraphConverter
    >>> cscl = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> graphs = CrystalGraphConverter().convert([cscl])
    >>> graphs.neighbor_counts
    array([14, 14], dtype=int32)
    >>> graphs.edge_weights[:14].round(3)
    array([1.   , 1.   , 1.   , 1.   , 1.   , 1.   , 1.   , 1.   , 0.667,
           0.667, 0.667, 0.667, 0.667, 0.667], dtype=float32)
    """

    def __init__(self, config: GraphConfig | None = None) -> None:
        self.config = config or GraphConfig()

    def __repr__(self) -> str:
        return f"CrystalGraphConverter({self.config!r})"

    def convert(self, structures: Iterable[StructureLike]) -> CrystalGraphs:
        """Graphs of structures.

        Parameters
        ----------
        structures : iterable of Structure, Atoms or path
            As `ssatom.structures.check_structures` takes them.

        Returns
        -------
        CrystalGraphs
            One graph a structure, in order.

        Raises
        ------
        StructureError
            If something is no structure, or atoms overlap.

        Warns
        -----
        GraphWarning
            If sites have no neighbour within the cutoff, or bonds are shorter than bonds can be.
        """
        arrays, pairs = [], []
        remarks = GraphRemarks()
        for i, row in enumerate(map(unwrap, iter_arrays(structures))):
            arrays.append(row)
            found, odd = unwrap(attempt(self.neighbors, row, row=i))
            pairs.append(found)
            remarks.note(i, odd, row)
        remarks.warn()
        return self.assemble(arrays, pairs)

    def neighbors(self, arrays: StructureArrays) -> tuple[NeighborPairs, tuple[str, ...]]:
        """Neighbours of one structure from which `assemble` chooses, and what is odd about them.

        Parameters
        ----------
        arrays : StructureArrays
            The structure.

        Returns
        -------
        pairs : NeighborPairs
            Pairs of sites with their distances.
        remarks : tuple of str
            For `GraphRemarks.note`; empty for nearly all crystals.

        Raises
        ------
        StructureError
            If two atoms are nearer than 0.3 Å, or than 0.3 times the sum of their covalent
            radii.
        """
        found = find_neighbors(arrays, self.config)
        shortest = np.inf
        bound = max(MIN_DISTANCE, 2 * SHORT_BOND * covalent_radii(arrays.numbers).max())
        short = found.distances < bound
        if short.any():  # in a few crystals
            near = Pairs(found.centers[short], found.neighbors[short], found.distances[short])
            shortest = float(refuse_overlap(arrays.numbers, near).min())
        n_neighbors = np.bincount(found.centers, minlength=len(arrays.numbers))
        return found, graph_remarks(n_neighbors, shortest, self.config.cutoff)

    def expected_edges(self, arrays: StructureArrays, pairs: NeighborPairs) -> int:
        """About how many edges the graph will have; what batches are measured by."""
        return expected_edges(pairs, len(arrays.numbers), self.config)

    def assemble(
        self, arrays: Sequence[StructureArrays], pairs: Sequence[NeighborPairs]
    ) -> CrystalGraphs:
        """Graphs from structures and their pairs, neighbours chosen for all of them at once."""
        site_counts = np.array([len(a.numbers) for a in arrays], dtype=np.int32)
        starts = np.concatenate([[0], np.cumsum(site_counts)])
        none = np.empty(0, dtype=np.int64)
        joined = NeighborPairs(
            none, none, none, np.empty((0, 3)) if self.config.directions else None
        )
        if pairs:
            shifted = zip(pairs, starts[:-1], strict=True)
            joined = NeighborPairs.concatenate(
                [one._replace(centers=one.centers + start) for one, start in shifted]
            )
        counts, chosen, weights = choose(joined, int(starts[-1]), self.config)
        return CrystalGraphs(
            numbers=np.concatenate([a.numbers for a in arrays] or [none]).astype(np.uint8),
            site_counts=site_counts,
            neighbor_counts=counts,
            neighbors=chosen.neighbors.astype(np.int32),
            distances=chosen.distances.astype(np.float32),
            edge_weights=weights,
            directions=None if chosen.directions is None else chosen.directions.astype(np.float32),
        )
