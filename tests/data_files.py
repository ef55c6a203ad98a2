"""Small data files of the evaluation's kind, made of example crystals with made-up labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
from pymatgen.core import Structure

from ssatom import load_example_crystals


def row(structure: Structure, name: str, props: dict | None = None, **more) -> dict:
    return {
        "id": name,
        "lattice": structure.lattice.matrix.tolist(),
        "numbers": [site.specie.Z for site in structure],
        "frac": structure.frac_coords.tolist(),
        "props": props or {},
        **more,
    }


def write(folder: Path, name: str, rows: list[dict]) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(r, option=orjson.OPT_SERIALIZE_NUMPY) for r in rows))
    return path


def write_all(folder: Path, n_crystals: int = 40) -> None:
    """Every data set, on the same crystals; labels follow the mean atomic number and volume."""
    rng = np.random.default_rng(0)
    small = [s for s in load_example_crystals()["structure"] if len(s) < 12]
    crystals = small[:n_crystals]
    sets: dict[str, list[dict]] = {}
    for i, structure in enumerate(crystals):
        numbers = np.array([site.specie.Z for site in structure])
        label = numbers.mean() / 40 + 0.1 * rng.normal()
        volume = structure.volume / len(structure) / 20 + 0.1 * rng.normal()
        energies = {"formation_energy_per_atom": -label, "band_gap": volume}
        elastic = {"log10_K": 3 - volume, "log10_G": 2 - volume, "poisson": label / 5}
        part = ("train", "train", "train", "valid", "test")[i % 5]
        props = {
            "paper_formation": energies,
            "paper_hse_gap": {"hse_gap": volume},
            "paper_elastic": elastic,
            "matbench_phonons": {"last_phdos_peak_cm1": 900 * label, "matbench_fold": i % 5},
            "mp2018_36k": {**energies, "split": part},
            "dielectric": {"log10_poly_total": volume},
            "corpus_mp": {},
        }
        for name, of in props.items():
            sets.setdefault(name, []).append(row(structure, f"mp-{i}", of))
        moments = {"magmom": (numbers / 20 + 0.1 * rng.random(len(numbers))).tolist()}
        sites = sorted({0, len(structure) - 1})
        magnetic = row(structure, f"{i}.0", site_props=moments, site_index=sites)
        sets.setdefault("paper_magmom", []).append(magnetic)
    for i, structure in enumerate(small[n_crystals:][:n_crystals]):
        label = rng.normal()
        energies = {"formation_energy_per_atom": label, "band_gap": abs(label)}
        sets["mp2018_36k"].append(row(structure, f"only-{i}", {**energies, "split": "train"}))
    for name, rows in sets.items():
        write(folder, name, rows)
