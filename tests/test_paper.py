"""Tables and figures from one command: written once, resumed, redone where damaged."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from data_files import write_all

from ssatom import MaskedPretrainer, load_example_crystals, reproduce
from ssatom.evaluation import EvaluationResult, KernelRidgeCV, SplitScores
from ssatom.exceptions import MissingFileError, ParameterError
from ssatom.graph import GraphConfig
from ssatom.reproduction import STUDIES, networks
from ssatom.reproduction.chosen import choose
from ssatom.reproduction.context import Context
from ssatom.reproduction.printed import KERNEL_RIDGE, NETWORKS
from ssatom.reproduction.report_files import read_report
from ssatom.reproduction.scores import cell, digits_for, error_table, mae_in
from ssatom.reproduction.study import Table
from ssatom.weights import DEFAULT_WEIGHTS as DEFAULT
from ssatom.weights import load_pretrained

WITHOUT_ARCHIVE = [name for name in STUDIES if name != "magmom-dataset"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_all(folder)
    return folder


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(autouse=True)
def _short_networks(monkeypatch):
    """Quick looks are for thousands of crystals; here two epochs are enough."""
    plain = networks.networks
    monkeypatch.setattr(networks, "networks", lambda context, _: plain(context, 2))
    monkeypatch.setattr(networks, "SEARCH_EPOCHS", 1)


def run(name: str, data: Path, output: Path, **options) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "left out, since a package is not installed")
        [file] = reproduce(name, data, output, n_jobs=1, progress_bar=False, **options)
    return file


@pytest.mark.parametrize("name", WITHOUT_ARCHIVE)
def test_every_study_writes_its_files(name, data, output):
    file = run(name, data, output, quick=True)
    content = read_report(file)
    assert content is not None
    assert content["settings"]["quick"]
    assert content["settings"]["weights"]["name"] == DEFAULT
    assert set(content["settings"]["data"]) == set(STUDIES[name].data)
    assert all(content["settings"]["data"].values())
    assert content["results"]
    assert content["reading"]
    text = file.with_suffix(".md").read_text(encoding="utf-8")
    assert "A quick look" in text
    for stem in content["figures"]:
        assert f"({stem}.png)" in text
        assert (output / f"{stem}.png").stat().st_size > 5000
        assert (output / f"{stem}.svg").read_text(encoding="utf-8").count("<path") > 5
    if name.startswith("fig"):
        assert content["figures"] == [name]


def test_tables_show_the_printed_numbers_and_every_split(data, output):
    file = run("table4", data, output, quick=True)
    text = file.with_suffix(".md").read_text(encoding="utf-8")
    assert "| GE012 | 0.192 ± 0.013 |" in text
    assert "| ESM | 0.490 |" in text
    results = read_report(file)["results"]["formation_energy_per_atom"]
    assert {"GE0", "GE012345", "random-GE012", "SM", "Magpie", "EF+RD"} <= set(results)
    assert "OFM" not in results  # slow
    splits = results["GE012"]["splits"]
    assert [split["kind"] for split in splits] == ["random", "grouped"]
    assert splits[0]["best_params"]["kernel"] in ("laplacian", "rbf")
    row = next(line for line in text.splitlines() if line.startswith("| GE012 |"))
    assert float(row.split("|")[3]) == pytest.approx(splits[0]["mae"], abs=6e-4)


def test_nothing_is_run_twice(data, output, monkeypatch):
    file = run("table3", data, output, quick=True)
    written = file.stat().st_mtime_ns
    monkeypatch.setattr(KernelRidgeCV, "fit", None)
    assert run("table3", data, output, quick=True) == file
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", ["half", "figure", "other"])
def test_damaged_reports_are_made_anew(damage, data, tmp_path):
    file = run("fig4", data, tmp_path)
    whole = file.read_text(encoding="utf-8")
    if damage == "half":
        file.write_text(whole[: len(whole) // 2], encoding="utf-8")
    elif damage == "figure":
        file.with_suffix(".svg").unlink()
    else:
        file.write_text(whole.replace('"quick": false', '"quick": true'), encoding="utf-8")
    with pytest.warns(UserWarning, match="made anew"):
        run("fig4", data, tmp_path)
    seconds = '"seconds"'
    again = file.read_text(encoding="utf-8")
    assert [a for a in again.splitlines() if seconds not in a] == [
        a for a in whole.splitlines() if seconds not in a
    ]
    assert file.with_suffix(".svg").exists()


def test_an_interrupted_study_goes_on_where_it_stopped(data, tmp_path, monkeypatch):
    fitted = []
    fit_columns = KernelRidgeCV.fit

    def interrupted(self, X, y, groups=None):
        fitted.append(X.shape[1])
        if len(fitted) == 5:
            raise KeyboardInterrupt
        return fit_columns(self, X, y, groups)

    monkeypatch.setattr(KernelRidgeCV, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("table3", data, tmp_path, quick=True)
    assert not (tmp_path / "table3.json").exists()
    assert len(list(tmp_path.glob("splits-quick/paper_magmom/magmom/*.json"))) == 2
    file = run("table3", data, tmp_path, quick=True)
    width = load_pretrained().hidden_dim
    assert fitted == [
        2 * width,
        2 * width,
        3 * width,
        3 * width,
        *3 * [4 * width],
        *2 * [5 * width],
        *2 * [6 * width],
    ]
    assert len(read_report(file)["results"]["magmom"]) == 5


def test_full_runs_take_five_seeds_and_the_whole_of_table_one(data, tmp_path):
    context = Context(data, tmp_path)
    assert context.n_seeds == 5
    model = context.kernel_ridge()
    assert model.get_params()["gammas"] == model.get_params()["alphas"]
    assert len(model.gammas) == 11
    assert model.cv == 10


def test_features_by_name(data, tmp_path):
    context = Context(data, tmp_path, progress_bar=False, n_jobs=1)
    crystals, sites = context.dataset("paper_formation"), context.dataset("paper_magmom")
    width = context.encoder.hidden_dim
    assert context.features(crystals, "GE02").shape == (40, 2 * width)
    assert context.features(sites, "NE5").shape == (len(sites), width)
    both = context.features(crystals, "GE0 + EF")
    np.testing.assert_array_equal(both[:, :width], context.features(crystals, "GE0"))
    assert not np.allclose(context.features(crystals, "random-GE0"), both[:, :width])
    with pytest.raises(ParameterError, match="'XY' are unknown; allowed: NE or GE"):
        context.features(crystals, "XY")


def test_layers_and_pooling_are_chosen_without_test_rows():
    """The better of cross-validation is taken, split by split, whatever its test error."""

    def result(cv_scores, errors):
        splits = [
            SplitScores("random", i, 8, 2, error, 1.0, 0.5, 0.9, {"alpha": 0.1}, score, 2.0)
            for i, (score, error) in enumerate(zip(cv_scores, errors, strict=True))
        ]
        return EvaluationResult({}, splits=splits)

    chosen = choose({"GE0": result([-1, -3], [5, 6]), "GE1": result([-2, -2], [3, 4])})
    assert chosen.values("mae").tolist() == [5, 4]
    assert [split.best_params["features"] for split in chosen.splits] == ["GE0", "GE1"]
    assert [split.seconds for split in chosen.splits] == [4, 4]


def test_best_features_meet_their_rivals(data, output):
    content = json.loads(run("best", data, output, quick=True).read_text(encoding="utf-8"))
    summary = content["tables"][0]
    of_crystals = ["Formation energy", "HSE band gap", "Bulk modulus", "Shear modulus",
                   "Poisson ratio"]  # fmt: skip
    expected = [
        (t, kind) for t in ["Magnetic moment", *of_crystals] for kind in ("random", "grouped")
    ]
    expected.append(("Last phonon peak", "official"))
    assert [(row[0].split(",")[0], row[1]) for row in summary["rows"]] == expected
    assert set(content["results"]["poisson"]) > {
        "chosen",
        "GE012-ions",
        "GE012-ions + EF+RD",
        "Magpie",
        "chosen, untrained",
    }


def test_descriptors_are_kept_on_disk(data, tmp_path, monkeypatch):
    first = Context(data, tmp_path, progress_bar=False, n_jobs=1)
    X = first.features(first.dataset("paper_formation"), "EF+RD")
    monkeypatch.setattr("ssatom.reproduction.features._featurize", None)
    again = Context(data, tmp_path, progress_bar=False, n_jobs=1)
    np.testing.assert_array_equal(again.features(again.dataset("paper_formation"), "EF+RD"), X)


def test_rows_that_a_descriptor_cannot_take_are_left_out_for_all(data, tmp_path):
    context = Context(data, tmp_path, progress_bar=False, n_jobs=1)
    dataset = context.dataset("paper_formation")
    X = context.features(dataset, "EF").copy()
    X[3, 0] = np.nan
    context._features[dataset.sha256, len(dataset), "EF"] = X
    chosen = context.common(dataset, ["EF", "SM"])
    assert len(chosen) == len(dataset) - 1
    assert dataset.ids[3] not in chosen.ids
    assert context.features(chosen, "EF").shape[0] == len(chosen)


def test_weights_of_any_depth(data, tmp_path):
    """Layers and untrained rivals follow from the weights."""
    pretrainer = MaskedPretrainer(
        graph_config=GraphConfig("smooth", cutoff=4.0),
        hidden_dim=8,
        n_conv=2,
        max_epochs=1,
        progress_bar=False,
    )
    structures = load_example_crystals()["structure"][:20]
    weights = pretrainer.fit(structures).save(tmp_path / "shallow")
    for name in ("fig4", "fig6", "fig11", "table5", "phonons"):
        content = read_report(run(name, data, tmp_path, quick=True, weights=str(weights)))
        assert content["settings"]["weights"]["name"] == "shallow"
    features = set(content["results"]["last_phdos_peak_cm1"])
    assert {"GE0", "GE1", "GE2", "GE01", "GE012", "random-GE012"} <= features
    assert not features & {"GE3", "GE0123", "random-GE012345"}
    context = Context(data, tmp_path, str(weights), quick=True, progress_bar=False)
    untrained = context.features(context.dataset("paper_elastic", "log10_K"), "random-GE012")
    assert untrained.shape[1] == 3 * 8


def test_networks_without_embeddings_are_trained_once_for_all_weights(data, tmp_path):
    first, second = (Context(data, tmp_path, w, progress_bar=False) for w in ("random", DEFAULT))
    rows = first.dataset("paper_formation")
    digests = {
        name: {context._digest(rows.rows, rows, network) for context in (first, second)}
        for name, network in networks.networks(second, 1).items()
    }
    assert {name: len(found) for name, found in digests.items()} == {"CGCNN": 1, "NEGNN": 2}


def test_missing_data_are_named_at_once(tmp_path):
    with pytest.raises(MissingFileError) as error:
        reproduce(["fig4", "table2", "table5"], tmp_path, tmp_path / "out")
    said = str(error.value)
    assert "paper_magmom.jsonl.gz (for table2)" in said
    assert "paper_elastic.jsonl.gz (for table5)" in said
    assert str(tmp_path.resolve()) in said
    assert not (tmp_path / "out").exists()
    with pytest.raises(MissingFileError, match="which is no folder"):
        reproduce("all", tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.parametrize("names", ["table9", ["fig4", "table9"], []])
def test_unknown_studies_are_refused_with_the_known_ones(names, tmp_path):
    with pytest.raises(ParameterError, match="allowed: all, fig3, fig4, .*table7"):
        reproduce(names, tmp_path, tmp_path)


def test_printed_numbers_are_the_papers():
    assert KERNEL_RIDGE["magmom"]["NE01"]["mae"] == (0.719, 0.054)
    assert KERNEL_RIDGE["log10_K"]["GE012345"]["r2"] == (0.860, 0.014)
    assert NETWORKS["poisson"]["NEGNN"]["mae"] == (0.029, 0.001)
    assert {len(of) for target in NETWORKS.values() for of in target.values()} == {4}


def test_numbers_in_tables():
    assert cell(0.12345, 0.01) == "0.123 ± 0.010"
    assert cell(float("nan")) == "–"
    assert (mae_in("eV"), mae_in("eV", "MAE ({})"), mae_in("1")) == ("MAE in eV", "MAE (eV)", "MAE")
    assert (digits_for([0.03]), digits_for([0.5, 0.7]), digits_for([45.0])) == (4, 3, 1)
    with pytest.raises(ValueError, match="differ in length"):
        Table("t", ["a", "b"], [["1"]])


def test_json_holds_no_nan(data, output):
    file = run("table6", data, output, quick=True)
    text = file.read_text(encoding="utf-8")
    constants: list[str] = []
    json.loads(text, parse_constant=constants.append)
    assert constants == []


def test_columns_without_content_are_left_out():
    split = SplitScores("random", 0, 8, 2, 0.5, 1.0, 0.5, 0.9, {}, -1.0, 2.0)
    results = {"GE0": EvaluationResult({}, splits=[split])}
    assert error_table("", results, {}, {"EF": "fractions"}).columns == ["features", "random split"]
    full = error_table("", results, {"GE0": {"mae": (0.7, 0.1)}}, {"GE0": "elements"})
    assert full.columns == ["features", "paper", "random split", "what they are"]
    assert full.rows == [["GE0", "0.700 ± 0.100", "**0.500**", "elements"]]
