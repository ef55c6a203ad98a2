"""Tables VI and VII: graph networks on raw features and on embeddings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import clone

from ssatom import CGCNNRegressor, NEGNNRegressor
from ssatom.devices import resolve_device
from ssatom.embeddings import resolve_weights
from ssatom.evaluation import EvaluationResult, SplitScores, load_result, score_predictions
from ssatom.structures import StructureArrays, structure_arrays
from studies.context import STRUCTURES, Context
from studies.datasets import DATASETS, Dataset
from studies.kernel_tables import ELASTIC, ENERGIES, TITLES
from studies.network_search import RANGES, SearchedNetwork
from studies.printed import LARGE_NETWORKS, NETWORKS, Printed
from studies.scores import METRICS, as_numbers, cell, digits_for, sentence_case
from studies.study import Report, Table

EPOCHS = 50
SEARCH_EPOCHS = 30
N_CANDIDATES = 4
LARGE_SETTINGS: dict[str, dict[str, int]] = {
    "formation_energy_per_atom": {"max_epochs": 80, "batch_size": 256},
    "band_gap": {"max_epochs": 60, "batch_size": 128},
}
"""Of all networks of Table VII by target; fine-tuned ones have half the epochs, each twice as long.

Chosen by NEGNN on 8,000 training and validation rows, of which it was tested on 2,000. With widths
of 64 and 128, batches of 64 and 128, and 20 epochs, a width of 64 and batches of 128 had the lowest
product of both errors. The formation energy was learned from 18,000 such rows too, and tested on
6,000: after 60 epochs its error was 0.0493 eV/atom with batches of 256, and 0.0498 with 128.
"""

TUNED = "NEGNN, fine-tuned"

ByTarget = Mapping[str, Mapping[str, EvaluationResult]]
"""Results by target and network."""


def networks(context: Context, max_epochs: int) -> dict[str, Any]:
    """Both networks with the same settings: a decreasing learning rate and no early stopping.

    Rate and layers were chosen on 8,000 training rows of `mp2018_36k`, 2,000 of them held back.
    """
    settings: dict[str, Any] = {
        "max_epochs": max_epochs,
        "patience": None,
        "learning_rate": 0.003,
        "learning_rate_schedule": "cosine",
    }
    return {
        "CGCNN": CGCNNRegressor(**settings),
        "NEGNN": NEGNNRegressor("012", weights=context.weights, **settings),
    }


def run_table6(context: Context) -> Report:
    """Both networks on the data sets of a few thousand crystals."""
    epochs, n_candidates = (10, 2) if context.quick else (EPOCHS, N_CANDIDATES)
    search_epochs = min(epochs, SEARCH_EPOCHS)
    results: dict[str, dict[str, EvaluationResult]] = {}
    for source, targets in {**ENERGIES, **ELASTIC}.items():
        sets = context.datasets(source, targets)
        for name, network in networks(context, epochs).items():
            searched = SearchedNetwork(
                network, n_candidates=n_candidates, search_epochs=search_epochs
            )
            found = evaluate_network(context, name, searched, sets)
            for target, result in found.items():
                results.setdefault(target, {})[name] = result
    return _report(
        results,
        NETWORKS,
        f"Hyper-parameters: the best of {n_candidates} candidates, the same way for both "
        f"networks: their common settings and others drawn from {RANGES}, each trained for "
        f"{search_epochs} epochs on half of the training part and scored on a quarter of it; then "
        f"{epochs} epochs on all of it, a tenth held back to choose the epoch. The elastic "
        "properties are learned together.",
    )


def run_table7(context: Context) -> Report:
    """Both networks on tens of thousands of crystals, with the split that the data come with."""
    targets = list(DATASETS["mp2018_36k"].targets)
    sets = context.datasets("mp2018_36k", targets)
    dataset = sets[targets[0]]
    # As arrays: every process gets a copy, and structures are ten times as large.
    structures = [structure_arrays(structure) for structure in dataset.structures]
    runs = {
        (target, name): _large_run(context, sets[target], name, network)
        for target in targets
        for name, network in _large_networks(context, target).items()
    }
    found = Parallel(n_jobs=context.n_jobs)(
        delayed(_evaluate_large)(
            **run, structures=structures, y=sets[target].y, tested=dataset.folds == "test"
        )
        for (target, _), run in runs.items()
    )
    results: dict[str, dict[str, EvaluationResult]] = {target: {} for target in targets}
    for (target, name), result in zip(runs, found, strict=True):
        results[target][name] = result
    budget = ", ".join(
        f"{name} for the {TITLES[target]} {result.settings['max_epochs']} epochs in "
        f"{result.splits[0].seconds / 60:.0f} min on {result.settings['device']}"
        for target, of in results.items()
        for name, result in of.items()
    )
    return _report(
        results,
        LARGE_NETWORKS,
        "Training and validation rows of the data's own split together, a tenth of them held back "
        f"to choose the epoch; a network for each target. Budget: {budget}. Learning rate, layers, "
        "width and batch size had been chosen with NEGNN on some of these training and validation "
        "rows, for each target. Fine-tuned encoders learn at a third of the rate, which "
        "was not searched, and have half the epochs.",
    )


def evaluate_network(
    context: Context, name: str, network: SearchedNetwork, sets: Mapping[str, Dataset]
) -> dict[str, EvaluationResult]:
    """Five random splits of a searched network, resumed after the last finished split."""
    return context.evaluate(STRUCTURES, sets, model=network, model_name=name, splits=["random"])


def _large_networks(context: Context, target: str) -> dict[str, Any]:
    """Both networks, and NEGNN with its encoder trained too."""
    settings = LARGE_SETTINGS[target]
    epochs = 4 if context.quick else settings["max_epochs"]
    trained = networks(context, epochs)
    for network in trained.values():
        network.set_params(batch_size=settings["batch_size"])
    tuned = clone(trained["NEGNN"]).set_params(
        encoder="fine-tune", encoder_learning_rate=0.001, max_epochs=epochs // 2
    )
    return {**trained, TUNED: tuned}


def _large_run(context: Context, dataset: Dataset, name: str, network: Any) -> dict[str, Any]:
    """Network, identity and result file of one run."""
    network = clone(network).set_params(random_state=0)
    stem, identity = name.replace(", ", "-"), {"network": repr(network)}
    if "weights" in network.get_params():
        identity["weights"] = resolve_weights(network.weights).sha256
        stem += f"-{identity['weights'][:8]}"
    return {
        "network": network,
        "file": context.splits_folder / dataset.name / dataset.target / f"{stem}.json",
        "identity": {**identity, "data": dataset.sha256, "quick": context.quick},
        "settings": {
            "features": name,
            "data": dataset.provenance(),
            "max_epochs": network.max_epochs,
            "device": _device(),
        },
    }


def _device() -> str:
    """What networks are trained on, for people."""
    on_gpu = resolve_device("auto") == "cuda"
    return torch.cuda.get_device_name() if on_gpu else "one core"


def _evaluate_large(
    network: Any,
    file: Path,
    identity: dict[str, Any],
    settings: dict[str, Any],
    structures: list[StructureArrays],
    y: np.ndarray,
    tested: np.ndarray,
) -> EvaluationResult:
    """One split of one network, from its result file if it is there."""
    if file.exists() and (known := load_result(file)).identity == identity and known.splits:
        return known
    train, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    start = time.perf_counter()
    network.fit([structures[i] for i in train], y[train])
    predicted = network.predict([structures[i] for i in test])
    scores: dict[str, Any] = score_predictions(y[test], predicted)
    split = SplitScores(
        kind="official",
        seed=0,
        n_train=len(train),
        n_test=len(test),
        **scores,
        best_params={},
        cv_score=np.nan,
        seconds=time.perf_counter() - start,
    )
    result = EvaluationResult(identity, settings, [split])
    result.save(file)
    return result


def _report(results: ByTarget, printed: Printed, how: str) -> Report:
    return Report(
        results={target: as_numbers(of) for target, of in results.items()},
        tables=[_table(results, printed, metric, title) for metric, title in METRICS.items()],
        reading=[how, *(_gains(target, of) for target, of in results.items())],
    )


def _table(results: ByTarget, printed: Printed, metric: str, title: str) -> Table:
    """Errors of all networks, each after the paper's if it printed any."""
    names = list(next(iter(results.values())))
    in_print = {name for of in printed.values() for name in of if metric in of[name]}
    heads = [
        f"{name}, {where}"
        for name in names
        for where in (("paper", "here") if name in in_print else ("here",))
    ]
    rows = []
    for target, of in results.items():
        kind, *_ = of["NEGNN"].kinds
        digits = digits_for([result.mean(metric, kind) for result in of.values()])
        cells = [TITLES[target]]
        for name, result in of.items():
            if name in in_print:
                paper = printed.get(target, {}).get(name, {}).get(metric)
                cells.append("–" if paper is None else cell(*paper))
            cells.append(cell(result.mean(metric, kind), result.std(metric, kind), digits))
        rows.append(cells)
    return Table(title, ["property", *heads], rows)


def _gains(target: str, of: Mapping[str, EvaluationResult]) -> str:
    """Gain of the embeddings over raw features."""
    kind, *_ = of["NEGNN"].kinds
    said = []
    for name in of:
        if name == "CGCNN":
            continue
        gain = of["CGCNN"].values("mae", kind) - of[name].values("mae", kind)
        share = gain.mean() / of["CGCNN"].mean("mae", kind)
        spread = f" ± {gain.std(ddof=1):.2g} over seeds" if len(gain) > 1 else ""
        where = "below" if share > 0 else "above"
        said.append(f"{name} is {abs(share):.1%} {where} CGCNN ({abs(gain.mean()):.2g}{spread})")
    return f"{sentence_case(TITLES[target])}, MAE: {'; '.join(said)}."
