"""Descriptors of electrons, pooled over the sites: features of structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssatom.exceptions import StructureError, attempt
from ssatom.featurizers._base import CrystalFeaturizer

if TYPE_CHECKING:
    from ssatom.embeddings import Pooling
    from ssatom.structures import StructureArrays

# ssatom.electrons and ssatom.embeddings are imported in the functions, since they load spglib,
# numba and torch.

# The charges of all sites add up to nothing.
_CONSTANT = {("charge", "mean"), ("charge", "sum")}

_CITATIONS = (
    "@book{Harrison1999ElementaryElectronicStructure, "
    "title = {Elementary Electronic Structure}, author = {Harrison, Walter A.}, "
    "publisher = {World Scientific}, year = {1999}, doi = {10.1142/4121}}",
    "@article{Slater1954SimplifiedLCAO, "
    "title = {Simplified LCAO Method for the Periodic Potential Problem}, "
    "author = {Slater, J. C. and Koster, G. F.}, journal = {Phys. Rev.}, volume = {94}, "
    "pages = {1498}, year = {1954}, doi = {10.1103/PhysRev.94.1498}}",
    "@article{Kotochigova1997LocalDensity, "
    "title = {Local-density-functional calculations of the energy of atoms}, "
    "author = {Kotochigova, Svetlana and Levine, Zachary H. and Shirley, Eric L. and "
    "Stiles, M. D. and Clark, Charles W.}, journal = {Phys. Rev. A}, volume = {55}, "
    "pages = {191}, year = {1997}, doi = {10.1103/PhysRevA.55.191}}",
)


class ElectronicFeaturizer(CrystalFeaturizer):
    """Electrons of a crystal in a universal tight-binding model, computed from the structure.

    Of each site: its charge, electrons by shell, energies of filled and empty states, and the local
    density of states, pooled over the sites. Of the crystal: gaps, band edges and what stands at
    them [1]_. Of the composition: what guessed oxidation states tell. The columns serve best for
    properties that electrons decide, such as band gaps, beside those of
    `GraphEmbeddingFeaturizer`. In a kernel of one width over both they count little;
    `KernelRidgeCV` chooses weights for them where columns have names
    (``set_output(transform="pandas")``).

    Parameters
    ----------
    pooling : str, callable or tuple of them, default=("mean", "std")
        Of the columns of sites, as for `GraphEmbeddingFeaturizer`.
    errors : {"raise", "nan"}, default="raise"
        Raise at the first bad row, or give NaN for bad rows and warn once.

    See Also
    --------
    GraphEmbeddingFeaturizer : Learned features of structures.
    KernelRidgeCV : Kernel ridge regression with a weight for each block of columns.

    Notes
    -----
    No label is learned from, but two constants of the model were chosen by band gaps of crystals
    outside all sets that the package is evaluated on; `ssatom.electrons.electronic_descriptors`
    says which. Gaps are those of the model, not those of measurements.

    A structure of 10 sites takes about 2 ms on one core, one of 200 sites that repeat nothing about
    2 s: time grows with the cube of the primitive cell. The cache in memory keeps the columns of
    sites, so other poolings, clones and folds compute nothing again.

    A supercell has the features of its primitive cell. When its atoms leave their places by more
    than 0.001 Å it has bands of its own. Columns of edges and of odd electrons then jump, by a few
    tenths of their standard deviation over crystals; displacements that keep the cell are smooth.

    References
    ----------
    .. [1] Harrison, Elementary Electronic Structure (1999), 10.1142/4121

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom import ElectronicFeaturizer
    >>> salt = Structure.from_spacegroup(
    ...     "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ... )
    >>> featurizer = ElectronicFeaturizer().set_output(transform="pandas")
    >>> float(featurizer.fit_transform([salt])["ssatom_electrons_largest_charge"].iloc[0])
    1.0
    """

    def __init__(
        self,
        pooling: Pooling | Sequence[Pooling] = ("mean", "std"),
        *,
        errors: str = "raise",
    ) -> None:
        self.pooling = pooling
        self.errors = errors

    def feature_labels(self) -> list[str]:
        """Names of the features: sites by pooling, then the crystal, then the composition.

        Returns
        -------
        list of str
            Such as "ssatom_electrons_charge_std" and "ssatom_electrons_gap".
        """
        return [name for name, kept in self._columns() if kept]

    def citations(self) -> list[str]:
        """What to cite.

        Returns
        -------
        list of str
            BibTeX of the model, of its matrix elements and of the levels of atoms.
        """
        return list(_CITATIONS)

    def _columns(self) -> list[tuple[str, bool]]:
        """Names of all columns, and whether each is a feature."""
        from ssatom.electrons import COMPOSITION_NAMES, CRYSTAL_NAMES, SITE_NAMES
        from ssatom.embeddings import parse_pooling
        from ssatom.embeddings.pooling import pooling_name

        poolings = [pooling_name(one) for one in parse_pooling(self.pooling)]
        pooled = [
            (f"ssatom_electrons_{name}_{pooling}", (name, pooling) not in _CONSTANT)
            for pooling in poolings
            for name in SITE_NAMES
        ]
        of_crystals = (*CRYSTAL_NAMES, *COMPOSITION_NAMES)
        return pooled + [(f"ssatom_electrons_{name}", True) for name in of_crystals]

    def _features(self, rows: Any) -> Iterator[np.ndarray | StructureError]:
        from ssatom.embeddings import parse_pooling
        from ssatom.embeddings.pooling import pool
        from ssatom.structures import iter_arrays

        poolings = parse_pooling(self.pooling)
        kept = np.array([kept for _, kept in self._columns()])
        for i, arrays in enumerate(iter_arrays(rows)):
            if isinstance(arrays, StructureError):
                yield arrays
                continue
            found = attempt(_descriptors, arrays, row=i)
            if isinstance(found, StructureError):
                yield found
                continue
            sites, of_crystal = found
            pooled = pool(sites, arrays.numbers, np.array([len(sites)]), poolings)
            yield np.concatenate([pooled.ravel(), of_crystal])[kept]


def _descriptors(arrays: StructureArrays) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the sites, and those of the crystal with its composition, as float32."""
    from ssatom.electrons import SITE_NAMES, electronic_descriptors
    from ssatom.embeddings.cache import CACHE, CachedRow
    from ssatom.structures import structure_key

    key = ("electrons", structure_key(arrays))
    known = CACHE.get(key)
    if known is None:
        found = electronic_descriptors([arrays])
        parts = [found.sites[0].ravel(), found.crystals[0], found.compositions[0]]
        states = np.concatenate(parts, dtype=np.float32, casting="same_kind")[None]
        states.setflags(write=False)
        known = CachedRow(states)
        CACHE.put(key, known)
    n = len(arrays.numbers) * len(SITE_NAMES)
    return known.states[0, :n].reshape(-1, len(SITE_NAMES)), known.states[0, n:]
