"""A task whose targets are the electrostatics of charges guessed from electronegativities."""

from __future__ import annotations

import numpy as np
from scipy.special import erfc

from ssatom.elements import property_table
from ssatom.graph import GraphConfig, find_neighbors
from ssatom.structures import StructureArrays
from ssatom.tasks.surrogates import SurrogateTask

__all__ = ["PotentialTask"]

_CUTOFF = 9.0  # Å
_DAMPING = 0.25  # 1/Å


class PotentialTask(SurrogateTask, name="potential"):
    """Predict charge, electrostatic potential and energy of each site from every layer.

    A site's charge is the mean electronegativity of the crystal less its own, in units of the
    spread over the elements, so that crystals are neutral; the potential is Wolf's damped sum to
    9 Å [1]_, times 3 Å. Huber loss; right where the root of the mean squared error is below 0.5.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the loss in the sum over tasks.

    References
    ----------
    .. [1] Wolf et al., J. Chem. Phys. 110, 8254 (1999), 10.1063/1.478738

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.structures import StructureArrays
    >>> from ssatom.tasks import PotentialTask
    >>> coords = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> salt = StructureArrays(4.12 * np.eye(3), np.array([55, 17]), coords)  # CsCl
    >>> PotentialTask().compute_targets(salt).round(2)
    array([[ 1.91, -2.83, -1.8 ],
           [-1.91,  2.83, -1.8 ]])
    """

    target_rows = "site"
    n_values = 3

    def compute_targets(self, arrays: StructureArrays) -> np.ndarray:
        """Charges, potentials and energies of the sites, shape (n_sites, 3)."""
        electronegativity = property_table()[arrays.numbers, 1]
        charges = electronegativity.mean() - electronegativity
        found = find_neighbors(arrays, GraphConfig("smooth", cutoff=_CUTOFF))
        shift = erfc(_DAMPING * _CUTOFF) / _CUTOFF
        terms = erfc(_DAMPING * found.distances) / found.distances - shift
        n_sites = len(charges)
        potentials = np.bincount(found.centers, charges[found.neighbors] * terms, n_sites)
        potentials = potentials - charges * (shift + 2 * _DAMPING / np.sqrt(np.pi))
        return np.column_stack([charges, 3 * potentials, charges * potentials])
