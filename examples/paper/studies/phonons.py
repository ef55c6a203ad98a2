"""The last phonon peak on matbench's own folds, beside the public leaderboard."""

from __future__ import annotations

from studies.context import Context
from studies.features import Features, FeatureSet
from studies.kernel_tables import crystal_layers, legend, reading
from studies.scores import as_numbers, error_table
from studies.study import Report, Table

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
    dataset = context.common(context.dataset("matbench_phonons"), context.rivals)
    untrained = FeatureSet(context.joined_layers[-1], weights="random")
    features: list[Features] = [*context.rivals, untrained, *crystal_layers(context)]
    results = {
        one.label: context.evaluate(one, {TARGET: dataset}, splits=["official"])[TARGET]
        for one in features
    }
    board = [[name, f"{error:.1f}"] for name, error in LEADERBOARD.items()]
    return Report(
        results={TARGET: as_numbers(results)},
        tables=[
            error_table("Last phonon peak, MAE in 1/cm", results, {}, legend(features)),
            Table("Leaderboard of matbench_phonons, MAE in 1/cm", ["model", "MAE"], board),
        ],
        reading=[reading(TARGET, features, results)],
    )
