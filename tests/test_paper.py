"""The paper's tables and figures: written once, resumed, computed again where damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from data_files import write_all
from typer.testing import CliRunner

from reproduce import app
from ssatom import MaskedPretrainer, load_example_crystals
from ssatom.embeddings import FeatureColumns
from ssatom.evaluation import EvaluationResult, KernelRidgeCV, SplitScores
from ssatom.exceptions import MissingFileError, ParameterError
from ssatom.files import claimed
from ssatom.files.atomic import new_name
from ssatom.weights import DEFAULT_WEIGHTS as DEFAULT
from ssatom.weights import load_pretrained
from studies import networks
from studies.context import Context
from studies.earlier import earlier_results
from studies.features import MIXED, FeatureSet, JoinedFeatures, find
from studies.printed import KERNEL_RIDGE, NETWORKS, best_embedding
from studies.registry import STUDIES
from studies.report_files import is_complete, read_report, write_report
from studies.rivals import STRUCTURE_RIVALS
from studies.runner import reproduce, settings_of
from studies.scores import as_numbers, cell, digits_for, error_table, mae_in
from studies.study import Report, Table

EF, SM, EF_RD = (find(STRUCTURE_RIVALS, label) for label in ("EF", "SM", "EF+RD"))

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "paper" / "reproduce.py"
RESULTS = ROOT / "docs" / "results" / "paper"
DATA = Path(os.environ.get("SSATOM_DATA", ROOT.parent / "shared" / "data"))
SLOW = {"fig5", "fig7", "table6", "table7", "learning-curve", "ablation"}
WITHOUT_ARCHIVE = [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
    for name in STUDIES
    if name != "magmom-dataset"
]


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
    """Quick runs are for thousands of crystals; here two epochs are enough."""
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
    assert "Quick run" in text
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
    assert "| SM | 0.370 |" in text
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


@pytest.mark.slow
def test_a_table_that_is_done_is_found_from_any_folder(data, output, tmp_path):
    """By the command, in a process of its own; a report is identified by data and weights."""
    file = run("table3", data, output, quick=True)
    written = file.stat().st_mtime_ns
    command = [sys.executable, SCRIPT, "table3", "--quick", "--data", data, "-o", output]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(file.with_suffix(".md"))]
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "fig4"),
        (["table9"], 2, "no study is called 'table9'; allowed: all, fig3"),
        (["table2"], 1, "paper_magmom.jsonl.gz (for table2; "),
    ],
)
def test_command(arguments, code, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code
    assert words in done.output
    assert not list(tmp_path.iterdir())


def test_one_run_holds_an_output(data, tmp_path):
    """And removes what killed ones left."""
    output = tmp_path / "results"
    command = ["fig4", "--data", str(data), "-o", str(output)]
    with claimed(output):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1
        assert done.stderr.count("\n") == 1
        assert "another run is at work on" in done.stderr
        assert not output.exists()
    (output / "cache").mkdir(parents=True)
    (output / "cache" / new_name(output / "features.npy")).write_text("half")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.rglob("*")} == {
        *("results", "cache", "fig4.json", "fig4.md", "fig4.png", "fig4.svg")
    }


@pytest.mark.data
def test_committed_results_are_found(tmp_path):
    """Those in docs/results are of the data and the weights that they name."""
    if not DATA.is_dir():
        pytest.skip(f"no data sets in '{DATA}'")
    context = Context(DATA, tmp_path)
    for name in ("fig4", "table2", "table5"):
        committed = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["settings"]
        settings = settings_of(STUDIES[name], Context(DATA, tmp_path, committed["weights"]["name"]))
        assert settings["data"] == committed["data"]
        if settings["weights"] == committed["weights"]:
            assert is_complete(RESULTS / f"{name}.json", settings)
    assert set(settings_of(STUDIES["table2"], context)) == {"quick", "weights", "data"}


def test_reports_of_docs_are_complete():
    """They are identified by what they say themselves, and their figures are beside them."""
    found = [RESULTS / f"{name}.json" for name in STUDIES]
    for file in filter(Path.exists, found):
        settings = read_report(file)["settings"]
        assert is_complete(file, {k: settings[k] for k in ("quick", "weights", "data")}), file
    assert sum(map(Path.exists, found)) > 10


def test_descriptors_are_computed_in_several_processes(data, tmp_path):
    alone, several = (
        Context(data, tmp_path / str(n), progress_bar=False, n_jobs=n) for n in (1, 2)
    )
    X = [one.features(one.dataset("paper_formation"), EF_RD) for one in (alone, several)]
    np.testing.assert_array_equal(*X)


@pytest.mark.parametrize("damage", ["half", "figure", "other"])
def test_damaged_reports_are_made_anew(damage, data, tmp_path):
    file = run("fig4", data, tmp_path)
    whole = file.read_text(encoding="utf-8")
    figures = [file.with_suffix(".png").read_bytes(), file.with_suffix(".svg").read_bytes()]
    if damage == "half":
        file.write_text(whole[: len(whole) // 2], encoding="utf-8")
    elif damage == "figure":
        file.with_suffix(".svg").unlink()
    else:
        file.write_text(whole.replace('"quick": false', '"quick": true'), encoding="utf-8")
    with pytest.warns(UserWarning, match="computed again"):
        run("fig4", data, tmp_path)
    seconds = '"seconds"'
    again = file.read_text(encoding="utf-8")
    assert [a for a in again.splitlines() if seconds not in a] == [
        a for a in whole.splitlines() if seconds not in a
    ]
    assert figures == [file.with_suffix(".png").read_bytes(), file.with_suffix(".svg").read_bytes()]


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
    weights = load_pretrained()
    widths = [len(FeatureColumns(weights, range(n))) for n in range(2, 7)]
    assert fitted == np.repeat(widths, [2, 2, 3, 2, 2]).tolist()
    assert len(read_report(file)["results"]["magmom"]) == 5


def test_full_runs_take_five_seeds_and_the_whole_of_table_one(data, tmp_path):
    context = Context(data, tmp_path)
    assert context.n_seeds == 5
    model = context.kernel_ridge()
    assert model.get_params()["gammas"] == model.get_params()["alphas"]
    assert len(model.gammas) == 11
    assert model.cv == 10


def test_features_of_sets(data, tmp_path):
    context = Context(data, tmp_path, progress_bar=False, n_jobs=1)
    crystals, sites = context.dataset("paper_formation"), context.dataset("paper_magmom")
    width = context.encoder.hidden_dim
    several = len(FeatureColumns(context.encoder, [0, 2], MIXED))
    units = len(FeatureColumns(context.encoder, [0, 1], ("mean",))) - 2 * width  # come once
    assert context.features(crystals, FeatureSet("02")).shape == (40, 2 * width + units)
    assert context.features(crystals, FeatureSet("02", pooling=MIXED)).shape == (40, several)
    assert context.features(sites, FeatureSet("5", "site")).shape == (len(sites), width + units)
    first = FeatureSet("0")
    both = context.features(crystals, JoinedFeatures((first, EF))).to_numpy()
    np.testing.assert_array_equal(both[:, :width], context.features(crystals, first))
    assert both.shape == (40, width + 100)
    untrained = context.features(crystals, FeatureSet("0", weights="random"))
    assert not np.allclose(untrained, both[:, :width])


def test_labels_are_those_of_the_paper():
    """And of result files that are there already."""
    assert FeatureSet("01", "site").label == "NE01"
    assert FeatureSet("012", weights="random").label == "random-GE012"
    assert FeatureSet("012", pooling=MIXED).label == "GE012-mixed"
    assert FeatureSet("012", pooling=MIXED, weights="random").label == "random-GE012-mixed"
    assert JoinedFeatures((FeatureSet("0"), EF_RD)).label == "GE0 + EF+RD"
    assert FeatureSet("0", pooling=MIXED, weights="random").description == (
        "mean, std, anion, cation; random weights"
    )


def test_best_features_meet_their_rivals(data, output):
    content = json.loads(run("best", data, output, quick=True).read_text(encoding="utf-8"))
    summary = content["tables"][0]
    of_crystals = ["Formation energy", "HSE band gap", "Bulk modulus", "Shear modulus",
                   "Poisson ratio"]  # fmt: skip
    both = ("random", "grouped")
    expected = [(title, kind) for title in of_crystals for kind in both]
    expected += [("Last phonon peak", "official"), *(("Magnetic moment", kind) for kind in both)]
    assert [(row[0].split(",")[0], row[1]) for row in summary["rows"]] == expected
    label = FeatureSet("012", pooling=MIXED).label
    ours = {label, f"{label} + electrons", f"random-{label}"}
    assert set(content["results"]["poisson"]) > {*ours, "Magpie", "EF+RD"}
    splits = content["results"]["poisson"][label]["splits"]
    assert {split["best_params"]["kernel"] for split in splits} <= {"matern12", "matern32"}


def test_descriptors_come_from_an_earlier_report(data, tmp_path):
    """Results of the same file and model are taken; others are not."""
    context = Context(data, tmp_path, quick=True, progress_bar=False, n_jobs=1)
    target = "formation_energy_per_atom"
    dataset = context.dataset("paper_formation")
    computed = context.evaluate(EF, {target: dataset})
    earlier = tmp_path / "earlier"
    numbers = as_numbers({EF.label: computed[target]})
    report = Report(results={target: numbers}, tables=[], reading=[])
    settings = {"quick": False, "weights": {"name": "", "sha256": ""}, "seconds_of_splits": 0,
                "ssatom": "", "machine": ""}  # fmt: skip
    write_report(STUDIES["table4"], report, settings, earlier)
    again = Context(data, tmp_path / "new", quick=True, progress_bar=False, earlier=earlier)
    again.kernel_ridge = context.kernel_ridge
    found = again.evaluate(EF, {target: again.dataset("paper_formation")})
    assert found[target].values().tolist() == computed[target].values().tolist()
    assert not (tmp_path / "new" / "cache").exists()
    assert earlier_results(earlier, "?", {target: dataset}, context.kernel_ridge()) is None
    other = {"hse_gap": context.dataset("paper_hse_gap")}
    assert earlier_results(earlier, EF.label, other, context.kernel_ridge()) is None
    assert (
        earlier_results(earlier, EF.label, {target: dataset}, KernelRidgeCV(alphas=[1.0])) is None
    )


def test_descriptors_are_kept_on_disk(data, tmp_path, monkeypatch):
    first = Context(data, tmp_path, progress_bar=False, n_jobs=1)
    X = first.features(first.dataset("paper_formation"), EF_RD)
    monkeypatch.setattr("studies.features._compute", None)
    again = Context(data, tmp_path, progress_bar=False, n_jobs=1)
    np.testing.assert_array_equal(again.features(again.dataset("paper_formation"), EF_RD), X)


def test_rows_that_a_descriptor_cannot_take_are_left_out_for_all(data, tmp_path):
    context = Context(data, tmp_path, progress_bar=False, n_jobs=1)
    dataset = context.dataset("paper_formation")
    X = context.features(dataset, EF).copy()
    X[3, 0] = np.nan
    context._features[dataset.sha256, len(dataset), EF] = X
    kept = context.common(dataset, [EF, SM])
    assert len(kept) == len(dataset) - 1
    assert dataset.ids[3] not in kept.ids
    assert context.features(kept, EF).shape[0] == len(kept)


@pytest.mark.slow
def test_weights_of_any_depth(data, tmp_path):
    """Layers and untrained rivals follow from the weights."""
    pretrainer = MaskedPretrainer(
        neighbors="smooth",
        cutoff=4.0,
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
    untrained = context.features(
        context.dataset("paper_elastic", "log10_K"), FeatureSet("012", weights="random")
    )
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
    assert "paper_magmom.jsonl.gz (for table2; from `ssatom data fetch magndata`)" in said
    assert "paper_elastic.jsonl.gz (for table5; from" in said
    assert str(tmp_path.resolve()) in said
    assert not (tmp_path / "out").exists()
    with pytest.raises(MissingFileError, match="which is no folder"):
        reproduce("all", tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.parametrize("names", ["table9", ["fig4", "table9"], []])
def test_unknown_studies_are_refused_with_the_known_ones(names, tmp_path):
    with pytest.raises(ParameterError, match="allowed: all, fig3, fig4, .*table7"):
        reproduce(names, tmp_path, tmp_path)


def test_printed_numbers_are_the_papers():
    assert best_embedding("magmom") == "NE01"
    assert best_embedding("log10_G") == "GE012345"
    assert best_embedding("band_gap") is None
    assert KERNEL_RIDGE["formation_energy_per_atom"]["ESM"] == {"mae": (0.49, None)}
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
