"""Intervals: their coverage, their widths far from the training, and what the commands write."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner, Result

from ssatom import (
    ConformalRegressor,
    ExtrapolationWarning,
    GraphEmbeddingFeaturizer,
    GraphWarning,
    ParameterError,
    WeightsError,
    graph_embeddings,
    load_estimator,
    load_example_crystals,
    read_structures,
    save_estimator,
)
from ssatom.cli import app
from ssatom.corpora import write_structures
from ssatom.embeddings.nearest import FAR, Nearness
from ssatom.evaluation.intervals import Calibration

SHARED = Path(__file__).parents[2] / "shared" / "data"
DIAMOND = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.567), ["C"], [[0, 0, 0]])
NEGNN = ["--model", "negnn", "--weights", "random"]


def linear() -> Any:
    return make_pipeline(GraphEmbeddingFeaturizer(), StandardScaler(), Ridge(100))


def kernel_ridge() -> Any:
    ridge = KernelRidge(kernel="laplacian", gamma=1e-3, alpha=1e-2)
    return make_pipeline(GraphEmbeddingFeaturizer(), StandardScaler(), ridge)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Example crystals with measured bulk moduli, in an order of chance."""
    table = load_example_crystals().dropna(subset="bulk_modulus_GPa")
    return table.sample(frac=1, random_state=0).reset_index(drop=True)


@pytest.fixture(scope="module")
def salts(table: pd.DataFrame) -> pd.DataFrame:
    """Those of them that are oxides or halides."""
    anions = {"O", "F", "Cl", "Br", "I"}
    chosen = [bool(anions & {e.symbol for e in s.elements}) for s in table["structure"]]
    return table[chosen].reset_index(drop=True)


@pytest.fixture(scope="module")
def fitted(salts: pd.DataFrame) -> ConformalRegressor:
    rows = salts[:60]
    y = np.log10(rows["bulk_modulus_GPa"])
    return ConformalRegressor(linear()).fit(rows["structure"], y)


def covered(intervals: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (intervals[:, 0] <= y) & (y <= intervals[:, 1])


# Coverage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_half_widths_hold_the_stated_share_of_new_rows(coverage: float) -> None:
    """Errors whose size is the cube of the difficulty, or does not depend on it."""
    rng = np.random.default_rng(0)
    difficulties = rng.uniform(1, 3, size=4_000)
    noise = rng.standard_t(4, size=(4_000, 2))
    errors = noise * np.stack([difficulties**3, np.ones(4_000)], axis=1)
    old, new = slice(0, 1_000), slice(1_000, None)
    nearness = Nearness(difficulties[old, None])  # not used here
    known = Calibration(nearness, errors[old], difficulties[old])
    half = known.half_widths(difficulties[new], coverage)
    hits = np.abs(errors[new]) <= half
    assert hits.mean(axis=0) == pytest.approx([coverage] * 2, abs=0.03)
    hard = difficulties[new] > 2.5
    assert hits[hard].mean(axis=0) == pytest.approx([coverage] * 2, abs=0.06)
    ratio = half[hard].mean(axis=0) / half[~hard].mean(axis=0)
    assert ratio[0] > 2.5
    assert ratio[1] < 1.2


def test_intervals_hold_on_example_crystals(table: pd.DataFrame) -> None:
    """Each part of the table in turn is new to the model."""
    structures, y = list(table["structure"]), np.log10(table["bulk_modulus_GPa"].to_numpy())
    hits = []
    for train, test in KFold(3).split(structures):
        model = ConformalRegressor(linear()).fit([structures[i] for i in train], y[train])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExtrapolationWarning)
            hits.append(covered(model.predict_interval([structures[i] for i in test]), y[test]))
    assert 0.84 <= np.concatenate(hits).mean() <= 0.97


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data files")
@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("paper_elastic", "log10_K"),
        ("paper_elastic", "log10_G"),
        ("paper_elastic", "poisson"),
        ("paper_formation", "formation_energy_per_atom"),
        ("paper_hse_gap", "hse_gap"),
    ],
)
def test_intervals_hold_on_shared_data(name: str, label: str) -> None:
    """90 % ± 3 % of all new crystals of three splits, and wider intervals where these are far."""
    records = [r for r in read_structures(SHARED / f"{name}.jsonl.gz") if label in r.properties]
    y = np.array([record.properties[label] for record in records])
    within: list[np.ndarray] = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(y))
        train, test = order[:2_000], order[2_000:]
        model = ConformalRegressor(kernel_ridge())
        model.fit([records[i].structure for i in train], y[train])
        new = [records[i].structure for i in test]
        near = model.nearest_percentile(new)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            intervals = model.predict_interval(new)
        extrapolates = any(issubclass(one.category, ExtrapolationWarning) for one in told)
        assert extrapolates == (near > FAR).any()
        within.append(covered(intervals, y[test]))
        widths = np.diff(intervals)[:, 0]
        assert widths[near > 90].mean() > 1.4 * widths[near < 50].mean()
    assert np.concatenate(within).mean() == pytest.approx(0.9, abs=0.03)


def test_held_out_crystals_are_as_difficult_as_new_ones() -> None:
    """Though a fold has fewer crystals to be near to."""
    structures = list(load_example_crystals()["structure"])
    of_new, of_held = [], []
    for seed in range(3):
        rows = np.random.default_rng(seed).permutation(len(structures))
        old, new = ([structures[i] for i in part] for part in (rows[:250], rows[250:]))
        model = ConformalRegressor(DummyRegressor()).fit(old, np.arange(250.0))
        embeddings = graph_embeddings(new)
        of_new.append(np.log(model.calibration_.nearness.of(embeddings)[1]).mean())
        of_held.append(np.log(model.calibration_.difficulties).mean())
    assert np.mean(of_held) == pytest.approx(np.mean(of_new), abs=0.025)


# Near and far ----------------------------------------------------------------------------------


def test_a_stranger_has_a_wide_interval_and_a_warning(
    fitted: ConformalRegressor, salts: pd.DataFrame
) -> None:
    known = list(salts["structure"][:5])
    assert fitted.nearest_percentile([*known, DIAMOND]).tolist() == [0] * 5 + [100]
    with pytest.warns(ExtrapolationWarning, match="the prediction extrapolates") as told:
        intervals = fitted.predict_interval([*known, DIAMOND])
    assert [warning.message.rows for warning in told] == [(5,)]
    assert told[0].filename == __file__
    widths = np.diff(intervals)[:, 0]
    assert widths[5] > 1.5 * widths[:5].max()
    np.testing.assert_allclose(intervals.mean(axis=1), fitted.predict([*known, DIAMOND]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.predict_interval(known)


def test_percentiles_count_training_crystals_with_a_nearer_one() -> None:
    nearness = Nearness(np.array([[0.0], [1.0], [3.0], [6.0]]))  # to the nearest: 1, 1, 2, 3
    percentiles, difficulties = nearness.of(np.array([[1.0], [8.5], [90.0]]))
    assert percentiles.tolist() == [0, 75, 100]
    assert difficulties.tolist() == [1.5, 4, 85.5]
    copies = Nearness(np.zeros((3, 1)))
    assert (copies.of(np.zeros((1, 1)))[1] > 0).all()
    assert [len(part) for part in copies.of(np.zeros((0, 1)))] == [0, 0]


# The estimator ---------------------------------------------------------------------------------


def test_it_is_an_estimator(fitted: ConformalRegressor, salts: pd.DataFrame) -> None:
    new = list(salts["structure"][60:70])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        wide = fitted.predict_interval(new)
        again = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(again.predict_interval(new), wide)
        narrow = again.set_params(coverage=0.5).predict_interval(iter(new))
    assert (np.diff(narrow) < np.diff(wide)).all()
    assert not hasattr(clone(fitted), "estimator_")
    direct = linear().fit(salts["structure"][:60], np.log10(salts["bulk_modulus_GPa"][:60]))
    np.testing.assert_allclose(fitted.predict(new), direct.predict(new))
    y = np.log10(salts["bulk_modulus_GPa"][60:70])
    assert fitted.score(new, y) == pytest.approx(direct.score(new, y))


def test_crystals_without_neighbours_are_told_once_with_the_rows_of_the_user() -> None:
    crystals = list(load_example_crystals()["structure"][:30])
    far = [i for i, one in enumerate(crystals) if one.reduced_formula in ("K", "Rb", "Cs")]
    y = np.array([one.volume / len(one) for one in crystals])
    with pytest.warns(GraphWarning) as told:
        model = ConformalRegressor(linear(), cv=3).fit(crystals, y)
    assert [list(one.message.rows) for one in told] == [far]
    with pytest.warns(GraphWarning) as told:
        model.predict_interval(crystals)
    assert [list(one.message.rows) for one in told if one.category is GraphWarning] == [far]


def test_copies_are_held_out_together(table: pd.DataFrame) -> None:
    """Else their errors would be those of rows that were learned."""
    rows = table[:20]
    structures, y = list(rows["structure"]), np.log10(rows["bulk_modulus_GPa"].to_numpy())
    model = ConformalRegressor(linear()).fit(structures * 2, np.tile(y, 2))
    errors = model.calibration_.errors[:, 0]
    np.testing.assert_allclose(errors[:20], errors[20:], rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "n", "words"),
    [
        ({"coverage": 1.0}, 20, r"coverage=1.0 must be a number in \(0, 1\)"),
        ({"coverage": 0.95}, 18, "coverage=0.95 needs 19 rows or more; got 18"),
        ({}, 9, "coverage=0.9 needs 10 rows or more; got 9"),
        ({"cv": 1}, 20, "cv=1 must be a whole number of at least 2"),
        ({"cv": "5"}, 20, "cv='5' must be a whole number of at least 2"),
        ({"cv": 21}, 20, "cv=21 folds of 20 different crystals"),
        ({"cv": ShuffleSplit(1, random_state=0)}, 20, r"18 of 20 rows are in no fold"),
    ],
)
def test_refusals(settings: dict, n: int, words: str, table: pd.DataFrame) -> None:
    model = ConformalRegressor(linear(), **settings)
    with pytest.raises(ParameterError, match=words):
        model.fit(table["structure"][:n], table["bulk_modulus_GPa"][:n])


# The commands ----------------------------------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in (*arguments, "--no-progress")])


@pytest.fixture(scope="module")
def folder(salts: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fitted models beside their data."""
    folder = tmp_path_factory.mktemp("intervals")
    properties = [
        {"K": np.log10(row.bulk_modulus_GPa), "volume": row.structure.volume / len(row.structure)}
        for row in salts.itertuples()
    ]
    write_structures(folder / "data.jsonl", salts["structure"], properties=properties)
    quick = ["--max-epochs", 3, "--test-size", 0.4]
    for name, options in (
        ("one", ["-t", "K", "--model", "cgcnn"]),
        ("two", ["-t", "K", "-t", "volume", *NEGNN, "--members", 2]),
    ):
        result = run("fit", folder / "data.jsonl", *options, *quick, "-o", folder / name)
        assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize(("name", "targets"), [("one", ["K"]), ("two", ["K", "volume"])])
def test_commands_write_bounds(name: str, targets: list[str], folder: Path, tmp_path: Path) -> None:
    held = pd.read_csv(folder / name / "predictions.csv")
    report = json.loads((folder / name / "report.json").read_text())["intervals"]
    for target in targets:
        hits = held[target].between(held[f"{target}_lower"], held[f"{target}_upper"])
        (told,) = (
            row
            for row in report
            if row["target"] == target and row["stated"] == 0.9 and row["crystals"] == "all"
        )
        assert told["observed"] == pytest.approx(hits.mean())
        assert 0.75 <= told["observed"] <= 1
        assert told["number"] == len(held)
    text = (folder / name / "report.md").read_text()
    assert "## Error bars" in text
    assert "| K | all |" in text

    write_structures(tmp_path / "new.jsonl", [*read_some(folder), DIAMOND], ids=["a", "b", "C"])
    result = run("predict", folder / name, tmp_path / "new.jsonl", "-o", tmp_path / "x.csv")
    assert result.exit_code == 0, result.output
    assert "the prediction extrapolates" in result.stderr
    told = pd.read_csv(tmp_path / "x.csv.problems.csv")
    assert "C" in told["source"].tolist()
    table = pd.read_csv(tmp_path / "x.csv")
    assert table["nearest_percentile"].iloc[2] == 100
    for target in targets:
        low, high = table[f"{target}_lower"], table[f"{target}_upper"]
        np.testing.assert_allclose((low + high) / 2, table[target], rtol=1e-6)
        assert (high > low).all()


def test_predict_takes_a_saved_regressor_with_intervals(
    fitted: ConformalRegressor, salts: pd.DataFrame, tmp_path: Path
) -> None:
    save_estimator(fitted, tmp_path / "model", target_names=["K"])
    new = list(salts["structure"][60:64])
    write_structures(tmp_path / "new.jsonl", new)
    result = run("predict", tmp_path / "model", tmp_path / "new.jsonl", "-o", tmp_path / "x.csv")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "x.csv")
    assert list(table)[2:] == ["K", "K_lower", "K_upper", "nearest_percentile"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        expected = fitted.predict_interval(new)
    np.testing.assert_allclose(table[["K_lower", "K_upper"]], expected, rtol=1e-5)


def read_some(folder: Path) -> list[Structure]:
    return [record.structure for record in read_structures(folder / "data.jsonl")][:2]


def test_error_bars_belong_to_their_model(folder: Path, tmp_path: Path) -> None:
    """A changed file is refused; a model that is saved elsewhere has none."""
    model = load_estimator(folder / "one")
    save_estimator(model, tmp_path / "alone", target_names=["K"])
    arguments = (folder / "data.jsonl", "-o", tmp_path / "x.csv")
    assert run("predict", tmp_path / "alone", *arguments).exit_code == 0
    assert list(pd.read_csv(tmp_path / "x.csv")) == ["source", "formula", "K"]
    path = folder / "one" / "intervals.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        with pytest.raises(WeightsError, match=r"intervals\.safetensors was changed or damaged"):
            load_estimator(folder / "one")
    finally:
        path.write_bytes(content)
