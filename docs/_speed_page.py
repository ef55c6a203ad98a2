"""The table of speeds, written from the result file of examples/benchmarks/speed.py."""

from __future__ import annotations

import json
from pathlib import Path

_ROWS = [  # what, and its key
    ("embedding, ms per structure", "embedding_ms_per_structure"),
    ("bare 8 Å neighbour search, ms per structure", "neighbor_search_ms_per_structure"),
    ("embedding over neighbour search", "embedding_over_neighbor_search"),
    ("matminer's OFM over embedding", "ofm_over_embedding"),
    ("the same, one core each", "ofm_over_embedding_one_core"),
    ("one structure in a warm process, ms", "single_structure_ms"),
    ("featurizing of a grid search over one transform", "grid_search_over_transform"),
    ("pretraining, structures per second", "pretraining_structures_per_s"),
    ("predictions of a fitted NEGNN, structures per second", "prediction_structures_per_s"),
    ("an epoch of CGCNN, s", "training_epoch_s"),
    ("the same with float32 edges, s", "training_epoch_float32_s"),
    ("the same network in plain PyTorch Geometric, s", "torch_geometric_epoch_s"),
    ("PyTorch Geometric over ours", "torch_geometric_over_training"),
    ("PyTorch Geometric over ours with float32 edges", "torch_geometric_over_training_float32"),
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
    ]
    for label, key in _ROWS:
        if found.get(key) is None:  # an older file, or nothing to compare with was installed
            continue
        lines += [f"   * - {label}", f"     - {found[key]:.3g}"]
    (folder / "speed.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")
