"""The encoder: a stack of crystal graph convolutions that returns every hidden state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ssatom.encoder.config import EncoderConfig
from ssatom.encoder.convolution import CrystalGraphConv, DirectionalUnits, FoldedGates
from ssatom.exceptions import ParameterError
from ssatom.kernels import Edges, add, relu, take_rows
from ssatom.repeatable import Dropout, Linear, SiteNorm

_FIRST_MIXED = 2  # convolution; hidden states before it stay sums over elements and distances


class CrystalGraphEncoder(nn.Module):
    """Crystal graph network that returns the hidden states of all its layers.

    Hidden state 0 is the linear embedding of the node vectors; each further one follows from
    the last by convolution, batch normalisation, ReLU and dropout, without ReLU and dropout
    after the last convolution. With ``residual`` the normalisation comes first, and each state is
    the last one plus a linear map of the messages between normalised states.

    With ``directional_channels``, the directional units of hidden state 0 are computed beside the
    states. A linear map of them is added in the third and every later convolution.

    Parameters
    ----------
    config : EncoderConfig, default=EncoderConfig()
        Sizes.

    References
    ----------
    Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301

    Examples
    --------
    >>> import torch
    >>> from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
    >>> encoder = CrystalGraphEncoder(EncoderConfig(node_dim=3, edge_dim=2, hidden_dim=4)).eval()
    >>> edge_index = torch.tensor([[1, 0], [0, 1]])
    >>> states = encoder(torch.rand(2, 3), edge_index, torch.rand(2, 2))
    >>> len(states), states[5].shape
    (6, torch.Size([2, 4]))
    """

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or EncoderConfig()
        width = config.hidden_dim
        self.node_embedding = Linear(config.node_dim, width)
        self.edge_embedding = nn.Linear(config.edge_dim, width)
        self.convs = nn.ModuleList(CrystalGraphConv(width, width) for _ in range(config.n_conv))
        self.norms = nn.ModuleList(SiteNorm(width) for _ in range(config.n_conv))
        self.dropout = Dropout(config.dropout)
        if config.residual:
            self.outputs = nn.ModuleList(Linear(width, width) for _ in range(config.n_conv))
        if config.directional_channels:
            self.first_mixed = min(_FIRST_MIXED, config.n_conv - 1)
            n_mixed = config.n_conv - self.first_mixed
            self.directional = DirectionalUnits(width, config.edge_dim, config.directional_channels)
            self.unit_norm = SiteNorm(config.n_units)
            self.mixers = nn.ModuleList(Linear(config.n_units, width) for _ in range(n_mixed))
        self.float()  # whatever torch's default is

    def __repr__(self) -> str:
        return f"CrystalGraphEncoder({self.config!r})"

    def forward(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        """Hidden states of all layers, or of the first ones; arguments of `states_and_units`."""
        return self.states_and_units(*args, **kwargs)[0]

    @torch.no_grad()
    def folded(self) -> list[FoldedGates]:
        """Gates of all convolutions, for `states_and_units` with weights that stay as they are."""
        return [self._gates(i, torch.float32) for i in range(self.config.n_conv)]

    def _gates(self, i: int, dtype: torch.dtype) -> FoldedGates:
        return cast(CrystalGraphConv, self.convs[i]).folded(self.edge_embedding, dtype)

    def states_and_units(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        edge_weight: Tensor | None = None,
        n_states: int | None = None,
        directions: Tensor | None = None,
        gates: Sequence[FoldedGates] | None = None,
        rows: Tensor | None = None,
    ) -> tuple[list[Tensor], Tensor | None]:
        """Hidden states of all layers, or of the first ones, and the directional units.

        Parameters
        ----------
        x : Tensor, shape (n_sites, node_dim)
            Node vectors, or different ones of which each site has one of `rows`.
        edge_index : Tensor of int64, shape (2, n_edges)
            Neighbour and centre of each edge, sorted by centre. Messages flow from row 0 to 1.
        edge_attr : Tensor, shape (n_edges, edge_dim)
            Edge vectors. Their precision is the one in which edges are computed: bfloat16 makes
            training several times faster, float32 is exact.
        edge_weight : Tensor, shape (n_edges,), default=None
            Factor of each message; None for 1.
        n_states : int, default=None
            Number of hidden states that are needed, from the first; None for all.
        directions : Tensor, shape (n_edges, 3), default=None
            Unit vectors from centre to neighbour; used with ``directional_channels`` alone.
        gates : sequence of FoldedGates, default=None
            From `folded`, which saves folding the weights of each call; None folds them here.
        rows : Tensor of int64, shape (n_sites,), default=None
            Row of `x` that each site has, in evaluation mode; None where each has its own. Sites
            of one element are then embedded once.

        Returns
        -------
        hidden : list of Tensor, each of shape (n_sites, hidden_dim)
            `n_states` hidden states, at most ``n_conv + 1``.
        units : Tensor, shape (n_sites, n_units), or None
            None without ``directional_channels``.

        Raises
        ------
        ParameterError
            If the edges are not sorted by centre or lead to sites that are not there, or
            directions are missing.
        """
        edges = Edges(edge_index, edge_attr, edge_weight, len(x if rows is None else rows))
        first = self.node_embedding(x)
        hidden = [first if rows is None else take_rows(first, rows)]
        units = normed = None
        if self.config.directional_channels:
            if directions is None:
                raise ParameterError(
                    f"directional_channels={self.config.directional_channels} need the directions "
                    "of edges; make the graphs with GraphConfig(directions=True)"
                )
            units = self.directional(hidden[0], edges, directions)
            normed = self.unit_norm(units)
        needed = self.config.n_conv if n_states is None else n_states - 1
        for i in range(min(needed, self.config.n_conv)):
            of_layer = gates[i] if gates else None
            given = (first, rows) if i == 0 else (hidden[-1], None)
            hidden.append(self._layer(i, hidden[-1], given, edges, normed, of_layer))
        return hidden, units

    def _layer(
        self,
        i: int,
        x: Tensor,
        given: tuple[Tensor, Tensor | None],
        edges: Edges,
        units: Tensor | None,
        gates: FoldedGates | None,
    ) -> Tensor:
        """Hidden state i + 1 from hidden state i; `given` is the latter as different rows."""
        different, rows = given
        own = x
        if units is not None and i >= self.first_mixed:
            own = self.mixers[i - self.first_mixed](units, x)
        norm, conv, is_last = self.norms[i], self.convs[i], i == self.config.n_conv - 1
        gates = gates or self._gates(i, edges.attr.dtype)
        if self.config.residual:
            messages = conv(norm(different), edges, gates, rows)
            if is_last or not (self.training and self.dropout.p):
                return self.outputs[i](messages, own)
            return own + self.dropout(self.outputs[i](messages))
        x = norm(add(own, conv(different, edges, gates, rows)))
        return x if is_last else self.dropout(relu(x))
