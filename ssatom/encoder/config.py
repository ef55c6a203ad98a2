"""Sizes of an encoder, checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ssatom.exceptions import ParameterError
from ssatom.kernels import N_DEGREES
from ssatom.validation import number, one_of, whole_number

_SIZES = {"node_dim": 1, "edge_dim": 1, "hidden_dim": 1, "n_conv": 1, "radial_units": 0,
          "directional_channels": 0}  # fmt: skip
"""The least that each size may be."""


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
        Coordination numbers that are given beside the hidden states: the number of neighbours
        within each of the last `radial_units` distances of an edge vector (see
        `ssatom.graph.CoordinationNumbers`). Nothing is learned from them.
    directional_channels : int, default=0
        Channels of `DirectionalUnits`; each gives five units, of degree 0 to 4. They are given
        beside the hidden states and enter the third and later convolutions. The graphs must
        have directions.

    Raises
    ------
    ParameterError
        If a size is too small or no whole number, `dropout` is outside [0, 1), `residual` is
        neither True nor False, or `radial_units` are more than an edge vector has.

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
    directional_channels: int = 0

    def __post_init__(self) -> None:
        for name, least in _SIZES.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least))
        if self.radial_units > self.edge_dim:
            raise ParameterError(
                f"radial_units={self.radial_units} must be at most {self.edge_dim}, the numbers of "
                "an edge vector; give fewer, or graphs with a larger cutoff or a smaller basis_step"
            )
        object.__setattr__(self, "dropout", number("dropout", self.dropout, "[0, 1)"))
        one_of("residual", self.residual, (True, False))

    @property
    def n_layers(self) -> int:
        """Number of hidden states: the linear embedding and one a convolution."""
        return self.n_conv + 1

    @property
    def n_units(self) -> int:
        """Number of directional units."""
        return N_DEGREES * self.directional_channels

    def to_dict(self) -> dict[str, Any]:
        """Sizes as plain values, for a card."""
        return asdict(self)

    def describe(self) -> str:
        """One line on the encoder, for people."""
        counts = {"coordination numbers": self.radial_units, "directional units": self.n_units}
        beside = " and ".join(f"{n} {what}" for what, n in counts.items() if n)
        text = f"{self.n_conv} convolutions of width {self.hidden_dim}"
        return f"{text}, beside {beside}" if beside else text
