"""Numbers that stay: reference embeddings in float64, and files of a release.

    python tests/frozen.py                 # references of sets and options that are new or changed
    python tests/frozen.py --all           # all references, where a change is meant
    python tests/frozen.py --release 0.2.0 # files as this version writes them, once a release

References of shipped weights are kept by the sha256 of their tensors, in `tests/data/frozen`.
"""

from __future__ import annotations

import argparse
import copy
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Lattice, Structure

from ssatom import CGCNNClassifier, NEGNNRegressor, SimilarCrystals, write_structures
from ssatom.elements import atomic_features
from ssatom.embeddings import POOLINGS
from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
from ssatom.graph import (
    CoordinationNumbers,
    CrystalGraphConverter,
    GaussianDistanceBasis,
    GraphConfig,
)
from ssatom.storage import save_estimator
from ssatom.structures import structure_arrays
from ssatom.weights import (
    CorpusIndex,
    PretrainedEncoder,
    list_weights,
    load_pretrained,
    save_pretrained,
)

DATA = Path(__file__).parent / "data"
FROZEN = DATA / "frozen"
COMMAND = "python tests/frozen.py"


@cache
def crystals() -> dict[str, Structure]:
    """20 crystals of known space groups; lattice constants in Å. Not to be changed."""
    cubic, hexagonal, tetragonal = Lattice.cubic, Lattice.hexagonal, Lattice.tetragonal
    zero, half, third = [0, 0, 0], [0.5, 0.5, 0.5], [1 / 3, 2 / 3, 0]
    table: dict[str, tuple[str, Lattice, list[str], list[list[float]]]] = {
        "copper": ("Fm-3m", cubic(3.615), ["Cu"], [zero]),
        "iron": ("Im-3m", cubic(2.866), ["Fe"], [zero]),
        "polonium": ("Pm-3m", cubic(3.359), ["Po"], [zero]),
        "magnesium": ("P6_3/mmc", hexagonal(3.209, 5.211), ["Mg"], [[1 / 3, 2 / 3, 0.25]]),
        "tin": ("I4_1/amd", tetragonal(5.831, 3.182), ["Sn"], [zero]),
        "diamond": ("Fd-3m", cubic(3.567), ["C"], [[0.125, 0.125, 0.125]]),
        "graphite": ("P6_3/mmc", hexagonal(2.464, 6.711), ["C", "C"], [[0, 0, 0.25],
                     [1 / 3, 2 / 3, 0.25]]),
        "halite": ("Fm-3m", cubic(5.640), ["Na", "Cl"], [zero, half]),
        "caesium chloride": ("Pm-3m", cubic(4.123), ["Cs", "Cl"], [zero, half]),
        "sphalerite": ("F-43m", cubic(5.409), ["Zn", "S"], [zero, [0.25, 0.25, 0.25]]),
        "wurtzite": ("P6_3mc", hexagonal(3.250, 5.207), ["Zn", "O"],
                     [third, [1 / 3, 2 / 3, 0.382]]),
        "fluorite": ("Fm-3m", cubic(5.463), ["Ca", "F"], [zero, [0.25, 0.25, 0.25]]),
        "rutile": ("P4_2/mnm", tetragonal(4.594, 2.959), ["Ti", "O"], [zero, [0.305, 0.305, 0]]),
        "pyrite": ("Pa-3", cubic(5.418), ["Fe", "S"], [zero, [0.385, 0.385, 0.385]]),
        "perovskite": ("Pm-3m", cubic(3.905), ["Sr", "Ti", "O"], [zero, half, [0.5, 0.5, 0]]),
        "lead titanate": ("P4mm", tetragonal(3.904, 4.150), ["Pb", "Ti", "O", "O"],
                          [zero, [0.5, 0.5, 0.538], [0.5, 0.5, 0.112], [0.5, 0, 0.612]]),
        "nickel aluminide": ("Pm-3m", cubic(3.572), ["Al", "Ni"], [zero, [0.5, 0.5, 0]]),
        "molybdenite": ("P6_3/mmc", hexagonal(3.160, 12.294), ["Mo", "S"],
                        [[1 / 3, 2 / 3, 0.25], [1 / 3, 2 / 3, 0.621]]),
        "corundum": ("R-3c", hexagonal(4.759, 12.991), ["Al", "O"],
                     [[0, 0, 0.352], [0.306, 0, 0.25]]),
        "argon atom": ("Pm-3m", cubic(20.0), ["Ar"], [zero]),
    }  # fmt: skip
    return {name: Structure.from_spacegroup(*row) for name, row in table.items()}


def waves(encoder: CrystalGraphEncoder) -> CrystalGraphEncoder:
    """Fill all tensors with a formula, so that no random generator has a part in the numbers."""
    with torch.no_grad():
        for i, (name, tensor) in enumerate(encoder.state_dict().items()):
            if tensor.is_floating_point():
                wave = torch.sin(1.7 * torch.arange(tensor.numel(), dtype=torch.float64) + i)
                scaled = 1 + 0.3 * wave if name.endswith("running_var") else 0.3 * wave
                tensor.copy_(scaled.reshape(tensor.shape))
    return encoder.eval()


# Every setting of graphs and encoders that changes numbers, in one option or another. Another
# setting is another option, whose reference `python tests/frozen.py` writes.
_OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nearest": ({}, {}),
    "few": (
        {"max_neighbors": 6, "cutoff": 6.0, "shell_tolerance": 0.1, "basis_step": 0.5,
         "basis_width": 0.3},
        {"residual": True},
    ),
    "smooth": ({"neighbors": "smooth", "cutoff": 5.0}, {"residual": True, "radial_units": 4}),
    "directional": (
        {"neighbors": "smooth", "cutoff": 5.0, "directions": True},
        {"directional_channels": 2, "radial_units": 2},
    ),
    "residual directional": (
        {"neighbors": "smooth", "cutoff": 4.5, "directions": True},
        {"directional_channels": 2, "residual": True},
    ),
    "nearest directional": ({"directions": True}, {"directional_channels": 2}),
}  # fmt: skip
OPTIONS = list(_OPTIONS)


def option(name: str) -> PretrainedEncoder:
    """Small encoder with the settings of an option; its tensors are waves."""
    of_graph, of_encoder = _OPTIONS[name]
    graph = GraphConfig(**of_graph)
    config = EncoderConfig(edge_dim=graph.edge_dim, hidden_dim=4, n_conv=3, **of_encoder)
    features = torch.from_numpy(atomic_features().copy())
    return PretrainedEncoder(name, waves(CrystalGraphEncoder(config)), graph, features, name)


def exact_states(weights: PretrainedEncoder, structures: list[Structure]) -> list[np.ndarray]:
    """States of the sites in float64, by torch alone."""
    encoder = copy.deepcopy(weights.encoder).double()
    basis = GaussianDistanceBasis(weights.graph_config).double()
    n_numbers = weights.encoder.config.radial_units
    coordination = CoordinationNumbers(weights.graph_config, n_numbers).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = CrystalGraphConverter(weights.graph_config).convert(structures).to_batch()
    x = weights.element_features.double()[batch.numbers]
    distances, edge_weight = batch.distances.double(), batch.edge_weight.double()
    directions = None if batch.directions is None else batch.directions.double()
    with torch.no_grad():
        states, units = encoder.states_and_units(
            x, batch.edge_index, basis(distances), edge_weight, directions=directions
        )
        if n_numbers:
            centers = batch.edge_index[1]
            states.append(coordination(distances, centers, edge_weight, len(x)))
        if units is not None:
            states.append(units)
    ends = np.cumsum([len(structure) for structure in structures])
    return np.split(torch.cat(states, dim=1).numpy(), ends[:-1])


def exact_embeddings(weights: PretrainedEncoder, poolings: list[str]) -> np.ndarray:
    """Embeddings of the 20 crystals in float64, shape (20, n_poolings, n_columns)."""
    structures = list(crystals().values())
    rows = []
    for structure, states in zip(structures, exact_states(weights, structures), strict=True):
        numbers, count = np.array(structure.atomic_numbers), np.array([len(structure)])
        rows.append([POOLINGS[name](states, numbers, count)[0] for name in poolings])
    return np.array(rows)


def blocks(weights: PretrainedEncoder) -> list[slice]:
    """Columns of each layer, of the coordination numbers and of the directional units."""
    config, width = weights.encoder.config, weights.hidden_dim
    ends = [width * (layer + 1) for layer in range(weights.n_layers)]
    ends += [ends[-1] + config.radial_units, weights.n_columns]
    return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False) if b > a]


def difference(weights: PretrainedEncoder, found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, each block of columns in units of its largest number."""
    return max(
        float(np.abs(found[..., b] - expected[..., b]).max() / np.abs(expected[..., b]).max())
        for b in blocks(weights)
    )


# Writing ---------------------------------------------------------------------------------------


def write_references(every: bool) -> list[str]:
    """References that are missing or of other weights; names of those written and removed."""
    FROZEN.mkdir(parents=True, exist_ok=True)
    told = []
    for name in list_weights():
        weights, path = load_pretrained(name), FROZEN / f"{name}.npz"
        if every or not path.exists() or str(np.load(path)["sha256"]) != weights.sha256:
            mean = exact_embeddings(weights, ["mean"])[:, 0]
            np.savez_compressed(path, mean=mean, sha256=weights.sha256)
            told.append(f"wrote {path.name}")
    for path in FROZEN.glob("*.npz"):
        if path.stem not in [*list_weights(), "options"]:
            path.unlink()
            told.append(f"removed {path.name}")
    path = FROZEN / "options.npz"
    kept = {} if every or not path.exists() else dict(np.load(path))
    if kept.keys() != set(OPTIONS):
        for name in OPTIONS:
            poolings = list(POOLINGS) if name == "nearest" else ["mean"]
            if name not in kept:
                kept[name] = exact_embeddings(option(name), poolings)
        np.savez_compressed(path, **{name: kept[name] for name in OPTIONS})
        told.append("wrote options.npz")
    return told


def write_release(folder: Path) -> None:
    """Weights, models, an index and features as this version writes them, with predictions."""
    from typer.testing import CliRunner

    from ssatom.cli import app

    folder.mkdir(parents=True)
    named = crystals()
    structures = list(named.values())
    write_structures(folder / "crystals.jsonl", structures, ids=list(named))
    small = option("directional")
    weights = save_pretrained(
        folder / "waves",
        encoder=small.encoder,
        graph_config=small.graph_config,
        element_features=small.element_features,
        corpus={"description": "none; a formula", "n_structures": 0, "terms": "none"},
        corpus_index=CorpusIndex.of([structure_arrays(structures[0])]),
        recipe={},
        metrics={},
        curve=pd.DataFrame({"epoch": [1]}),
        near_constant={},
    )
    volumes = np.array([s.volume / len(s) for s in structures])
    settings = {"hidden_dim": 8, "n_conv": 1, "max_epochs": 20, "random_state": 0}
    negnn = {**settings, "weights": str(weights), "layers": "012"}
    models: dict[str, tuple[Any, np.ndarray]] = {
        "negnn": (NEGNNRegressor(**negnn, n_members=2), volumes),
        "tuned": (NEGNNRegressor(**negnn, encoder="fine-tune"), volumes),
        "cgcnn": (CGCNNClassifier(**settings), np.where(volumes > 15, "loose", "dense")),
    }
    predictions = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (model, y) in models.items():
            model.fit(structures, y)
            save_estimator(model, folder / name)
            predictions[name] = getattr(model, "predict_proba", model.predict)(structures)
        predictions["std"] = models["negnn"][0].predict(structures, return_std=True)[1]
        SimilarCrystals("012", str(weights)).fit(structures, ids=list(named)).save(folder / "index")
    np.savez_compressed(folder / "predictions.npz", **predictions)
    for suffix in ("csv", "parquet", "npz"):
        command = ["featurize", folder / "crystals.jsonl", "--weights", weights, "--no-progress"]
        done = CliRunner().invoke(
            app, [*map(str, command), "-o", str(folder / f"features.{suffix}")]
        )
        assert done.exit_code == 0, done.output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="write all references")
    parser.add_argument("--release", metavar="VERSION", help="write the files of a release")
    given = parser.parse_args()
    if given.release:
        write_release(DATA / f"release-{given.release}")
    for line in write_references(given.all):
        print(line)


if __name__ == "__main__":
    main()
