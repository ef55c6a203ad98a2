"""The data sets: found, read, labelled, grouped; refused where they are wrong."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from data_files import row, write
from pymatgen.core import Structure
from test_corpora_magnetic import IRON, MNF2, folder_of

from ssatom.corpora import list_datasets
from ssatom.exceptions import MissingFileError, ParameterError, StructureError
from studies.datasets import DATASETS, PUBLIC_SETS, Dataset, load_dataset
from studies.registry import STUDIES

README = Path(__file__).parents[1] / "examples" / "paper" / "README.md"

DATA = Path(os.environ.get("SSATOM_DATA", Path(__file__).parents[2] / "shared" / "data"))


def dataset_of(structures: list[Structure]) -> Dataset:
    """Structures as a data set; the labels do not matter."""
    names = np.array([f"{i}" for i in range(len(structures))])
    y = np.arange(len(structures), dtype=float)
    return Dataset(
        *("made", "y", "1", structures, y, None, names, names, None, Path("made.jsonl"), "0", 0)
    )


def test_labels_groups_and_hash_in_order_of_the_file(tmp_path, crystals):
    big = crystals["CsCl"] * [2, 1, 1]
    rows = [
        row(crystals["CsCl"], "a", {"log10_K": 1.0, "poisson": 0.2}),
        row(crystals["Cu"], "b", {"log10_K": 2, "poisson": None}),
        row(big, "c", {"log10_K": 3.0, "poisson": 0.3}),
    ]
    path = write(tmp_path, "paper_elastic", rows)
    data = load_dataset("paper_elastic", tmp_path)
    assert (data.target, data.unit) == ("log10_K", "log10 GPa")
    assert data.y.tolist() == [1, 2, 3]
    assert data.groups.tolist() == ["CsCl", "Cu", "CsCl"]
    assert data.ids.tolist() == ["a", "b", "c"]
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert data.rows is data.structures
    assert data.sites is None
    assert data.folds is None
    poisson = load_dataset("paper_elastic", str(tmp_path), "poisson")
    assert poisson.y.tolist() == [0.2, 0.3]
    assert poisson.n_without_label == 1
    said = poisson.provenance()
    assert (said["file"], said["n_rows"], said["n_groups"]) == ("paper_elastic.jsonl", 2, 1)
    assert len(load_dataset("paper_elastic", tmp_path, max_crystals=2)) == 2


def test_rows_of_sites_share_their_structure(tmp_path, crystals):
    moments = {"magmom": [1.5, None, 2.5, 0.5]}
    structure = crystals["Ni3Al"]
    other = row(crystals["CsCl"], "b", site_props={"magmom": [3.0, None]}, site_index=[0])
    first = row(structure, "a", site_props=moments, site_index=[3, 0])
    write(tmp_path, "paper_magmom", [first, other])
    data = load_dataset("paper_magmom", tmp_path)
    assert data.y.tolist() == [0.5, 1.5, 3.0]
    assert data.sites is not None
    assert data.sites.tolist() == [3, 0, 0]
    assert data.rows[0][0] is data.rows[1][0]
    assert [(len(s), i) for s, i in data.rows] == [(4, 3), (4, 0), (2, 0)]
    fewer = data.select(data.y > 1)
    assert fewer.y.tolist() == [1.5, 3.0]
    assert [(len(s), i) for s, i in fewer.rows] == [(4, 0), (2, 0)]
    assert fewer.provenance()["n_left_out"] == 1
    assert data.select([2, 0]).ids.tolist() == ["b", "a"]


def test_the_files_own_division_is_kept(tmp_path, crystals):
    rows = [
        row(crystals[name], name, {"last_phdos_peak_cm1": i}, matbench_fold=f"fold_{i}")
        for i, name in enumerate(["Cu", "Fe"])
    ]
    write(tmp_path, "matbench_phonons", rows)
    data = load_dataset("matbench_phonons", tmp_path)
    assert data.folds is not None
    assert data.folds.tolist() == ["fold_0", "fold_1"]


def test_missing_files_are_named_with_the_place_and_the_remedy(tmp_path):
    with pytest.raises(MissingFileError) as caught:
        load_dataset("paper_hse_gap", tmp_path)
    for words in ("paper_hse_gap.jsonl.gz", str(tmp_path), "give the folder", "no public set"):
        assert words in str(caught.value)
    assert "which is no folder" not in str(caught.value)
    with pytest.raises(MissingFileError, match="no folder.*from `ssatom data fetch mp_all_2018"):
        load_dataset("paper_formation", tmp_path / "nowhere")


def test_every_data_file_has_its_public_set_in_the_readme():
    needed = {file for study in STUDIES.values() for file in study.data}
    assert needed == set(PUBLIC_SETS)
    assert set(PUBLIC_SETS.values()) - {None} <= {public.name for public in list_datasets()}
    rows = [line.split("|") for line in README.read_text("utf-8").splitlines() if "json" in line]
    cells = {row[1].strip(" `"): row[3].strip(" `") for row in rows if len(row) > 4}
    for file, public in PUBLIC_SETS.items():
        if file.endswith(".jsonl.gz"):
            assert cells[file] == (public or "none")


def test_data_files_are_made_as_the_readme_says(tmp_path, crystals, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "public" / "magndata", {"0.15_MnF2": MNF2, "Fe": IRON})
    rows = [[crystals["Cu"].as_dict(), 10.0 * i] for i in range(7)]
    frame = {"columns": ["structure", "last phdos peak"], "index": list(range(7)), "data": rows}
    with gzip.open("public/matbench_phonons.json.gz", "wt") as file:
        json.dump(frame, file)
    block = README.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    exec(compile(block, "README.md", "exec"), {})
    phonons = load_dataset("matbench_phonons", "data")
    assert phonons.y.tolist() == [10.0 * i for i in range(7)]
    assert sorted(set(phonons.folds)) == [f"fold_{i}" for i in range(5)]
    moments = load_dataset("paper_magmom", "data")
    found = dict(zip(moments.ids.tolist(), moments.y.tolist(), strict=True))
    assert found.keys() == {"0.15_MnF2", "Fe"}
    assert found["Fe"] == pytest.approx(2.2)
    assert [len(structure) for structure in moments.structures] == [6, 2]


def test_unknown_names_and_targets(tmp_path):
    with pytest.raises(ParameterError, match="no such data set; allowed: paper_formation, "):
        load_dataset("paper_gap", tmp_path)
    with pytest.raises(ParameterError, match="allowed: log10_K, log10_G, poisson"):
        load_dataset("paper_elastic", tmp_path, "hardness")


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("dielectric", [{"n": 1.0}, {"n": "high"}], "'row 1': n is 'high'; allowed are finite"),
        ("dielectric", [{"n": 1.0}, {"n": True}], "'row 1': n is True"),
        ("dielectric", [{"gap": 2.0}], "no crystal with the label 'n'"),
    ],
)
def test_labels_that_are_refused(tmp_path, crystals, name, rows, message):
    lines = [row(crystals["Cu"], f"row {i}", props) for i, props in enumerate(rows)]
    write(tmp_path, name, lines)
    with pytest.raises(ParameterError, match=message):
        load_dataset(name, tmp_path)


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ([2], "site_index has 2, and there are 2 values of magmom"),
        ([-1], "site_index has -1"),
        ([1], "magmom of site 1 is None"),
    ],
)
def test_labels_of_sites_that_are_refused(tmp_path, crystals, sites, message):
    moments = {"magmom": [1.0, None]}
    line = row(crystals["CsCl"], "a", site_props=moments, site_index=sites)
    write(tmp_path, "paper_magmom", [line])
    with pytest.raises(ParameterError, match=message):
        load_dataset("paper_magmom", tmp_path)


def test_bad_structures_are_refused(tmp_path, crystals):
    bad = row(crystals["Cu"], "a", {"n": 1.0})
    bad["numbers"] = bad["numbers"][:-1]
    write(tmp_path, "dielectric", [bad])
    with pytest.raises(StructureError, match="rows of frac"):
        load_dataset("dielectric", tmp_path)


@pytest.mark.data
@pytest.mark.parametrize("name", list(DATASETS))
def test_the_data_that_there_are(name):
    if not DATA.is_dir():
        pytest.skip(f"no data sets in '{DATA}'")
    for target in DATASETS[name].targets:
        data = load_dataset(name, DATA, target, max_crystals=30)
        assert len(data) >= 10
        assert np.isfinite(data.y).all()
        assert len(data.groups) == len(data.rows) == len(data)
