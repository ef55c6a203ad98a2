"""The ablation: short pretrainings with different recipes, compared by validation errors."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
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
from studies.context import Context
from studies.recipes import BASE, PAPER, RECIPES, Recipe
from studies.report_files import read_json, write_json
from studies.scores import cell
from studies.study import Report, Table
from studies.validation_errors import Rows, relative_error, validation_errors, validation_rows

CORPUS = "corpus_mp.jsonl.gz"
N_STRUCTURES = 20_000
EPOCHS = 6
_QUICK = 4  # recipes of a quick run

SETTINGS = {
    "012, mean": ("012", ("mean",)),
    "012, mean and std": ("012", ("mean", "std")),
    "012, mean, std, min and max": ("012", ("mean", "std", "min", "max")),
    "012, mean, anion and cation": ("012", ("mean", "anion", "cation")),
    "all, mean, anion and cation": (None, ("mean", "anion", "cation")),
}
"""Layers (None means all) and pooling by their name in the table."""

REFERENCE = "012, mean"
"""The layers and pooling with which the paper's recipe has the relative error 1."""

COMPARED = "012, mean, anion and cation"
"""The layers and pooling with which recipes are compared."""

Found = Mapping[str, Any]
"""Seconds of training, milliseconds per structure, and errors by layers and pooling."""


def run_ablation(context: Context) -> Report:
    """Train every recipe on a part of the corpus, and measure its validation errors.

    The shipped sets, trained on more crystals for longer, are measured in the same way.
    """
    n_structures, epochs = (100, 1) if context.quick else (N_STRUCTURES, EPOCHS)
    folder = context.output / ("ablation-quick" if context.quick else "ablation")
    folder.mkdir(parents=True, exist_ok=True)
    sample = _draw(context.data, folder, n_structures)
    rows = validation_rows(context)
    jobs = [
        (recipe, seed)
        for recipe in (RECIPES[:_QUICK] if context.quick else RECIPES)
        for seed in range(1 if context.quick else recipe.n_seeds)
    ]
    found = Parallel(n_jobs=context.n_jobs)(
        delayed(measure)(recipe, seed, epochs, sample, rows, folder) for recipe, seed in jobs
    )
    by_name: dict[str, list[Found]] = {}
    for (recipe, _), result in zip(jobs, found, strict=True):
        by_name.setdefault(recipe.name, []).append(result)
    shipped = {name: measure_shipped(name, rows, folder) for name in list_weights()}
    return _report(by_name, shipped, n_structures, epochs)


def _draw(data: Path, folder: Path, n_structures: int) -> Path:
    """A file of structures drawn from the corpus."""
    path = folder / f"corpus-{n_structures}.jsonl.gz"
    if not path.exists():
        corpus = data / CORPUS if (data / CORPUS).exists() else data / CORPUS.removesuffix(".gz")
        n_all = count_structures(corpus) or 0
        size = min(n_structures, n_all)
        drawn = set(np.random.default_rng(0).choice(n_all, size, replace=False).tolist())
        records = enumerate(read_structures(corpus))
        write_structures(path, (record.structure for i, record in records if i in drawn))
    return path


def measure(
    recipe: Recipe, seed: int, epochs: int, sample: Path, rows: Rows, folder: Path
) -> Found:
    """One training and its errors, from its file if there is one of the same settings."""
    file = folder / f"{recipe.name}-{seed}.json"
    identity = {
        "settings": recipe.key,
        "epochs": epochs,
        "corpus": hashlib.sha256(sample.read_bytes()).hexdigest(),
        **_protocol(rows),
    }
    if kept := _resume(file, identity):
        return kept
    weights, seconds = _train(recipe, seed, epochs, sample, folder)
    found = {"seconds": seconds, **_measure_weights(weights, rows)}
    write_json(file, {"identity": identity, "found": found})
    return found


def measure_shipped(name: str, rows: Rows, folder: Path) -> Found:
    """Errors of a shipped set, from its file if there is one of the same weights."""
    weights = load_pretrained(name)
    file = folder / f"shipped-{name}.json"
    identity = {"weights": weights.sha256, **_protocol(rows)}
    if kept := _resume(file, identity):
        return kept
    found = _measure_weights(weights, rows)
    write_json(file, {"identity": identity, "found": found})
    return found


def _protocol(rows: Rows) -> dict[str, Any]:
    """What results must have in common to be in one table."""
    return {
        "rows": {
            f"{name} {target}": hashlib.sha256(data.y.tobytes()).hexdigest()
            for name, sets in rows.items()
            for target, data in sets.items()
        },
        "readings": repr(SETTINGS),
        "ssatom": ssatom.__version__,
    }


def _resume(file: Path, identity: Mapping[str, Any]) -> Found | None:
    """The content of a file, if it is of these settings."""
    kept = read_json(file)
    return kept["found"] if kept is not None and kept["identity"] == identity else None


def _measure_weights(weights: PretrainedEncoder, rows: Rows) -> dict[str, Any]:
    start = time.process_time()
    crystals = [next(iter(sets.values())) for sets in rows.values()]
    structures = [s for data in crystals if data.sites is None for s in data.structures]
    graph_embeddings(structures, "0", weights, pooling=SETTINGS[COMPARED][1])
    milliseconds = 1000 * (time.process_time() - start) / len(structures)
    return {
        "milliseconds": milliseconds,
        "errors": {
            name: validation_errors(rows, weights, layers or _all_layers(weights), pooling)
            for name, (layers, pooling) in SETTINGS.items()
        },
    }


def _train(
    recipe: Recipe, seed: int, epochs: int, sample: Path, folder: Path
) -> tuple[PretrainedEncoder, float]:
    """Weights, and seconds of training."""
    if recipe.settings is None:
        return random_weights(seed), 0.0
    kept = folder / "weights" / f"{recipe.name}-{seed}"
    unfinished = folder / "runs" / kept.name
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


def _report(
    by_name: Mapping[str, list[Found]],
    shipped: Mapping[str, Found],
    n_structures: int,
    epochs: int,
) -> Report:
    of_sets = {name: [found] for name, found in shipped.items()}
    reference = _mean_errors(by_name[PAPER], REFERENCE)
    relative = _relative(by_name, reference)
    best = min(relative, key=lambda name: float(np.mean(relative[name][COMPARED])))
    targets = list(reference)
    gain = f"gain over {BASE}, %"
    heads = ["recipe", "what", "seeds", "training, min", "ms a structure", gain, *SETTINGS]
    seeds = relative[BASE][COMPARED]
    spread = f"Seeds of '{BASE}' differ by {100 * np.ptp(seeds) / np.mean(seeds):.1f} %; "
    return Report(
        results={"runs": dict(by_name), "relative": relative, "shipped": dict(shipped)},
        tables=[
            Table(
                f"Error relative to the paper's recipe with {REFERENCE}",
                heads,
                _rows_of_recipes(by_name, relative),
            ),
            Table(
                "The same of the shipped sets",
                ["set", "ms a structure", *SETTINGS],
                _rows_of_sets(of_sets, _relative(of_sets, reference)),
            ),
            Table(
                f"MAE of cross-validation, {COMPARED}",
                ["recipe", *targets],
                _rows_of_errors({**by_name, **of_sets}, targets),
            ),
        ],
        reading=[
            f"Each recipe is trained for {epochs} epochs on the same {n_structures:,} crystals of "
            "the corpus, on one core; its error is that of kernel ridge in ten-fold "
            "cross-validation on rows that no random split of a table tests. Relative errors are "
            "geometric means over the targets of the last table.",
            f"The gain over '{BASE}', from which most recipes differ in one setting, is that "
            f"with layers and pooling '{COMPARED}'; there '{best}' has the lowest error.",
            *([f"{spread}smaller gains mean nothing."] if len(seeds) > 1 else []),
        ],
    )


def _mean_errors(results: list[Found], setting: str) -> dict[str, float]:
    """Mean over seeds, by target."""
    errors = [found["errors"][setting] for found in results]
    return {target: float(np.mean([one[target] for one in errors])) for target in errors[0]}


def _relative(
    by_name: Mapping[str, list[Found]], reference: Mapping[str, float]
) -> dict[str, dict[str, list[float]]]:
    """Relative errors by name and setting, one a seed."""
    return {
        name: {
            setting: [relative_error(found["errors"][setting], reference) for found in results]
            for setting in SETTINGS
        }
        for name, results in by_name.items()
    }


def _rows_of_recipes(
    by_name: Mapping[str, list[Found]], relative: Mapping[str, Mapping[str, list[float]]]
) -> list[list[str]]:
    rows = []
    start = np.mean(relative[BASE][COMPARED])
    for recipe in RECIPES:
        if results := by_name.get(recipe.name):
            minutes = np.mean([found["seconds"] for found in results]) / 60
            head = [recipe.name, recipe.change, str(len(results)), f"{minutes:.1f}"]
            errors = relative[recipe.name]
            gain = f"{100 * (1 - np.mean(errors[COMPARED]) / start):.1f}"
            spreads = [_spread(errors[name]) for name in SETTINGS]
            rows.append([*head, _cost(results), gain, *spreads])
    return rows


def _rows_of_sets(
    by_name: Mapping[str, list[Found]], relative: Mapping[str, Mapping[str, list[float]]]
) -> list[list[str]]:
    return [
        [name, _cost(results), *(_spread(relative[name][setting]) for setting in SETTINGS)]
        for name, results in by_name.items()
    ]


def _rows_of_errors(by_name: Mapping[str, list[Found]], targets: Sequence[str]) -> list[list[str]]:
    return [
        [name, *(_spread([found["errors"][COMPARED][target] for found in results])
                 for target in targets)]
        for name, results in by_name.items()
    ]  # fmt: skip


def _cost(results: list[Found]) -> str:
    return f"{np.mean([found['milliseconds'] for found in results]):.2f}"


def _spread(values: list[float]) -> str:
    return cell(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)
