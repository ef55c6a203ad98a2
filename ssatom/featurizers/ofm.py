"""Orbital field matrices of structures and sites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ssatom.exceptions import StructureError, attempt
from ssatom.featurizers._base import CrystalFeaturizer, shared_docs
from ssatom.validation import one_of

# ssatom.featurizers._orbitals is imported in the methods, since it loads matminer's structure
# featurizers, and with them SymPy and Matplotlib.

_SHELLS = (("s", 2), ("p", 6), ("d", 10), ("f", 14))


@shared_docs
class OrbitalFieldMatrixTransformer(CrystalFeaturizer):
    """Orbital field matrices of structures or of sites, computed by matminer.

    The matrix of a site has 32 rows, the valence orbitals of its neighbours (s1, s2, p1 to p6, d1
    to d10, f1 to f14), and 32 columns, its own. The weight of a neighbour is the solid angle of its
    Voronoi face divided by the distance [1]_. The matrix of a structure is the mean over its sites.
    Sites that are equal by symmetry are computed once.

    Parameters
    ----------
    level : {"structure", "site"}, default="structure"
        Rows to transform are structures, or pairs of structure and site index.
    extra_row : {"period", "center", None}, default="period"
        One more row, which makes the 1056 numbers that the paper [Kong2024]_ states (it does not
        say how). "period": the neighbours' periods, weighed as their orbitals are, from matminer's
        period tags. "center": the site's own orbitals, once, as in the extension OFM1 by the
        matrix's authors [2]_. None: 1024 numbers, equal to matminer's own.
    {errors}

    Notes
    -----
    Features are the matrix row by row: ``X.reshape(-1, 33, 32)`` are the matrices. matminer's
    table ends at Pu (Z=94).

    A crystal that is off symmetry by less than 0.001 Å has features that depend on the order of its
    sites, by about 1e-4 of the largest: sites that spglib finds equal within 0.001 Å are computed
    once, for the first of them. matminer's own matrices do so up to 0.01 Å, by about 1e-3.

    References
    ----------
    .. [1] Pham et al., Sci. Technol. Adv. Mater. 18, 756 (2017), 10.1080/14686996.2017.1378060
    {Kong2024}
    .. [2] Pham et al., J. Chem. Phys. 148, 204106 (2018), 10.1063/1.5021089

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom import OrbitalFieldMatrixTransformer
    >>> salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> OrbitalFieldMatrixTransformer().fit_transform([salt]).shape
    (1, 1056)
    >>> OrbitalFieldMatrixTransformer(level="site").fit_transform([(salt, 0), (salt, 1)]).shape
    (2, 1056)
    """

    def __init__(
        self,
        level: str = "structure",
        *,
        extra_row: str | None = "period",
        errors: str = "raise",
    ) -> None:
        self.level = level
        self.extra_row = extra_row
        self.errors = errors

    def feature_labels(self) -> list[str]:
        """Names of the features, as matminer has them: the neighbour's orbital, then the site's.

        Such as "OFM: s^1 - d^5"; the extra row is "OFM: period - d^5" or the like.
        """
        self._check_parameters()
        orbitals = [f"{shell}^{n + 1}" for shell, places in _SHELLS for n in range(places)]
        rows = orbitals + ([] if self.extra_row is None else [self.extra_row])
        return [f"OFM: {row} - {column}" for row in rows for column in orbitals]

    def citations(self) -> list[str]:
        """What to cite: BibTeX, from matminer."""
        from ssatom.featurizers._orbitals import matminer_matrix

        return matminer_matrix().citations()

    def implementors(self) -> list[str]:
        """Authors of matminer's featurizer and of this one."""
        from ssatom.featurizers._orbitals import matminer_matrix

        return [*matminer_matrix().implementors(), *super().implementors()]

    def _check_parameters(self) -> None:
        one_of("level", self.level, ("structure", "site"))
        one_of("extra_row", self.extra_row, ("period", "center", None))

    def _features(self, rows: Any) -> Iterator[np.ndarray | StructureError]:
        from ssatom.featurizers._orbitals import mean_matrix, parts_of

        self._check_parameters()
        for i, part in enumerate(parts_of(rows, self.level)):
            found: np.ndarray | StructureError
            if isinstance(part, StructureError):
                found = part
            else:
                place = {"row": i, "collection": f"{self.level}s"}
                found = attempt(mean_matrix, *part, self.extra_row, **place)
            yield found if isinstance(found, StructureError) else found.ravel().astype(np.float32)
