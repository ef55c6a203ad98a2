"""Crystals in each form that people keep them in, read in Python, in frames and by commands."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ase.db
import ase.io
import numpy as np
import pandas as pd
import pytest
from matminer.utils.io import store_dataframe_as_json
from monty.serialization import dumpfn
from pymatgen.core import Structure
from pymatgen.electronic_structure.core import Magmom
from pymatgen.io.cif import CifWriter
from sklearn.compose import ColumnTransformer
from typer.testing import CliRunner

from ssatom import GraphEmbeddingFeaturizer, StructureError, load_example_crystals
from ssatom.cli.main import app
from ssatom.corpora import read_structures
from ssatom.structures import check_structures

_CRYSTALS = load_example_crystals()
_SMALL = _CRYSTALS[_CRYSTALS["structure"].map(len).between(4, 12)].iloc[::20].head(4)
STRUCTURES: list[Structure] = _SMALL["structure"].tolist()
IDS: list[str] = _SMALL["name"].tolist()
GAPS = [0.5 * i for i in range(len(IDS))]


@cache
def featurizer() -> GraphEmbeddingFeaturizer:
    return GraphEmbeddingFeaturizer(layers="01")


@cache
def expected() -> np.ndarray:
    return featurizer().transform(STRUCTURES)


def assert_expected(features: Any) -> None:
    np.testing.assert_allclose(np.asarray(features, float), expected(), rtol=2e-3, atol=2e-3)


def optimade(structure: Structure, name: str) -> dict[str, Any]:
    species = [
        {"name": str(e), "chemical_symbols": [str(e)], "concentration": [1.0]}
        for e in structure.elements
    ]
    attributes = {
        "lattice_vectors": structure.lattice.matrix.tolist(),
        "cartesian_site_positions": structure.cart_coords.tolist(),
        "species_at_sites": [str(site.specie) for site in structure],
        "species": species,
        "nsites": len(structure),
        "_exmpl_gap": GAPS[IDS.index(name)],
    }
    return {"id": name, "type": "structures", "attributes": attributes}


def bare_dict(structure: Structure) -> dict[str, Any]:
    """As `as_dict`, without the empty dicts that Parquet cannot hold."""
    body = structure.as_dict()
    body.pop("properties")
    body["sites"] = [{k: v for k, v in s.items() if k != "properties"} for s in body["sites"]]
    return body


DICTS = [structure.as_dict() for structure in STRUCTURES]
ENTRIES = [optimade(structure, name) for structure, name in zip(STRUCTURES, IDS, strict=True)]
DOCUMENTS = [
    {"material_id": name, "structure": body, "band_gap": gap}
    for name, body, gap in zip(IDS, DICTS, GAPS, strict=True)
]
CELLS: dict[str, list[Any]] = {
    "cif": [structure.to(fmt="cif") for structure in STRUCTURES],
    "symmetric cif": [str(CifWriter(structure, symprec=0.01)) for structure in STRUCTURES],
    "poscar": [structure.to(fmt="poscar") for structure in STRUCTURES],
    "dict": DICTS,
    "json": [structure.to_json() for structure in STRUCTURES],
    "printed dict": list(map(str, DICTS)),
    "optimade": ENTRIES,
    "optimade json": [json.dumps(entry) for entry in ENTRIES],
    "document": [{"structure": s, "material_id": n} for s, n in zip(STRUCTURES, IDS, strict=True)],
    "document as json": DOCUMENTS,
    "document object": [SimpleNamespace(structure=s, material_id="mp-1") for s in STRUCTURES],
}


@pytest.mark.parametrize("kind", CELLS)
def test_cells_in_python_and_in_frames(kind: str) -> None:
    cells = CELLS[kind]
    assert_expected(featurizer().transform(cells))
    frame = pd.DataFrame({"gap": GAPS, "crystal": pd.Series(cells, dtype=object)})
    labels = featurizer().feature_labels()
    assert_expected(featurizer().featurize_dataframe(frame.copy(), "crystal", pbar=False)[labels])
    for column in ("crystal", ["crystal"]):
        assert_expected(ColumnTransformer([("ssatom", featurizer(), column)]).fit_transform(frame))


@pytest.mark.parametrize("kind", [kind for kind in CELLS if kind not in ("document",)])
def test_cells_in_polars(kind: str) -> None:
    pl = pytest.importorskip("polars")
    cells = CELLS[kind] if kind != "dict" else list(map(bare_dict, STRUCTURES))
    frame = pl.DataFrame({"gap": GAPS, "crystal": cells})
    for column in ("crystal", ["crystal"]):
        assert_expected(ColumnTransformer([("ssatom", featurizer(), column)]).fit_transform(frame))
    assert featurizer().transform(frame["crystal"]).shape == expected().shape


def test_dicts_are_not_changed() -> None:
    body = Structure.from_dict(DICTS[0]).add_site_property("moment", [1.0] * len(STRUCTURES[0]))
    given = body.as_dict()
    before = json.dumps(given)
    check_structures([given])
    assert json.dumps(given) == before


# Files --------------------------------------------------------------------------------------------


def frame_of(cells: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"id": IDS, "structure": cells, "gap": GAPS})


def write_text(path: Path, text: str) -> None:
    packed = path.suffix == ".gz"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())


def write_db(path: Path) -> None:
    with ase.db.connect(path) as database:
        for structure, name, gap in zip(STRUCTURES, IDS, GAPS, strict=True):
            database.write(structure.to_ase_atoms(), mpid=name, gap=gap)


def matbench(path: Path) -> None:
    rows = [[body, gap] for body, gap in zip(DICTS, GAPS, strict=True)]
    content = {"index": IDS, "columns": ["structure", "gap"], "data": rows}
    write_text(path, json.dumps(content))


def monty_frame(path: Path) -> None:
    dumpfn(frame_of(STRUCTURES).set_index("id"), path)


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


CIF_OF_ID = dict(zip(IDS, CELLS["cif"], strict=True))
DICT_OF_ID = dict(zip(IDS, DICTS, strict=True))
FILES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "id to structure": (
        "a.json", lambda path: write_text(path, json.dumps(DICT_OF_ID))
    ),
    "id to CIF": (
        "a.json", lambda path: write_text(path, json.dumps(CIF_OF_ID))
    ),
    "documents": ("a.json.gz", lambda path: write_text(path, json.dumps(DOCUMENTS))),
    "documents in lines": ("a.jsonl", lambda path: write_text(path, lines(DOCUMENTS))),
    "optimade": (
        "a.json", lambda path: write_text(path, json.dumps({"data": ENTRIES, "meta": {"a": 1}}))
    ),
    "optimade lines": (
        "a.jsonl.gz",
        lambda path: write_text(path, lines([{"x-optimade": {}}, {"type": "info"}, *ENTRIES])),
    ),
    "optimade pages": (
        "a.jsonl",
        lambda path: write_text(path, lines([{"data": ENTRIES[:3]}, {"data": ENTRIES[3:]}])),
    ),
    "monty list": ("a.json.gz", lambda path: dumpfn(DOCUMENTS, path)),
    "monty dict": (
        "a.json", lambda path: dumpfn(dict(zip(IDS, STRUCTURES, strict=True)), path)
    ),
    "monty frame": ("a.json.gz", monty_frame),
    "matminer frame": (
        "a.json.gz", lambda path: store_dataframe_as_json(frame_of(STRUCTURES), str(path), "gz")
    ),
    "matbench": ("a.json.gz", matbench),
    "ase database": ("a.db", write_db),
    "ase trajectory": (
        "a.traj", lambda path: ase.io.write(path, [s.to_ase_atoms() for s in STRUCTURES])
    ),
    "csv of printed dicts": (
        "a.csv", lambda path: frame_of(DICTS).to_csv(path, index=False)
    ),
}  # fmt: skip
for _kind in ("cif", "poscar", "json", "dict", "optimade json"):
    _frame = frame_of(CELLS[_kind])
    for _orient in ("split", "records", "index", "columns", "values", "table"):
        FILES[f"pandas {_orient} of {_kind}"] = (
            "a.json",
            lambda path, f=_frame, o=_orient: f.to_json(path, orient=o),
        )
    FILES[f"pandas lines of {_kind}"] = (
        "a.jsonl",
        lambda path, f=_frame: f.to_json(path, orient="records", lines=True),
    )
    if _kind != "dict":
        FILES[f"csv of {_kind}"] = ("a.csv.gz", lambda path, f=_frame: f.to_csv(path))
        FILES[f"excel of {_kind}"] = ("a.xlsx", lambda path, f=_frame: f.to_excel(path))
    _bare = _frame.assign(structure=list(map(bare_dict, STRUCTURES))) if _kind == "dict" else _frame
    FILES[f"parquet of {_kind}"] = (
        "a.parquet",
        lambda path, f=_bare: f.set_index("id").to_parquet(path),
    )


def write(kind: str, folder: Path) -> Path:
    if kind.startswith("excel"):
        pytest.importorskip("openpyxl")
    name, writer = FILES[kind]
    writer(folder / name)
    return folder / name


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of ASE's writers
@pytest.mark.parametrize("kind", FILES)
def test_files(kind: str, tmp_path: Path) -> None:
    path = write(kind, tmp_path)
    records = list(read_structures(path))
    assert_expected(featurizer().transform([record.structure for record in records]))
    if "trajectory" not in kind and "values" not in kind:
        assert [record.source for record in records] == IDS
    if not any(word in kind for word in ("trajectory", "id to", "monty dict")):
        gaps = [next(v for k, v in r.properties.items() if v in GAPS) for r in records]
        assert gaps == GAPS

    has_column = " of " in kind or any(word in kind for word in ("documents", "frame", "matbench"))
    column = "column_2" if "values" in kind else "structure"
    chosen = ["--structure-column", column] if has_column else []
    output = tmp_path / "features.csv"
    command = ["featurize", str(path), "--layers", "01", "--no-progress", "-o", str(output)]
    done = CliRunner().invoke(app, [*command, *chosen])
    assert done.exit_code == 0, done.output
    assert_expected(pd.read_csv(output)[featurizer().feature_labels()])


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "csv of cif": pd.read_csv,
    "csv of printed dicts": pd.read_csv,
    "parquet of cif": pd.read_parquet,
    "parquet of dict": pd.read_parquet,
    "excel of poscar": pd.read_excel,
    "pandas lines of dict": lambda path: pd.read_json(path, lines=True),
    "pandas table of json": lambda path: pd.read_json(path, orient="table"),
    "pandas columns of dict": pd.read_json,
}


@pytest.mark.parametrize("kind", READERS)
def test_frames_as_pandas_reads_them(kind: str, tmp_path: Path) -> None:
    frame = READERS[kind](write(kind, tmp_path))
    labels = featurizer().feature_labels()
    assert_expected(featurizer().featurize_dataframe(frame.copy(), "structure", pbar=False)[labels])
    assert_expected(
        ColumnTransformer([("ssatom", featurizer(), ["structure"])]).fit_transform(frame)
    )


def test_structure_column_of_several(tmp_path: Path) -> None:
    rows = [{"id": n, "old": d, "new": e} for n, d, e in zip(IDS, DICTS, DICTS[::-1], strict=True)]
    path = tmp_path / "a.json"
    write_text(path, json.dumps(rows))
    with pytest.raises(StructureError, match="'old', 'new' are structures"):
        list(read_structures(path))
    records = read_structures(path, structure_column="new")
    assert_expected(featurizer().transform([record.structure for record in records])[::-1])
    [bad, *_] = read_structures(path, structure_column="other", errors="keep")
    assert "alone or under 'other'; got one with the keys 'id', 'old', 'new'" in str(bad.structure)


def test_first_column_and_long_cells(tmp_path: Path) -> None:
    """A CIF text that begins with a comment, and one longer than Python's csv takes by itself."""
    texts = [structure.to(fmt="cif") for structure in (STRUCTURES[0], STRUCTURES[1] * (9, 9, 9))]
    assert len(texts[1]) > 131_072
    path = tmp_path / "a.csv"
    pd.DataFrame({"cif": texts, "id": ["a", "b"]}).to_csv(path, index=False)
    found = [len(record.structure) for record in read_structures(path)]
    assert found == [len(STRUCTURES[0]), 729 * len(STRUCTURES[1])]


# What cannot be read ------------------------------------------------------------------------------

BROKEN = {
    "cif": [text.replace("_cell_length_a", "_cell_length_q") for text in CELLS["cif"]],
    "poscar": [text.replace("direct", "9 9 9 9") for text in CELLS["poscar"]],
    "json": [text.replace('"lattice"', '"lattices"') for text in CELLS["json"]],
    "words": ["some words\nthat are no crystal " + "x" * 10_000] * len(IDS),
}


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".json", ".jsonl"])
@pytest.mark.parametrize("kind", BROKEN)
def test_tables_whose_rows_all_fail(kind: str, ending: str, tmp_path: Path) -> None:
    """They write nothing, messages are short, and the mended table is read."""
    path, output = tmp_path / f"a{ending}", tmp_path / "features.csv"
    writers = {
        ".csv": lambda frame: frame.to_csv(path, index=False),
        ".parquet": lambda frame: frame.to_parquet(path),
        ".json": lambda frame: frame.to_json(path),
        ".jsonl": lambda frame: frame.to_json(path, orient="records", lines=True),
    }
    command = ["featurize", str(path), "--layers", "01", "--no-progress", "-o", str(output)]
    command += ["--structure-column", "structure"]
    writers[ending](frame_of(BROKEN[kind]))
    for record in read_structures(path, errors="keep"):
        assert isinstance(record.structure, StructureError)
        assert len(str(record.structure)) < 600
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 3
    assert not output.exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        path.name,
        "features.csv.problems.csv",
    ]
    problems = pd.read_csv(tmp_path / "features.csv.problems.csv")
    assert len(problems) == len(IDS)
    assert problems["reason"].str.len().max() < 600
    assert max(map(len, done.output.splitlines())) < 700

    writers[ending](frame_of(CELLS["cif"]))
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert_expected(pd.read_csv(output)[featurizer().feature_labels()])
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name, "features.csv"]


@pytest.mark.parametrize("kind", BROKEN)
def test_messages_about_texts_are_short(kind: str) -> None:
    with pytest.raises(StructureError) as caught:
        check_structures(BROKEN[kind])
    assert len(str(caught.value)) < 600
    if kind in ("cif", "poscar"):
        assert STRUCTURES[0].composition.reduced_formula in str(caught.value)


def test_partly_occupied_optimade_sites() -> None:
    entry = optimade(STRUCTURES[0], IDS[0])
    entry["attributes"]["species"][0] |= {
        "chemical_symbols": ["Fe", "vacancy"],
        "concentration": [0.5, 0.5],
    }
    with pytest.raises(StructureError, match="partial occupancy"):
        check_structures([entry])


def test_files_that_are_no_database_or_trajectory(tmp_path: Path) -> None:
    import sqlite3

    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE a (b)").connection.close()
    before = (tmp_path / "other.db").read_bytes()
    names = ("words.db", "words.traj", "words.parquet", "words.xlsx", "packed.db.gz")
    for name in names:
        (tmp_path / name).write_text("words")
    for name in ("other.db", *names):
        with pytest.raises(StructureError) as caught:
            list(read_structures(tmp_path / name))
        assert name in str(caught.value)
        assert len(str(caught.value)) < 400
    assert (tmp_path / "other.db").read_bytes() == before


@pytest.mark.parametrize("module", ["this", "os.path"])
def test_dicts_import_nothing(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    body = STRUCTURES[0].as_dict()
    hidden = [{"deep": {"@module": module, "@class": "Zen"}}]
    body["sites"][0]["properties"] = {"a": hidden}
    with pytest.raises(StructureError, match=f"object of the module '{module}'"):
        check_structures([body])
    assert not capsys.readouterr().out


def test_moments_of_dicts_are_kept() -> None:
    magnetic = STRUCTURES[0].copy()
    magnetic.add_site_property("magmom", [Magmom([0, 0, 1.5])] * len(magnetic))
    [found] = check_structures([magnetic.as_dict()])
    assert found.site_properties["magmom"][0] == Magmom([0, 0, 1.5])


def test_dicts_that_are_no_frames(tmp_path: Path) -> None:
    """Many columns of one row each, and printed dicts of any length, are refused in time."""
    odd = {"structure": {"a": 1}} | {f"c{i}": {f"k{i}": 1} for i in range(20_000)}
    write_text(tmp_path / "a.json", json.dumps(odd))
    assert len(list(read_structures(tmp_path / "a.json", errors="keep"))) == 20_001
    for text in ("{'lattice': " + "[" * 100_000, "{'lattice': " + "1+" * 3_000_000):
        with pytest.raises(StructureError, match="this text is no JSON"):
            check_structures([text])
