"""Steps from cards of estimators of older formats to today's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _add_residual(card: dict[str, Any]) -> dict[str, Any]:
    """1 to 2: tuned encoders may be residual, which those of format 1 are not."""
    return _with_encoder_setting(card, 2, {"residual": False})


def _add_radial_units(card: dict[str, Any]) -> dict[str, Any]:
    """2 to 3: states of tuned encoders may end in the radial distribution."""
    return _with_encoder_setting(card, 3, {"radial_units": 0})


def _add_directions(card: dict[str, Any]) -> dict[str, Any]:
    """3 to 4: tuned encoders may have directional units."""
    return _with_encoder_setting(card, 4, {"directional_channels": 0})


def _add_std_scale(card: dict[str, Any]) -> dict[str, Any]:
    """4 to 5: standard deviations of ensembles may be scaled."""
    fitted = dict(card["fitted"])
    if "scaler" in fitted:
        fitted["std_scale"] = [1.0] * len(fitted["scaler"]["mean"])
    return {**card, "format_version": 5, "fitted": fitted}


def _with_encoder_setting(
    card: dict[str, Any], version: int, setting: dict[str, Any]
) -> dict[str, Any]:
    fitted = dict(card["fitted"])
    if fitted.get("tuned_encoder"):
        fitted["tuned_encoder"] = {**fitted["tuned_encoder"], **setting}
    return {**card, "format_version": version, "fitted": fitted}


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _add_residual,
    2: _add_radial_units,
    3: _add_directions,
    4: _add_std_scale,
}
"""One named step from each older version to the next, by the version it starts from."""
