"""CGCNN written with PyTorch Geometric, for comparison with our training.

PyTorch Geometric is an optional package, so it is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssatom import CrystalGraphs
from ssatom.elements import atomic_features
from ssatom.graph import GaussianDistanceBasis

_LEARNING_RATE = 1e-3


class PlainCGCNN(nn.Module):
    """The function that `CGCNNRegressor` computes, in plain PyTorch Geometric.

    Edges enter the convolutions as Gaussians, without the linear embedding of ours, which would
    cost this network time; ours folds it into the convolutions.

    Parameters
    ----------
    node_dim, edge_dim : int
        Lengths of node and edge vectors.
    hidden_dim : int
        Width of the convolutions; hidden layers are twice as wide.
    n_conv, n_hidden : int
        Numbers of convolutions and of hidden layers.

    References
    ----------
    Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301
    """

    def __init__(
        self, node_dim: int, edge_dim: int, hidden_dim: int, n_conv: int, n_hidden: int
    ) -> None:
        from torch_geometric.nn import CGConv

        super().__init__()
        self.embedding = nn.Linear(node_dim, hidden_dim)
        self.convs = nn.ModuleList(CGConv(hidden_dim, dim=edge_dim) for _ in range(n_conv))
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden_dim) for _ in range(n_conv))
        widths = [hidden_dim] + n_hidden * [2 * hidden_dim]
        self.hidden = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.output = nn.Linear(widths[-1], 1)

    def forward(self, data: Any) -> Tensor:
        """One number a crystal, shape (n_structures,)."""
        from torch_geometric.nn import global_mean_pool

        x = self.embedding(data.x)
        last = len(self.convs) - 1
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(x, data.edge_index, data.edge_attr))
            x = x if i == last else torch.relu(x)
        x = nn.functional.softplus(global_mean_pool(x, data.batch))
        for layer in self.hidden:
            x = nn.functional.softplus(layer(x))
        return self.output(x).squeeze(1)


def plain_graphs(graphs: CrystalGraphs, targets: np.ndarray) -> list[Any]:
    """The same graphs as ``torch_geometric.data.Data``, with their node and edge vectors."""
    from torch_geometric.data import Data

    features, basis = torch.from_numpy(atomic_features().copy()), GaussianDistanceBasis()
    converted = []
    for i, target in enumerate(targets.tolist()):
        graph = graphs.select([i]).to_batch()
        converted.append(
            Data(
                x=features[graph.numbers],
                edge_index=graph.edge_index,
                edge_attr=basis(graph.distances),
                y=torch.tensor([target]),
            )
        )
    return converted


class PlainTraining:
    """Adam on the squared error, validation after each epoch, all in float32.

    Parameters
    ----------
    network : PlainCGCNN
        The network.
    train, validation : sequence of Data
        From `plain_graphs`.
    batch_size : int
        Structures of a step.
    """

    def __init__(
        self, network: PlainCGCNN, train: Sequence[Any], validation: Sequence[Any], batch_size: int
    ) -> None:
        from torch_geometric.loader import DataLoader

        self.network = network
        self.train_loader = DataLoader(train, batch_size=batch_size, shuffle=True)
        self.validation_loader = DataLoader(validation, batch_size=batch_size)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)

    def epoch(self) -> float:
        """Train on every batch once, and return the validation's mean squared error."""
        self.network.train()
        for data in self.train_loader:
            self.optimizer.zero_grad()
            nn.functional.mse_loss(self.network(data), data.y).backward()
            self.optimizer.step()
        self.network.eval()
        with torch.no_grad():
            errors = [(self.network(data) - data.y).square() for data in self.validation_loader]
        return float(torch.cat(errors).mean())
