"""The proxy protocol: what recipes of pretraining are compared by, on training rows alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.preprocessing import StandardScaler

from ssatom.embeddings import graph_embeddings
from ssatom.evaluation import Dataset, KernelRidgeCV, split_rows
from ssatom.featurizers import SelfSupervisedSiteFeaturizer
from ssatom.reproduction.context import Context
from ssatom.weights import PretrainedEncoder

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
"""Random splits of the tables, whose test rows are left out."""

_SAME_TARGETS = ("paper_formation", "paper_hse_gap")  # as mp2018_36k's, or close to them

Rows = Mapping[str, Mapping[str, Dataset]]
"""Data by name and target; all targets of one name on the same rows."""


def proxy_rows(context: Context) -> dict[str, dict[str, Dataset]]:
    """Rows of all sets that no random split of a table tests.

    Of the paper's sets those that are training rows under all five seeds; of `mp2018_36k` a draw
    of training rows whose formula is in neither of the paper's sets of energies; `dielectric` is
    in no table. Splits by formula test some of them. Phonons are left out, since matbench's
    folds test every row. Crystals of `mp2018_36k` may be in the corpus, its test part excepted.
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
            assert dataset.parts is not None
            free = (dataset.parts == "train") & ~np.isin(dataset.groups, list(elsewhere))
        elif name.startswith("paper"):
            for seed in range(N_SEEDS):
                free[split_rows("random", seed, len(dataset))[1]] = False
        chosen = np.random.default_rng(0).permutation(np.flatnonzero(free))[:N_ROWS]
        rows[name] = {target: data.select(np.sort(chosen)) for target, data in sets.items()}
    return rows


def proxy_errors(
    rows: Rows, weights: PretrainedEncoder, layers: str, pooling: tuple[str, ...]
) -> dict[str, float]:
    """Mean absolute error of each target, by cross-validated kernel ridge.

    Parameters
    ----------
    rows : mapping
        From `proxy_rows`.
    weights : PretrainedEncoder
        To be judged.
    layers : str
        Layers joined.
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
        model = KernelRidgeCV(search="coarse-to-fine")
        models = model.fit_columns(StandardScaler().fit_transform(X), Y)
        for target, fitted in zip(sets, models, strict=True):
            errors[f"{name} {target}"] = -fitted.best_score_
    return errors


def relative_error(errors: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """Geometric mean over the targets of errors in units of others'.

    Examples
    --------
    >>> from ssatom.reproduction.proxy import relative_error
    >>> round(relative_error({"a": 0.5, "b": 2.0}, {"a": 1.0, "b": 1.0}), 6)
    1.0
    """
    ratios = [np.log(errors[name] / reference[name]) for name in reference]
    return float(np.exp(np.mean(ratios)))
