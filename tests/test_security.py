"""What docs/security.rst claims of hostile files, folders, tables and paths, and of our own use."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from ssatom import (
    GraphEmbeddingFeaturizer,
    WeightsError,
    load_estimator,
    load_pretrained,
    save_estimator,
)
from ssatom.cli._screen import plain_cell
from ssatom.cli.main import app
from ssatom.corpora import read_structures, write_structures
from ssatom.exceptions import ParameterError, StructureError, StructureFileError
from ssatom.files.sealed import seal
from ssatom.graph import CrystalGraphConverter
from ssatom.kernels import find_pairs
from ssatom.structures import check_structures
from ssatom.weights import copy_weights

CUBE = [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]
SALT = {"lattice": CUBE, "numbers": [11, 17], "frac": [[0, 0, 0], [0.5, 0.5, 0.5]]}
GOOD = json.dumps({"id": "good", **SALT}) + "\n"


def only_error(path: Path) -> str:
    """The message of a file's one bad record."""
    (record,) = [r for r in read_structures(path, errors="keep") if not is_good(r)]
    return str(record.structure)


def is_good(record: Any) -> bool:
    return isinstance(record.structure, Structure)


# Nothing is executed ------------------------------------------------------------------------------

CALLS = [
    {"@module": "subprocess", "@class": "Popen"},
    {"@module": "os", "@callable": "system"},
    {"@module": "numpy", "@callable": "save"},
    {"@module": "pymatgen.io.vasp.outputs", "@class": "Vasprun", "filename": "/etc/passwd"},
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["@module"])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.mson"])
def test_json_imports_and_calls_nothing(call: dict, name: str, tmp_path: Path) -> None:
    site = {"species": [{"element": "Na", "occu": 1}], "abc": [0, 0, 0], "properties": {"x": call}}
    (tmp_path / name).write_text(json.dumps({"lattice": {"matrix": CUBE}, "sites": [site]}))
    with pytest.raises(StructureError, match="is an object of the module"):
        check_structures([tmp_path / name] if name != "a.jsonl" else [{"lattice": {"matrix": CUBE},
                         "sites": [site]}])  # fmt: skip


def test_yaml_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("lattice: 1")
    with pytest.raises(StructureFileError, match="YAML is not read"):
        check_structures([tmp_path / "a.yaml"])


def test_pickles_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(StructureFileError, match="may run any code"):
        read_structures(tmp_path / "a.pkl")


def test_package_unpickles_nothing() -> None:
    """No call of a function that runs what a file says, in any module.

    Worker processes get the weights from the process that started them.
    """
    package = Path(sys.modules["ssatom"].__file__ or "").parent
    words = ("pickle.load", "joblib.load", "read_pickle", "allow_pickle=True", "weights_only=False",
             "yaml.load", "os.system", "shell=True", " eval(", " exec(", "extractall")  # fmt: skip
    found = [
        f"{path.name}: {word}"
        for path in package.rglob("*.py")
        for word in words
        if word in path.read_text(encoding="utf-8")
    ]
    assert found == ["engine.py: pickle.load"]


def test_database_with_views_is_refused(tmp_path: Path) -> None:
    import sqlite3

    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute(
            "CREATE VIEW systems AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id+1 FROM n)"
            " SELECT id FROM n"
        )
    assert "has views or triggers (systems)" in only_error(tmp_path / "a.db")


# Bombs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.json.gz", "a.cif.gz", "POSCAR.gz"])
def test_bombs_are_not_unpacked(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b" " * (66 * 2**20), 1))
    assert "unpacks to more than 67,108,864 bytes" in only_error(tmp_path / name)


def test_line_too_long_is_its_rows_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(f"{GOOD}{'[' * (33 * 2**20)}\n{GOOD}".encode(), 1))
    assert [is_good(r) for r in read_structures(path, errors="keep")] == [True, False, True]
    assert "more than 33,554,432 bytes" in only_error(path)


def test_sheet_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (66 * 2**20))
    with pytest.raises(StructureFileError, match="it unpacks to 69,206,016 bytes"):
        read_structures(tmp_path / "a.xlsx")


def test_frame_states_more_atoms_than_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("99999999999\n\n")
    assert "a frame of 99999999999 atoms" in only_error(tmp_path / "a.xyz")


@pytest.mark.parametrize("length", [8, 10**15])
def test_tensors_of_huge_shapes_are_refused(length: int, weights_folder: Path) -> None:
    header = {"x": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}
    text = json.dumps(header).encode()
    tensors = struct.pack("<Q", len(text) if length == 8 else length) + text + b"\0" * 64
    with pytest.raises(WeightsError, match="do not fit together"):
        load_pretrained(with_file(weights_folder, "encoder.safetensors", tensors))


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("encoder", {"hidden_dim": 10**7}),
        ("encoder", {"n_conv": 10**9}),
        ("encoder", {"directional_channels": 10**9}),
        ("graph", {"basis_step": 1e-12}),
        ("near_constant", {"mean": [10**6]}),
    ],
)
def test_sizes_that_no_tensor_bears_out_take_no_memory(
    part: str, change: dict, weights_folder: Path
) -> None:
    with pytest.raises(WeightsError, match="do not fit together"):
        load_pretrained(with_card(weights_folder, lambda card: card[part].update(change)))


# Paths --------------------------------------------------------------------------------------------


def with_card(folder: Path, change: Callable[[dict], Any], name: str = "card.json") -> Path:
    """The folder with another card, sealed as its writer would."""
    card = json.loads((folder / name).read_text())
    del card["card_sha256"]
    change(card)
    (folder / name).write_text(json.dumps({**card, "card_sha256": seal(card)}))
    return folder


def with_file(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return with_card(folder, lambda card: card["files"].update({name: digest}))


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "..", "", "a\\b", "x" * 5000, 5])
def test_names_on_cards_lead_nowhere(name: Any, weights_folder: Path) -> None:
    with pytest.raises(WeightsError, match="is no plain name"):
        load_pretrained(with_card(weights_folder, lambda card: card.update(name=name)))


def test_hashes_of_other_files_are_not_told(weights_folder: Path) -> None:
    """Else the message of a wrong hash would tell what another file holds."""
    folder = with_card(weights_folder, lambda card: card["files"].update({"../../x": "0" * 64}))
    with pytest.raises(WeightsError, match="is no plain name"):
        load_pretrained(folder)


def test_copies_of_weights_take_along_what_the_card_names_alone(
    weights_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (weights_folder / "notes.txt").symlink_to(tmp_path / "secret")
    copy_weights(weights_folder, tmp_path / "model" / "tiny")
    load_pretrained(tmp_path / "model" / "tiny")
    assert not (tmp_path / "model" / "tiny" / "notes.txt").exists()


@pytest.mark.parametrize("name", ["card.json", "encoder.safetensors"])
def test_links_to_devices_and_pipes_are_refused(name: str, weights_folder: Path) -> None:
    (weights_folder / name).unlink()
    (weights_folder / name).symlink_to("/dev/zero")
    with pytest.raises(WeightsError, match=name):
        load_pretrained(weights_folder)
    (weights_folder / name).unlink()
    os.mkfifo(weights_folder / name)
    with pytest.raises(WeightsError, match=name):
        load_pretrained(weights_folder)


def test_tables_read_structure_files_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,structure\na,/etc/passwd\nb,/dev/zero\n")
    records = list(read_structures(tmp_path / "a.csv", errors="keep"))
    assert [str(r.structure).split(": ", 1)[1][:31] for r in records] == [
        "the format is not known by this",
        "there is no file '/dev/zero' in",
    ]


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", ".hidden", "a/b"])
def test_ids_make_no_paths(name: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot name a file"):
        write_structures(tmp_path / "out", check_structures([SALT]), ids=[name])
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_models_name_no_place_to_write_to(tmp_path: Path) -> None:
    crystals = [Structure(Lattice.cubic(a), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
                for a in (4.0, 4.2, 4.4)]  # fmt: skip
    featurizer = GraphEmbeddingFeaturizer("0", memory=str(tmp_path / "elsewhere")).fit(crystals)
    again = load_estimator(save_estimator(featurizer, tmp_path / "model"))
    assert again.memory is None


# Tables that are written --------------------------------------------------------------------------

FORMULAS = ["=1+1", "@SUM(A1)", "+A1", "-2+3+cmd|' /C calc'!A0", "\t=1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert plain_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["mp-149", "-1", "+2.5e-3", "a=b", "", "NaCl"])
def test_other_texts_stay(text: str) -> None:
    assert plain_cell(text) == text


def test_csv_runs_nothing_and_parquet_keeps_the_names(tmp_path: Path) -> None:
    import pyarrow.parquet

    names = [*FORMULAS[:-1], "=bad"]
    rows = [{"id": name, **SALT} for name in names]
    rows[-1]["numbers"] = [11]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("a.csv", "a.parquet"):
        command = ["featurize", str(tmp_path / "a.jsonl"), "--weights", "directional-64x3-mp"]
        done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / name)])
        assert done.exit_code == 3, done.output
        assert ("4 texts begin with =, +, - or @" in done.output) == (name == "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [row["source"] for row in csv.DictReader(file)] == [f"'{n}" for n in names[:-1]]
    with (tmp_path / "a.csv.problems.csv").open(newline="") as file:
        assert [row["source"] for row in csv.DictReader(file)] == ["'=bad"]
    kept = pyarrow.parquet.read_table(tmp_path / "a.parquet", columns=["source"])
    assert kept["source"].to_pylist() == names[:-1]


def test_names_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from ssatom.cli._screen import say

    say("a\x1b]0;title\x07b\nc\td")
    assert capsys.readouterr().out == "a\\x1b]0;title\\x07b\nc\td\n"


# Searches -----------------------------------------------------------------------------------------


def cell(volume_per_site: float, n: int, spread: float = 1.0) -> dict[str, Any]:
    edge = (n * volume_per_site) ** (1 / 3)
    frac = np.random.default_rng(0).random((n, 3)) * spread
    return {"lattice": (edge * np.eye(3)).tolist(), "numbers": [1] * n, "frac": frac.tolist()}


@pytest.mark.parametrize(
    "row",
    [
        cell(0.02, 500),
        cell(1e4, 300, spread=1e-4),
        {**cell(10.0, 300), "frac": [[0.0, 0.0, 0.0]] * 300},
        {"lattice": [[2e-6, 0, 0], [0, 1e4, 0], [0, 0, 1e4]], "numbers": [1], "frac": [[0, 0, 0]]},
    ],
    ids=["dense", "crowd", "one place", "needle"],
)
@pytest.mark.parametrize("compiled", [True, False])
def test_countless_pairs_are_an_overlap(
    row: dict, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssatom.graph.search.MAX_PAIRS", 20_000)
    if not compiled:
        monkeypatch.setattr("ssatom.graph.search.loops_work", lambda: False)
    with pytest.raises(StructureError, match="atoms that near overlap"):
        CrystalGraphConverter().convert([row])


def test_crowd_is_sorted_in_time() -> None:
    """With plain insertion this took minutes."""
    row = cell(1e4, 6000, spread=1e-4)
    find_pairs(np.zeros((1, 3)), np.eye(3), 1.0)  # compiles the loops
    started = time.process_time()
    pairs = find_pairs(row["frac"], row["lattice"], 8.0, max_pairs=40_000_000, centers=[0, 1, 2])
    assert time.process_time() - started < 2
    assert len(pairs.distances) == 3 * 5999
    assert (np.diff(pairs.distances.reshape(3, -1), axis=1) >= 0).all()


def test_too_many_pairs_without_overlap_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssatom.graph.search.MAX_PAIRS", 20)
    with pytest.raises(StructureError, match=r"its 2 sites have about \d+ pairs within"):
        CrystalGraphConverter().convert([SALT])


@pytest.mark.parametrize("compiled", [True, False])
def test_skewed_cell_has_the_graph_of_a_short_one(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr("ssatom.graph.search.loops_work", lambda: False)
    skewed = {**SALT, "lattice": [[4, 0, 0], [4e4, 4, 0], [4e4, 4e4, 4]], "frac": [[0, 0, 0]]}
    skewed["numbers"] = [11]
    straight = {**skewed, "lattice": CUBE}
    a, b = (CrystalGraphConverter().convert([row]) for row in (skewed, straight))
    np.testing.assert_allclose(a.distances, b.distances, rtol=1e-5)


def test_orbital_field_matrix_of_a_skewed_cell() -> None:
    from ssatom import OrbitalFieldMatrixTransformer

    one = {"numbers": [11], "frac": [[0, 0, 0]]}
    skewed = [[4, 0, 0], [4000, 4, 0], [4000, 4000, 4]]
    rows = check_structures([{**one, "lattice": CUBE}, {**one, "lattice": skewed}])
    straight, same = OrbitalFieldMatrixTransformer().fit_transform(rows)
    np.testing.assert_allclose(same, straight, atol=1e-5)


def test_orbitals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from ssatom.electrons import electronic_descriptors

    monkeypatch.setattr("ssatom.electrons.bands.MAX_ORBITALS", 7)
    with pytest.raises(StructureError, match="its 2 sites have 8 orbitals; allowed are 7"):
        electronic_descriptors(check_structures([SALT]))


# Use without network, and without writing ---------------------------------------------------------

USE = """
import sys
seen = []
WRITES = {"os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate"}
def hook(event, args):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        seen.append(f"{event} {args!r:.80}")
    elif event == "open" and isinstance(args[2], int) and args[2] & 3:
        seen.append(f"writes {args[0]}")
    elif event in WRITES:
        seen.append(f"{event} {args[0]}")
sys.addaudithook(hook)
from ssatom import GraphEmbeddingFeaturizer, SimilarCrystals, load_example_crystals
crystals = load_example_crystals()["structure"][:4]
GraphEmbeddingFeaturizer().fit_transform(crystals)
SimilarCrystals().fit(crystals).query(crystals[:1], 1)
import ssatom.cli
print("\\n".join(one for one in seen if "__pycache__" not in one and "/dev/null" not in one))
"""


@pytest.mark.slow
def test_use_needs_no_network_and_writes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    environment = {**os.environ, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
    assert list(home.iterdir()) == []
