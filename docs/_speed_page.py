"""The table of speeds, written from the result file of examples/benchmarks/speed.py."""

from __future__ import annotations

import json
from pathlib import Path

_ROWS: list[tuple[str, str, float | None, float | None]] = [
    # what, key, lower bound, upper bound
    ("embedding, ms per structure", "embedding_ms_per_structure", None, None),
    ("bare 8 Å neighbour search, ms per structure", "neighbor_search_ms_per_structure", None, None),
    ("embedding over neighbour search", "embedding_over_neighbor_search", None, 4),
    ("matminer's OFM over embedding", "ofm_over_embedding", 400, None),
    ("the same, one core each", "ofm_over_embedding_one_core", 400, None),
    ("one structure in a warm process, ms", "single_structure_ms", None, 3),
    ("featurizing of a grid search over one transform", "grid_search_over_transform", None, 1.3),
    ("pretraining, structures per second", "pretraining_structures_per_s", 900, None),
    (
        "predictions of a fitted NEGNN, structures per second",
        "prediction_structures_per_s",
        None,
        None,
    ),
    ("an epoch of CGCNN, s", "training_epoch_s", None, None),
    ("the same with float32 edges, s", "training_epoch_float32_s", None, None),
    ("the same network in plain PyTorch Geometric, s", "torch_geometric_epoch_s", None, None),
    ("PyTorch Geometric over ours", "torch_geometric_over_training", 8, None),
    (
        "PyTorch Geometric over ours with float32 edges",
        "torch_geometric_over_training_float32",
        8,
        None,
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
        "     - reached",
    ]
    for label, key, lower, upper in _ROWS:
        if found.get(key) is None:  # an older file, or nothing to compare with was installed
            continue
        lines += [f"   * - {label}", f"     - {found[key]:.3g}", *_aim(found[key], lower, upper)]
    (folder / "speed.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _aim(value: float, lower: float | None, upper: float | None) -> list[str]:
    """The bound and whether it is kept, as cells."""
    if lower is not None:
        return [f"     - at least {lower:g}", f"     - {'yes' if value >= lower else '**no**'}"]
    if upper is not None:
        return [f"     - at most {upper:g}", f"     - {'yes' if value <= upper else '**no**'}"]
    return ["     -", "     -"]
