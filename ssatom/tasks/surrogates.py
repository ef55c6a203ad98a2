"""Tasks that predict from every layer what can be computed from the structure alone."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import spglib
import torch
from pymatgen.core import Element
from scipy.special import erfc
from torch import Tensor, nn

from ssatom.elements import MAX_ATOMIC_NUMBER, property_table
from ssatom.graph import GraphConfig, find_neighbors
from ssatom.masking import MaskedBatch
from ssatom.repeatable import Linear
from ssatom.structures import StructureArrays
from ssatom.surroundings import bond_angles, radial_distributions
from ssatom.tasks.base import PretrainingTask, TaskResult, classify, regress, shared_docs
from ssatom.validation import number
from ssatom.warn import quiet_spglib

__all__ = ["AnglesTask", "CrystalSystemTask", "DensityTask", "PotentialTask", "RadialTask"]

_CUTOFF = 9.0  # Å, of the electrostatic potential
_DAMPING = 0.25  # 1/Å


class _LayersHead(nn.Module):
    """A small network, the same for every layer; each state is brought to the same scale before."""

    def __init__(self, hidden_dim: int, n_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(hidden_dim, elementwise_affine=False),
            Linear(hidden_dim, hidden_dim),
            nn.ReLU(),
            Linear(hidden_dim, n_outputs),
        )

    def forward(self, states: Tensor) -> Tensor:
        return self.layers(states)


class SurrogateTask(PretrainingTask):
    """Values of sites or of structures, in units of about their spread, from all layers."""

    n_values: int

    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        return _LayersHead(hidden_dim, self.n_values)

    @abstractmethod
    def compute_targets(self, arrays: StructureArrays) -> np.ndarray:
        """Targets of one structure, shape (n_sites or 1, n_values)."""

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        states = torch.stack(hidden)
        if self.target_rows == "structure":
            states = _mean_over_sites(states, masked)
        targets = masked.targets[self.name].repeat(len(states), 1)
        return self._score(head(states).flatten(0, 1), targets)

    def _score(self, predicted: Tensor, targets: Tensor) -> TaskResult:
        return regress(predicted, targets)


def _mean_over_sites(states: Tensor, masked: MaskedBatch) -> Tensor:
    """States of structures, shape (n_layers, n_structures, hidden_dim)."""
    graphs = masked.graphs
    counts = torch.bincount(graphs.structure_index, minlength=graphs.n_structures)
    sums = states.new_zeros(len(states), graphs.n_structures, states.shape[2])
    sums.index_add_(1, graphs.structure_index, states)
    return sums / counts[:, None]


class RadialTask(SurrogateTask, name="radial"):
    """Predict the element-weighted radial distribution around each site from every layer.

    Five distributions on a grid of r from 1 Å in steps of 0.2 Å, weighed by 1 and four properties
    of the two elements, against those of a gas of 0.05 atoms per Å³. Huber loss; right where the
    root of the mean squared error is below 0.5.

    Parameters
    ----------
    cutoff : float, default=6.0
        Largest r, Å; it may exceed the cutoff of the graphs.
    weight : float, default=1.0
        Factor of the loss in the sum over tasks.

    Raises
    ------
    ParameterError
        If `cutoff` is below 1 Å, or `weight` is not positive.

    Examples
    --------
    >>> from ssatom.tasks import RadialTask
    >>> RadialTask().n_values
    130
    """

    target_rows = "site"
    _width = 0.2

    def __init__(self, cutoff: float = 6.0, *, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        number("task radial: cutoff", cutoff, "[1, inf)")
        self.cutoff = cutoff
        self._grid = 1.0 + 0.2 * np.arange(int((cutoff - 1) / 0.2 + 1e-6) + 1)
        self._gas = 0.05 * 4 * np.pi * self._grid**2 * np.sqrt(2 * np.pi) * self._width
        self.n_values = 5 * len(self._grid)

    def compute_targets(self, arrays: StructureArrays) -> np.ndarray:
        """Distributions of the sites, shape (n_sites, 5 × n_r)."""
        table = property_table()
        table = table / table[1:].mean(axis=0)
        found = radial_distributions(arrays, table, self._grid, self._width)
        return (found / self._gas).reshape(len(found), -1)


@shared_docs
class AnglesTask(SurrogateTask, name="angles"):
    """Predict coordination number and bond angles of each site from every layer.

    The targets are those of `ssatom.surroundings.bond_angles`, the number divided by 4 and the
    shares times 3. Huber loss; right where the root of the mean squared error is below 0.5.

    {parameters_section}

    Examples
    --------
    >>> from ssatom.tasks import AnglesTask
    >>> AnglesTask().n_values
    12
    """

    target_rows = "site"
    n_values = 12

    def compute_targets(self, arrays: StructureArrays) -> np.ndarray:
        """Coordination and shares of angles, shape (n_sites, 12)."""
        found = bond_angles(arrays) * 3
        found[:, 0] /= 12
        return found


@shared_docs
class PotentialTask(SurrogateTask, name="potential"):
    """Predict charge, electrostatic potential and energy of each site from every layer.

    A site's charge is the mean electronegativity of the crystal less its own, in units of the
    spread over the elements, so that crystals are neutral; the potential is Wolf's damped sum to
    9 Å [1]_, times 3 Å. Huber loss; right where the root of the mean squared error is below 0.5.

    {parameters_section}

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


@shared_docs
class DensityTask(SurrogateTask, name="density"):
    """Predict volume per atom and mass density from the mean state of every layer.

    Logarithms, in units of 0.5; Huber loss. Right where the root of the mean squared error is
    below 0.5.

    {parameters_section}

    Examples
    --------
    >>> from ssatom.tasks import DensityTask
    >>> DensityTask().target_rows
    'structure'
    """

    target_rows = "structure"
    n_values = 2
    _center = np.array([2.9, 1.6])  # logarithms of 18 Å³ and 5 g/cm³

    def __init__(self, *, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        elements = [Element.from_Z(z) for z in range(1, MAX_ATOMIC_NUMBER + 1)]
        self._masses = np.array([0.0, *(float(element.atomic_mass) for element in elements)])

    def compute_targets(self, arrays: StructureArrays) -> np.ndarray:
        """Both logarithms, shape (1, 2)."""
        volume = abs(np.linalg.det(arrays.lattice))
        density = 1.66053907 * self._masses[arrays.numbers].sum() / volume  # g/cm³
        values = np.log([volume / len(arrays.numbers), density])
        return (values - self._center)[None] / 0.5


@shared_docs
class CrystalSystemTask(SurrogateTask, name="crystal_system"):
    """Predict the crystal system from the mean state of every layer, 7 classes, cross-entropy.

    Spglib finds it with a tolerance of 0.01 Å, which takes milliseconds for a structure of tens
    of sites; structures whose symmetry cannot be found do not count.

    {parameters_section}

    References
    ----------
    Togo, Shinohara & Tanaka, Sci. Technol. Adv. Mater. Meth. 4, 2384822 (2024),
    10.1080/27660400.2024.2384822

    Examples
    --------
    >>> from ssatom.tasks import CrystalSystemTask
    >>> CrystalSystemTask().n_values
    7
    """

    target_rows = "structure"
    n_values = 7
    _last_groups = np.array([2, 15, 74, 142, 167, 194, 230])  # of triclinic to cubic

    def compute_targets(self, arrays: StructureArrays) -> np.ndarray:
        """Number of the system, triclinic 0 to cubic 6, or −1; shape (1, 1)."""
        cell = (arrays.lattice, arrays.frac_coords, arrays.numbers)
        quiet_spglib()
        found = spglib.get_spacegroup(cell, symprec=0.01)  # type: ignore[arg-type]
        number = int(found.rpartition("(")[2].rstrip(")")) if found else 0
        system = int(np.searchsorted(self._last_groups, number)) if number else -1
        return np.array([[system]])

    def _score(self, predicted: Tensor, targets: Tensor) -> TaskResult:
        known = targets[:, 0] >= 0
        return classify(predicted.float()[known], targets[known, 0].long())
