"""Features without labels compared; layers and pooling of ours are selected on training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ssatom.evaluation import EvaluationResult, SplitScores
from studies.context import Context
from studies.datasets import DATASETS, Dataset
from studies.features import (
    IONS,
    POOLINGS,
    Features,
    FeatureSet,
    JoinedFeatures,
    find,
)
from studies.kernel_tables import ELASTIC, ENERGIES, TITLES, crystals, moments
from studies.printed import KERNEL_RIDGE, best_embedding
from studies.rivals import SITE_RIVALS, STRUCTURE_RIVALS, Rival
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

SELECTED, SELECTED_UNTRAINED = "selected", "selected, untrained"
"""Labels of the rows whose layers and pooling were selected by cross-validation."""

PHONONS = {"matbench_phonons": ["last_phdos_peak_cm1"]}


@dataclass(frozen=True)
class _Comparison:
    """Features to be compared on the same rows.

    Attributes
    ----------
    sets : mapping of str to Dataset
        By target.
    rivals : sequence of Rival
        Descriptors.
    embeddings : sequence of FeatureSet
        Layers and poolings to select from.
    joined : JoinedFeatures
        An embedding beside a descriptor, for the table alone.
    splits : sequence of str
        Kinds of splits.
    keep_predictions : bool
        As the figures of the moments need them.
    """

    sets: Mapping[str, Dataset]
    rivals: Sequence[Rival]
    embeddings: Sequence[FeatureSet]
    joined: JoinedFeatures
    splits: Sequence[str]
    keep_predictions: bool = False

    @property
    def untrained(self) -> list[FeatureSet]:
        """The same embeddings of an encoder that was not trained."""
        return [replace(one, weights="random") for one in self.embeddings]

    @property
    def all(self) -> list[Features]:
        """In the order of the table."""
        return [*self.rivals, *self.untrained, *self.embeddings, self.joined]


def run_best(context: Context) -> Report:
    """Kernel ridge on all features that need no labels, on all data sets."""
    numbers, tables, rows = {}, [], []
    for source, comparison in _comparisons(context).items():
        found = {
            one.label: context.evaluate(
                one,
                comparison.sets,
                splits=comparison.splits,
                keep_predictions=comparison.keep_predictions,
            )
            for one in comparison.all
        }
        for target in comparison.sets:
            results = {label: of[target] for label, of in found.items()}
            for label, among in (
                (SELECTED_UNTRAINED, comparison.untrained),
                (SELECTED, comparison.embeddings),
            ):
                results[label] = select({one.label: found[one.label][target] for one in among})
            numbers[target] = as_numbers(results)
            unit = DATASETS[source].targets[target]
            title = f"{sentence_case(TITLES[target])}, {mae_in(unit)}"
            printed = KERNEL_RIDGE.get(target, {})
            tables.append(error_table(title, results, printed, _legend(comparison)))
            rivals = (*(one.label for one in comparison.rivals), SELECTED_UNTRAINED)
            rows += [_summary(title, kind, target, results, rivals) for kind in comparison.splits]
    heads = ["property", "splits", "paper's best", "best rival", "ours", "ours is lower by"]
    summary = Table("Layers and pooling selected on training rows", heads, rows)
    return Report(
        results=numbers,
        tables=[summary, *tables],
        reading=[
            "Rivals are descriptors, and an encoder of the same sizes with random weights. For "
            "each split, layers and pooling of both encoders are those with the lowest error in "
            "ten-fold cross-validation on its training part; test rows are not used for the "
            "selection. The paper's best are its embeddings, on random splits. The last column is "
            "the mean over splits of the difference to the best rival, and its standard deviation."
        ],
    )


def select(results: Results) -> EvaluationResult:
    """For each split the features with the best cross-validation on its training rows.

    Parameters
    ----------
    results : mapping of str to EvaluationResult
        By label; of models that have a `cv_score`, on the same splits.

    Returns
    -------
    EvaluationResult
        With the label among the `best_params`, and the time of all.
    """
    splits = []
    for of_split in zip(*(result.splits for result in results.values()), strict=True):
        by_label: dict[str, SplitScores] = dict(zip(results, of_split, strict=True))
        best = max(by_label, key=lambda label: by_label[label].cv_score)
        splits.append(
            replace(
                by_label[best],
                best_params={"features": best, **by_label[best].best_params},
                seconds=sum(split.seconds for split in of_split),
            )
        )
    return EvaluationResult({"selected_from": list(results)}, splits=splits)


def _comparisons(context: Context) -> dict[str, _Comparison]:
    """What is compared, by data set."""
    joined = context.joined_layers
    layers = list(dict.fromkeys([*(n for n in joined if n == "012"), joined[-1]]))
    sites = [FeatureSet(n, "site") for n in joined]
    found = {
        "paper_magmom": _Comparison(
            {"magmom": moments(context)},
            context.site_rivals,
            sites,
            JoinedFeatures((sites[0], find(SITE_RIVALS, "EF+RD"))),
            ("random", "grouped"),
            keep_predictions=True,
        )
    }
    best = FeatureSet(layers[0], pooling=IONS)
    for source, targets in {**ENERGIES, **ELASTIC, **PHONONS}.items():
        found[source] = _Comparison(
            crystals(context, source, targets),
            context.rivals,
            [FeatureSet(n, pooling=pooling) for n in layers for pooling in POOLINGS],
            JoinedFeatures((best, find(STRUCTURE_RIVALS, "EF+RD"))),
            ("official",) if source in PHONONS else ("random", "grouped"),
        )
    return found


def _legend(comparison: _Comparison) -> dict[str, str]:
    described: list[Rival | FeatureSet] = [*comparison.rivals, *comparison.untrained]
    described += comparison.embeddings
    return {one.label: one.description for one in described} | {
        comparison.joined.label: "both side by side; not selected from",
        SELECTED: "the embeddings with the best cross-validation on each training part",
        SELECTED_UNTRAINED: "the same of an encoder of the same sizes with random weights",
    }


def _summary(
    title: str, kind: str, target: str, results: Results, rivals: Sequence[str]
) -> list[str]:
    """One line: the paper's best, the best rival, and ours compared with it."""
    ours = results[SELECTED]
    rival = min(rivals, key=lambda label: results[label].mean("mae", kind))
    digits = digits_for([ours.mean("mae", kind)])
    gain = results[rival].values("mae", kind) - ours.values("mae", kind)
    spread = gain.std(ddof=1) if len(gain) > 1 else None
    paper = best_embedding(target) if kind == "random" else None
    printed = "–" if paper is None else cell(*KERNEL_RIDGE[target][paper]["mae"]) + f" ({paper})"
    return [
        title,
        kind,
        printed,
        f"{cell(results[rival].mean('mae', kind), results[rival].std('mae', kind), digits)} "
        f"({rival})",
        cell(ours.mean("mae", kind), ours.std("mae", kind), digits),
        cell(gain.mean(), spread, digits),
    ]
