"""The ablation: its validation rows are no test rows of a table, and nothing is trained twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_files import write_all

from ssatom import load_pretrained, read_structures
from ssatom.evaluation import split_rows
from ssatom.pretraining import MaskedPretrainer
from ssatom.pretraining.plan import make_plan
from ssatom.weights import DEFAULT_WEIGHTS, random_weights
from studies import ablation
from studies import validation_errors as validation
from studies.ablation_tables import COMPARED, SETTINGS, ablation_report
from studies.context import Context
from studies.recipes import BASE, DIRECTIONAL, PAPER, RECIPES, TASK_RECIPES, Recipe
from studies.report_files import write_report
from studies.study import Report, Study


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
    every = (*RECIPES, *TASK_RECIPES)
    names = [recipe.name for recipe in every]
    assert len(set(names)) == len(names)
    assert {PAPER, BASE, DIRECTIONAL} <= set(names)
    settings = [repr(recipe.settings) for recipe in every]
    assert len(set(settings)) == len(settings)
    for recipe in every:
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


def test_tasks_are_tried_in_the_recipe_of_a_shipped_set() -> None:
    shipped = load_pretrained("directional-128x5-mp").card.recipe
    mine = make_plan(MaskedPretrainer(**TASK_RECIPES[0].settings)).recipe
    free = {"max_epochs", "patience", "precision", "n_devices"}
    assert {k: v for k, v in mine.items() if k not in free} == {
        k: v for k, v in shipped.items() if k not in free
    }


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list:
    """Tasks of what is trained."""
    found: list = []
    plain = MaskedPretrainer.fit

    def counted(self, *args, **kwargs):
        found.append(self.tasks)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(MaskedPretrainer, "fit", counted)
    return found


GRAPHS = {"neighbors": "smooth", "cutoff": 4.0}
SMALL = Recipe("small", "", {**GRAPHS, "hidden_dim": 8, "n_conv": 2})
TRIAL = ablation.Trial((SMALL,), 20, 1, None, (COMPARED,))


def test_nothing_is_trained_twice(context: Context, trained: list) -> None:
    """A second run reads the files, or an earlier report; another setting trains anew."""
    rows = {"paper_elastic": validation.validation_rows(context)["paper_elastic"]}
    folder = context.output

    def run(trial: ablation.Trial = TRIAL, where: Path = folder, **earlier) -> dict:
        where.mkdir(exist_ok=True)
        return json.loads(json.dumps(ablation._run(trial, context, rows, where, earlier)))

    first = run()
    assert len(trained) == 1
    assert run() == first
    found = first["small"][0]
    assert run(where=folder / "new", **{found["identity"]: found}) == first
    assert len(trained) == 1
    assert found["seconds"] > 0
    assert set(found["errors"]) == {COMPARED}
    run(replace(TRIAL, epochs=2))
    assert len(trained) == 2
    assert (folder / "weights" / "small-0" / "recipe.toml").exists()
    assert not list((folder / "runs").iterdir())


def test_results_of_an_earlier_report_are_known(context: Context) -> None:
    assert ablation._earlier(context) == {}
    seeds = [{"identity": "one", "seconds": 1.0}, {"seconds": 2.0}]
    results = {"runs": {"start": seeds}, "tasks": {"units": [{"identity": "two"}]}}
    settings = {"weights": {"name": "", "sha256": ""}, "seconds_of_splits": 0}
    of_old = {**settings, "ssatom": "", "machine": ""}
    study = Study("ablation", "", ablation.run_ablation)
    write_report(study, Report(results), of_old, context.output)
    known = ablation._earlier(replace(context, earlier=context.output))
    assert known == {"one": seeds[0], "two": {"identity": "two"}}


def test_large_crystals_of_the_draw_are_left_out(context: Context) -> None:
    corpus = ablation._corpus(context.data)
    every = [len(r.structure) for r in read_structures(corpus)]
    most = int(np.median(every))
    trial = replace(TRIAL, n_structures=len(every), max_sites=most)
    drawn = read_structures(ablation.draw(corpus, context.output, trial))
    assert [len(r.structure) for r in drawn] == [n for n in every if n <= most]


def test_shipped_sets_are_measured_once(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"paper_elastic": validation.validation_rows(context)["paper_elastic"]}
    first = ablation.measure_shipped(DEFAULT_WEIGHTS, rows, context.output)
    assert set(first["errors"]) == set(SETTINGS)
    assert first["milliseconds"] > 0
    monkeypatch.setattr(ablation, "validation_errors", None)
    again = ablation.measure_shipped(DEFAULT_WEIGHTS, rows, context.output)
    assert again == json.loads(json.dumps(first))


def test_gain_is_over_the_start() -> None:
    """Relative to the mean of its seeds, whose spread stands beside; tasks have their own start."""

    def of(*errors: float) -> list[dict]:
        return [
            {
                "seconds": 60.0,
                "milliseconds": 1.0,
                "errors": {name: {"y": error} for name in SETTINGS},
            }
            for error in errors
        ]

    def gains(table) -> dict[str, str]:
        column = next(i for i, head in enumerate(table.columns) if head.startswith("gain"))
        return {row[0]: row[column] for row in table.rows}

    by_name = {"paper": of(2.0), "start": of(0.95, 1.05), "near": of(0.9)}
    tasks = {"directional": of(4.0), "units": of(5.0)}
    trials = [
        replace(trial, recipes=tuple(r for r in trial.recipes if r.name in runs))
        for trial, runs in ((ablation.OF_RECIPES, by_name), (ablation.OF_TASKS, tasks))
    ]
    report = ablation_report((trials[0], by_name), (trials[1], tasks), {})
    assert gains(report.tables[0]) == {"paper": "-100.0", "start": "0.0", "near": "10.0"}
    assert gains(report.tables[3]) == {"directional": "0.0", "units": "-25.0"}
    assert "'near' has the lowest error" in report.reading[1]
    assert "differ by 10.0 %" in report.reading[2]
