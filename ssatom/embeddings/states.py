"""Forward pass from graphs to the states of all sites."""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import torch

from ssatom.graph import CoordinationNumbers, CrystalGraphs, GaussianDistanceBasis
from ssatom.weights import PretrainedEncoder


@lru_cache(maxsize=4)
def site_states(weights: PretrainedEncoder, device: str) -> SiteStates:
    """The states of a set of weights, prepared once; a set stays what its hash says."""
    return SiteStates(weights, device)


class SiteStates:
    """Hidden states of all layers, coordination numbers and directional units, side by side.

    The weights stay on their device; another device uses a copy.
    """

    def __init__(self, weights: PretrainedEncoder, device: str = "cpu") -> None:
        self.device = device
        self.basis = GaussianDistanceBasis(weights.graph_config).to(device)
        n_numbers = weights.encoder.config.radial_units
        self.coordination = CoordinationNumbers(weights.graph_config, n_numbers).to(device)
        self.encoder = weights.encoder
        if device != "cpu":
            self.encoder = copy.deepcopy(weights.encoder).to(device)
        self.gates = self.encoder.folded()
        self.features = weights.element_features.to(device)

    def __call__(self, graphs: CrystalGraphs) -> np.ndarray:
        """States of all sites, shape (n_sites, n_columns), in the order of the columns."""
        return np.concatenate(self.blocks(graphs), axis=1)

    @torch.inference_mode()
    def blocks(self, graphs: CrystalGraphs) -> list[np.ndarray]:
        """The same by layer, coordination numbers and units, not yet side by side."""
        batch = graphs.to_batch().to(self.device)
        elements, rows = np.unique(graphs.numbers, return_inverse=True)
        x = self.features[torch.from_numpy(elements.astype(np.int64)).to(self.device)]
        edge_attr = self.basis(batch.distances)
        edges = batch.edge_index, edge_attr, batch.edge_weight
        states, units = self.encoder.states_and_units(
            x,
            *edges,
            directions=batch.directions,
            gates=self.gates,
            rows=torch.from_numpy(rows).to(self.device),
        )
        if len(self.coordination.radii):
            centers = batch.edge_index[1]
            states.append(self.coordination(batch.distances, centers, batch.edge_weight, len(rows)))
        if units is not None:
            states.append(units)
        return [state.cpu().numpy() for state in states]
