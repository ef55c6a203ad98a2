"""What the figures refuse, and what they say about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ssatom.plots import (
    Parity,
    plot_calibration,
    plot_layer_errors,
    plot_map,
    plot_parity,
    plot_sites,
)

ERRORS = {"random": {"GE0": (0.3, 0.01), "GE01": (0.1, 0.02)}}


@pytest.mark.parametrize(
    ("errors", "options", "message"),
    [
        ([1, 2], {}, "errors needs a mapping, got list"),
        ({}, {}, "errors is empty"),
        ({"a": {}}, {}, r"errors\['a'\] is empty"),
        ({"a": [0.1]}, {}, r"errors\['a'\] needs a mapping, got list"),
        ({"a": {"GE0": np.inf}}, {}, "needs a finite mean"),
        ({"p": ERRORS, "b": {1: 1.0}}, {}, r"\['b'\]\[1\] needs a mapping, got float"),
        ({"a": {"GE0": np.nan}}, {}, r"errors\['a'\] has no value that is a number"),
        ({"a": {"GE0": "low"}}, {}, r"errors\['a'\]\['GE0'\] needs a finite mean.*got 'low'"),
        ({"a": {"GE0": (1, -1)}}, {}, r"deviation from 0 up; got \(1, -1\)"),
        ({"p": {"a": {"GE0": (1, 2, 3)}}}, {}, r"errors\['p'\]\['a'\]\['GE0'\]"),
        (ERRORS, {"references": {"p": {"OFM": 1}}}, r"given for \['p'\], but the panels are"),
        (ERRORS, {"references": {"OFM": np.nan}}, "reference 'OFM'=nan must be a finite number"),
        ({"p": ERRORS}, {"ylabel": {"q": "eV"}}, r"each of \['p'\], got \['q'\]"),
    ],
)
def test_layers_refuse(errors: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_layer_errors(errors, **{"ylabel": "MAE", **options})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ((1, 2), r"models\['m'\] needs true values, predictions and standard deviations"),
        (([1.0], [1.0, 2.0], [1.0]), r"predictions of models\['m'\] needs 1 entries.*got 2"),
        (([1.0, 2], [1.0, 2], [1.0, 0]), "that of row 1 is 0.0"),
        (([1.0, np.nan], [1.0, 2], [1.0, 1]), r"entry 1 is nan \(1 such of 2\)"),
        (("ab", [1.0], [1.0]), "needs numbers in one dimension, got str"),
    ],
)
def test_calibration_refuse(model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_calibration({"m": model}, unit="")


@pytest.mark.parametrize(
    ("panel", "message"),
    [
        ([[1.0]], "needs a Parity or a pair"),
        (([1.0, 2], [1.0]), r"predictions of panels\['p'\] needs 2 entries"),
        (([1.0], [np.inf]), "entry 0 is inf"),
        (([], []), "needs numbers in one dimension, got list"),
        (([[1.0]], [1.0]), "needs numbers in one dimension, got list"),
        (Parity([1.0], [1.0], before=[1.0, 2.0]), "before of .* needs 1 entries"),
        (Parity([1.0], [1.0], labels={1: "x"}), r"name rows \[1\]; there are rows 0 to 0"),
        (Parity([1.0], [1.0], std=[-1]), "from 0 up, got -1.0"),
        (
            Parity([1.0], [1.0], groups=["a", "b"]),
            r"has shape \(2,\); allowed is one a row",
        ),
    ],
)
def test_parity_refuse(panel: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_parity({"p": panel}, unit="eV")
    with pytest.raises(ValueError, match=r"bounds need to be positive errors, got \(0,\)"):
        plot_parity({"p": ([1.0], [1.0])}, unit="eV", bounds=(0,))


@pytest.mark.parametrize(
    ("points", "values", "message"),
    [
        ([1.0, 2.0], ["a", "b"], r"points needs 2 numbers a row, got shape \(2,\)"),
        (np.empty((0, 2)), [], "needs numbers in one dimension"),
        ([[1.0, np.nan]], ["a"], r"points\[:, 1\] needs finite numbers; entry 0 is nan"),
        ([[1.0, 2.0]], ["a", "b"], r"values has shape \(2,\); allowed is one a row"),
        ([[1.0, 2.0]], [np.nan], "values, where they are finite, needs numbers"),
    ],
)
def test_map_refuse(points: Any, values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_map(points, values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 0]], ["H"], [1.0]), r"coords needs 3 numbers a row, got shape \(1, 2\)"),
        (([[0, 0, 0]], ["H", "H"], [1.0]), r"elements has shape \(2,\)"),
        (([[0, 0, 0]], ["H"], [np.inf]), "values needs finite numbers; entry 0 is inf"),
    ],
)
def test_sites_refuse(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_sites(*arguments)
    with pytest.raises(ValueError, match="cell needs 3 numbers a row"):
        plot_sites([[0, 0, 0]], ["H"], [1.0], cell=[1, 2, 3])
