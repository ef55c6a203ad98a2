"""From a table of CIF texts to predictions with bounds: all commands, for each model."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner, Result

from ssatom import load_estimator
from ssatom.cli import app

N_NEW = 6
CATIONS = {"Li": 0.76, "Na": 1.02, "K": 1.38, "Mg": 0.72, "Ca": 1.0}  # radii of ions in Å
ANIONS = {"F": 1.33, "Cl": 1.81, "Br": 1.96, "O": 1.4}
CHEAP = ["--weights", "random", "--layers", "01"]
QUICK = [*CHEAP, "--max-epochs", 3]


def known_crystals() -> list[Structure]:
    """Rock salts, caesium chlorides and fluorites whose cells follow from radii of the ions."""
    kinds = [("Fm-3m", 2.0, [0.5, 0.5, 0.5]), ("Pm-3m", 1.2, [0.5, 0.5, 0.5])]
    kinds.append(("Fm-3m", 2.3, [0.25, 0.25, 0.25]))
    found = []
    for group, factor, place in kinds:
        sites = ["Na", "Cl"], [[0, 0, 0], place]
        cell = Structure.from_spacegroup(group, Lattice.cubic(5), *sites).get_primitive_structure()
        for cation, anion in itertools.product(CATIONS, ANIONS):
            radii = CATIONS[cation] + ANIONS[anion]
            crystal = cell.copy()
            crystal.replace_species({"Na": cation, "Cl": anion})
            crystal.scale_lattice(cell.volume * (factor * radii / 5) ** 3)
            found.append(crystal)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table to learn from and one of new crystals, each a CIF text in a cell."""
    folder = tmp_path_factory.mktemp("hour")
    crystals = known_crystals()
    order = np.random.default_rng(0).permutation(len(crystals))
    table = pd.DataFrame({
        "name": [crystals[i].reduced_formula for i in order],
        "cif": [crystals[i].to(fmt="cif") for i in order],
        "volume": [crystals[i].volume / len(crystals[i]) for i in order],
    })  # fmt: skip
    table[:-N_NEW].to_csv(folder / "data.csv", index=False)
    table[-N_NEW:].to_csv(folder / "new.csv", index=False)
    return folder


def run(*words: object) -> Result:
    result = CliRunner().invoke(app, [*map(str, words), "--no-progress"])
    assert result.exit_code == 0, result.output
    return result


def walk(folder: Path, tmp_path: Path, *options: object) -> tuple[Result, dict, pd.DataFrame]:
    """Fit, predict, and look at the model again; what was told, the report, and predictions."""
    told = run("fit", folder / "data.csv", "-t", "volume", *options, "-o", tmp_path / "model")
    report = json.loads((tmp_path / "model" / "report.json").read_text())
    run("predict", tmp_path / "model", folder / "new.csv", "-o", tmp_path / "x.csv")
    table = pd.read_csv(tmp_path / "x.csv", float_precision="round_trip")
    assert len(table) == N_NEW
    assert (table["volume_lower"] < table["volume"]).all()
    assert (table["volume"] < table["volume_upper"]).all()
    assert table["nearest_percentile"].between(0, 100).all()
    texts = pd.read_csv(folder / "new.csv")["cif"].tolist()
    again = load_estimator(tmp_path / "model")
    structures = [Structure.from_str(text, "cif") for text in texts]
    np.testing.assert_allclose(again.predict(structures), table["volume"], rtol=1e-4)
    assert again.target_names_ == ["volume"]
    text = (tmp_path / "model" / "report.md").read_text()
    assert text.startswith(f"# {report['model']}: volume")
    assert "| volume | all | 11 | 90.0% |" in text
    assert (tmp_path / "model" / "parity.png").stat().st_size > 10_000
    return told, report, table


def test_kernel_ridge(folder: Path, tmp_path: Path) -> None:
    options = ["--model", "kernel-ridge", "--no-electrons", *CHEAP]
    told, report, _ = walk(folder, tmp_path, *options)
    assert report["choice"] is None
    assert "epochs" not in told.stdout
    (kernel,) = report["training"]["kernels"]
    assert kernel["kernel"] in ("matern12", "matern32")
    scores = report["metrics"]["volume"]
    assert scores["mae"] < 0.5 * scores["mae_of_mean"]
    files = {"model.json", "model.skops", "intervals.safetensors", "parity.png", "predictions.csv"}
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        *files, "report.json", "report.md"
    }  # fmt: skip


@pytest.mark.slow
def test_cross_validation_chooses_kernel_ridge_of_few_crystals(
    folder: Path, tmp_path: Path
) -> None:
    """With the default weights and electrons, and the numbers in all three places."""
    told, report, table = walk(folder, tmp_path)
    assert report["model"] == "kernel-ridge"
    rows = {row["model"]: row for row in report["choice"]["models"]}
    errors = {name: row["errors"]["volume"] for name, row in rows.items()}
    assert errors["kernel-ridge"] < 0.5 * errors["mean"]
    assert errors["negnn"] is None
    assert rows["negnn"]["remark"].startswith("not tried below 500 crystals")
    assert "kernel-ridge, chosen by 5-fold cross-validation on 43 crystals" in told.stdout
    assert f"MAE {errors['kernel-ridge']:.4g};" in told.stdout
    text = (tmp_path / "model" / "report.md").read_text()
    assert f"| kernel-ridge | {errors['kernel-ridge']:.4g} |" in text
    true = pd.read_csv(folder / "new.csv")["volume"]
    assert np.abs(table["volume"] - true).mean() < 0.2 * true.std()
    assert true.between(table["volume_lower"], table["volume_upper"]).sum() >= N_NEW - 2


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--model", "negnn", "--members", 2], ["--model", "cgcnn"]])
def test_networks(options: list, folder: Path, tmp_path: Path) -> None:
    told, _, table = walk(
        folder, tmp_path, *options, *(QUICK if "negnn" in options else ["--max-epochs", 3])
    )
    assert "epochs" in told.stdout
    assert ("volume_std" in table) == ("negnn" in options)
    assert (tmp_path / "model" / "history.csv").exists()


@pytest.mark.slow
def test_networks_are_tried_where_crystals_are_many(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssatom.cli._models.NETWORK_FROM", 20)
    monkeypatch.setattr("ssatom.cli._models.KERNEL_UP_TO", 30)
    _, report, _ = walk(folder, tmp_path, *QUICK)
    rows = {row["model"]: row for row in report["choice"]["models"]}
    assert rows["kernel-ridge"]["remark"].startswith("not tried above 30 crystals")
    assert rows["negnn"]["errors"]["volume"] > 0
    assert report["model"] in ("negnn", "mean")


def test_noise_is_told(folder: Path, tmp_path: Path) -> None:
    """Where no model beats the mean, the mean is the model, and a warning says so."""
    table = pd.read_csv(folder / "data.csv")[:30]
    table["volume"] = np.random.default_rng(3).normal(size=len(table))
    table.to_csv(tmp_path / "noise.csv", index=False)
    options = ["--no-electrons", "--weights", "random", "--layers", "0", "-o", tmp_path / "model"]
    told = run("fit", tmp_path / "noise.csv", "-t", "volume", *options)
    report = json.loads((tmp_path / "model" / "report.json").read_text())
    assert report["model"] == "mean"
    assert "no model was better than always giving the mean" in told.stderr
    run("predict", tmp_path / "model", folder / "new.csv", "-o", tmp_path / "x.csv")
    predicted = pd.read_csv(tmp_path / "x.csv")["volume"]
    assert (predicted == predicted[0]).all()


def test_rows_that_cannot_be_predicted_are_left_out(folder: Path, tmp_path: Path) -> None:
    options = ["--model", "kernel-ridge", "--no-electrons", "--weights", "random", "--layers", "0"]
    run("fit", folder / "data.csv", "-t", "volume", *options, "-o", tmp_path / "model")
    table = pd.read_csv(folder / "new.csv")
    clash = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.01, 0, 0]])
    table.loc[1, "cif"] = clash.to(fmt="cif")
    table.loc[3, "cif"] = "nothing"
    table.to_csv(tmp_path / "new.csv", index=False)
    words = ["predict", tmp_path / "model", tmp_path / "new.csv", "-o", tmp_path / "x.csv"]
    result = CliRunner().invoke(app, [*map(str, words), "--no-progress"])
    assert result.exit_code == 3, result.output
    assert f"2 of {N_NEW} structures could not be used" in result.stderr
    good = table.drop(index=[1, 3])
    model = load_estimator(tmp_path / "model")
    expected = model.predict([Structure.from_str(text, "cif") for text in good["cif"]])
    np.testing.assert_allclose(pd.read_csv(tmp_path / "x.csv")["volume"], expected, rtol=1e-4)


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_rows_without_ids_have_the_number_of_pandas_everywhere(
    ending: str, folder: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(folder / "new.csv")[["cif", "volume"]]
    table.loc[2, "cif"] = "data_nothing\n_cell_length_a 1\n"
    path = tmp_path / f"t.{ending}"
    {
        "csv": lambda: table.to_csv(path, index=False),
        "parquet": lambda: table.to_parquet(path),
        "json": lambda: table.to_json(path, orient="records"),
    }[ending]()
    words = [path, "--layers", "0", "--weights", "random", "-o", tmp_path / "x.csv"]
    words += ["--structure-column", "cif"]
    result = CliRunner().invoke(app, ["featurize", *map(str, words), "--no-progress"])
    assert f"t.{ending}[2]" in result.stderr
    assert pd.read_csv(f"{tmp_path}/x.csv.problems.csv")["source"].tolist() == [f"t.{ending}[2]"]
    expected = [f"t.{ending}[{row}]" for row in table.index.drop(2)]
    assert pd.read_csv(tmp_path / "x.csv")["source"].tolist() == expected
    fit = ["fit", str(path), "-t", "volume", "--structure-column", "cif", "-o", f"{tmp_path}/m"]
    told = CliRunner().invoke(app, [*fit, "--no-progress"]).stderr
    assert f"row 2 (t.{ending}[2]): " in told
