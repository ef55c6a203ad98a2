"""Settings of a crystal graph; they belong to the weights that were trained on such graphs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ssatom.exceptions import ParameterError
from ssatom.validation import number, one_of, whole_number

NEIGHBOR_KINDS = ("nearest", "smooth")
_OF_NEAREST = ("max_neighbors", "shell_tolerance")  # settings without a meaning for "smooth"


@dataclass(frozen=True)
class GraphConfig:
    """How structures become graphs.

    Parameters
    ----------
    neighbors : {"nearest", "smooth"}, default="nearest"
        Neighbours of a site. "nearest": the nearest ones; a shell that does not fit as a whole
        shares the places that are left. "smooth": all within the cutoff, each with the weight
        (cos(π d / cutoff) + 1) / 2, which is continuous in the distance d.
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
        If a number is not positive, or a setting has no meaning for the kind of neighbours, or
        `neighbors` is unknown, or `directions` is neither True nor False.

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
        one_of("neighbors", self.neighbors, NEIGHBOR_KINDS)
        one_of("directions", self.directions, (True, False))
        # The card holds Python's numbers, not NumPy's.
        places = whole_number("max_neighbors", self.max_neighbors, least=1)
        object.__setattr__(self, "max_neighbors", places)
        for name in ("cutoff", "shell_tolerance", "basis_step", "basis_width"):
            object.__setattr__(self, name, number(name, getattr(self, name), "(0, inf)"))
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
