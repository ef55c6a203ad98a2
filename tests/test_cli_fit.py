"""`ssatom fit` and `ssatom predict`: models, reports, predictions, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.model_selection import train_test_split
from typer.testing import CliRunner, Result

from ssatom import load_estimator, load_example_crystals, save_estimator
from ssatom.cli import _items, app
from ssatom.corpora import read_structures, write_structures
from ssatom.embeddings import clear_cache
from ssatom.exceptions import StructureError
from ssatom.graph import CrystalGraphConverter
from ssatom.plots._figure import ShownFigure
from ssatom.structures import _rows
from ssatom.weights import load_pretrained

N = 24
QUICK = ["--max-epochs", 2, "--no-progress"]
NEGNN = [*QUICK, "--model", "negnn"]
RANDOM = [*NEGNN, "--weights", "random"]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Small example crystals with values for each."""
    table = load_example_crystals()
    table = table[table["structure"].map(len) <= 8].head(N)
    volume = [structure.volume / len(structure) for structure in table["structure"]]
    table = table.assign(volume=volume, sites=table["structure"].map(len))
    table["path"] = [f"cifs/{i}.cif" for i in range(N)]
    table["kind"] = np.where(table["volume"] > table["volume"].median(), "loose", "dense")
    return table


@pytest.fixture(scope="module")
def cifs(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of CIF files; not to be changed."""
    folder = tmp_path_factory.mktemp("cifs")
    write_structures(folder, rows["structure"], ids=[str(i) for i in range(N)])
    return folder


@pytest.fixture
def data(rows: pd.DataFrame, cifs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table beside a folder of CIF files, with an empty working directory."""
    shutil.copytree(cifs, tmp_path / "data/cifs")
    path = tmp_path / "data" / "data.csv"
    rows[["path", "volume", "sites", "kind"]].to_csv(path, index=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return path


@pytest.fixture(autouse=True)
def blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn in the tests of the report's files, and left empty elsewhere."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(
            ShownFigure, "savefig", lambda _, path, **options: path.write_bytes(b"")
        )


@pytest.fixture
def drawn() -> None:
    """Asked for by tests of what is in the figures."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def fit(*arguments: object) -> Result:
    return run("fit", *RANDOM, *arguments)


def predict(*arguments: object) -> Result:
    return run("predict", *arguments, "--no-progress")


def read(path: str) -> pd.DataFrame:
    if path.endswith(".jsonl"):
        return pd.read_json(path, lines=True, precise_float=True)
    if path.endswith(".csv"):
        return pd.read_csv(path, float_precision="round_trip")
    return pd.read_parquet(path)


# --- fit ----------------------------------------------------------------------------------------


def test_fit_writes_a_model_and_its_report(data: Path, drawn: None) -> None:
    result = fit(data, "--target", "volume", "-o", "model")
    assert result.exit_code == 0, result.output
    files = {"model.json", "model.skops", "history.csv", "history.png", "parity.png"}
    files |= {"predictions.csv", "report.json", "report.md", "intervals.safetensors"}
    assert set(os.listdir("model")) == files
    assert all(Path("model", name).stat().st_size > 5000 for name in files if name[-3:] == "png")
    report = json.loads(Path("model/report.json").read_text())
    assert (report["model"], report["choice"]) == ("negnn", None)
    assert report["rows"]["train"] + report["rows"]["test"] == N
    assert report["rows"]["test"] == 5
    assert report["parameters"]["layers"] == "01"
    assert report["weights"]["name"] == "random-0"
    assert len(report["data"][0]["sha256"]) == 64
    held = pd.read_csv("model/predictions.csv")
    names = ["source", "formula", "volume", "volume_predicted", "nearest_percentile"]
    assert list(held) == names  # five errors give no interval
    errors = held["volume_predicted"] - held["volume"]
    spread = held["volume"] - held["volume"].mean()
    expected = {
        "mae": errors.abs().mean(),
        "rmse": (errors**2).mean() ** 0.5,
        "r2": 1 - (errors**2).sum() / (spread**2).sum(),
    }
    scores = report["metrics"]["volume"]
    assert {key: scores[key] for key in expected} == pytest.approx(expected)
    assert f"MAE {scores['mae']:.4g}" in result.stdout
    text = Path("model/report.md").read_text()
    assert f"| mean absolute error | {scores['mae']:.4g} |" in text
    assert "held out at random (random_state 0)" in text
    model = load_estimator("model")
    assert model.target_names_ == ["volume"]
    sources = [str(data.parent / source) for source in held["source"]]
    np.testing.assert_allclose(model.predict(sources), held["volume_predicted"], rtol=1e-4)


def test_fit_repeats(data: Path) -> None:
    for name in ("a", "b"):
        assert fit(data, "-t", "volume", "-o", name).exit_code == 0
    assert Path("a/predictions.csv").read_bytes() == Path("b/predictions.csv").read_bytes()
    assert fit(data, "-t", "volume", "--random-state", 1, "-o", "c").exit_code == 0
    held = [pd.read_csv(f"{name}/predictions.csv")["source"].tolist() for name in "ac"]
    assert held[0] != held[1]


def test_several_targets_and_members(data: Path, drawn: None) -> None:
    options = ["-t", "volume", "-t", "sites", "--members", 2, "--test-size", 0.25]
    assert fit(data, *options, "-o", "model").exit_code == 0
    report = json.loads(Path("model/report.json").read_text())
    assert list(report["metrics"]) == ["volume", "sites"]
    assert report["rows"]["test"] == 6
    result = predict("model", data, "-o", "x.csv")
    assert result.exit_code == 0, result.output
    table = read("x.csv")
    names = ["volume", "volume_std", "sites", "sites_std", "nearest_percentile"]
    assert list(table) == ["source", "formula", *names]
    paths = [data.parent / f"cifs/{i}.cif" for i in range(N)]
    y, std = load_estimator("model").predict(paths, return_std=True)
    np.testing.assert_allclose(table[["volume", "sites"]], y, rtol=1e-5)
    np.testing.assert_allclose(table[["volume_std", "sites_std"]], std, rtol=1e-3)
    held = pd.read_csv("model/predictions.csv")
    predicted = ["volume_predicted", "volume_std", "sites_predicted", "sites_std"]
    assert list(held)[4:] == [*predicted, "nearest_percentile"]


def test_classes(data: Path, drawn: None) -> None:
    result = fit(data, "-t", "kind", "--classify", "-o", "model")
    assert result.exit_code == 0, result.output
    assert "ROC AUC" in result.stdout
    assert Path("model/confusion.png").stat().st_size > 5000
    report = json.loads(Path("model/report.json").read_text())
    assert report["model"] == "negnn"
    held = pd.read_csv("model/predictions.csv")
    hits = held["kind"] == held["kind_predicted"]
    scores = report["metrics"]["kind"]
    assert scores["accuracy"] == pytest.approx(hits.mean())
    assert scores["balanced_accuracy"] == pytest.approx(hits.groupby(held["kind"]).mean().mean())
    assert 0 <= scores["roc_auc"] <= 1
    for suffix in ("csv", "parquet", "jsonl"):
        assert predict("model", data.parent / "cifs", "-o", f"x.{suffix}").exit_code == 0
        table = read(f"x.{suffix}")
        names = ["kind_probability_dense", "kind_probability_loose"]
        assert list(table) == ["source", "formula", "kind", *names, "nearest_percentile"]
        np.testing.assert_allclose(table[names].sum(axis=1), 1)
        expected = np.where(table[names[0]] >= table[names[1]], "dense", "loose")
        assert table["kind"].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["1", "0"], [0, 1]),
        (["1.0", "2.0"], [1, 2]),
        (["true", "false"], [False, True]),
        (["1", "A"], ["1", "A"]),
    ],
)
def test_kinds_of_classes(values: list[str], classes: list[Any], data: Path) -> None:
    lines = [f"cifs/{i}.cif,{values[i % 2]}" for i in range(N)]
    data.write_text("\n".join(["path,class", *lines]))
    result = fit(data, "-t", "class", "--classify", "--model", "logistic", "-o", "model")
    assert result.exit_code == 0, result.output
    assert load_estimator("model").classes_.tolist() == classes
    assert predict("model", data, "-o", "x.parquet").exit_code == 0
    assert set(pd.read_parquet("x.parquet")["class"]) <= set(classes)


def test_models_of_classes_are_chosen_by_cross_validation(data: Path) -> None:
    options = ["--classify", "--model", "auto", "--no-electrons", "-o", "model"]
    result = fit(data, "-t", "kind", *options)
    assert result.exit_code == 0, result.output
    report = json.loads(Path("model/report.json").read_text())
    losses = {row["model"]: row["errors"]["kind"] for row in report["choice"]["models"]}
    assert losses.pop("negnn") is None  # not tried below 500 crystals
    assert sorted(losses) == ["commonest class", "logistic"]
    assert report["model"] == min(losses, key=losses.__getitem__)
    for name, loss in losses.items():
        assert re.search(rf"tried: {name} +log loss {loss:.4g};", result.stdout)


@pytest.mark.slow
def test_networks_are_tried_for_classes_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssatom.cli._models.NETWORK_FROM", 10)
    monkeypatch.setattr("ssatom.cli._models.LOGISTIC_UP_TO", 10)
    result = fit(data, "-t", "kind", "--classify", "--model", "auto", "-o", "model")
    assert result.exit_code == 0, result.output
    rows = json.loads(Path("model/report.json").read_text())["choice"]["models"]
    assert {row["model"]: row["errors"]["kind"] is None for row in rows} == {
        "logistic": True, "negnn": False, "commonest class": False
    }  # fmt: skip
    assert "not tried above 10 crystals" in result.stdout


def test_cgcnn_and_other_collections(data: Path, rows: pd.DataFrame) -> None:
    """Properties of JSON lines and of frames are targets too."""
    properties = [{"volume": value} for value in rows["volume"]]
    for name in ("x.jsonl.gz", "x.extxyz"):
        write_structures(name, rows["structure"], properties=properties)
        options = ["--model", "cgcnn", "-o", f"{name}.model"]
        result = run("fit", name, "-t", "volume", *options, *QUICK)
        assert result.exit_code == 0, result.output
        assert "weights" not in Path(f"{name}.model/report.md").read_text()
    assert type(load_estimator("x.extxyz.model")).__name__ == "CGCNNRegressor"


def test_own_weights_and_another_column(data: Path, weights_folder: Path) -> None:
    table = pd.read_csv(data).assign(other="nowhere.cif")
    table.rename(columns={"path": "mine", "other": "path"}).to_csv(data, index=False)
    options = ["-t", "volume", "--weights", weights_folder, "--layers", "12", "-o", "model"]
    assert run("fit", data, *options, *NEGNN).exit_code == 1
    options += ["--structure-column", "mine"]
    result = run("fit", data, *options, *NEGNN)
    assert result.exit_code == 0, result.output
    (entry,) = json.loads(Path("model/model.json").read_text())["weights"].values()
    assert load_pretrained("model/weights/tiny").sha256 == entry["sha256"]
    assert load_estimator("model").layers_ == (1, 2)
    assert run("predict", "model", data, "-o", "y.csv").exit_code == 3
    for command in (("predict", "model"), ("featurize",)):
        output = f"{command[0]}.csv"
        result = run(*command, data, "-o", output, "--structure-column", "mine")
        assert result.exit_code == 0, result.output
        assert len(pd.read_csv(output)) == N


def test_no_progress_bar_where_there_is_no_terminal(data: Path) -> None:
    options = ["--model", "negnn", "--weights", "random", "--max-epochs", 1]
    result = run("fit", data, "-t", "volume", *options, "-o", "m")
    assert result.exit_code == 0
    assert "read: " not in result.output
    assert "epoch 1/1" not in result.output


def test_epochs_are_told_of_each_member(data: Path) -> None:
    result = fit(data, "-t", "volume", "--members", 2, "-o", "model")
    assert result.exit_code == 0, result.output
    assert "2, 2" in next(line for line in result.output.splitlines() if line.startswith("epochs"))


@pytest.mark.parametrize("content", ["path,volume", "path,volume\ncifs/0.cif,true"])
def test_no_row_of_use(data: Path, content: str) -> None:
    data.write_text(content + "\n")
    result = fit(data, "-t", "volume", "-o", "model", "--errors", "skip")
    assert result.exit_code == 1
    assert "0 different usable crystals" in result.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [([*NEGNN, "--weights", "directional-64x3-mp"], True), (["--model", "cgcnn"], False)],
)
def test_sites_that_the_encoder_sees_alone_are_told(
    data: Path, options: list[str], told: bool
) -> None:
    """By the cutoff of the encoder, 4.5 Å here, not by that of the network behind it."""
    sparse = Structure(Lattice.cubic(6), ["Ar"], [[0, 0, 0]])
    (data.parent / "cifs/sparse.vasp").write_text(sparse.to(fmt="poscar"))
    data.write_text(data.read_text() + "cifs/sparse.vasp,216,1,loose\n")
    result = run("fit", data, "-t", "volume", *QUICK, *options, "-o", "model")
    assert result.exit_code == 0, result.output
    words = "warning: some sites have no neighbour within 4.5 Å"
    assert (words in result.stderr) == told
    assert ("cifs/sparse.vasp" in result.stderr) == told


@pytest.mark.parametrize(
    ("options", "searches"),
    [
        (RANDOM, 1),
        ([*NEGNN, "--weights", "directional-64x3-mp"], 2),  # two kinds of graphs
        (["--model", "cgcnn"], 2),  # error bars look at embeddings
        (["--model", "kernel-ridge", "--no-electrons"], 1),
    ],
)
def test_each_crystal_is_read_and_searched_once(
    options: list[str], searches: int, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear_cache()
    counts: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        function = getattr(module, name)

        def counted(*arguments: Any, **more: Any) -> Any:
            counts[name] += 1
            return function(*arguments, **more)

        monkeypatch.setattr(module, name, counted)

    count(_rows, "structure_arrays")
    count(CrystalGraphConverter, "neighbors")
    assert run("fit", data, "-t", "volume", *QUICK, *options, "-o", "m").exit_code == 0
    assert counts == {"structure_arrays": N, "neighbors": searches * N}


# --- what is bad --------------------------------------------------------------------------------


BAD = {
    "missing file": ("cifs/no.cif,1.0", "there is no file 'cifs/no.cif'"),
    "no target": ("cifs/0.cif,", "target 'volume' is missing"),
    "nan": ("cifs/0.cif,nan", "target 'volume' is nan; give a finite number"),
    "text": ("cifs/0.cif,metal", "is 'metal', which is no number; for classes add --classify"),
    "overlap": ("cifs/clash.vasp,1.0", "sites 0 (Na) and 1 (Cl) are 0 Å apart"),
}


def with_rows(data: Path, *lines: str) -> None:
    """Write further rows in place of the fourth and after it, and the structure that one needs."""
    clash = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0]])
    (data.parent / "cifs/clash.vasp").write_text(clash.to(fmt="poscar"))
    table = pd.read_csv(data)
    good = [f"{p},{v}" for p, v in zip(table["path"], table["volume"], strict=True)]
    data.write_text("\n".join(["path,volume", *good[:3], *lines, *good[3:]]))


@pytest.mark.parametrize("case", BAD)
def test_bad_row_is_refused(case: str, data: Path) -> None:
    line, words = BAD[case]
    with_rows(data, line)
    result = fit(data, "-t", "volume", "-o", "model")
    assert result.exit_code == 1
    source = line.split(",")[0]
    assert f"error: row 3 ({source}): " in result.stderr
    assert "--errors skip" in result.stderr
    assert os.listdir() == []
    assert words in result.stderr


def test_bad_rows_are_left_out(data: Path) -> None:
    with_rows(data, *(line for line, _ in BAD.values()))
    result = fit(data, "-t", "volume", "--errors", "skip", "-o", "model")
    assert result.exit_code == 3, result.output
    assert f"{len(BAD)} of {N + len(BAD)} rows could not be used" in result.stderr
    report = json.loads(Path("model/report.json").read_text())
    assert report["rows"]["left_out"] == len(BAD)
    for line, words in BAD.values():
        source = line.split(",")[0]
        assert sum(named == source and words in why for named, why in report["left_out"]) == 1
    assert f"{len(BAD)} rows left out" in Path("model/report.md").read_text()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["-t", "gap"], 2, ["no column 'gap'", "'volume', 'sites', 'kind'"]),
        (["-t", "gap", "--errors", "skip"], 2, ["no column 'gap'", "'volume'"]),
        (["-t", "volume", "--structure-column", "x"], 2, ["no such column", "'path'"]),
        (["-t", "volume", "-t", "volume"], 2, ["two columns 'volume'"]),
        (["-t", "source"], 2, ["two columns 'source'"]),
        (["-t", "kind"], 1, ["row 0 (cifs/0.cif)", "--classify"]),
        (["-t", "volume", "--classify"], 1, ["which is no class"]),
        (["-t", "volume", "-t", "kind", "--classify"], 2, ["one --target"]),
        (["-t", "volume", "--test-size", 1], 2, ["must be a number in (0, 1)"]),
        (
            ["-t", "volume", "--test-size", 0.95],
            1,
            ["24 different usable crystals (0 rows were left out)"],
        ),
        (["-t", "volume", "--errors", "ignore"], 2, ["'raise', 'skip'"]),
        (["-t", "volume", "--model", "svm"], 2, ["'kernel-ridge', 'logistic', 'negnn', 'cgcnn'"]),
        (["-t", "volume", "--model", "cgcnn"], 2, ["--weights is not for", "no encoder"]),
        (["-t", "kind", "--classify", "--model", "kernel-ridge"], 2, ["classes take logistic"]),
        (["-t", "volume", "--members", 2, "--model", "kernel-ridge"], 2, ["for networks"]),
        (["-t", "volume", "--layers", "9"], 2, ["no layer 9"]),
        (["-t", "volume", "--device", "tpu"], 2, ["device='tpu'", "'auto', 'cpu'"]),
        (["-t", "volume", "--time-budget", "0"], 2, ["time_budget=0.0"]),
        (["-t", "volume", "nowhere.csv"], 1, ["no such file"]),
    ],
)
def test_errors_are_one_line(
    options: list[object], code: int, words: list[str], data: Path
) -> None:
    result = fit(data, *options, "-o", "model")
    assert result.exit_code == code, result.output
    assert not [word for word in words if word not in result.stderr]
    assert result.stderr.count("\n") == 1
    assert os.listdir() == []


def test_constant_targets_and_few_rows(data: Path) -> None:
    table = pd.read_csv(data).assign(one=1.5, same="a")
    table.to_csv(data, index=False)
    result = fit(data, "-t", "volume", "-t", "one", "-o", "model")
    assert result.exit_code == 1
    assert "target 'one' is 1.5 in all 19 rows to train on" in result.stderr
    result = fit(data, "-t", "same", "--classify", "-o", "model")
    assert "target 'same' is a in all 19 rows" in result.stderr
    table.head(5).to_csv(data, index=False)
    assert "too few to hold 2 out" in fit(data, "-t", "volume", "-o", "model").stderr
    table.head(6).to_csv(data, index=False)
    assert fit(data, "-t", "volume", "-o", "model").exit_code == 0


def test_class_that_is_held_out_alone(data: Path) -> None:
    """One row of its class may be held out, so that training never saw it."""
    held = train_test_split(np.arange(N), test_size=5, random_state=0)[1]
    table = pd.read_csv(data)
    table.loc[held[0], "kind"] = "rare"
    table.to_csv(data, index=False)
    assert fit(data, "-t", "kind", "--classify", "-o", "m").exit_code == 0
    assert load_estimator("m").classes_.tolist() == ["dense", "loose"]
    assert "rare" in set(pd.read_csv("m/predictions.csv")["kind"])


def test_copies_of_a_crystal_are_held_out_together(data: Path) -> None:
    table = pd.read_csv(data)
    pd.concat([table, table, table]).to_csv(data, index=False)
    assert fit(data, "-t", "volume", "-o", "m").exit_code == 0
    held = pd.read_csv("m/predictions.csv")["source"].value_counts()
    assert (held == 3).all()
    assert len(held) == 5


def test_output_that_cannot_be_written_is_refused_before_training(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").write_text("")
    monkeypatch.setattr("ssatom.cli.fit._train", None)
    for output in ("file/model", "/proc/model"):
        result = fit(data, "-t", "volume", "-o", output)
        assert result.exit_code == 1
        assert "cannot write to '" in result.stderr


def test_a_target_named_as_predictions_are(data: Path) -> None:
    pd.read_csv(data).assign(volume_predicted=1.0).to_csv(data, index=False)
    result = fit(data, "-t", "volume", "-t", "volume_predicted", "-o", "m")
    assert result.exit_code == 2
    assert "two columns 'volume_predicted'; rename the target" in result.stderr


def test_existing_folders(data: Path) -> None:
    Path("model").mkdir()  # an empty one is welcome
    assert fit(data, "-t", "volume", "-o", "model").exit_code == 0
    before = Path("model/model.json").read_bytes()
    result = fit(data, "-t", "kind", "--classify", "-o", "model")
    assert result.exit_code == 1
    assert "--overwrite" in result.stderr
    assert Path("model/model.json").read_bytes() == before
    Path("model/note.txt").write_text("mine")
    assert fit(data, "-t", "kind", "--classify", "-o", "model", "--overwrite").exit_code == 0
    assert Path("model/note.txt").read_text() == "mine"
    assert not Path("model/parity.png").exists()
    Path("other").mkdir()
    Path("other/note.txt").write_text("mine")
    for name in ("other", "other/note.txt"):
        result = fit(data, "-t", "volume", "-o", name, "--overwrite")
        assert result.exit_code == 1
        assert "is in the way" in result.stderr
    assert os.listdir("other") == ["note.txt"]


def test_stopped_by_hand(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ssatom.estimators._base.train", stop)
    result = fit(data, "-t", "volume", "-o", "model")
    assert result.exit_code == 130
    assert "nothing is written" in result.stderr
    assert os.listdir() == []


# --- predict ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted_model(rows: pd.DataFrame, cifs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a fitted model; not to be changed."""
    folder = tmp_path_factory.mktemp("fitted")
    table = pd.DataFrame({"path": [cifs / f"{i}.cif" for i in range(N)], "volume": rows["volume"]})
    table.to_csv(folder / "data.csv", index=False)
    result = fit(folder / "data.csv", "-t", "volume", "-o", folder / "model")
    assert result.exit_code == 0, result.output
    return folder / "model"


@pytest.fixture
def model(fitted_model: Path, data: Path) -> Path:
    """The same in the working directory; tests may change it."""
    return Path(shutil.copytree(fitted_model, "model"))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_predictions_of_any_input(suffix: str, model: Path, data: Path) -> None:
    cifs = data.parent / "cifs"
    collection = Path("all.jsonl")
    records = list(read_structures(cifs))
    structures = [record.structure for record in records]
    assert not any(isinstance(structure, StructureError) for structure in structures)
    write_structures(collection, structures, ids=[record.source for record in records])
    tables = []
    for i, path in enumerate((cifs, collection)):
        result = predict(model, path, "-o", f"{i}.{suffix}")
        assert result.exit_code == 0, result.output
        tables.append(read(f"{i}.{suffix}"))
    assert list(tables[0]) == ["source", "formula", "volume", "nearest_percentile"]
    np.testing.assert_allclose(tables[0]["volume"], tables[1]["volume"], rtol=1e-4)
    expected = load_estimator(model).predict(structures)
    np.testing.assert_array_equal(tables[0]["volume"], expected)
    assert tables[0]["source"].tolist() == [record.source for record in records]
    assert "volume" in result.stdout
    assert "model, sha256" in result.stdout


def test_predict_leaves_bad_rows_out(model: Path, data: Path) -> None:
    (data.parent / "cifs" / "bad.cif").write_text("nothing")
    result = predict(model, data.parent / "cifs", "-o", "x.csv")
    assert result.exit_code == 3
    assert f"1 of {N + 1} structures could not be used" in result.stderr
    assert "bad.cif" in result.stderr
    assert len(pd.read_csv("x.csv")) == N


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_predict_goes_on(
    suffix: str, model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_items, "_CHUNK_STRUCTURES", 8)
    assert predict(model, data, "-o", f"whole.{suffix}").exit_code == 0
    compute, calls = _items.compute, []

    def cut(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return compute(*arguments)

    monkeypatch.setattr(_items, "compute", cut)
    assert predict(model, data, "-o", f"cut.{suffix}").exit_code == 130
    monkeypatch.setattr(_items, "compute", compute)
    result = predict(model, data, "-o", f"cut.{suffix}")
    assert "after 8 structures" in result.stdout
    assert Path(f"cut.{suffix}").read_bytes() == Path(f"whole.{suffix}").read_bytes()
    left = [name for name in sorted(os.listdir()) if not name.endswith(".problems.csv")]
    assert left == [f"cut.{suffix}", "model", f"whole.{suffix}"]


def test_predict_with_another_model_or_changed_files_is_refused(
    model: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_items, "compute", stop)
        assert predict(model, data, "-o", "x.csv").exit_code == 130
    cif = data.parent / "cifs/0.cif"
    content = cif.read_text()
    cif.write_text(content + "\n# changed")
    assert "other settings (inputs)" in predict(model, data, "-o", "x.csv").stderr
    save_estimator(load_estimator(model), model, target_names=["v"])
    assert "model was" in predict(model, data, "-o", "x.csv").stderr
    assert predict(model, data, "-o", "x.csv", "--overwrite").exit_code == 0


def test_predict_errors(model: Path, data: Path) -> None:
    cases = {
        ("nowhere", data, "x.csv"): "is no folder of an estimator (there is no such folder)",
        (data.parent, data, "x.csv"): "it has no model.json",
        (model, "nowhere.cif", "x.csv"): "no such file",
        (model, data, "x.npz"): "must end in one of .csv, .parquet, .jsonl",
    }
    for (folder, path, output), words in cases.items():
        result = predict(folder, path, "-o", output)
        assert result.exit_code in (1, 2)
        assert words in result.stderr
    result = predict(model, data, "-o", "x.csv", "--device", "tpu")
    assert result.exit_code == 2
    (model / "model.skops").write_bytes(b"")
    result = predict(model, data, "-o", "x.csv")
    assert result.exit_code == 1
    assert "changed or damaged" in result.stderr
    assert os.listdir() == ["model"]


def test_models_of_sites_and_without_names(rows: pd.DataFrame, data: Path) -> None:
    from estimator_cases import make

    structures = rows["structure"].tolist()
    y = rows["volume"].to_numpy()
    save_estimator(make(level="site").fit([(s, 0) for s in structures], y), "sites")
    assert "predicts for sites" in predict("sites", data, "-o", "x.csv").stderr
    save_estimator(make().fit(structures, np.stack([y, -y], axis=1)), "unnamed")
    assert predict("unnamed", data, "-o", "x.csv").exit_code == 0
    assert list(read("x.csv"))[2:] == ["target_0", "target_1"]


def test_featurize_reads_tables(data: Path) -> None:
    result = run("featurize", data, "--weights", "random", "--no-progress", "-o", "x.csv")
    assert result.exit_code == 0, result.output
    assert read("x.csv")["source"].tolist() == [f"cifs/{i}.cif" for i in range(N)]


def test_failed_report_costs_no_training(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr("ssatom.cli._report.predict_held", fail)
        result = fit(data, "-t", "volume", "-o", "model")
    assert result.exit_code == 1
    assert "the model is in 'model'" in result.stderr
    assert "disk full" in result.stderr
    result = predict("model", data, "-o", "x.csv")
    assert result.exit_code == 0, result.output
