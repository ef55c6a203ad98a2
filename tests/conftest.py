"""Crystals from known lattice constants, and small sets of weights, for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure

import ssatom
from ssatom.elements import atomic_features
from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
from ssatom.graph import GraphConfig
from ssatom.recipe import Recipe
from ssatom.structures import structure_arrays
from ssatom.weights import CorpusIndex, save_pretrained

# The tests compute on small tensors, for which threads wait longer than they compute, above all
# on a busy machine. Tests about threads set their own number.
torch.set_num_threads(1)

# Processes that tests start import the checkout too, whatever is installed.
_ROOT = str(Path(__file__).resolve().parents[1])
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_ROOT, os.environ.get("PYTHONPATH")]))


def _crystals() -> dict[str, Structure]:
    """Conventional cells, lattice constants in Å."""
    by_group = Structure.from_spacegroup
    hydrogens = [[10, 10.76, 10.59], [10, 9.24, 10.59]]
    return {
        "NaCl": by_group("Fm-3m", Lattice.cubic(5.640), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "CsCl": Structure(Lattice.cubic(4.123), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "Cu": by_group("Fm-3m", Lattice.cubic(3.615), ["Cu"], [[0, 0, 0]]),
        "Fe": by_group("Im-3m", Lattice.cubic(2.866), ["Fe"], [[0, 0, 0]]),
        "diamond": by_group("Fd-3m", Lattice.cubic(3.567), ["C"], [[0, 0, 0]]),
        "Mg": Structure(
            Lattice.hexagonal(3.209, 5.211),
            ["Mg", "Mg"],
            [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
        ),
        "Ni3Al": by_group("Pm-3m", Lattice.cubic(3.572), ["Al", "Ni"], [[0, 0, 0], [0.5, 0.5, 0]]),
        "TiO2": by_group(
            "P4_2/mnm",
            Lattice.tetragonal(4.594, 2.959),
            ["Ti", "O"],
            [[0, 0, 0], [0.305, 0.305, 0]],
        ),
        "SrTiO3": by_group(
            "Pm-3m",
            Lattice.cubic(3.905),
            ["Sr", "Ti", "O"],
            [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]],
        ),
        "water": Structure(
            Lattice.cubic(20.0),
            ["O", "H", "H"],
            [[10, 10, 10], *hydrogens],
            coords_are_cartesian=True,
        ),
        "argon": Structure(Lattice.cubic(20.0), ["Ar"], [[0.5, 0.5, 0.5]]),
    }


CRYSTALS = _crystals()


@pytest.fixture(scope="session")
def crystals() -> dict[str, Structure]:
    """All crystals by name; not to be changed."""
    return CRYSTALS


@pytest.fixture(scope="session", params=list(CRYSTALS))
def crystal(request: pytest.FixtureRequest) -> Structure:
    """Each crystal in turn; not to be changed."""
    return CRYSTALS[request.param]


@pytest.fixture(scope="session")
def corpus() -> list[Structure]:
    """144 small crystals of six kinds that differ in elements: something to learn from."""
    kinds = ["NaCl", "CsCl", "Cu", "diamond", "Mg", "Ni3Al"]
    rng = np.random.default_rng(0)
    symbols = [
        "Li",
        "Na",
        "K",
        "Mg",
        "Ca",
        "Ti",
        "Fe",
        "Ni",
        "Cu",
        "Zn",
        "Al",
        "Si",
        "O",
        "S",
        "Cl",
        "Br",
    ]
    primitive = {kind: CRYSTALS[kind].get_primitive_structure() for kind in kinds}
    structures = []
    for i in range(144):
        structure = primitive[kinds[i % len(kinds)]].copy()
        chosen = rng.choice(symbols, size=structure.n_elems, replace=False)
        structure.replace_species(dict(zip(structure.elements, chosen, strict=True)))
        structure.scale_lattice(structure.volume * rng.uniform(0.9, 1.1))
        structures.append(structure)
    return structures


@pytest.fixture(scope="session")
def make_weights() -> Callable[..., Path]:
    """Function that writes a folder of tiny weights which never learned anything."""

    def make(folder: Path, seed: int = 0, structures: list[Structure] | None = None) -> Path:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            encoder = CrystalGraphEncoder(EncoderConfig(hidden_dim=4, n_conv=2))
        known = list(CRYSTALS.values())[:3] if structures is None else structures
        return save_pretrained(
            folder,
            encoder=encoder,
            graph_config=GraphConfig(),
            element_features=torch.from_numpy(atomic_features().copy()),
            corpus={"description": "test crystals", "n_structures": len(known), "terms": "none"},
            corpus_index=CorpusIndex.of([structure_arrays(s) for s in known]),
            recipe=Recipe(hidden_dim=4, n_conv=2, random_state=seed).to_dict(),
            metrics={"validation_loss": 1.25, "validation_period_accuracy": 0.5},
            curve=pd.DataFrame({"epoch": [1], "validation_loss": [1.25]}),
            near_constant={},
        )

    return make


@pytest.fixture
def weights_folder(tmp_path: Path, make_weights: Callable[..., Path]) -> Path:
    """A fresh folder of tiny random weights, called "tiny"; tests may change it."""
    return make_weights(tmp_path / "tiny")


# What the tests of the estimators share. Names of classes instead of classes, so that the other
# tests need not wait for Lightning.


@pytest.fixture(params=["NEGNNRegressor", "CGCNNRegressor", "NEGNNClassifier", "CGCNNClassifier"])
def cls(request: pytest.FixtureRequest) -> type:
    """Each estimator in turn."""
    return getattr(ssatom, request.param)


@pytest.fixture(scope="session")
def structures(corpus: list[Structure]) -> list[Structure]:
    """24 small crystals."""
    return corpus[:24]


@pytest.fixture(scope="session")
def volumes(structures: list[Structure]) -> np.ndarray:
    """Å³ per site."""
    return np.array([s.volume / len(s) for s in structures])


@pytest.fixture(scope="session")
def fitted(structures: list[Structure], volumes: np.ndarray) -> dict[type, Any]:
    """One estimator of each class, fitted; not to be changed."""
    from estimator_cases import CLASSES, make, target

    return {cls: make(cls).fit(structures, target(cls, volumes)) for cls in CLASSES}
