"""The ablation: many short pretrainings, each judged by the proxy protocol."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

import ssatom
from ssatom.corpora import count_structures, read_structures, write_structures
from ssatom.embeddings import graph_embeddings
from ssatom.evaluation.results import write_whole
from ssatom.pretraining import MaskedPretrainer
from ssatom.reproduction.context import Context
from ssatom.reproduction.directions import DIRECTIONS, PAPER, START, Direction
from ssatom.reproduction.proxy import Rows, proxy_errors, proxy_rows, relative_error
from ssatom.reproduction.scores import cell
from ssatom.reproduction.study import Report, Table
from ssatom.weights import PretrainedEncoder, list_weights, load_pretrained, random_weights

CORPUS = "corpus_mp.jsonl.gz"
N_STRUCTURES = 20_000
EPOCHS = 6
_QUICK = 4  # directions of a quick look

READINGS = {
    "012, mean": ("012", ("mean",)),
    "012, mean and std": ("012", ("mean", "std")),
    "012, mean, std, min and max": ("012", ("mean", "std", "min", "max")),
    "012, mean, anion and cation": ("012", ("mean", "anion", "cation")),
    "all, mean, anion and cation": (None, ("mean", "anion", "cation")),
}
"""Layers (None is all) and pooling by what the table calls them."""

REFERENCE = "012, mean"
"""The reading of the paper's recipe that has the relative error 1."""

JUDGED = "012, mean, anion and cation"
"""The reading by which recipes are compared."""

Found = Mapping[str, Any]
"""What weights gave: seconds of training, milliseconds a structure, errors by reading."""


def run_ablation(context: Context) -> Report:
    """Train every direction on a part of the corpus, and judge it by the proxy protocol.

    The shipped sets, trained on more crystals for longer, are judged in the same way.
    """
    n_structures, epochs = (100, 1) if context.quick else (N_STRUCTURES, EPOCHS)
    folder = context.output / ("ablation-quick" if context.quick else "ablation")
    folder.mkdir(parents=True, exist_ok=True)
    sample = _draw(context.data, folder, n_structures)
    rows = proxy_rows(context)
    jobs = [
        (direction, seed)
        for direction in (DIRECTIONS[:_QUICK] if context.quick else DIRECTIONS)
        for seed in range(1 if context.quick else direction.n_seeds)
    ]
    found = Parallel(n_jobs=context.n_jobs)(
        delayed(measure)(direction, seed, epochs, sample, rows, folder) for direction, seed in jobs
    )
    by_name: dict[str, list[Found]] = {}
    for (direction, _), result in zip(jobs, found, strict=True):
        by_name.setdefault(direction.name, []).append(result)
    shipped = {name: measure_shipped(name, rows, folder) for name in list_weights()}
    return _report(by_name, shipped, n_structures, epochs)


def _draw(data: Path, folder: Path, n_structures: int) -> Path:
    """A file of structures drawn from the corpus."""
    path = folder / f"corpus-{n_structures}.jsonl.gz"
    if not path.exists():
        corpus = data / CORPUS if (data / CORPUS).exists() else data / CORPUS.removesuffix(".gz")
        n_all = count_structures(corpus) or 0
        size = min(n_structures, n_all)
        chosen = set(np.random.default_rng(0).choice(n_all, size, replace=False).tolist())
        records = enumerate(read_structures(corpus))
        write_structures(path, (record.structure for i, record in records if i in chosen))  # type: ignore[misc]
    return path


def measure(
    direction: Direction, seed: int, epochs: int, sample: Path, rows: Rows, folder: Path
) -> Found:
    """One training and its errors, from its file if there is one of the same settings."""
    file = folder / f"{direction.name}-{seed}.json"
    identity = {
        "settings": repr(direction.settings),
        "epochs": epochs,
        "corpus": hashlib.sha256(sample.read_bytes()).hexdigest(),
        **_protocol(rows),
    }
    if kept := _resume(file, identity):
        return kept
    weights, seconds = _train(direction, seed, epochs, sample, folder)
    found = {"seconds": seconds, **_judge(weights, rows)}
    write_whole(file, json.dumps({"identity": identity, "found": found}, indent=1))
    return found


def measure_shipped(name: str, rows: Rows, folder: Path) -> Found:
    """Errors of a shipped set, from its file if there is one of the same weights."""
    weights = load_pretrained(name)
    file = folder / f"shipped-{name}.json"
    identity = {"weights": weights.sha256, **_protocol(rows)}
    if kept := _resume(file, identity):
        return kept
    found = _judge(weights, rows)
    write_whole(file, json.dumps({"identity": identity, "found": found}, indent=1))
    return found


def _protocol(rows: Rows) -> dict[str, Any]:
    """What results must have in common to stand in one table."""
    return {
        "rows": {
            f"{name} {target}": hashlib.sha256(data.y.tobytes()).hexdigest()
            for name, sets in rows.items()
            for target, data in sets.items()
        },
        "readings": repr(READINGS),
        "ssatom": ssatom.__version__,
    }


def _resume(file: Path, identity: Mapping[str, Any]) -> Found | None:
    """What a file holds, if it is of these settings."""
    if file.exists() and (kept := json.loads(file.read_text()))["identity"] == identity:
        return kept["found"]
    return None


def _judge(weights: PretrainedEncoder, rows: Rows) -> dict[str, Any]:
    start = time.process_time()
    crystals = [next(iter(sets.values())) for sets in rows.values()]
    structures = [s for data in crystals if data.sites is None for s in data.structures]
    graph_embeddings(structures, "0", weights, pooling=READINGS[JUDGED][1])
    milliseconds = 1000 * (time.process_time() - start) / len(structures)
    return {
        "milliseconds": milliseconds,
        "errors": {
            name: proxy_errors(rows, weights, layers or _all_layers(weights), pooling)
            for name, (layers, pooling) in READINGS.items()
        },
    }


def _train(
    direction: Direction, seed: int, epochs: int, sample: Path, folder: Path
) -> tuple[PretrainedEncoder, float]:
    """Weights, and seconds of training."""
    if direction.settings is None:
        return random_weights(seed), 0.0
    kept = folder / "weights" / f"{direction.name}-{seed}"
    unfinished = folder / "runs" / kept.name
    pretrainer = MaskedPretrainer(
        **{"max_epochs": epochs, **direction.settings},
        patience=None,
        random_state=seed,
        checkpoint_dir=unfinished,
        progress_bar=False,
    )
    records = read_structures(sample)
    pretrainer.fit((record.structure for record in records), corpus=sample.name)  # type: ignore[misc]
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
    best = min(relative, key=lambda name: float(np.mean(relative[name][JUDGED])))
    targets = list(reference)
    gain = f"gain over {START}, %"
    heads = ["recipe", "what", "seeds", "training, min", "ms a structure", gain, *READINGS]
    seeds = relative[START][JUDGED]
    spread = f"Seeds of '{START}' differ by {100 * np.ptp(seeds) / np.mean(seeds):.1f} %; "
    return Report(
        results={"runs": dict(by_name), "relative": relative, "shipped": dict(shipped)},
        tables=[
            Table(
                f"Error relative to the paper's recipe read as {REFERENCE}",
                heads,
                _rows_of_recipes(by_name, relative),
            ),
            Table(
                "The same of the shipped sets",
                ["set", "ms a structure", *READINGS],
                _rows_of_sets(of_sets, _relative(of_sets, reference)),
            ),
            Table(
                f"MAE of cross-validation, {JUDGED}",
                ["recipe", *targets],
                _rows_of_errors({**by_name, **of_sets}, targets),
            ),
        ],
        reading=[
            f"Each recipe is trained for {epochs} epochs on the same {n_structures:,} crystals of "
            "the corpus, on one core, and judged by kernel ridge with ten-fold cross-validation on "
            "rows that no random split of a table tests. Relative errors are geometric means over "
            "the targets of the last table.",
            f"The gain over '{START}', of which most recipes change one thing, is with layers and "
            f"pooling '{JUDGED}', where '{best}' has the lowest error.",
            *([f"{spread}a gain of that size is none."] if len(seeds) > 1 else []),
        ],
    )


def _mean_errors(results: list[Found], reading: str) -> dict[str, float]:
    """By target, over seeds."""
    errors = [found["errors"][reading] for found in results]
    return {target: float(np.mean([one[target] for one in errors])) for target in errors[0]}


def _relative(
    by_name: Mapping[str, list[Found]], reference: Mapping[str, float]
) -> dict[str, dict[str, list[float]]]:
    """Relative errors by name and reading, one a seed."""
    return {
        name: {
            reading: [relative_error(found["errors"][reading], reference) for found in results]
            for reading in READINGS
        }
        for name, results in by_name.items()
    }


def _rows_of_recipes(
    by_name: Mapping[str, list[Found]], relative: Mapping[str, Mapping[str, list[float]]]
) -> list[list[str]]:
    rows = []
    start = np.mean(relative[START][JUDGED])
    for direction in DIRECTIONS:
        if results := by_name.get(direction.name):
            minutes = np.mean([found["seconds"] for found in results]) / 60
            head = [direction.name, direction.change, str(len(results)), f"{minutes:.1f}"]
            errors = relative[direction.name]
            gain = f"{100 * (1 - np.mean(errors[JUDGED]) / start):.1f}"
            spreads = [_spread(errors[name]) for name in READINGS]
            rows.append([*head, _cost(results), gain, *spreads])
    return rows


def _rows_of_sets(
    by_name: Mapping[str, list[Found]], relative: Mapping[str, Mapping[str, list[float]]]
) -> list[list[str]]:
    return [
        [name, _cost(results), *(_spread(relative[name][reading]) for reading in READINGS)]
        for name, results in by_name.items()
    ]


def _rows_of_errors(by_name: Mapping[str, list[Found]], targets: Sequence[str]) -> list[list[str]]:
    return [
        [name, *(_spread([found["errors"][JUDGED][target] for found in results])
                 for target in targets)]
        for name, results in by_name.items()
    ]  # fmt: skip


def _cost(results: list[Found]) -> str:
    return f"{np.mean([found['milliseconds'] for found in results]):.2f}"


def _spread(values: list[float]) -> str:
    return cell(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)
