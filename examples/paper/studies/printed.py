"""The numbers printed in the paper's tables: arXiv:2211.03563, 10.48550/arXiv.2211.03563."""

from __future__ import annotations

import csv
from pathlib import Path

Scores = dict[str, tuple[float, float | None]]
"""Mean and standard deviation (None where it is not printed) by metric."""

Printed = dict[str, dict[str, Scores]]
"""Scores by target, and by features or network."""

_METRICS = ("mae", "mse", "r2", "pcc")


def _rows() -> list[dict[str, str]]:
    with Path(__file__).with_name("printed.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _scores(row: dict[str, str]) -> Scores:
    return {
        metric: (float(row[metric]), float(std) if (std := row[f"{metric}_std"]) else None)
        for metric in _METRICS
        if row[metric]
    }


def _printed(*tables: str) -> Printed:
    found: Printed = {}
    for row in _rows():
        if row["table"] in tables:
            found.setdefault(row["target"], {})[row["name"]] = _scores(row)
    return found


KERNEL_RIDGE = _printed("II", "III", "IV", "V")
"""Tables II to V."""

NETWORKS = _printed("VI")
"""Table VI."""

LARGE_NETWORKS = _printed("VII")
"""Table VII."""

_EMBEDDINGS = {(row["target"], row["name"]) for row in _rows() if row["kind"] == "embedding"}


def best_embedding(target: str) -> str | None:
    """The paper's embedding with the lowest error of a property; None if it prints none."""
    errors = {
        name: scores["mae"][0]
        for name, scores in KERNEL_RIDGE.get(target, {}).items()
        if (target, name) in _EMBEDDINGS
    }
    return min(errors, key=errors.__getitem__, default=None)
