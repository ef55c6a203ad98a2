"""The table of formation energies, written from the result files of `ssatom.evaluate`."""

from __future__ import annotations

from pathlib import Path

from ssatom.evaluation import load_result

_WEIGHTS = ("cgcnn-64x5-mp", "random")


def write_formation_page(results: Path, folder: Path) -> None:
    """Write ``formation.rst`` into `folder`."""
    folder.mkdir(exist_ok=True)
    lines = [
        ".. list-table:: Formation energy, five random splits, mean ± s.d.",
        "   :header-rows: 1",
        "",
        "   * - weights",
        "     - MAE, eV/atom",
        "     - R²",
    ]
    means = []
    for weights in _WEIGHTS:
        result = load_result(results / f"formation-GE012-{weights}.json")
        means.append(result.mean("mae"))
        lines += [f"   * - ``{weights}``"]
        lines += [f"     - {result.mean(m):.3f} ± {result.std(m):.3f}" for m in ("mae", "r2")]
    gain = 1 - means[0] / means[1]
    lines += ["", f"The shipped weights lower the error by {gain:.0%}."]
    (folder / "formation.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")
