"""Validation errors that recipes of pretraining are compared by; only training rows are used."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.preprocessing import StandardScaler

from ssatom import KernelRidgeCV, SelfSupervisedSiteFeaturizer, graph_embeddings
from ssatom.evaluation import split_rows
from ssatom.weights import PretrainedEncoder
from studies.context import Context
from studies.datasets import Dataset

SETS = {
    "mp2018_36k": ("formation_energy_per_atom", "band_gap"),
    "paper_elastic": ("log10_K", "log10_G", "poisson"),
    "dielectric": ("log10_poly_total",),
    "paper_magmom": ("magmom",),
}
"""Targets by data set."""

N_ROWS = 2000
"""Rows of one data set at most."""

N_SEEDS = 5
"""Random splits of the tables; their test rows are left out."""

_TESTED = ("paper_elastic", "paper_magmom")
"""Sets of which random splits of the tables test some rows."""

_SAME_TARGETS = ("paper_formation", "paper_hse_gap")
"""Tested sets whose targets are those of mp2018_36k, or similar ones."""

Rows = Mapping[str, Mapping[str, Dataset]]
"""Data by name and target; all targets of one name on the same rows."""


def validation_rows(context: Context) -> dict[str, dict[str, Dataset]]:
    """Rows of all sets that no random split of a table tests.

    Of the paper's sets, the rows that are training rows for all five seeds; of `mp2018_36k`, a
    random draw of training rows whose formula is in neither of the paper's sets of energies;
    `dielectric` is in no table. Splits by formula test some of these rows. Phonons are left out,
    since matbench's folds test every row. Crystals of `mp2018_36k` may be in the corpus, except
    those of its test part.
    """
    elsewhere = {
        formula for name in _SAME_TARGETS for formula in context.dataset(name).groups.tolist()
    }
    rows = {}
    for name, targets in SETS.items():
        sets = context.datasets(name, targets)
        dataset = next(iter(sets.values()))
        free = np.ones(len(dataset), dtype=bool)
        if name == "mp2018_36k":
            assert dataset.folds is not None
            free = (dataset.folds == "train") & ~np.isin(dataset.groups, list(elsewhere))
        elif name in _TESTED:
            for seed in range(N_SEEDS):
                free[split_rows("random", seed, len(dataset))[1]] = False
        drawn = np.random.default_rng(0).permutation(np.flatnonzero(free))[:N_ROWS]
        rows[name] = {target: data.select(np.sort(drawn)) for target, data in sets.items()}
    return rows


def validation_errors(
    rows: Rows, weights: PretrainedEncoder, layers: str, pooling: tuple[str, ...]
) -> dict[str, float]:
    """Mean absolute error of each target, by cross-validated kernel ridge.

    Parameters
    ----------
    rows : mapping
        From `validation_rows`.
    weights : PretrainedEncoder
        To be evaluated.
    layers : str
        Layers, such as "012".
    pooling : tuple of str
        For targets of crystals.

    Returns
    -------
    dict of float
        By data set and target, such as "paper_elastic log10_K": the best error of the grid over
        ten folds; features are scaled over all rows at once.
    """
    errors = {}
    for name, sets in rows.items():
        dataset = next(iter(sets.values()))
        if dataset.sites is None:
            X = graph_embeddings(dataset.structures, layers, weights, pooling=pooling)
        else:
            X = SelfSupervisedSiteFeaturizer(layers, weights).fit_transform(dataset.rows)
        Y = np.column_stack([data.y for data in sets.values()])
        model = KernelRidgeCV(("laplacian", "rbf"), blocks=None, search="coarse-to-fine")
        models = model.fit_columns(StandardScaler().fit_transform(X), Y)
        for target, fitted in zip(sets, models, strict=True):
            errors[f"{name} {target}"] = -fitted.best_score_
    return errors


def relative_error(errors: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """Geometric mean over the targets of the ratio of an error to the reference's."""
    ratios = [np.log(errors[name] / reference[name]) for name in reference]
    return float(np.exp(np.mean(ratios)))
