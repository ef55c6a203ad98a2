"""The command line: tables in three formats, resuming, bad structures, weights, pretraining."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner, Result

import ssatom
from ssatom.cli import _items, app
from ssatom.cli._options import parse_duration
from ssatom.cli._parts import PartFolder
from ssatom.cli.pretrain import pretrain
from ssatom.corpora import write_structures
from ssatom.embeddings import (
    FeatureColumns,
    graph_embeddings,
    resolve_weights,
    site_embeddings,
)
from ssatom.pretraining import MaskedPretrainer
from ssatom.weights import DEFAULT_WEIGHTS, random_weights

SALTS = {"NaCl": 5.64, "LiF": 4.03, "MgO": 4.21, "CaO": 4.81, "KBr": 6.60, "TiN": 4.24, "FeO": 4.33}


@pytest.fixture(scope="module")
def structures() -> list[Structure]:
    """Conventional cells of rock salts, 8 sites each."""
    faces = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    coords = np.concatenate([faces, faces + 0.5])
    return [
        Structure(
            Lattice.cubic(a), [s for s in re.findall("[A-Z][a-z]?", salt) for _ in "1234"], coords
        )
        for salt, a in SALTS.items()
    ]


@pytest.fixture
def corpus(structures: list[Structure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """JSON lines in a folder of its own, with an empty working directory."""
    (tmp_path / "data").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    path = tmp_path / "data" / "salts.jsonl"
    write_structures(path, structures, ids=list(SALTS))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def featurize(*arguments: object) -> Result:
    return run("featurize", "--weights", "random", "--no-progress", *arguments)


# --- the program as a whole ---------------------------------------------------------------------


def test_version() -> None:
    assert run("--version").stdout == f"ssatom {ssatom.__version__}\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["featurize", "fit", "predict", "pretrain", "weights", "Examples"]),
        (["featurize"], ["--layers", "--sites", "Examples", "Exit codes", "Cut off?"]),
        (["fit"], ["--target", "--structure-column", "--classify", "Examples", "Exit codes"]),
        (["predict"], ["--output", "Examples", "Exit codes", "Cut off?"]),
        (["pretrain"], ["--time-budget", "--config", "Examples", "Cut off?"]),
        (["index"], ["--output", "Examples", "Exit codes"]),
        (["similar"], ["--number", "Examples", "Exit codes"]),
        (["weights"], ["list", "show", "verify", "Examples"]),
        (["weights", "verify"], ["Exit code 1"]),
    ],
)
def test_help_tells(command: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert not [word for word in words if word not in result.stdout]


def test_nothing_is_imported_for_help() -> None:
    code = "import sys, ssatom.cli; print({'torch', 'pymatgen', 'numpy', 'tqdm'} & {*sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"


def test_as_a_program(corpus: Path) -> None:
    code = "from ssatom.cli import main; main()"
    command = ["featurize", str(corpus), "--weights", "random", "--layers", "0", "-o", "x.csv"]
    command = [sys.executable, "-c", code, *command]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "random-0" in result.stdout
    assert "7/7" not in result.stderr  # no progress bar in a pipe
    assert os.listdir() == ["x.csv"]


# --- featurize: the tables ----------------------------------------------------------------------


def read(path: str) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Labels, features and their names of any of the three formats."""
    if path.endswith(".npz"):
        with np.load(path) as file:
            arrays = dict(file)
        names = arrays.pop("columns").tolist()
        features = arrays.pop("features")
        labels = {k: v for k, v in arrays.items() if v.ndim == 1}
        return pd.DataFrame(labels), features, names
    table = pd.read_csv(path) if path.endswith(".csv") else pd.read_parquet(path)
    names = [name for name in table if name.startswith("ssatom_")]
    return table.drop(columns=names), table[names].to_numpy(np.float32), names


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_rows_of_crystals(suffix: str, corpus: Path, structures: list[Structure]) -> None:
    result = featurize(corpus, "--layers", "31", "--pooling", "mean,std", "-o", f"x.{suffix}")
    assert result.exit_code == 0, result.output
    labels, features, names = read(f"x.{suffix}")
    expected = graph_embeddings(structures, "31", "random", pooling=("mean", "std"))
    np.testing.assert_array_equal(features, expected)
    assert features.dtype == np.float32
    assert names == FeatureColumns(random_weights(0), [3, 1], ("mean", "std")).names
    assert labels["source"].tolist() == labels["formula"].tolist() == list(SALTS)
    assert os.listdir() == [f"x.{suffix}"]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_rows_of_sites(suffix: str, corpus: Path, structures: list[Structure]) -> None:
    assert featurize(corpus, "--sites", "O,Ti", "-o", f"x.{suffix}").exit_code == 0
    labels, features, names = read(f"x.{suffix}")
    rows, expected = [], []
    for name, structure, hidden in zip(
        SALTS, structures, site_embeddings(structures, "012", "random"), strict=True
    ):
        for i, site in enumerate(structure):
            if site.specie.symbol in ("O", "Ti"):
                rows.append((name, name, i, site.specie.symbol))
                expected.append(hidden[i])
    np.testing.assert_array_equal(features, expected)
    assert names == FeatureColumns(random_weights(0), [0, 1, 2]).names
    assert list(labels) == ["source", "formula", "site_index", "element"]
    assert list(labels.itertuples(index=False, name=None)) == rows


def test_all_sites(corpus: Path, structures: list[Structure]) -> None:
    assert featurize(corpus, "--sites", "all", "-o", "x.npz").exit_code == 0
    expected = np.concatenate(site_embeddings(structures, "012", "random"))
    np.testing.assert_array_equal(read("x.npz")[1], expected)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_no_rows_is_a_table_too(suffix: str, corpus: Path) -> None:
    assert featurize(corpus, "--sites", "U", "-o", f"x.{suffix}").exit_code == 0
    labels, features, _ = read(f"x.{suffix}")
    assert list(labels) == ["source", "formula", "site_index", "element"]
    assert features.shape == (0, 192)


def test_tables_name_the_weights(corpus: Path) -> None:
    weights = resolve_weights("random", 7)
    for name in ("x.parquet", "x.npz"):
        assert featurize(corpus, "--random-state", 7, "-o", name).exit_code == 0
    about = json.loads(pq.read_schema("x.parquet").metadata[b"ssatom"])
    with np.load("x.npz") as file:
        assert about == {key: str(file[key]) for key in ("weights", "weights_sha256")}
    assert about == {"weights": "random-7", "weights_sha256": weights.sha256}


def test_summary(corpus: Path) -> None:
    lines = featurize(corpus, "-o", "x.csv").stdout.splitlines()
    summary = dict(line.split(maxsplit=1) for line in lines)
    assert (summary["crystals"], summary["sites"], summary["rows"]) == ("7", "56", "7")
    assert summary["columns"] == "192, ssatom_random-0_L0_000 … ssatom_random-0_L2_063"
    assert summary["weights"] == f"random-0, sha256 {resolve_weights('random').sha256[:12]}"
    assert float(summary["seconds"]) >= 0
    assert summary["output"] == "x.csv"


def test_several_paths_and_formats(corpus: Path, structures: list[Structure]) -> None:
    data = corpus.parent
    write_structures(data / "cifs", structures[:2], ids=["a", "b"])
    write_structures(data / "frames.extxyz", structures[2:4])
    write_structures(data / "packed.jsonl.gz", structures[4:5], ids=["fifth"])
    paths = [
        data / "cifs",
        data / "cifs" / "a.cif",
        data / "frames.extxyz",
        data / "packed.jsonl.gz",
    ]
    assert featurize(*paths, "-o", "x.csv").exit_code == 0
    table = pd.read_csv("x.csv")
    assert table["source"].tolist() == [
        *(f"{data}/cifs/{name}.cif" for name in "aba"),
        *(f"{data}/frames.extxyz@{i}" for i in (0, 1)),
        "fifth",
    ]
    assert table["formula"].tolist() == ["NaCl", "LiF", "NaCl", "MgO", "CaO", "KBr"]


def test_csv_quotes_what_needs_it(structures: list[Structure], corpus: Path) -> None:
    write_structures(corpus, structures[:2], ids=['one, "two"', "plain"])
    assert featurize(corpus, "-o", "x.csv").exit_code == 0
    assert pd.read_csv("x.csv")["source"].tolist() == ['one, "two"', "plain"]
    assert Path("x.csv").read_text().startswith("source,formula,ssatom_random-0_L0_000,")


def test_folder_that_holds_the_output(corpus: Path) -> None:
    """Neither what is under way nor an older table is taken for crystals."""
    shutil.copy(corpus, "salts.jsonl")
    assert featurize(".", "-o", "x.csv").exit_code == 0
    interrupted(".", "-o", "x.csv", "--overwrite")
    result = featurize(".", "-o", "x.csv", "--overwrite")
    assert result.exit_code == 0, result.output
    assert "resumed" in result.stdout
    assert len(pd.read_csv("x.csv")) == len(SALTS)


# --- featurize: going on, and not overwriting ---------------------------------------------------


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_items, "_CHUNK_STRUCTURES", 2)


def interrupted(*arguments: object, after: int = 1) -> Result:
    """Run, and cut the run off in a later chunk."""
    compute, calls = _items.compute, []

    def cut(chunk: list, job: _items.Job) -> tuple:
        calls.append(len(chunk))
        if len(calls) > after:
            raise KeyboardInterrupt
        return compute(chunk, job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_items, "compute", cut)
        patch.setattr(_items, "_CHUNK_STRUCTURES", 2)
        return featurize(*arguments)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
@pytest.mark.usefixtures("small_chunks")
def test_resumed_equals_uninterrupted(suffix: str, corpus: Path) -> None:
    with corpus.open("a") as file:
        file.write("no json\n")
    whole = featurize(corpus, "-o", f"whole.{suffix}")
    cut = interrupted(corpus, "-o", f"cut.{suffix}", after=2)
    assert cut.exit_code == 130
    assert "4 structures are done" in cut.stderr
    assert not Path(f"cut.{suffix}").exists()
    done = featurize(corpus, "-o", f"cut.{suffix}")
    assert "after 4 structures" in done.stdout
    assert whole.exit_code == done.exit_code == 3
    assert "1 of 8 structures" in done.stderr
    assert Path(f"cut.{suffix}").read_bytes() == Path(f"whole.{suffix}").read_bytes()
    listed = [Path(f"{name}.{suffix}.problems.csv") for name in ("cut", "whole")]
    assert listed[0].read_bytes() == listed[1].read_bytes()
    assert len(os.listdir()) == 4


def test_cut_again_and_while_writing(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(corpus, "-o", "x.csv")
    interrupted(corpus, "-o", "x.csv")
    (Path("x.csv.part") / "new").write_bytes(b"half a part")
    assert "after 4 structures" in featurize(corpus, "-o", "x.csv").stdout
    assert pd.read_csv("x.csv")["source"].tolist() == list(SALTS)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--layers", "01"], "layers was [0, 1, 2] and is [0, 1]"),
        (["--pooling", "max"], "pooling was ['mean'] and is ['max']"),
        (["--sites", "O"], "sites was None and is [8]"),
        (["--random-state", "1"], "weights was"),
    ],
)
def test_other_settings_are_refused(option: list[str], words: str, corpus: Path) -> None:
    interrupted(corpus, "-o", "x.csv")
    result = featurize(corpus, "-o", "x.csv", *option)
    assert result.exit_code == 1
    assert words in result.stderr
    assert "--overwrite" in result.stderr
    assert featurize(corpus, "-o", "x.csv", *option, "--overwrite").exit_code == 0
    assert os.listdir() == ["x.csv"]


def test_changed_input_is_refused(corpus: Path, structures: list[Structure]) -> None:
    interrupted(corpus, "-o", "x.csv")
    write_structures(corpus, structures[::-1])
    result = featurize(corpus, "-o", "x.csv")
    assert result.exit_code == 1
    assert "other settings (inputs)" in result.stderr


def test_existing_output_is_kept(corpus: Path) -> None:
    Path("x.csv").write_text("mine")
    result = featurize(corpus, "-o", "x.csv")
    assert result.exit_code == 1
    assert "--overwrite" in result.stderr
    assert Path("x.csv").read_text() == "mine"
    assert os.listdir() == ["x.csv"]
    assert featurize(corpus, "-o", "x.csv", "--overwrite").exit_code == 0


def test_folder_in_the_way_is_kept(corpus: Path) -> None:
    Path("x.csv.part").mkdir()
    Path("x.csv.part/mine").write_text("")
    result = featurize(corpus, "-o", "x.csv", "--overwrite")
    assert result.exit_code == 1
    assert "in the way" in result.stderr
    assert Path("x.csv.part/mine").exists()


def test_chunks_are_bounded_in_sites(monkeypatch: pytest.MonkeyPatch, corpus: Path) -> None:
    monkeypatch.setattr(_items, "_CHUNK_SITES", 20)
    sizes = [len(chunk) for chunk in _items.chunks(_items.read_items([corpus]))]
    assert sizes == [3, 3, 1]


# --- featurize: what is bad ---------------------------------------------------------------------


def test_bad_structures_are_reported(corpus: Path, structures: list[Structure]) -> None:
    disordered = structures[0].copy()
    disordered.replace_species({"Na": {"Na": 0.5, "K": 0.5}})
    rows = [{"id": "half", "structure": disordered.as_dict()}, {"id": "empty"}]
    with corpus.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    (corpus.parent / "broken.cif").write_text("nothing")
    result = featurize(corpus, corpus.parent / "broken.cif", "-o", "x.csv")
    assert result.exit_code == 3
    assert pd.read_csv("x.csv")["source"].tolist() == list(SALTS)
    assert "crystals  7" in result.stdout
    head, columns, *table, where = result.stderr.strip().splitlines()
    assert where == "all problems are listed in 'x.csv.problems.csv'"
    assert head == "3 of 10 structures could not be used:"
    assert columns.split() == ["source", "reason"]
    sources, reasons = zip(*(line.split(maxsplit=1) for line in table), strict=True)
    assert sources == ("half", "empty", str(corpus.parent / "broken.cif"))
    assert "partial occupancy" in reasons[0]
    assert "no structure" in reasons[1]
    assert "no readable CIF" in reasons[2]


def test_nothing_but_bad_structures(corpus: Path) -> None:
    corpus.write_text("{}\n")
    assert featurize(corpus, "-o", "x.csv").exit_code == 3
    assert sorted(os.listdir()) == ["x.csv.problems.csv"]


def test_warnings_come_at_the_end(corpus: Path) -> None:
    lone = Structure(Lattice.cubic(20), ["He"], [[0, 0, 0]])
    write_structures(corpus, [lone], ids=["lone"])
    result = featurize(corpus, "-o", "x.csv")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: some sites have no neighbour within")
    assert "(1 crystal: lone)\n" in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["-o", "x.txt"], 2, [".csv", ".parquet", ".npz"]),
        (["-o", "x.csv", "--layers", "06"], 2, ["no layer 6", "0 to 5"]),
        (["-o", "x.csv", "--layers", ""], 2, ["layers=''"]),
        (["-o", "x.csv", "--pooling", "median"], 2, ["median", "mean, sum"]),
        (["-o", "x.csv", "--sites", "Qq"], 2, ["'Qq' is no element", "all"]),
        (["-o", "x.csv", "--sites", "all", "--pooling", "mean"], 2, ["not pooled"]),
        (["-o", "x.csv", "--weights", "nowhere"], 1, ["nowhere", "random"]),
        (["-o", "x.csv", "nowhere.cif"], 1, ["nowhere.cif", "no such file"]),
        (["-o", "no/x.csv"], 1, ["no folder 'no'"]),
        ([], 2, ["--output"]),
        (["-o", "x.csv", "--batch-size", "many"], 2, ["--batch-size"]),
    ],
)
def test_errors_are_one_line(
    options: list[str], code: int, words: list[str], corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = featurize(corpus, *options)
    assert result.exit_code == code, result.output
    assert not [word for word in words if word not in result.stderr]
    assert "Traceback" not in result.stderr
    assert os.listdir() == []


# --- weights ------------------------------------------------------------------------------------


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, structures: list[Structure]) -> Path:
    """A shipped root with one small set."""
    root = tmp_path / "shipped"
    monkeypatch.setattr("ssatom.weights.folder._shipped_root", lambda: root)
    trainer = MaskedPretrainer(hidden_dim=8, n_conv=2, max_epochs=1, progress_bar=False)
    trainer.fit(structures, corpus="rock salts").save(root / DEFAULT_WEIGHTS, terms="free")
    return root


def test_weights_list(shipped: Path) -> None:
    result = run("weights", "list")
    assert result.exit_code == 0
    header, row = result.stdout.splitlines()
    assert header.split() == ["name", "layers", "×", "numbers", "corpus", "size"]
    assert row.startswith(f"{DEFAULT_WEIGHTS}  3 × 8")
    assert "7 structures" in row
    assert "kB" in row
    assert row.endswith("default")


def test_weights_show(shipped: Path) -> None:
    for name in (DEFAULT_WEIGHTS, shipped / DEFAULT_WEIGHTS):
        result = run("weights", "show", name)
        assert result.exit_code == 0
        for words in ("rock salts", "terms         free", "mask_fraction", "encoder.safetensors"):
            assert words in result.stdout
    unknown = run("weights", "show", "nowhere")
    assert unknown.exit_code == 1
    assert f"shipped: {DEFAULT_WEIGHTS}" in unknown.stderr


def test_weights_verify(shipped: Path) -> None:
    assert run("weights", "verify").exit_code == 0
    assert " ok " in run("weights", "verify", DEFAULT_WEIGHTS).stdout
    shutil.copytree(shipped / DEFAULT_WEIGHTS, shipped / "tampered")
    tensors = shipped / "tampered" / "encoder.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"x")
    result = run("weights", "verify")
    assert result.exit_code == 1
    good, bad = result.stdout.splitlines()
    assert good.split()[:2] == [DEFAULT_WEIGHTS, "ok"]
    assert bad.split()[:2] == ["tampered", "BAD"]
    assert "changed or damaged" in bad
    assert "tampered" in run("weights", "list").stdout
    assert "damaged" in run("weights", "list").stdout
    assert run("weights", "verify", DEFAULT_WEIGHTS).exit_code == 0


def test_weights_verify_needs_some(shipped: Path) -> None:
    shutil.rmtree(shipped / DEFAULT_WEIGHTS)
    assert run("weights", "verify").exit_code == 1


# --- pretrain -----------------------------------------------------------------------------------

TINY = ["--hidden-dim", 8, "--n-conv", 2, "--max-epochs", 2, "--no-progress"]
FILES = {
    *("card.json", "README.md", "encoder.safetensors", "corpus.safetensors"),
    *("curve.csv", "curve.png", "recipe.toml"),
}


def test_pretrain_writes_weights(corpus: Path) -> None:
    result = run("pretrain", corpus, *TINY, "--terms", "CC BY 4.0", "-o", "mine")
    assert result.exit_code == 0, result.output
    assert set(os.listdir("mine")) == FILES
    assert sorted(os.listdir()) == ["mine", "mine.run"]
    card = ssatom.load_pretrained("mine").card
    assert card is not None
    assert (card.name, card.encoder["hidden_dim"], card.encoder["n_conv"]) == ("mine", 8, 2)
    assert card.corpus == {"description": "salts.jsonl", "n_structures": 7, "terms": "CC BY 4.0"}
    summary = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    assert summary["structures"].strip() == "7"
    assert "sha256" in summary["weights"]
    again = run("pretrain", corpus, *TINY, "-o", "mine")
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    used = run("featurize", corpus, "--weights", "mine", "--layers", "2", "-o", "x.csv")
    assert used.exit_code == 0


def test_pretrain_goes_on(corpus: Path) -> None:
    """Cut after two epochs and resumed, it equals the run that was never cut."""
    constant = [*TINY, "--decay-fraction", 0]
    more = [*constant, "--max-epochs", 4]
    assert run("pretrain", corpus, *more, "-o", "whole").exit_code == 0
    assert run("pretrain", corpus, *constant, "-o", "cut").exit_code == 0
    assert run("pretrain", corpus, *more, "-o", "cut", "--overwrite").exit_code == 0
    whole, cut = (ssatom.load_pretrained(name) for name in ("whole", "cut"))
    assert whole.sha256 == cut.sha256
    pd.testing.assert_frame_equal(pd.read_csv("whole/curve.csv"), pd.read_csv("cut/curve.csv"))


def test_pretrain_stopped_by_hand(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MaskedPretrainer, "_fit_graphs", stop)
    result = run("pretrain", corpus, *TINY, "-o", "mine")
    assert result.exit_code == 130
    assert "give the same command again" in result.stderr
    assert os.listdir() == ["mine.run"]
    monkeypatch.undo()


@pytest.mark.filterwarnings("default")
def test_pretrain_draws_and_leaves_out(corpus: Path) -> None:
    with corpus.open("a") as file:
        file.write("{}\n" * 2)
    options = ["-n", 8, "--random-state", 3, "-o", "mine", "--corpus-name", "salts"]
    result = run("pretrain", corpus, *TINY, *options)
    assert result.exit_code == 0, result.output
    drawn = set(np.random.default_rng(3).choice(9, 8, replace=False).tolist())
    n_good = len(drawn & set(range(7)))
    assert f"warning: {8 - n_good} structures were left out" in result.stderr
    card = ssatom.load_pretrained("mine").card
    assert card is not None
    assert card.corpus["description"] == "salts; 8 structures drawn with random_state 3"
    assert card.corpus["n_structures"] == n_good


def test_pretrain_config_file(corpus: Path) -> None:
    config = {"corpora": [str(corpus)], "hidden-dim": 8, "n_conv": 2, "max_epochs": 9}
    Path("recipe.json").write_text(json.dumps({**config, "progress_bar": False, "patience": 0}))
    options = ["--config", "recipe.json", "--max-epochs", 1, "-o", "mine"]
    result = run("pretrain", *options)
    assert result.exit_code == 0, result.output
    card = ssatom.load_pretrained("mine").card
    assert card is not None
    assert card.encoder["hidden_dim"] == 8
    assert (card.recipe["max_epochs"], card.recipe["patience"]) == (1, 0)


def test_pretrain_repeats_a_recipe(corpus: Path) -> None:
    """Other than the defaults in every respect, and the same weights again."""
    options = [
        *("-n", 6, "--random-state", 3, "--tasks", "element,distance(weight=0.5)"),
        *("--residual", "--radial-units", 3),
        *("--element-features", "distinct", "--neighbors", "smooth", "--cutoff", 4.5),
        *("--basis-step", 0.25, "--batch-size", 3, "--patience", 0, "--dropout", 0.1),
    ]
    result = run("pretrain", corpus, *TINY, *options, "-o", "first")
    assert result.exit_code == 0, result.output
    text = Path("first/recipe.toml").read_text(encoding="utf-8")
    assert 'tasks = ["element", "distance(weight=0.5)"]' in text
    for unsaid in ("max_neighbors", "device =", "terms", "corpus_name"):
        assert unsaid not in text
    command = ["--config", "first/recipe.toml", corpus, "--no-progress", "-o", "second"]
    result = run("pretrain", *command)
    assert result.exit_code == 0, result.output
    first, second = (ssatom.load_pretrained(name) for name in ("first", "second"))
    assert first.sha256 == second.sha256
    kept, again = vars(first.card), vars(second.card)
    assert {k: v for k, v in again.items() if k != "name"} == {
        k: v for k, v in kept.items() if k != "name"
    }
    assert Path("second/recipe.toml").read_text(encoding="utf-8").replace("second", "first") == text
    assert first.encoder.config.residual
    assert first.encoder.config.radial_units == 3
    assert first.encoder.config.node_dim == 192
    assert first.graph_config == ssatom.GraphConfig("smooth", cutoff=4.5, basis_step=0.25)


@pytest.mark.parametrize("name", ssatom.list_weights())
def test_recipe_of_a_shipped_set_is_repeated(name: str, corpus: Path) -> None:
    """The command takes the file; with fewer epochs and structures all else is that recipe."""
    shipped = ssatom.load_pretrained(name)
    options = ["--config", shipped.folder / "recipe.toml", "--no-progress", "-o", "mine"]
    short = {"n_structures": 6, "max_epochs": 1, "n_devices": 1}
    changed = [text for key, n in short.items() for text in (f"--{key.replace('_', '-')}", n)]
    result = run("pretrain", corpus, *options, *changed)
    assert result.exit_code == 0, result.output
    mine = ssatom.load_pretrained("mine")
    assert mine.card.recipe == {**shipped.card.recipe, **short}
    assert (mine.card.encoder, mine.card.graph) == (shipped.card.encoder, shipped.card.graph)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"hidden": 8}', "got hidden; allowed: basis_step"),
        ("[1]", "JSON object"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_pretrain_bad_config(
    text: str, words: str, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "800")
    Path("recipe.json").write_text(text)
    result = run("pretrain", corpus, "--config", "recipe.json", "-o", "mine")
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--mask-fraction", "2"], 2, "--mask-fraction"),
        (["--time-budget", "soon"], 2, "8h"),
        (["--precision", "half"], 2, "float32"),
        (["-n", "9"], 2, "has: 7"),
        (["--tasks", "colour"], 2, "allowed:"),
        (["--neighbors", "smooth", "--max-neighbors", "20"], 2, "no meaning"),
        (["--cutoff", "-1"], 2, "--cutoff"),
        (["--cutoff", "0"], 2, "cutoff=0.0 must be a positive number"),
    ],
)
def test_pretrain_errors(options: list[str], code: int, words: str, corpus: Path) -> None:
    result = run("pretrain", corpus, *TINY, "-o", "mine", *options)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert os.listdir() == []  # nothing is in the way of the right command


def test_pretrain_other_corpus_is_refused(corpus: Path, structures: list[Structure]) -> None:
    assert run("pretrain", corpus, *TINY, "-o", "mine").exit_code == 0
    write_structures(corpus, structures[::-1])
    result = run("pretrain", corpus, *TINY, "-o", "mine", "--overwrite")
    assert result.exit_code == 1
    assert "another corpus" in result.stderr


def test_every_setting_of_the_pretrainer_is_an_option() -> None:
    mine = {name: p.default for name, p in inspect.signature(pretrain).parameters.items()}
    assert MaskedPretrainer().get_params().items() <= mine.items()


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, None), ("90", 90), ("30m", 1800), ("1h30m", 5400), ("1.5h", 5400)]
)
def test_durations(text: str | None, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


def test_part_folder_starts_whole(tmp_path: Path) -> None:
    """A run that was cut while the folder was made leaves nothing in the way."""
    (tmp_path / "t.csv.part").mkdir()
    (tmp_path / "t.csv.part" / ".ssatom-1-0a").write_text('{"lay')
    with PartFolder(tmp_path / "t.csv.part", {"layers": "012"}) as folder:
        assert folder.files() == []
    with PartFolder(tmp_path / "t.csv.part", {"layers": "012"}) as folder:
        assert folder.files() == []


def test_one_run_at_a_time(corpus: Path) -> None:
    """A second one would add its rows to those of the first."""
    interrupted(corpus, "-o", "x.csv")
    lock = FileLock("x.csv.part/lock")
    for option in [], ["--overwrite"]:
        with lock:
            refused = featurize(corpus, "-o", "x.csv", *option)
        assert refused.exit_code == 1
        assert "another run is at work" in refused.stderr
    assert "after 2 structures" in featurize(corpus, "-o", "x.csv").stdout
    assert os.listdir() == ["x.csv"]
