"""The table of the home page, from the results of the study ``best``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

_RIVALS = ["OFM", "SOAP", "Magpie", "EF+RD", "CHGNet", "SevenNet-0"]
_HEAD = ["property", "paper's best", *_RIVALS, "ssatom"]

_TEXT = """Mean absolute errors of kernel ridge regression on crystals (for moments, sites) held
back, ± the standard deviation over five random splits, or the five folds of matbench for phonons.
Protocol and data are the same in every column but the second, which the paper prints. OFM is the
orbital field matrix, Magpie are statistics of the composition, EF+RD element fractions with a
radial distribution; none of them learns. CHGNet and SevenNet-0 are embeddings of force fields,
which were trained on labels: the energies and forces of 1.6 million structures, these crystals'
among them. ssatom learned no label: its columns are embeddings of ``{weights}`` and, for crystals,
electrons of a tight-binding model, in a kernel with a weight for each block of columns.
:doc:`generated/paper/best` says more, and has splits where no formula is on both sides.
"""


def write_home_table(results: Path, folder: Path) -> None:
    """Write ``home_table.rst`` into `folder`; a sentence where the study is not there."""
    file = results / "best.json"
    text = "The results are not computed yet.\n"
    if file.exists():
        text = _page(json.loads(file.read_text(encoding="utf-8")))
    (folder / "home_table.rst").write_text(text, encoding="utf-8")


def _page(content: dict[str, Any]) -> str:
    chosen, *rivals = content["tables"]
    by_title = {table["title"]: table for table in rivals}
    rows = []
    for row in _dicts(chosen):
        if row["splits"] == "grouped":
            continue
        table = by_title[row["property"]]
        kind = next(name for name in table["columns"] if name in ("random split", "official folds"))
        errors = {one["features"]: one[kind] for one in _dicts(table)}
        name = row["property"].replace(", MAE in", ",").replace(", MAE", "")
        found = [row["paper's best"], *(errors.get(rival, "–") for rival in _RIVALS), row["ours"]]
        rows.append([name, *_lowest_bold(found)])
    lines = [".. list-table::", "   :header-rows: 1", "   :class: compact", ""]
    for cells in [_HEAD, *rows]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(cells)]
    words = _TEXT.format(weights=content["settings"]["weights"]["name"])
    return words + "\n" + "\n".join(lines) + "\n"


def _lowest_bold(cells: list[str]) -> list[str]:
    """Cells, such as "0.19 ± 0.01 (GE012)", of which the lowest number is bold."""
    cells = [cell.replace("*", "") for cell in cells]
    numbers = [float(cell.split()[0]) if cell != "–" else math.inf for cell in cells]
    return [f"**{c}**" if x == min(numbers) else c for c, x in zip(cells, numbers, strict=True)]


def _dicts(table: dict[str, Any]) -> list[dict[str, str]]:
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
