"""The last phonon peak on matbench's own folds, beside the public leaderboard."""

from __future__ import annotations

from ssatom.reproduction.context import Context
from ssatom.reproduction.features import DESCRIPTORS
from ssatom.reproduction.kernel_tables import reading
from ssatom.reproduction.scores import as_numbers, error_table
from ssatom.reproduction.study import Report, Table

TARGET = "last_phdos_peak_cm1"

LEADERBOARD = {
    "random forest": 67.6,
    "CGCNN": 57.8,
    "MODNet": 34.3,
    "ALIGNN": 29.5,
    "DenseGNN": 24.5,
}
"""MAE of task matbench_phonons, 1/cm: Dunn et al., 10.1038/s41524-020-00406-3, and its site."""


def run_phonons(context: Context) -> Report:
    """Kernel ridge on embeddings and descriptors, official folds."""
    dataset = context.dataset("matbench_phonons")
    descriptors = context.descriptors
    dataset = context.common(dataset, descriptors)
    untrained = f"random-GE{context.joined_layers[-1]}"
    layers = (*context.single_layers, *context.joined_layers)
    names = [*descriptors, untrained, *(f"GE{n}" for n in layers)]
    results = {
        name: context.evaluate(name, {TARGET: dataset}, splits=["official"])[TARGET]
        for name in names
    }
    notes = {name: d.description for name, d in DESCRIPTORS.items()}
    notes[untrained] = "the same encoder, untrained"
    board = [[name, f"{error:.1f}"] for name, error in LEADERBOARD.items()]
    return Report(
        results={TARGET: as_numbers(results)},
        tables=[
            error_table("Last phonon peak, MAE in 1/cm", results, {}, notes),
            Table("Leaderboard of matbench_phonons, MAE in 1/cm", ["model", "MAE"], board),
        ],
        reading=[reading(TARGET, results)],
    )
