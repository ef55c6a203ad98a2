"""Settings of a crystal graph; they belong to the weights that were trained on such graphs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ssatom.exceptions import ParameterError

NEIGHBOR_KINDS = ("nearest",)


@dataclass(frozen=True)
class GraphConfig:
    """How structures become graphs.

    Parameters
    ----------
    neighbors : {"nearest"}, default="nearest"
        Which neighbours a site listens to: the nearest ones, where the shell that does not fit
        as a whole shares the places that are left.
    max_neighbors : int, default=12
        Number of places for neighbours, the sum of a site's edge weights.
    cutoff : float, default=8.0
        Farthest neighbour, Å.
    shell_tolerance : float, default=0.01
        Neighbours whose distances differ by no more than this, Å, are of one shell.
    basis_step : float, default=0.2
        Spacing of the Gaussian centres from 0 to `cutoff`, Å; 41 of them at the defaults.
    basis_width : float, default=0.2
        Width of the Gaussians, Å.

    Raises
    ------
    ParameterError
        If a setting is not positive or `neighbors` is unknown.

    References
    ----------
    Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301

    Examples
    --------
    >>> from ssatom.graph import GraphConfig
    >>> GraphConfig().edge_dim
    41
    """

    neighbors: str = "nearest"
    max_neighbors: int = 12
    cutoff: float = 8.0
    shell_tolerance: float = 0.01
    basis_step: float = 0.2
    basis_width: float = 0.2

    def __post_init__(self) -> None:
        if self.neighbors not in NEIGHBOR_KINDS:
            raise ParameterError(
                f"neighbors={self.neighbors!r} is unknown; allowed: {', '.join(NEIGHBOR_KINDS)}"
            )
        for name in ("max_neighbors", "cutoff", "shell_tolerance", "basis_step", "basis_width"):
            if not getattr(self, name) > 0:
                raise ParameterError(f"{name}={getattr(self, name)!r} must be positive")

    @property
    def edge_dim(self) -> int:
        """Length of an edge vector: the number of Gaussians."""
        return round(self.cutoff / self.basis_step) + 1

    def to_dict(self) -> dict[str, Any]:
        """Settings as plain values, for a card."""
        return asdict(self)
