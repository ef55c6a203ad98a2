"""The network of the estimators: convolutions on given node vectors, pooling, hidden layers.

NEGNN and CGCNN are this one network; they differ in the node vectors it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
from ssatom.repeatable import Dropout, Linear, softplus
from ssatom.validation import whole_number


@dataclass(frozen=True)
class NEGNNConfig:
    """Sizes of the network.

    Parameters
    ----------
    node_dim : int, default=128
        Length of a node vector.
    edge_dim : int, default=41
        Length of an edge vector.
    hidden_dim : int, default=64
        Width of the convolutions; hidden layers after the pooling are twice as wide.
    n_conv : int, default=3
        Number of convolutions.
    n_hidden : int, default=1
        Number of hidden layers after the pooling.
    n_outputs : int, default=1
        Targets, or classes.
    dropout : float, default=0.0
        Share of units dropped in training, between convolutions and after each hidden layer.

    Raises
    ------
    ParameterError
        If a size is no positive whole number or `dropout` is outside [0, 1).
    """

    node_dim: int = 128
    edge_dim: int = 41
    hidden_dim: int = 64
    n_conv: int = 3
    n_hidden: int = 1
    n_outputs: int = 1
    dropout: float = 0.0

    def __post_init__(self) -> None:
        self.encoder_config()  # checks what the two have in common
        for name in ("n_hidden", "n_outputs"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least=1))

    def encoder_config(self) -> EncoderConfig:
        """Sizes of the convolutions."""
        return EncoderConfig(
            self.node_dim, self.edge_dim, self.hidden_dim, self.n_conv, self.dropout
        )

    def to_dict(self) -> dict[str, Any]:
        """Sizes as plain values."""
        return asdict(self)


class NEGNN(nn.Module):
    """Node embedding graph neural network.

    Node vectors are shifted and scaled, embedded linearly and convolved; their mean over each
    crystal, or the chosen sites themselves, go through hidden layers to the outputs.

    Parameters
    ----------
    config : NEGNNConfig, default=NEGNNConfig()
        Sizes.

    References
    ----------
    Kong et al., "Self-supervised representations and node embedding graph neural networks for
    accurate and multi-scale analysis of materials", Mach. Learn.: Sci. Technol. 5, 035018 (2024),
    10.48550/arXiv.2211.03563.

    Examples
    --------
    Two crystals of one and two sites:

    >>> import torch
    >>> from ssatom.negnn import NEGNN, NEGNNConfig
    >>> network = NEGNN(NEGNNConfig(node_dim=3, edge_dim=2, hidden_dim=4, n_outputs=5)).eval()
    >>> edge_index = torch.tensor([[2, 1], [1, 2]])
    >>> network(torch.rand(3, 3), edge_index, torch.rand(2, 2), None, torch.tensor([0, 1])).shape
    torch.Size([2, 5])
    """

    node_shift: Tensor
    node_scale: Tensor

    def __init__(self, config: NEGNNConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NEGNNConfig()
        self.register_buffer("node_shift", torch.zeros(config.node_dim))
        self.register_buffer("node_scale", torch.ones(config.node_dim))
        self.convolutions = CrystalGraphEncoder(config.encoder_config())
        widths = [config.hidden_dim] + config.n_hidden * [2 * config.hidden_dim]
        self.hidden = nn.ModuleList(Linear(*pair) for pair in pairwise(widths))
        self.dropout = Dropout(config.dropout)
        self.output = Linear(widths[-1], config.n_outputs)
        self.float()  # whatever torch's default is

    def __repr__(self) -> str:
        return f"NEGNN({self.config!r})"

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        edge_weight: Tensor | None,
        first_sites: Tensor,
        sites: Tensor | None = None,
    ) -> Tensor:
        """Outputs of crystals, or of chosen sites.

        Parameters
        ----------
        x : Tensor, shape (n_sites, node_dim)
            Node vectors.
        edge_index : Tensor of int64, shape (2, n_edges)
            Neighbour and centre of each edge, sorted by centre.
        edge_attr : Tensor, shape (n_edges, edge_dim)
            Edge vectors; their precision is the one in which edges are computed.
        edge_weight : Tensor or None, shape (n_edges,)
            Factor of each message; None for 1.
        first_sites : Tensor of int64, shape (n_structures,)
            Where the sites of each crystal start.
        sites : Tensor of int64, shape (n_rows,), default=None
            Sites to predict for; None for whole crystals.

        Returns
        -------
        Tensor, shape (n_structures, n_outputs) or (n_rows, n_outputs)
            Outputs.
        """
        x = (x - self.node_shift) / self.node_scale
        x = self.convolutions(x, edge_index, edge_attr, edge_weight)[-1]
        if sites is None:
            everyone = torch.arange(len(x), device=x.device)
            x = nn.functional.embedding_bag(everyone, x, first_sites, mode="mean")
        else:
            x = x.index_select(0, sites)
        x = softplus(x)
        for layer in self.hidden:
            x = self.dropout(softplus(layer(x)))
        return self.output(x)

    def standardise(self, x: Tensor, widths: Sequence[int] | None = None) -> None:
        """Set shift and scale from node vectors, so that training starts well conditioned.

        Parameters
        ----------
        x : Tensor, shape (n_sites, node_dim)
            Node vectors to learn from. Each unit is centred.
        widths : sequence of int, default=None
            Widths of the blocks of a node vector, one after the other; None for one block. Each
            has one scale: units that are rarely active would explode under one of their own.
        """
        x = x.double()
        shift = x.mean(dim=0)
        variances = (x - shift).square().mean(dim=0).split(list(widths or [len(shift)]))
        scale = torch.cat([block.mean().sqrt().expand(len(block)) for block in variances])
        self.node_shift.copy_(shift)
        self.node_scale.copy_(torch.where(scale > 0, scale, torch.ones_like(scale)))
