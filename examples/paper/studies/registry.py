"""All studies by name."""

from __future__ import annotations

from studies import (
    ablation,
    best_features,
    kernel_tables,
    layer_figures,
    learning,
    magnetic_table,
    moment_figures,
    networks,
    phonons,
    representations,
)
from studies.study import Study

_MAGMOM = ("paper_magmom.jsonl.gz",)
_ELASTIC = ("paper_elastic.jsonl.gz",)
_ENERGIES = ("paper_formation.jsonl.gz", "paper_hse_gap.jsonl.gz")
_PHONONS = ("matbench_phonons.jsonl.gz",)

_ALL = (
    Study("fig3", "Fig. 3: learning curves of the weights", representations.run_fig3),
    Study("fig4", "Fig. 4: similarity of two atoms over layers", representations.run_fig4),
    Study(
        "magmom-dataset",
        "The table of magnetic sites, from MAGNDATA's files",
        magnetic_table.run,
        ("magndata_mcif.tar.xz", *_MAGMOM),
    ),
    Study(
        "table2",
        "Table II: magnetic moments from single layers and descriptors",
        kernel_tables.run_table2,
        _MAGMOM,
    ),
    Study(
        "table3",
        "Table III: magnetic moments from several layers",
        kernel_tables.run_table3,
        _MAGMOM,
    ),
    Study(
        "fig5",
        "Fig. 5: magnetic moments by kernel ridge, support vectors and random forest",
        moment_figures.run_fig5,
        _MAGMOM,
    ),
    Study(
        "fig6",
        "Fig. 6: magnetic moments from pretrained and random weights",
        moment_figures.run_fig6,
        _MAGMOM,
    ),
    Study("fig7", "Fig. 7: maps of magnetic sites", representations.run_fig7, _MAGMOM),
    Study(
        "fig8",
        "Fig. 8: magnetic moments of transition metals and lanthanides",
        moment_figures.run_fig8,
        _MAGMOM,
    ),
    Study(
        "fig9",
        "Fig. 9: predicted and experimental magnetic moments",
        moment_figures.run_fig9,
        _MAGMOM,
    ),
    Study(
        "table4",
        "Table IV: formation energies and HSE band gaps",
        kernel_tables.run_table4,
        _ENERGIES,
    ),
    Study(
        "fig10",
        "Fig. 10: formation energies and HSE band gaps over layers",
        layer_figures.run_fig10,
        _ENERGIES,
    ),
    Study("table5", "Table V: elastic properties", kernel_tables.run_table5, _ELASTIC),
    Study("fig11", "Fig. 11: elastic properties over layers", layer_figures.run_fig11, _ELASTIC),
    Study(
        "locality",
        "The range of each property",
        layer_figures.run_locality,
        (*_MAGMOM, *_ENERGIES, *_ELASTIC),
    ),
    Study("phonons", "Phonons on matbench's own folds", phonons.run_phonons, _PHONONS),
    Study(
        "best",
        "Our features beside descriptors, untrained encoders and force fields",
        best_features.run_best,
        (*_MAGMOM, *_ENERGIES, *_ELASTIC, *_PHONONS),
    ),
    Study(
        "table6",
        "Table VI: CGCNN and NEGNN on a few thousand crystals",
        networks.run_table6,
        (*_ENERGIES, *_ELASTIC),
    ),
    Study(
        "learning-curve",
        "How many crystals each model needs",
        learning.run_learning_curve,
        ("paper_formation.jsonl.gz", *_ELASTIC),
    ),
    Study(
        "calibration",
        "Spread and errors of an ensemble",
        learning.run_calibration,
        ("paper_formation.jsonl.gz",),
    ),
    Study(
        "table7",
        "Table VII: CGCNN and NEGNN on tens of thousands of crystals",
        networks.run_table7,
        ("mp2018_36k.jsonl.gz",),
    ),
    Study(
        "ablation",
        "Ablation of the pretraining recipe",
        ablation.run_ablation,
        (
            ablation.CORPUS,
            "mp2018_36k.jsonl.gz",
            "dielectric.jsonl.gz",
            *_MAGMOM,
            *_ENERGIES,
            *_ELASTIC,
        ),
    ),
)

STUDIES = {study.name: study for study in _ALL}
"""By name, in the order in which "all" runs them."""
