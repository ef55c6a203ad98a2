"""Features without labels compared: descriptors, this package's, and those of force fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from studies.context import Context
from studies.datasets import DATASETS, Dataset
from studies.features import MIXED, Electrons, Features, FeatureSet, JoinedFeatures
from studies.kernel_tables import ELASTIC, ENERGIES, TITLES, crystals, moments
from studies.printed import KERNEL_RIDGE, best_embedding
from studies.rivals import Rival
from studies.scores import (
    Results,
    as_numbers,
    cell,
    digits_for,
    error_table,
    mae_in,
    sentence_case,
)
from studies.study import Report, Table

PHONONS = {"matbench_phonons": ["last_phdos_peak_cm1"]}


COMPARED = ("OFM", "SM", "Magpie", "EF+RD", "SOAP", "CHGNet", "SevenNet-0")
"""Labels of the rivals; Tables II, IV and V have more descriptors."""

FORCE_FIELDS = ("CHGNet", "SevenNet-0")
"""Rivals that had labels; they get the kernels that ours get."""


@dataclass(frozen=True)
class _Comparison:
    """Features to be compared on the same rows.

    Attributes
    ----------
    sets : mapping of str to Dataset
        By target.
    rivals : sequence of Rival
        Descriptors, and embeddings of force fields.
    embedding : FeatureSet
        Ours: layers, and for crystals poolings, as the documentation recommends.
    splits : sequence of str
        Kinds of splits.
    """

    sets: Mapping[str, Dataset]
    rivals: Sequence[Rival]
    embedding: FeatureSet
    splits: Sequence[str]

    @property
    def ours(self) -> list[Features]:
        """The embedding, and for crystals the embedding beside the electrons."""
        if self.embedding.level == "site":
            return [self.embedding]
        return [self.embedding, JoinedFeatures((self.embedding, Electrons()))]

    @property
    def untrained(self) -> FeatureSet:
        """The embedding of an encoder that was not trained."""
        return replace(self.embedding, weights="random")


def run_best(context: Context) -> Report:
    """Kernel ridge on all features that need no labels, on all data sets."""
    numbers, tables, rows = {}, [], []
    for source, comparison in _comparisons(context).items():
        found = _evaluate(context, comparison)
        for target in comparison.sets:
            results = {label: of[target] for label, of in found.items()}
            numbers[target] = as_numbers(results)
            unit = DATASETS[source].targets[target]
            title = f"{sentence_case(TITLES[target])}, {mae_in(unit)}"
            printed = KERNEL_RIDGE.get(target, {})
            tables.append(error_table(title, results, printed, _legend(comparison)))
            rows += [_summary(title, kind, target, results, comparison)
                     for kind in comparison.splits]  # fmt: skip
    heads = ["property", "splits", "paper's best", "best rival", "untrained",
             "ours", "pretraining brings"]  # fmt: skip
    return Report(
        results=numbers,
        tables=[Table("Our features beside all others", heads, rows), *tables],
        reading=[
            "Ours are layers 0 to 2 of the default set (for moments all layers), of crystals "
            "pooled by mean, standard deviation, anions and cations, and beside the columns of "
            "electrons. Kernel ridge on them has Matérn kernels and a weight for each block of "
            "columns, chosen by cross-validation on training rows. On embeddings of force fields "
            "it has Matérn kernels too, on other rivals the paper's kernels and grid. All of this "
            "was chosen on rows that no random split tests. The paper's best are its embeddings, "
            "on random splits.",
            "Untrained is the embedding of an encoder of the same sizes with random weights, "
            "without electrons. The last column is how much lower the error of the trained one is: "
            "the mean over splits and its standard deviation.",
            _repeats(moments(context)),
        ],
    )


def _evaluate(context: Context, comparison: _Comparison) -> dict[str, dict]:
    """Results by label and target: descriptors by the paper's model, embeddings by ours."""
    found: dict[str, dict] = {}
    for features in (*comparison.rivals, comparison.untrained, *comparison.ours):
        paper = isinstance(features, Rival) and features.label not in FORCE_FIELDS
        model = None if paper else context.weighted_kernel_ridge()
        found[features.label] = context.evaluate(
            features,
            comparison.sets,
            model=model,
            splits=comparison.splits,
            keep_predictions=comparison.embedding.level == "site",  # as for the figures of moments
        )
    return found


def _comparisons(context: Context) -> dict[str, _Comparison]:
    """What is compared, by data set."""
    joined = context.joined_layers
    layers = "012" if "012" in joined else joined[-1]
    rivals = [one for one in context.rivals if one.label in COMPARED]
    found = {}
    for source, targets in {**ENERGIES, **ELASTIC, **PHONONS}.items():
        found[source] = _Comparison(
            crystals(context, source, targets, rivals),
            rivals,
            FeatureSet(layers, pooling=MIXED),
            ("official",) if source in PHONONS else ("random", "grouped"),
        )
    found["paper_magmom"] = _Comparison(
        {"magmom": moments(context)},
        [one for one in context.site_rivals if one.label in COMPARED],
        FeatureSet(joined[-1], "site"),
        ("random", "grouped"),
    )
    return found


def _legend(comparison: _Comparison) -> dict[str, str]:
    described = {one.label: one.description for one in comparison.rivals}
    described[comparison.untrained.label] = "the same encoder, untrained"
    pooling = ", ".join(comparison.embedding.pooling)
    ours = "all layers" if comparison.embedding.level == "site" else f"layers 0 to 2; {pooling}"
    described |= {one.label: ours for one in comparison.ours[:1]}
    return described | {one.label: f"{ours}; and electrons" for one in comparison.ours[1:]}


def _summary(
    title: str, kind: str, target: str, results: Results, comparison: _Comparison
) -> list[str]:
    """One line: the paper's best, the best rival, the untrained encoder and ours."""
    ours = results[comparison.ours[-1].label]
    trained, untrained = (
        results[one.label] for one in (comparison.embedding, comparison.untrained)
    )
    rivals = [one.label for one in comparison.rivals]
    rival = min(rivals, key=lambda label: results[label].mean("mae", kind))
    digits = digits_for([ours.mean("mae", kind)])
    gain = untrained.values("mae", kind) - trained.values("mae", kind)
    spread = gain.std(ddof=1) if len(gain) > 1 else None
    paper = best_embedding(target) if kind == "random" else None
    printed = "–" if paper is None else cell(*KERNEL_RIDGE[target][paper]["mae"]) + f" ({paper})"
    shown = (rival, comparison.untrained.label, comparison.ours[-1].label)
    errors = [
        cell(results[n].mean("mae", kind), results[n].std("mae", kind), digits) for n in shown
    ]
    return [
        title,
        kind,
        printed,
        f"{errors[0]} ({rival})",
        *errors[1:],
        cell(gain.mean(), spread, digits),
    ]


def _repeats(dataset: Dataset) -> str:
    """How well moments of the same element in the same compound predict each other."""
    kinds: dict[tuple[str, int], list[int]] = {}
    for row, (structure, site) in enumerate(dataset.rows):
        key = (structure.reduced_formula, structure[site].specie.Z)
        kinds.setdefault(key, []).append(row)
    errors = [
        abs(np.median(np.delete(dataset.y[rows], i)) - dataset.y[row])
        for rows in kinds.values()
        if len(rows) > 1
        for i, row in enumerate(rows)
    ]
    if not errors:
        return "No element has two moments in one compound."
    return (
        f"{len(errors):,} of the {len(dataset):,} moments have others of the same element in the "
        f"same compound, from other sites or other experiments. The median of these others misses "
        f"them by {np.mean(errors):.3f} μB on average: errors of this size are in the labels."
    )
