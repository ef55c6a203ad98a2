"""One recipe: parameters, file, card and options are the same settings."""

from __future__ import annotations

import inspect
import pickle
import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure
from sklearn.base import clone
from test_docstrings import check_parameters

from ssatom import GraphConfig, MaskedPretrainer, list_weights, load_pretrained
from ssatom.elements import ELEMENT_FEATURES
from ssatom.encoder import EncoderConfig
from ssatom.exceptions import ParameterError
from ssatom.graph.config import NEIGHBOR_KINDS
from ssatom.pretraining.plan import make_plan
from ssatom.recipe import DEFAULTS, SETTINGS, Recipe, value_type
from ssatom.tasks import GroupTask


@pytest.mark.parametrize("name", list_weights())
def test_recipe_of_a_shipped_set_makes_its_pretrainer(name: str, tmp_path: Path) -> None:
    weights = load_pretrained(name)
    recipe = tomllib.loads((weights.folder / "recipe.toml").read_text(encoding="utf-8"))
    pretrainer = MaskedPretrainer(**recipe)
    # A setting that is newer than the file has its default.
    assert recipe.items() <= pretrainer.to_dict().items()
    assert pretrainer.to_dict() == weights.card.recipe
    plan = make_plan(pretrainer.set_params(checkpoint_dir=tmp_path))
    assert plan.recipe == weights.card.recipe
    assert plan.encoder_config == weights.encoder.config
    assert plan.graph_config == weights.graph_config
    assert np.array_equal(plan.element_features, weights.element_features)


def test_pretrainer_is_an_estimator_of_scikit_learn() -> None:
    tasks = ["element", GroupTask(weight=0.5)]
    pretrainer = MaskedPretrainer(tasks, cutoff=6.0, hidden_dim=16)
    parameters = pretrainer.get_params()
    assert parameters.keys() == DEFAULTS.keys()
    assert parameters["tasks"] is tasks
    copy = clone(pretrainer)
    assert [str(task) for task in copy.tasks] == ["element", "group(weight=0.5)"]
    assert copy.to_dict() == pretrainer.to_dict()
    assert copy.set_params(cutoff=5.0).cutoff == 5.0
    assert repr(MaskedPretrainer(cutoff=6.0, n_conv=5)) == "MaskedPretrainer(cutoff=6.0)"
    assert vars(pickle.loads(pickle.dumps(copy))).keys() == vars(copy).keys()
    assert vars(MaskedPretrainer()) == DEFAULTS
    with pytest.raises(TypeError, match="start"):
        MaskedPretrainer(start="radial")
    with pytest.raises(ValueError, match="Invalid parameter 'start'"):
        copy.set_params(start="radial")


def test_fitted_pretrainer_is_cloned_and_pickled(corpus: list[Structure], tmp_path: Path) -> None:
    settings = {"hidden_dim": 8, "n_conv": 2, "max_epochs": 1, "progress_bar": False}
    fitted = MaskedPretrainer(**settings, precision="auto").fit(corpus[:12])
    assert not hasattr(clone(fitted), "encoder_")
    assert fitted.precision == "auto"
    again = pickle.loads(pickle.dumps(fitted))
    saved = load_pretrained(again.save(tmp_path / "mine"))
    assert saved.sha256 == load_pretrained(fitted.save(tmp_path / "yours")).sha256
    assert saved.card.recipe == fitted.recipe_
    text = (tmp_path / "mine" / "recipe.toml").read_text(encoding="utf-8")
    assert text.startswith("# ssatom pretrain --config mine/recipe.toml CORPUS -o FOLDER\n")
    assert tomllib.loads(text) == fitted.recipe_
    assert fitted.recipe_["precision"] in ("float32", "bfloat16")


def test_docstring_is_that_of_the_settings() -> None:
    assert MaskedPretrainer.__init__ is Recipe.__init__
    check_parameters(MaskedPretrainer.__init__, MaskedPretrainer.__doc__)
    assert list(inspect.signature(MaskedPretrainer).parameters) == list(SETTINGS)


@pytest.mark.parametrize("config", [EncoderConfig, GraphConfig])
def test_defaults_are_those_of_the_rooms_below(config: type) -> None:
    shared = {f.name: f.default for f in fields(config) if f.name in DEFAULTS}
    assert len(shared) >= 5
    assert {name: DEFAULTS[name] for name in shared} == shared


def test_choices_are_those_of_the_rooms_below() -> None:
    assert SETTINGS["element_features"].choices == tuple(ELEMENT_FEATURES)
    assert SETTINGS["neighbors"].choices == NEIGHBOR_KINDS


def test_defaults_are_the_papers_recipe() -> None:
    recipe = make_plan(Recipe()).recipe
    assert recipe["tasks"] == ["period", "group", "distance"]
    assert (recipe["mask_fraction"], recipe["max_epochs"]) == (0.15, 100)


def test_file_has_what_decides_the_result() -> None:
    recipe = Recipe(
        patience=None, batch_size=np.int64(8), device="cpu", neighbors="smooth", time_budget=3.0
    ).to_dict()
    assert recipe["patience"] == 0
    assert type(recipe["batch_size"]) is int
    assert not recipe.keys() & {"device", "time_budget", "max_neighbors", "n_structures"}


NUMBERS = [name for name in SETTINGS if value_type(name)[0] in (int, float)]


@pytest.mark.parametrize("value", ["3", True, float("nan"), float("inf"), -1, [1], 1j])
@pytest.mark.parametrize("name", NUMBERS)
def test_wrong_numbers(name: str, value: object) -> None:
    with pytest.raises(ParameterError, match=f"{name}=.* must be a (whole |positive )?number( |$)"):
        Recipe(**{name: value}).check()


@pytest.mark.parametrize("name", NUMBERS)
def test_limits(name: str) -> None:
    setting, kind = SETTINGS[name], value_type(name)[0]
    low, high = setting.interval[1:-1].split(", ")
    limits = {low: setting.interval[0] == "[", high: setting.interval[-1] == "]"}
    for limit, allowed in ({setting.least: True} if kind is int else limits).items():
        if limit == "inf":
            continue
        recipe = Recipe(**{name: kind(limit)})
        if allowed:
            recipe.check()
        else:
            with pytest.raises(ParameterError, match=f"{name}={kind(limit)!r} must be"):
                recipe.check()


@pytest.mark.parametrize("name", [name for name in SETTINGS if SETTINGS[name].choices])
@pytest.mark.parametrize("value", ["other", None, 3, ["nearest"], ""])
def test_wrong_choices(name: str, value: object) -> None:
    allowed = ", ".join(map(repr, SETTINGS[name].choices))
    with pytest.raises(ParameterError, match=f"{name}=.* is unknown; allowed: {allowed}"):
        Recipe(**{name: value}).check()
