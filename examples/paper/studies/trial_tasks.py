"""Pretraining tasks on trial: written as a user writes them, and compared in the ablation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ssatom.electrons import CRYSTAL_NAMES, SITE_NAMES, electronic_descriptors
from ssatom.elements import property_table
from ssatom.graph import GaussianDistanceBasis, GraphBatch, GraphConfig
from ssatom.kernels import N_DEGREES, Edges, directional_units, spherical_harmonics
from ssatom.masking import MaskedBatch
from ssatom.structures import StructureArrays
from ssatom.tasks import PretrainingTask, TaskResult, regress

__all__ = ["ConditionedTask", "ElectronsTask", "UnitsTask", "VectorsTask"]

_WIDTH = 64  # of what the head of vectors computes of an edge
_N_POOLED = 3  # layers of a clean crystal that are pooled, from the first: those read by default
_PLACES, _BREADTH = (2.0, 2.8, 3.6), 0.6  # Å, of the radial functions of reconstructed units
_GAUSSIANS = 3.0  # sum of those of an edge vector under a radial function


class _VectorHead(nn.Module):
    """A vector for each site: the sum of the directions of its edges, each times a learned length.

    The length depends on the states of both sites, on the distance as the network sees it, and on
    the pooled states of the clean crystal where they are given.
    """

    def __init__(self, hidden_dim: int, config: GraphConfig) -> None:
        super().__init__()
        self.config = config
        self.basis = GaussianDistanceBasis(config)
        self.norm = nn.LayerNorm(hidden_dim, elementwise_affine=False)
        self.center = nn.Linear(hidden_dim, _WIDTH)
        self.neighbor = nn.Linear(hidden_dim, _WIDTH, bias=False)
        self.pooled = nn.Linear(_N_POOLED * hidden_dim, _WIDTH, bias=False)
        self.edge = nn.Linear(config.edge_dim, _WIDTH, bias=False)
        self.length = nn.Linear(_WIDTH, 1)

    def forward(self, state: Tensor, masked: MaskedBatch, clean: Tensor | None = None) -> Tensor:
        """Vectors, shape (n_sites, 3); `clean` has one row of pooled states a structure."""
        graphs, directions = masked.graphs, masked.visible_directions
        assert directions is not None
        state = self.norm(state)
        own = self.center(state)
        if clean is not None:
            own = own + self.pooled(clean)[graphs.structure_index]
        source, target = graphs.edge_index
        expanded = self.edge(self.basis(masked.visible_distances))
        of_edges = own[target] + self.neighbor(state)[source] + expanded
        weight = masked.visible_weight(self.config).index_fill(0, masked.hidden_edges, 0.0)
        vectors = self.length(of_edges.relu()) * weight[:, None] * directions
        return vectors.new_zeros(len(state), 3).index_add(0, target, vectors)


class VectorsTask(PretrainingTask, name="vectors"):
    """Predict the displacement of each site from its place, as a sum over directions.

    Displacements are relative to their mean in the crystal, in units of their standard deviation.
    They are predicted from the third hidden state, the last one that is read by default, and from
    the last of all, by the same head; Huber loss.

    Parameters
    ----------
    noise : float, default=0.05
        Standard deviation of a displacement along an axis, Å.
    weight : float, default=1.0
        Factor of the loss in the sum over tasks.

    References
    ----------
    Zaidi et al., "Pre-training via denoising for molecular property prediction" (2022),
    10.48550/arXiv.2206.00133
    """

    needs_directions = True

    def __init__(self, noise: float = 0.05, *, weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        self.noise = noise

    def corrupt(self, masked: MaskedBatch, generator: torch.Generator) -> MaskedBatch:
        """Displace all sites, and keep by how much."""
        graphs = masked.graphs
        assert graphs.directions is not None
        steps = torch.randn(len(graphs.numbers), 3, generator=generator, dtype=torch.float32)
        steps = steps.to(graphs.distances.device)
        steps = steps - _mean_of_structures(steps, graphs)[graphs.structure_index]
        source, target = graphs.edge_index
        moved = graphs.directions * graphs.distances[:, None]
        moved = moved + self.noise * (steps[source] - steps[target])
        distances = moved.norm(dim=1)
        return masked._replace(
            noised_distances=distances,
            noised_directions=moved / distances.clamp(min=1e-6)[:, None],
            targets={**masked.targets, self.name: steps},
        )

    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        return _VectorHead(hidden_dim, graph_config)

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        read = [hidden[min(_N_POOLED, len(hidden)) - 1], hidden[-1]]
        predicted = torch.cat([head(state, masked) for state in read])
        return regress(predicted, masked.targets[self.name].repeat(2, 1))


class ConditionedTask(VectorsTask, name="conditioned"):
    """Predict displacements, told the pooled embedding of the clean crystal.

    The encoder gets each batch twice, corrupted and as it is. The first three hidden states of the
    clean crystal, averaged over its sites, enter the head of vectors; the gradient flows through
    them. Other tasks that predict values of all sites or structures see the clean crystals too.
    Comes after all tasks that corrupt. Its parameters are those of `VectorsTask`.

    References
    ----------
    Perez & Gómez-Bombarelli, "Self-conditioned denoising for atomistic representation learning"
    (2026), 10.48550/arXiv.2603.17196
    """

    def corrupt(self, masked: MaskedBatch, generator: torch.Generator) -> MaskedBatch:
        """Displace all sites, and put the clean crystals behind."""
        noised = super().corrupt(masked, generator)
        graphs = masked.graphs
        assert graphs.directions is not None
        assert noised.noised_distances is not None
        assert noised.noised_directions is not None
        twice = GraphBatch(
            graphs.numbers.repeat(2),
            torch.cat([graphs.edge_index, graphs.edge_index + len(graphs.numbers)], dim=1),
            graphs.distances.repeat(2),
            graphs.edge_weight.repeat(2),
            torch.cat([graphs.structure_index, graphs.structure_index + graphs.n_structures]),
            2 * graphs.n_structures,
            graphs.directions.repeat(2, 1),
        )
        return noised._replace(
            graphs=twice,
            noised_distances=torch.cat([noised.noised_distances, graphs.distances]),
            noised_directions=torch.cat([noised.noised_directions, graphs.directions]),
            targets={name: rows.repeat(2, 1) for name, rows in noised.targets.items()},
        )

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        half, n_sites = _first_half(masked), len(hidden[0]) // 2
        pooled = [_mean_of_structures(state[n_sites:], half.graphs) for state in hidden[:_N_POOLED]]
        clean = torch.cat(pooled, dim=1)
        read = [hidden[_N_POOLED - 1], hidden[-1]]
        predicted = torch.cat([head(state[:n_sites], half, clean) for state in read])
        return regress(predicted, masked.targets[self.name][:n_sites].repeat(2, 1))


def _first_half(masked: MaskedBatch) -> MaskedBatch:
    """The corrupted crystals of a batch that has them twice."""
    graphs = masked.graphs
    n_sites, n_edges = len(graphs.numbers) // 2, len(graphs.distances) // 2
    assert graphs.directions is not None
    assert masked.noised_distances is not None
    assert masked.noised_directions is not None
    half = GraphBatch(
        graphs.numbers[:n_sites],
        graphs.edge_index[:, :n_edges],
        graphs.distances[:n_edges],
        graphs.edge_weight[:n_edges],
        graphs.structure_index[:n_sites],
        graphs.n_structures // 2,
        graphs.directions[:n_edges],
    )
    return masked._replace(
        graphs=half,
        noised_distances=masked.noised_distances[:n_edges],
        noised_directions=masked.noised_directions[:n_edges],
    )


def _mean_of_structures(rows: Tensor, graphs: GraphBatch) -> Tensor:
    """Means over the sites of each structure, shape (n_structures, width)."""
    index = graphs.structure_index
    sums = rows.new_zeros(graphs.n_structures, rows.shape[1]).index_add(0, index, rows)
    return sums / torch.bincount(index, minlength=graphs.n_structures)[:, None]


class _ValuesHead(nn.Module):
    """A small network, the same for every layer, and the scale of what it predicts.

    Targets get mean 0 and variance 1 by the statistics of the batch in training, and by their
    running averages in validation.
    """

    def __init__(self, hidden_dim: int, n_values: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(hidden_dim, elementwise_affine=False),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, n_values),
        )
        self.scale = nn.BatchNorm1d(n_values, affine=False)

    def forward(self, states: Tensor, targets: Tensor) -> TaskResult:
        """Loss of states (n_layers, n_rows, hidden_dim) against targets (n_rows, n_values)."""
        self.scale.train(self.training and len(targets) > 1)
        scaled = self.scale(targets).repeat(len(states), 1)
        return regress(self.layers(states).flatten(0, 1), scaled)


class ElectronsTask(PretrainingTask, name="electrons"):
    """Predict what electrons do in a tight-binding model of the crystal, from every layer.

    Of each site its charge, electrons by shell and the moments of the local density of states; of
    the crystal, from the mean state, gaps and band edges: the columns of
    `ssatom.electrons.electronic_descriptors`. Huber loss.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the loss in the sum over tasks.
    """

    target_rows = "site"

    def compute_targets(self, arrays: StructureArrays) -> np.ndarray:
        """Columns of the site and those of its crystal, shape (n_sites, 48)."""
        found = electronic_descriptors([arrays])
        of_crystal = np.repeat(found.crystals, len(arrays.numbers), axis=0)
        return np.column_stack([found.sites[0], of_crystal])

    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        sizes = {"sites": len(SITE_NAMES), "crystals": len(CRYSTAL_NAMES)}
        return nn.ModuleDict({what: _ValuesHead(hidden_dim, n) for what, n in sizes.items()})

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        assert isinstance(head, nn.ModuleDict)
        targets, n = masked.targets[self.name], len(SITE_NAMES)
        means = torch.stack([_mean_of_structures(state, masked.graphs) for state in hidden])
        of_crystals = _mean_of_structures(targets[:, n:], masked.graphs)
        crystals = head["crystals"](means, of_crystals)
        sites = head["sites"](torch.stack(hidden), targets[:, :n])
        return sites._replace(loss=(sites.loss + crystals.loss) / 2)


class _UnitsHead(nn.Module):
    """Directional units of fixed channels, and what predicts them."""

    channels: Tensor
    matrix: Tensor

    def __init__(self, hidden_dim: int, config: GraphConfig) -> None:
        super().__init__()
        self.basis = GaussianDistanceBasis(config)
        table = torch.tensor(property_table(), dtype=torch.float32)
        table[:, 1:] -= table[1:, 1:].mean(dim=0)
        distances = torch.arange(config.edge_dim) * config.basis_step
        offsets = (distances[:, None] - torch.tensor(_PLACES)) / _BREADTH
        radial = torch.exp(-offsets.square()) / _GAUSSIANS
        # A channel is one property of the neighbours near one distance.
        n_properties = table.shape[1]
        self.register_buffer("channels", table.repeat_interleave(len(_PLACES), dim=1))
        self.register_buffer("matrix", radial.repeat(1, n_properties))
        self.values = _ValuesHead(hidden_dim, N_DEGREES * self.channels.shape[1])

    @torch.no_grad()
    def targets(self, masked: MaskedBatch) -> Tensor:
        """True units of the masked sites, shape (n_masked, 75)."""
        graphs = masked.graphs
        assert graphs.directions is not None
        wanted = torch.zeros(len(graphs.numbers), dtype=torch.bool, device=graphs.numbers.device)
        wanted[masked.masked_sites] = True
        into = wanted[graphs.edge_index[1]].nonzero()[:, 0]
        edges = Edges(
            graphs.edge_index[:, into],
            self.basis(graphs.distances[into]),
            graphs.edge_weight[into],
            len(graphs.numbers),
        )
        harmonics = spherical_harmonics(graphs.directions[into])
        units = directional_units(self.channels[graphs.numbers], self.matrix, edges, harmonics)
        return units[masked.masked_sites]


class UnitsTask(PretrainingTask, name="units"):
    """Reconstruct the directional units of masked sites from every layer but the first.

    The channels are not learned: each is one of five properties of the elements of neighbours,
    near one of three distances. Huber loss.

    Parameters
    ----------
    weight : float, default=1.0
        Factor of the loss in the sum over tasks.
    """

    needs_directions = True

    def make_head(self, hidden_dim: int, graph_config: GraphConfig) -> nn.Module:
        return _UnitsHead(hidden_dim, graph_config)

    def evaluate(self, head: nn.Module, hidden: list[Tensor], masked: MaskedBatch) -> TaskResult:
        assert isinstance(head, _UnitsHead)
        states = torch.stack([state[masked.masked_sites] for state in hidden[1:]])
        return head.values(states, head.targets(masked))
