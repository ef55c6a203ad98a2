"""The ablation: its validation rows are no test rows of a table, and nothing is trained twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from data_files import write_all

from ssatom.evaluation import split_rows
from ssatom.pretraining import MaskedPretrainer
from ssatom.pretraining.plan import make_plan
from ssatom.weights import DEFAULT_WEIGHTS, random_weights
from studies import ablation
from studies import validation_errors as validation
from studies.context import Context
from studies.recipes import BASE, PAPER, RECIPES


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_all(folder)
    return folder


@pytest.fixture
def context(data: Path, tmp_path: Path) -> Context:
    return Context(data, tmp_path, quick=True, n_jobs=1, progress_bar=False)


def test_validation_rows_are_tested_in_no_table(context: Context) -> None:
    rows = validation.validation_rows(context)
    assert list(rows) == list(validation.SETS)
    for name in ("paper_elastic", "paper_magmom"):
        whole = context.datasets(name, validation.SETS[name])
        first = next(iter(whole.values()))
        labels = {target: dict(enumerate(data.y)) for target, data in whole.items()}
        tested = {row for s in range(5) for row in split_rows("random", s, len(first))[1].tolist()}
        for target, data in rows[name].items():
            free = [y for row, y in labels[target].items() if row not in tested]
            assert data.y.tolist() == free
    energies = rows["mp2018_36k"]["band_gap"]
    assert len(energies) > 0
    assert set(energies.folds) == {"train"}
    for name in ("paper_formation", "paper_hse_gap"):
        assert not set(energies.groups) & set(context.dataset(name).groups)


def test_validation_errors_are_those_of_cross_validation(context: Context) -> None:
    rows = validation.validation_rows(context)
    errors = validation.validation_errors(rows, random_weights(0), "01", ("mean", "std"))
    assert list(errors) == [
        f"{name} {t}" for name, targets in validation.SETS.items() for t in targets
    ]
    for name, sets in rows.items():
        for target, data in sets.items():
            assert 0 < errors[f"{name} {target}"] < 3 * np.abs(data.y - np.median(data.y)).mean()


def test_relative_error_is_a_geometric_mean() -> None:
    reference = {"a": 1.0, "b": 4.0}
    assert validation.relative_error(reference, reference) == pytest.approx(1)
    assert validation.relative_error({"a": 2.0, "b": 4.0}, reference) == pytest.approx(2**0.5)


def test_recipes_differ_in_name_and_settings() -> None:
    names = [recipe.name for recipe in RECIPES]
    assert len(set(names)) == len(names)
    assert {PAPER, BASE} <= set(names)
    settings = [repr(recipe.settings) for recipe in RECIPES]
    assert len(set(settings)) == len(settings)
    for recipe in RECIPES:
        if recipe.settings is not None:
            make_plan(MaskedPretrainer(**recipe.settings))


def test_results_of_earlier_versions_are_found() -> None:
    keys = {recipe.name: recipe.key for recipe in RECIPES}
    assert (keys["random"], keys[PAPER]) == ("None", "{}")
    assert keys["nearest"] == (
        "{'graph_config': GraphConfig(neighbors='nearest', max_neighbors=12, cutoff=8.0, "
        "shell_tolerance=0.01, basis_step=0.2, basis_width=0.2), 'n_conv': 3, "
        "'element_features': 'magpie', 'start': 'random', "
        "'tasks': 'element,group,period,denoise,radial'}"
    )
    assert len(set(keys.values())) == len(RECIPES)


def test_nothing_is_trained_twice(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run reads the files; another setting trains anew."""
    trained = []
    plain = MaskedPretrainer.fit

    def counted(self, *args, **kwargs):
        trained.append(self.tasks)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(MaskedPretrainer, "fit", counted)
    sample = ablation._draw(context.data, context.output, 20)
    rows = {"paper_elastic": validation.validation_rows(context)["paper_elastic"]}
    start = next(d for d in RECIPES if d.name == BASE)
    first = ablation.measure(start, 0, 1, sample, rows, context.output)
    again = ablation.measure(start, 0, 1, sample, rows, context.output)
    assert again == json.loads(json.dumps(first))
    assert len(trained) == 1
    assert first["seconds"] > 0
    assert set(first["errors"]) == set(ablation.SETTINGS)
    ablation.measure(start, 0, 2, sample, rows, context.output)
    assert len(trained) == 2
    assert (context.output / "weights" / f"{BASE}-0" / "recipe.toml").exists()
    assert not list((context.output / "runs").iterdir())


def test_shipped_sets_are_measured_once(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"paper_elastic": validation.validation_rows(context)["paper_elastic"]}
    first = ablation.measure_shipped(DEFAULT_WEIGHTS, rows, context.output)
    assert set(first["errors"]) == set(ablation.SETTINGS)
    assert first["milliseconds"] > 0
    monkeypatch.setattr(ablation, "validation_errors", None)
    again = ablation.measure_shipped(DEFAULT_WEIGHTS, rows, context.output)
    assert again == json.loads(json.dumps(first))


def test_gain_is_over_the_start() -> None:
    """Relative to the mean of its seeds, whose spread stands beside."""

    def of(*errors: float) -> list[dict]:
        return [
            {
                "seconds": 60.0,
                "milliseconds": 1.0,
                "errors": {name: {"y": error} for name in ablation.SETTINGS},
            }
            for error in errors
        ]

    by_name = {"paper": of(2.0), "start": of(0.95, 1.05), "near": of(0.9)}
    report = ablation._report(by_name, {}, n_structures=100, epochs=1)
    table = report.tables[0]
    gain = table.columns.index("gain over start, %")
    assert {row[0]: row[gain] for row in table.rows} == {
        "paper": "-100.0",
        "start": "0.0",
        "near": "10.0",
    }
    assert "'near' has the lowest error" in report.reading[1]
    assert "differ by 10.0 %" in report.reading[2]
