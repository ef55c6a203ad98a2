"""Crystals and featurizers that the tests of the featurizers' contracts run over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from ssatom import (
    ElectronicFeaturizer,
    GraphEmbeddingFeaturizer,
    OrbitalFieldMatrixTransformer,
    SelfSupervisedSiteFeaturizer,
)

FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


def diamond() -> Structure:
    """Carbon, in the cell of two sites."""
    return Structure(Lattice(3.567 * FCC), ["C", "C"], [[0, 0, 0], [0.25, 0.25, 0.25]])


def rock_salt(a: float = 5.64) -> Structure:
    """NaCl, in the cell of two sites."""
    return Structure(Lattice(a * FCC), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def cesium_chloride(a: float = 4.123) -> Structure:
    return Structure(Lattice.cubic(a), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def ni3al() -> Structure:
    sites = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(3.572), ["Al", "Ni", "Ni", "Ni"], sites)


def crystals() -> list[Structure]:
    return [rock_salt(), cesium_chloride(), ni3al(), diamond()]


def alloy() -> Structure:
    """Disordered, so refused by all."""
    return Structure(Lattice.cubic(2.87), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])


def overlapping() -> Structure:
    """Two atoms 0.06 Å apart, so refused by all."""
    structure = rock_salt()
    structure.append("Cl", [0.5, 0.5, 0.51])
    return structure


@dataclass(frozen=True)
class Case:
    """One public featurizer and how its rows look."""

    cls: type
    kwargs: dict[str, Any]
    changed: dict[str, Any]
    sites: bool

    def make(self, **kwargs: Any) -> Any:
        return self.cls(**{**self.kwargs, **kwargs})

    def row(self, structure: Structure) -> Any:
        return (structure, len(structure) - 1) if self.sites else structure

    def rows(self, n: int = 4) -> list[Any]:
        """The first four crystals, then rock salts and cesium chlorides of other sizes."""
        more = [(rock_salt, cesium_chloride)[i % 2](4.2 + 0.1 * i) for i in range(4, n)]
        return [self.row(structure) for structure in (crystals() + more)[:n]]

    def columns(self) -> list[str]:
        return ["structure", "site_index"] if self.sites else ["structure"]

    def frame(self, n: int = 4) -> pd.DataFrame:
        rows = [row if self.sites else (row,) for row in self.rows(n)]
        return pd.DataFrame(rows, columns=self.columns(), index=[f"row {i}" for i in range(n)])


CASES = {
    "graph": Case(GraphEmbeddingFeaturizer, {"weights": "random"}, {"layers": "13"}, False),
    "site": Case(SelfSupervisedSiteFeaturizer, {"weights": "random"}, {"layers": "13"}, True),
    "electronic": Case(ElectronicFeaturizer, {}, {"pooling": ("max", "min")}, False),
    "ofm": Case(OrbitalFieldMatrixTransformer, {}, {"extra_row": None}, False),
    "ofm-site": Case(
        OrbitalFieldMatrixTransformer, {"level": "site"}, {"extra_row": "center"}, True
    ),
}
