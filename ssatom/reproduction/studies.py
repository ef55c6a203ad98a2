"""All studies by name."""

from __future__ import annotations

from ssatom.reproduction import kernel_tables
from ssatom.reproduction.study import Study

_MAGMOM = ("paper_magmom.jsonl.gz",)
_ELASTIC = ("paper_elastic.jsonl.gz",)
_ENERGIES = ("paper_formation.jsonl.gz", "paper_hse_gap.jsonl.gz")

_ALL = (
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
        "table4",
        "Table IV: formation energies and HSE band gaps",
        kernel_tables.run_table4,
        _ENERGIES,
    ),
    Study("table5", "Table V: elastic properties", kernel_tables.run_table5, _ELASTIC),
)

STUDIES = {study.name: study for study in _ALL}
"""By the name that `reproduce` takes."""
