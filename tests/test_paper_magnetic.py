"""The table of magnetic moments, extracted again and compared with the paper's."""

from __future__ import annotations

import json
import math
import tarfile
from pathlib import Path

import pytest
from test_corpora_magnetic import ARCHIVE, COUNTS, DATA, FILES, MANY, folder_of, load

from studies.context import Context
from studies.magnetic_table import run as run_magnetic_table


def test_study_names_what_disagrees(tmp_path: Path) -> None:
    files = FILES | {"many": MANY.replace("1.605", "2.0")}
    with tarfile.open(tmp_path / "magndata_mcif.tar.xz", "w:xz") as archive:
        archive.add(folder_of(tmp_path / "mcif", files), "mcif")
    many = load(tmp_path / "mcif").table.query("source == 'many'")
    structure = many["structure"].iloc[0]
    fe, other, co = (
        many.loc[many["element"] == "Fe", "site_index"].tolist()
        + many.loc[many["element"] == "Co", "site_index"].tolist()
    )
    labels: list[float | None] = [None] * 4
    labels[fe], labels[other], labels[co] = 2.0, 2.0, 2.005
    row = {
        "id": "many",
        "lattice": structure.lattice.matrix.tolist(),
        "numbers": list(structure.atomic_numbers),
        "frac": structure.frac_coords.tolist(),
        "site_props": {"magmom": labels},
        "site_index": [fe, other, co],
    }
    elsewhere = row | {"id": "not here"}
    (tmp_path / "paper_magmom.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(elsewhere)}\n")
    report = run_magnetic_table(Context(tmp_path, tmp_path / "out", n_jobs=1, progress_bar=False))
    results = json.loads(json.dumps(report.results))
    both = results["in_both"]
    assert results["counts"] == COUNTS
    assert (both["n_materials"], both["n_sites"], both["n_agree"]) == (1, 3, 2)
    assert both["outcomes"]["other moment"] == 1
    (wrong,) = results["disagreeing"]
    assert (wrong["source"], wrong["site"]) == ("many", other)
    assert wrong["theirs"] == {"element": "Fe", "magmom": 2.0}
    assert wrong["ours"]["magmom"] == pytest.approx(math.hypot(1.2, 2.0))
    assert results["n_repeats_in_paper"] == 2  # of Fe, in both rows
    assert "66.7 %" in report.reading[0]


@pytest.mark.slow
@pytest.mark.data
def test_agreement_with_the_paper() -> None:
    """On 200 files; that with the whole archive is in the study's results."""
    if not ARCHIVE.exists():
        pytest.skip(f"no '{ARCHIVE}'")
    report = run_magnetic_table(Context(DATA, Path(), quick=True, n_jobs=2, progress_bar=False))
    both, once = report.results["in_both"], report.results["in_both_without_repeats"]
    assert sum(report.results["counts"].values()) == 200
    assert both["n_sites"] > 100
    assert both["share"] >= 0.95
    assert once["share"] >= 0.98
