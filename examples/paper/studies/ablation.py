"""The ablation: short pretrainings with different recipes, compared by validation errors."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

import ssatom
from ssatom import (
    MaskedPretrainer,
    graph_embeddings,
    list_weights,
    load_pretrained,
    read_structures,
    write_structures,
)
from ssatom.corpora import count_structures
from ssatom.weights import PretrainedEncoder, random_weights
from studies.ablation_tables import COMPARED, SETTINGS, Found, ablation_report
from studies.context import Context
from studies.recipes import RECIPES, TASK_RECIPES, Recipe
from studies.report_files import read_json, read_report, write_json
from studies.study import Report
from studies.validation_errors import Rows, validation_errors, validation_rows

CORPUS = "corpus_mp.jsonl.gz"
_QUICK = 4  # recipes of each trial in a quick run


@dataclass(frozen=True)
class Trial:
    """Recipes that are compared, and what their trainings share.

    Attributes
    ----------
    recipes : tuple of Recipe
        What is trained.
    n_structures : int
        Crystals drawn from the corpus.
    epochs : int
        Of each training.
    max_sites : int or None
        Larger crystals of those drawn are left out.
    settings : tuple of str
        Of `SETTINGS`, those that are measured.
    """

    recipes: tuple[Recipe, ...]
    n_structures: int
    epochs: int
    max_sites: int | None = None
    settings: tuple[str, ...] = tuple(SETTINGS)


OF_RECIPES = Trial(RECIPES, 20_000, 6)
OF_TASKS = Trial(TASK_RECIPES, 20_000, 3, 20, (COMPARED,))


def run_ablation(context: Context) -> Report:
    """Train every recipe on a part of the corpus, and measure its validation errors.

    The shipped sets, trained on more crystals for longer, are measured in the same way. What an
    earlier report has of the same recipe, crystals and rows is not computed again.
    """
    trials = [OF_RECIPES, OF_TASKS]
    if context.quick:
        trials = [
            replace(trial, recipes=trial.recipes[:_QUICK], n_structures=100, epochs=1)
            for trial in trials
        ]
    folder = context.output / ("ablation-quick" if context.quick else "ablation")
    folder.mkdir(parents=True, exist_ok=True)
    rows = validation_rows(context)
    earlier = _earlier(context)
    runs = [_run(trial, context, rows, folder, earlier) for trial in trials]
    shipped = {name: measure_shipped(name, rows, folder) for name in list_weights()}
    return ablation_report(*zip(trials, runs, strict=True), shipped)


def _run(
    trial: Trial, context: Context, rows: Rows, folder: Path, earlier: Mapping[str, Found]
) -> dict[str, list[Found]]:
    """Results by recipe, one a seed."""
    jobs = [
        (recipe, seed)
        for recipe in trial.recipes
        for seed in range(1 if context.quick else recipe.n_seeds)
    ]
    corpus = _corpus(context.data)
    files = [folder / f"{recipe.name}-{seed}.json" for recipe, seed in jobs]
    names = [identity(recipe, seed, trial, corpus, rows) for recipe, seed in jobs]
    found = [_kept(*pair) or earlier.get(pair[1]) for pair in zip(files, names, strict=True)]
    new = [i for i, one in enumerate(found) if one is None]
    if new:
        sample = draw(corpus, folder, trial)
        measured = Parallel(n_jobs=context.n_jobs)(
            delayed(measure)(*jobs[i], trial, sample, rows, files[i], names[i]) for i in new
        )
        for i, one in zip(new, measured, strict=True):
            found[i] = one
    by_name: dict[str, list[Found]] = {}
    for (recipe, _), one in zip(jobs, found, strict=True):
        assert one is not None
        by_name.setdefault(recipe.name, []).append(one)
    return by_name


def _corpus(data: Path) -> Path:
    return data / CORPUS if (data / CORPUS).exists() else data / CORPUS.removesuffix(".gz")


def draw(corpus: Path, folder: Path, trial: Trial) -> Path:
    """A file of the crystals of a trial."""
    of_size = "" if trial.max_sites is None else f"-{trial.max_sites}"
    path = folder / f"corpus-{trial.n_structures}{of_size}.jsonl.gz"
    if not path.exists():
        n_all = count_structures(corpus) or 0
        size = min(trial.n_structures, n_all)
        drawn = set(np.random.default_rng(0).choice(n_all, size, replace=False).tolist())
        records = enumerate(read_structures(corpus))
        structures = (record.structure for i, record in records if i in drawn)
        most = trial.max_sites
        write_structures(path, (s for s in structures if most is None or len(s) <= most))
    return path


def measure(
    recipe: Recipe, seed: int, trial: Trial, sample: Path, rows: Rows, file: Path, name: str
) -> Found:
    """Train once and measure; the result is kept in a file under the name of its identity."""
    weights, seconds = _train(recipe, seed, trial.epochs, sample, file)
    found = {"identity": name, "seconds": seconds, **_measure(weights, rows, trial.settings)}
    write_json(file, found)
    return found


def measure_shipped(name: str, rows: Rows, folder: Path) -> Found:
    """Errors of a shipped set, from its file if there is one of the same weights."""
    weights = load_pretrained(name)
    file = folder / f"shipped-{name}.json"
    of_these = _digest({"weights": weights.sha256, **_protocol(rows, tuple(SETTINGS))})
    if kept := _kept(file, of_these):
        return kept
    found = {"identity": of_these, **_measure(weights, rows, tuple(SETTINGS))}
    write_json(file, found)
    return found


def identity(recipe: Recipe, seed: int, trial: Trial, corpus: Path, rows: Rows) -> str:
    """Name of all that decides a result, by which it is known again."""
    return _digest(
        {
            "recipe": recipe.key,
            "seed": seed,
            "epochs": trial.epochs,
            "n_structures": trial.n_structures,
            "max_sites": trial.max_sites,
            "corpus": hashlib.sha256(corpus.read_bytes()).hexdigest(),
            **_protocol(rows, trial.settings),
        }
    )


def _protocol(rows: Rows, settings: Sequence[str]) -> dict[str, Any]:
    """What results must have in common to be in one table."""
    return {
        "rows": {
            f"{name} {target}": hashlib.sha256(data.y.tobytes()).hexdigest()
            for name, sets in rows.items()
            for target, data in sets.items()
        },
        "settings": {name: SETTINGS[name] for name in settings},
        "ssatom": ssatom.__version__,
    }


def _digest(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _kept(file: Path, name: str) -> Found | None:
    """The content of a file, if it is of this identity."""
    found = read_json(file)
    return found if found is not None and found.get("identity") == name else None


def _earlier(context: Context) -> dict[str, Found]:
    """Trainings of the report in the folder of earlier reports, by identity."""
    report = context.earlier and read_report(context.earlier / "ablation.json")
    if not report:
        return {}
    parts = [report["results"].get(part, {}) for part in ("runs", "tasks")]
    every = [found for part in parts for seeds in part.values() for found in seeds]
    return {found["identity"]: found for found in every if "identity" in found}


def _measure(weights: PretrainedEncoder, rows: Rows, settings: Sequence[str]) -> dict[str, Any]:
    start = time.process_time()
    crystals = [next(iter(sets.values())) for sets in rows.values()]
    structures = [s for data in crystals if data.sites is None for s in data.structures]
    graph_embeddings(structures, "0", weights, pooling=SETTINGS[COMPARED][1])
    milliseconds = 1000 * (time.process_time() - start) / len(structures)
    errors = {}
    for name in settings:
        layers, pooling = SETTINGS[name]
        errors[name] = validation_errors(rows, weights, layers or _all_layers(weights), pooling)
    return {"milliseconds": milliseconds, "errors": errors}


def _train(
    recipe: Recipe, seed: int, epochs: int, sample: Path, file: Path
) -> tuple[PretrainedEncoder, float]:
    """Weights, and seconds of training."""
    if recipe.settings is None:
        return random_weights(seed), 0.0
    kept = file.parent / "weights" / file.stem
    unfinished = file.parent / "runs" / file.stem
    pretrainer = MaskedPretrainer(
        **{"max_epochs": epochs, **recipe.settings},
        patience=None,
        random_state=seed,
        checkpoint_dir=unfinished,
        progress_bar=False,
    )
    records = read_structures(sample)
    pretrainer.fit((record.structure for record in records), corpus=sample.name)
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(exist_ok=True)
    weights = load_pretrained(pretrainer.save(kept))
    shutil.rmtree(unfinished)
    return weights, pretrainer.seconds_


def _all_layers(weights: PretrainedEncoder) -> str:
    return "".join(map(str, range(weights.n_layers)))
