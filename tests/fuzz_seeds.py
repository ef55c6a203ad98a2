"""Good inputs of every kind that is read, from which hostile ones are made."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from ase.io import write
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from ssatom.elements import atomic_features
from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
from ssatom.graph import GraphConfig
from ssatom.recipe import Recipe
from ssatom.structures import structure_arrays
from ssatom.weights import CorpusIndex, save_pretrained

HALITE = Path(__file__).parent.parent / "examples" / "crystals" / "halite.cif"
MAGNETIC = """data_fe
_cell_length_a 2.87
_cell_length_b 2.87
_cell_length_c 2.87
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_space_group_symop_magn_operation.id
_space_group_symop_magn_operation.xyz
1 x,y,z,+1
loop_
_space_group_symop_magn_centering.id
_space_group_symop_magn_centering.xyz
1 x,y,z,+1
2 x+1/2,y+1/2,z+1/2,+1
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Fe1 Fe 0 0 0 1
loop_
_atom_site_moment.label
_atom_site_moment.crystalaxis_x
_atom_site_moment.crystalaxis_y
_atom_site_moment.crystalaxis_z
Fe1 0 0 2.2
"""


def _crystals() -> list[Structure]:
    pair = [[0, 0, 0], [0.5, 0.5, 0.5]]
    packed = [[0.33, 0.67, 0.25], [0.67, 0.33, 0.75]]
    return [
        Structure(Lattice.cubic(4.12), ["Cs", "Cl"], pair),
        Structure(Lattice.hexagonal(3.2, 5.2), ["Mg", "Mg"], packed),
        Structure(Lattice.cubic(2.87), ["Fe", "Fe"], pair),
    ]


class Seeds:
    """Files by name, and folders by kind with the names of their cards, below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.crystals = _crystals()

    @cached_property
    def files(self) -> dict[str, bytes]:
        """Contents of good files."""
        rows = []
        for crystal in self.crystals:
            arrays = structure_arrays(crystal)
            rows.append({"id": crystal.formula, "lattice": arrays.lattice.tolist(),
                         "numbers": arrays.numbers.tolist(), "frac": arrays.frac_coords.tolist(),
                         "props": {"gap": 1.5}, "site_props": {"u": [1.0, 2.0]}})  # fmt: skip
        first, last = self.crystals[0], self.crystals[-1]
        lines = [json.dumps(row) for row in (*rows, last.as_dict(), {"structure": rows[0]})]
        texts = {
            "symmetry.cif": HALITE.read_text(),
            "listed.cif": first.to(fmt="cif") + last.to(fmt="cif"),
            "iron.mcif": MAGNETIC,
            "POSCAR": first.to(fmt="poscar"),
            "old.vasp": "Fe\n1.0\n2.9 0 0\n0 2.9 0\n0 0 2.9\n2\nCartesian\n0 0 0\n1.4 1.4 1.4\n",
            "lines.jsonl": "\n".join(lines) + "\n",
            "rows.json": json.dumps(rows),
            "by_id.json": json.dumps({"a": rows[0], "b": rows[1]}),
            "frame.json": json.dumps(
                {
                    "columns": ["structure", "y"],
                    "index": [0, 1],
                    "data": [[rows[0], 1], [rows[1], 2]],
                }
            ),
            "pymatgen.json": json.dumps(last.as_dict()),
        }
        table = pd.DataFrame(
            {
                "id": ["a", "b"],
                "structure": [first.to(fmt="cif"), json.dumps(rows[1])],
                "y": [1.5, 2],
            }
        )
        texts["table.csv"] = table.to_csv(index=False)
        found = {name: text.encode() for name, text in texts.items()}
        packed = io.BytesIO()
        table.to_parquet(packed)
        found["table.parquet"] = packed.getvalue()
        sheet = io.BytesIO()
        table.to_excel(sheet, index=False)
        found["table.xlsx"] = sheet.getvalue()
        return found | self._by_ase()

    def _by_ase(self) -> dict[str, bytes]:
        atoms = [AseAtomsAdaptor.get_atoms(crystal) for crystal in self.crystals]
        atoms[0].info["gap"] = 1.5
        found = {}
        for name in ("frames.extxyz", "frames.traj", "frames.db"):
            write(self.root / name, atoms)
            found[name] = (self.root / name).read_bytes()
        return found

    @cached_property
    def weights(self) -> Path:
        """A folder of tiny weights."""
        torch.manual_seed(0)
        encoder = CrystalGraphEncoder(EncoderConfig(hidden_dim=4, n_conv=2))
        return save_pretrained(
            self.root / "tiny",
            encoder=encoder,
            graph_config=GraphConfig(),
            element_features=torch.from_numpy(atomic_features().copy()),
            corpus={"description": "test crystals", "n_structures": 3, "terms": "none"},
            corpus_index=CorpusIndex.of([structure_arrays(s) for s in self.crystals]),
            recipe=Recipe(hidden_dim=4, n_conv=2).to_dict(),
            metrics={"validation_loss": 1.25},
            curve=pd.DataFrame({"epoch": [1], "validation_loss": [1.25]}),
            near_constant={"mean": [1]},
        )

    @cached_property
    def folders(self) -> dict[str, tuple[Path, str]]:
        """Folders by kind, with the names of their cards."""
        from ssatom import CGCNNRegressor, NEGNNClassifier, SimilarCrystals, save_estimator

        crystals = self.crystals * 6
        settings = {"hidden_dim": 4, "n_conv": 1, "max_epochs": 1, "random_state": 0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = CGCNNRegressor(**settings).fit(crystals, np.arange(len(crystals), dtype=float))
            classes = ["salt", "metal", "iron"] * 6
            fine = NEGNNClassifier(weights=self.weights, **settings).fit(crystals, classes)
        index = SimilarCrystals(weights=self.weights).fit(self.crystals)
        return {
            "weights": (self.weights, "card.json"),
            "model": (save_estimator(plain, self.root / "plain"), "model.json"),
            "embedding model": (save_estimator(fine, self.root / "fine"), "model.json"),
            "index": (index.save(self.root / "index"), "index.json"),
        }

    def close(self) -> None:
        """Remove all files."""
        shutil.rmtree(self.root, ignore_errors=True)
