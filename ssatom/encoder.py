"""The encoder: a stack of crystal graph convolutions that returns every hidden state."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssatom.exceptions import ParameterError
from ssatom.repeatable import Dropout, Linear, SiteNorm, linear

_SIZES = {"node_dim": 1, "edge_dim": 1, "hidden_dim": 1, "n_conv": 1, "radial_units": 0}
"""The least that each size may be."""


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """A size as Python's own integer: NumPy's do not go onto a card.

    Parameters
    ----------
    name : str
        For the message.
    value : int
        Python's or NumPy's.
    least : int, default=1
        The least that it may be.

    Returns
    -------
    int

    Raises
    ------
    ParameterError
        If `value` is less, or no whole number.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.encoder import whole_number
    >>> whole_number("n_conv", np.int64(3))
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ParameterError(f"{name}={value!r} must be a whole number of at least {least}")
    return int(value)


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of an encoder.

    Parameters
    ----------
    node_dim : int, default=92
        Length of a node vector.
    edge_dim : int, default=41
        Length of an edge vector.
    hidden_dim : int, default=64
        Width of what is learned of every hidden state, and of the embedded edges.
    n_conv : int, default=5
        Number of convolutions; the encoder has one hidden state more.
    dropout : float, default=0.0
        Share of hidden units dropped after each convolution but the last, in training.
    residual : bool, default=False
        Each layer adds to the last hidden state what it reads from the normalised one, a linear
        map of its messages, instead of replacing it. Deep and wide encoders train better so.
    radial_units : int, default=0
        Coordination numbers that are handed out beside the hidden states: how many neighbours a
        site has within each of the last `radial_units` distances of an edge vector (see
        `ssatom.graph.CoordinationNumbers`). Learned units blur distances; these keep them sharp,
        and change nothing in what is learned.

    Raises
    ------
    ParameterError
        If a size is too small or no whole number, `dropout` is outside [0, 1), or `radial_units`
        are more than an edge vector has.

    Examples
    --------
    >>> from ssatom.encoder import EncoderConfig
    >>> EncoderConfig(hidden_dim=128).n_layers
    6
    """

    node_dim: int = 92
    edge_dim: int = 41
    hidden_dim: int = 64
    n_conv: int = 5
    dropout: float = 0.0
    residual: bool = False
    radial_units: int = 0

    def __post_init__(self) -> None:
        for name, least in _SIZES.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least))
        if self.radial_units > self.edge_dim:
            raise ParameterError(
                f"radial_units={self.radial_units} must be at most {self.edge_dim}, the numbers of "
                "an edge vector; give fewer, or graphs with a larger cutoff or a smaller basis_step"
            )
        if not 0 <= self.dropout < 1:
            raise ParameterError(f"dropout={self.dropout!r} must be in [0, 1)")
        object.__setattr__(self, "dropout", float(self.dropout))

    @property
    def n_layers(self) -> int:
        """Number of hidden states: the linear embedding and one a convolution."""
        return self.n_conv + 1

    def to_dict(self) -> dict[str, Any]:
        """Sizes as plain values, for a card."""
        return asdict(self)

    def describe(self) -> str:
        """One line on the encoder, for people."""
        text = f"{self.n_conv} convolutions of width {self.hidden_dim}"
        if self.radial_units:
            text += f", beside {self.radial_units} coordination numbers"
        return text


class _EdgeLayout:
    """Edges sorted by centre, with what it takes to sum over them by centre or by neighbour."""

    def __init__(self, edge_index: Tensor, edge_weight: Tensor, n_nodes: int) -> None:
        self.source, self.target = edge_index
        if (self.target.diff() < 0).any():
            raise ParameterError(
                "edge_index must be sorted by centre, its row 1; reorder the edges with "
                "edge_index[1].argsort(stable=True), and edge_attr and edge_weight alike"
            )
        self.weight = edge_weight[:, None]
        everyone = torch.arange(n_nodes, device=edge_index.device)
        self.by_target = torch.arange(edge_index.shape[1], device=edge_index.device)
        self.target_offsets = torch.searchsorted(self.target, everyone)
        sources, self.by_source = torch.sort(self.source)
        self.source_offsets = torch.searchsorted(sources, everyone)

    def sum_by_target(self, messages: Tensor) -> Tensor:
        return _sum_runs(messages, self.by_target, self.target_offsets)

    def sum_by_source(self, messages: Tensor) -> Tensor:
        return _sum_runs(messages, self.by_source, self.source_offsets)


def _sum_runs(rows: Tensor, order: Tensor, offsets: Tensor) -> Tensor:
    """Sums over runs of ``rows[order]``; a sorted sum is faster than a scattered one."""
    return F.embedding_bag(order, rows, offsets, mode="sum")


class _GatedMessages(torch.autograd.Function):
    """Σ_j w_ij σ(f_ij) softplus(s_ij) with [f, s]_ij = centre_i + neighbour_j + edge_ij · W.

    Written as one function because the long, thin edge arrays make memory the bottleneck: this
    keeps three of them for the way back, where automatic differentiation keeps eight.
    """

    @staticmethod
    def forward(ctx, center, neighbor, edge_attr, weight, edge_weight, layout):  # type: ignore[override]
        gates = neighbor.index_select(0, layout.source)
        gates += center.index_select(0, layout.target)
        gates.addmm_(edge_attr, weight)
        width = gates.shape[1] // 2
        opened = torch.sigmoid(gates[:, :width])
        core = F.softplus(gates[:, width:])
        messages = opened * core
        messages *= edge_weight.to(messages.dtype)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(opened, core, gates[:, width:], edge_attr, weight, edge_weight)
            ctx.layout = layout
        return layout.sum_by_target(messages)

    @staticmethod
    def backward(ctx, grad_output):  # type: ignore[override]
        opened, core, logits, edge_attr, weight, edge_weight = ctx.saved_tensors
        layout, width = ctx.layout, opened.shape[1]
        upstream = grad_output.index_select(0, layout.target)
        upstream *= opened
        of_edge_weight = ctx.needs_input_grad[4]
        grad_edge_weight = (upstream * core).sum(1, keepdim=True) if of_edge_weight else None
        upstream *= edge_weight.to(upstream.dtype)
        grad = opened.new_empty(len(opened), 2 * width)
        torch.mul(upstream, torch.sigmoid(logits), out=grad[:, width:])
        torch.mul(upstream, core.addcmul(core, opened, value=-1), out=grad[:, :width])
        grad_edges = grad @ weight.t() if ctx.needs_input_grad[2] else None
        return (
            layout.sum_by_target(grad),
            layout.sum_by_source(grad),
            grad_edges,
            edge_attr.t() @ grad,
            grad_edge_weight,
            None,
        )


class CrystalGraphConv(nn.Module):
    """Gated convolution over the neighbours of each site.

    Σ_j w_ij σ(z_ij W_f + b_f) ⊙ softplus(z_ij W_s + b_s), z_ij = [x_i, x_j, e_ij]. The product
    with z is taken part by part: the parts of x once a site instead of once an edge.

    Parameters
    ----------
    hidden_dim : int
        Width of node vectors.
    edge_dim : int
        Width of embedded edges.

    References
    ----------
    Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301
    """

    def __init__(self, hidden_dim: int, edge_dim: int) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.gates = nn.Linear(2 * hidden_dim + edge_dim, 2 * hidden_dim)  # [filter, core]

    def forward(
        self, x: Tensor, edge_attr: Tensor, edge_embedding: nn.Linear, layout: _EdgeLayout
    ) -> Tensor:
        """Summed messages, shape (n_sites, hidden_dim); the caller adds them to the node vectors.

        `edge_embedding` is folded into the edge part of the weights, exactly: two linear maps
        in a row are one.
        """
        width = self.hidden_dim
        of_center, of_neighbor, of_edge = self.gates.weight.split(
            [width, width, self.gates.in_features - 2 * width], dim=1
        )
        edge_weight = (of_edge @ edge_embedding.weight).t()
        edge_weight = F.pad(edge_weight, (0, 0, 0, edge_attr.shape[1] - len(edge_weight)))
        bias = self.gates.bias + of_edge @ edge_embedding.bias
        dtype = edge_attr.dtype
        nodes = x.to(dtype)
        center = linear(nodes, of_center.to(dtype), bias.to(dtype))
        neighbor = linear(nodes, of_neighbor.to(dtype))
        messages = _GatedMessages.apply(
            center, neighbor, edge_attr, edge_weight.to(dtype), layout.weight, layout
        )
        return messages.to(x.dtype)


class CrystalGraphEncoder(nn.Module):
    """Crystal graph network that returns the hidden states of all its layers.

    Hidden state 0 is the linear embedding of the node vectors; each further one follows from
    the last by convolution, batch normalisation, ReLU and dropout, without ReLU and dropout
    after the last convolution. With ``residual`` the normalisation comes first, and each state is
    the last one plus a linear map of the messages between normalised states.

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
        self.float()  # whatever torch's default is

    def __repr__(self) -> str:
        return f"CrystalGraphEncoder({self.config!r})"

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        edge_weight: Tensor | None = None,
        n_states: int | None = None,
    ) -> list[Tensor]:
        """Hidden states of all layers, or of the first ones.

        Parameters
        ----------
        x : Tensor, shape (n_sites, node_dim)
            Node vectors.
        edge_index : Tensor of int64, shape (2, n_edges)
            Neighbour and centre of each edge, sorted by centre. Messages flow from row 0 to 1.
        edge_attr : Tensor, shape (n_edges, edge_dim)
            Edge vectors. Their precision is the one in which edges are computed: bfloat16 makes
            training several times faster, float32 is exact.
        edge_weight : Tensor, shape (n_edges,), default=None
            Factor of each message; None for 1.
        n_states : int, default=None
            Number of hidden states that are needed, from the first; None for all.

        Returns
        -------
        list of Tensor, each of shape (n_sites, hidden_dim)
            `n_states` hidden states, at most ``n_conv + 1``.

        Raises
        ------
        ParameterError
            If the edges are not sorted by centre.
        """
        if edge_weight is None:
            edge_weight = edge_attr.new_ones(edge_index.shape[1])
        layout = _EdgeLayout(edge_index, edge_weight, len(x))
        # Matrix products are up to twice as fast when rows fill whole vector registers.
        edge_attr = F.pad(edge_attr, (0, -edge_attr.shape[1] % 16))
        hidden = [self.node_embedding(x)]
        needed = self.config.n_conv if n_states is None else n_states - 1
        for i, conv in enumerate(self.convs[:needed]):  # type: ignore[arg-type]
            hidden.append(self._layer(i, conv, hidden[-1], edge_attr, layout))
        return hidden

    def _layer(
        self, i: int, conv: nn.Module, x: Tensor, edge_attr: Tensor, layout: _EdgeLayout
    ) -> Tensor:
        """Hidden state i + 1 from hidden state i."""
        norm, is_last = self.norms[i], i == self.config.n_conv - 1
        if self.config.residual:
            step = self.outputs[i](conv(norm(x), edge_attr, self.edge_embedding, layout))
            return x + (step if is_last else self.dropout(step))
        x = norm(x + conv(x, edge_attr, self.edge_embedding, layout))
        return x if is_last else self.dropout(F.relu(x))
