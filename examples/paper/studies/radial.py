"""The radial distribution weighed by elements: a rival that learns nothing and is strong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Structure

from ssatom.elements import PROPERTIES, property_table
from ssatom.evaluation.descriptors import (
    SYMBOLS,
    LevelDescriptor,
    element_fractions,
    magpie,
    neighbor_pairs,
)
from ssatom.exceptions import ParameterError
from ssatom.structures import structure_arrays
from ssatom.surroundings import smear


class RadialDistributionFeaturizer(LevelDescriptor):
    """Radial distribution weighed by properties of the elements, beside element fractions.

    For a weight w the features are the mean over sites i of Σ_j w_i w_j exp(-(d_ij − r)² / 2σ²)
    on a grid of r; w is 1, and then each of the properties in units of its spread over the
    elements. A site has its own sum and its own element instead of means. Cheap, without anything
    learned, and hard to beat.

    Parameters
    ----------
    level : {"structure", "site"}, default="structure"
        Rows to transform are structures, or pairs of structure and site index.
    start : float, default=1.0
        Smallest r, Å; hardly any atoms are closer.
    cutoff : float, default=6.0
        Largest r, Å.
    step : float, default=0.2
        Spacing of r, Å.
    width : float, default=0.2
        σ, Å.
    properties : sequence of str, default=("Electronegativity", "CovalentRadius", "NValence", "Row")
        Names of columns of the Magpie table.
    fractions : bool, default=True
        Append the share of each element.
    errors : {"raise", "nan"}, default="raise"
        Raise at the first bad row, or give it NaN and warn once of all.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from ssatom.evaluation import RadialDistributionFeaturizer
    >>> salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> RadialDistributionFeaturizer().fit_transform([salt]).shape  # 5 weights × 26 r + 100
    (1, 230)
    >>> RadialDistributionFeaturizer("site").fit_transform([(salt, 0), (salt, 1)]).shape
    (2, 230)
    """

    def __init__(
        self,
        level: str = "structure",
        *,
        start: float = 1.0,
        cutoff: float = 6.0,
        step: float = 0.2,
        width: float = 0.2,
        properties: Sequence[str] = PROPERTIES,
        fractions: bool = True,
        errors: str = "raise",
    ) -> None:
        self.level = level
        self.start = start
        self.cutoff = cutoff
        self.step = step
        self.width = width
        self.properties = properties
        self.fractions = fractions
        self.errors = errors

    def feature_labels(self) -> list[str]:
        """Names of the features, weight by weight, then the fractions.

        Returns
        -------
        list of str
            Such as "radial_Electronegativity_2.4".
        """
        self._check_parameters()
        weights = ["1", *self.properties]
        names = [f"radial_{weight}_{r:.3g}" for weight in weights for r in self._grid()]
        return names + ([f"fraction_{s}" for s in SYMBOLS] if self.fractions else [])

    def citations(self) -> list[str]:
        """What to cite: the table of elements.

        Returns
        -------
        list of str
            BibTeX, from matminer.
        """
        return magpie().citations()

    def _grid(self) -> np.ndarray:
        n_steps = int((self.cutoff - self.start) / self.step + 1e-6)
        return self.start + self.step * np.arange(n_steps + 1)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("start", "cutoff", "step", "width"):
            if not getattr(self, name) > 0:
                raise ParameterError(f"{name}={getattr(self, name)!r} must be positive, in Å")
        if self.cutoff < self.start:
            raise ParameterError(f"cutoff={self.cutoff} must not be below start={self.start}, in Å")
        property_table(tuple(self.properties))

    def _row(self, structure: Structure, where: str, site: int | None = None) -> np.ndarray:
        numbers = structure_arrays(structure, where).numbers
        # Beyond three widths from the last grid point a neighbour counts next to nothing.
        reach = self.cutoff + 3 * self.width
        centers, neighbors, distances = neighbor_pairs(structure, reach, where, site)
        weights = property_table(tuple(self.properties))[numbers]
        pairs = weights[centers] * weights[neighbors]
        smeared = smear(distances, self._grid(), self.width)
        features = (pairs.T @ smeared).ravel() / (len(numbers) if site is None else 1)
        if not self.fractions:
            return features
        return np.concatenate([features, element_fractions(numbers, site)])
