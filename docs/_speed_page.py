"""The table of speeds, written from the result file of ``ssatom benchmark``."""

from __future__ import annotations

import json
from pathlib import Path

_ROWS = [
    ("embedding, ms per structure", "embedding_ms_per_structure", ""),
    ("bare 8 Å neighbour search, ms per structure", "neighbor_search_ms_per_structure", ""),
    ("embedding over neighbour search", "embedding_over_neighbor_search", "at most 3"),
    ("matminer's OFM over embedding", "ofm_over_embedding", "at least 500"),
    ("the same, one core each", "ofm_over_embedding_one_core", "at least 500"),
    ("one structure in a warm process, ms", "single_structure_ms", "under 5"),
    (
        "featurizing of a grid search over one transform",
        "grid_search_over_transform",
        "at most 1.3",
    ),
    ("pretraining, structures per second", "pretraining_structures_per_s", "at least 900"),
    ("predictions of a fitted NEGNN, structures per second", "prediction_structures_per_s", ""),
    ("an epoch of CGCNN, s", "training_epoch_s", ""),
    ("the same with float32 edges, s", "training_epoch_float32_s", ""),
    ("the same network in plain PyTorch Geometric, s", "torch_geometric_epoch_s", ""),
    ("PyTorch Geometric over ours", "torch_geometric_over_training", "at least 3"),
    (
        "PyTorch Geometric over ours with float32 edges",
        "torch_geometric_over_training_float32",
        "at least 3",
    ),
]


def write_speed_page(result: Path, folder: Path) -> None:
    """Write ``speed.rst`` into `folder`."""
    folder.mkdir(exist_ok=True)
    found = json.loads(result.read_text(encoding="utf-8"))
    lines = [
        f"{found['n_structures']:,} structures of ``{found['data']}``, "
        f"{found['sites_per_structure']:.1f} sites each, on {found['cores']} cores "
        f"({found['machine']}), torch {found['torch']}, pretraining in "
        f"{found['pretraining_precision']}, weights ``{found['weights']}``.",
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - what",
        "     - measured",
        "     - aim",
    ]
    for label, key, aim in _ROWS:
        if found.get(key) is None:  # an older file, or nothing to compare with was installed
            continue
        lines += [f"   * - {label}", f"     - {found[key]:.3g}", f"     - {aim}"]
    (folder / "speed.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")
