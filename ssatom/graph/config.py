"""Settings of a crystal graph; they belong to the weights that were trained on such graphs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any

from ssatom.exceptions import ParameterError

NEIGHBOR_KINDS = ("nearest", "smooth")
_NUMBERS = {
    "max_neighbors": Integral,
    "cutoff": Real,
    "shell_tolerance": Real,
    "basis_step": Real,
    "basis_width": Real,
}
_OF_NEAREST = ("max_neighbors", "shell_tolerance")  # settings without a meaning for "smooth"


@dataclass(frozen=True)
class GraphConfig:
    """How structures become graphs.

    Parameters
    ----------
    neighbors : {"nearest", "smooth"}, default="nearest"
        Which neighbours a site listens to. "nearest": the nearest ones, where the shell that does
        not fit as a whole shares the places that are left. "smooth": all within the cutoff, each
        weighed by (cos(π d / cutoff) + 1) / 2, so that none comes or goes with a jump.
    max_neighbors : int, default=12
        Number of places for neighbours, the sum of a site's edge weights. Of "nearest" alone.
    cutoff : float, default=8.0
        Farthest neighbour, Å. About 35 neighbours are within 5 Å.
    shell_tolerance : float, default=0.01
        Neighbours whose distances differ by no more than this, Å, are of one shell. Of "nearest"
        alone.
    basis_step : float, default=0.2
        Spacing of the Gaussian centres from 0 to `cutoff`, Å; 41 of them at the defaults.
    basis_width : float, default=0.2
        Width of the Gaussians, Å.
    directions : bool, default=False
        Whether edges have directions, which directional units need.

    Raises
    ------
    ParameterError
        If a setting is no positive number, or has no meaning for the kind of neighbours, or
        `neighbors` is unknown.

    References
    ----------
    Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), 10.1103/PhysRevLett.120.145301 (nearest);
    Behler & Parrinello, Phys. Rev. Lett. 98, 146401 (2007), 10.1103/PhysRevLett.98.146401 (the
    envelope).

    Examples
    --------
    >>> from ssatom.graph import GraphConfig
    >>> GraphConfig().edge_dim
    41
    >>> GraphConfig(neighbors="smooth", cutoff=5.0).describe()
    'all neighbours within 5 Å under a smooth envelope, distances in 26 Gaussians'
    """

    neighbors: str = "nearest"
    max_neighbors: int = 12
    cutoff: float = 8.0
    shell_tolerance: float = 0.01
    basis_step: float = 0.2
    basis_width: float = 0.2
    directions: bool = False

    def __post_init__(self) -> None:
        if self.neighbors not in NEIGHBOR_KINDS:
            raise ParameterError(
                f"neighbors={self.neighbors!r} is unknown; allowed: {', '.join(NEIGHBOR_KINDS)}"
            )
        for name, kind in _NUMBERS.items():
            value = getattr(self, name)
            known = isinstance(value, kind) and not isinstance(value, bool)
            if not known or not 0 < float(value) < math.inf:
                what = "int" if kind is Integral else "number"
                raise ParameterError(f"{name}={value!r} must be a positive {what}")
            # Python's own, since NumPy's do not go onto a card.
            object.__setattr__(self, name, int(value) if kind is Integral else float(value))
        for name in self._without_meaning():
            if getattr(self, name) != getattr(type(self), name):
                raise ParameterError(
                    f"{name}={getattr(self, name)!r} has no meaning with neighbors="
                    f"{self.neighbors!r}, which takes all within the cutoff; leave it out"
                )

    def _without_meaning(self) -> tuple[str, ...]:
        return _OF_NEAREST if self.neighbors == "smooth" else ()

    @property
    def edge_dim(self) -> int:
        """Length of an edge vector: the number of Gaussians."""
        return round(self.cutoff / self.basis_step) + 1

    def to_dict(self) -> dict[str, Any]:
        """Settings that have a meaning as plain values, for a card."""
        return {k: v for k, v in asdict(self).items() if k not in self._without_meaning()}

    def describe(self) -> str:
        """One line on the graphs, for people."""
        which = f"{self.max_neighbors} nearest neighbours within {self.cutoff:g} Å"
        if self.neighbors == "smooth":
            which = f"all neighbours within {self.cutoff:g} Å under a smooth envelope"
        edges = f"distances in {self.edge_dim} Gaussians"
        return f"{which}, {edges}" + (" and directions" if self.directions else "")
