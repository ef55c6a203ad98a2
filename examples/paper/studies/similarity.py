"""Likeness of two atoms over the layers of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ssatom.plots._checks import mapping
from ssatom.plots._style import BLUE, MARKERS, RED, legend_below, name_places, panels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 5.4  # in inches
_SCALES = {"single": (BLUE, "-", "single-scale"), "multi": (RED, "--", "multi-scale")}


def plot_similarity(
    similarities: Mapping[str, Mapping[str, Sequence[float]]], layers: Sequence[Any]
) -> Figure:
    """Cosine similarity of two atoms' vectors over layers: single-scale blue, multi-scale red.

    Parameters
    ----------
    similarities : mapping of mappings of array-like, shape (n_layers,)
        By crystal, which gets a marker, and "single" or "multi": cosines from -1 to 1; NaN where
        there is none.
    layers : sequence, length n_layers
        Numbers or names of the layers; of a multi-scale vector, its last layer.

    Returns
    -------
    Figure
        One panel. Independent of pyplot, so nothing needs closing.

    Raises
    ------
    ValueError
        If there is nothing to draw, a scale is unknown, or a value is no cosine.

    Examples
    --------
    >>> from ssatom.plots import plot_similarity
    >>> similarities = {"NaCl": {"single": [-0.1, 0.2, 0.9], "multi": [-0.1, 0.1, 0.5]}}
    >>> plot_similarity(similarities, layers=[0, 1, 2]).axes[0].get_ylabel()
    'cosine similarity'
    """
    crystals = mapping(similarities, "similarities")
    figure, (axes,) = panels_of([""], size=(_WIDTH, 4.2))
    lowest = 0.0
    for i, (crystal, scales) in enumerate(crystals.items()):
        for scale, values in mapping(scales, f"similarities[{crystal!r}]").items():
            cosines = _cosines(values, scale, f"similarities[{crystal!r}]", len(layers))
            lowest = min(lowest, float(np.nanmin(cosines, initial=0)))
            color, style, name = _SCALES[scale]
            axes.plot(
                range(len(layers)),
                cosines,
                color=color,
                linestyle=style,
                marker=MARKERS[i % len(MARKERS)],
                markersize=5.5,
                label=f"{crystal}, {name}",
            )
    name_places(axes, [str(layer) for layer in layers], _WIDTH)
    axes.set(xlabel="layer", ylabel="cosine similarity", ylim=(lowest - 0.05, 1.05))
    legend_below(figure)
    return figure


def _cosines(values: Sequence[float], scale: str, where: str, length: int) -> np.ndarray:
    if scale not in _SCALES:
        raise ValueError(f"{where} knows {' and '.join(map(repr, _SCALES))}, got {scale!r}")
    cosines = np.asarray(values, dtype=float)
    if cosines.shape != (length,):
        raise ValueError(
            f"{where}[{scale!r}] needs {length} values, one a layer, got shape {cosines.shape}"
        )
    wrong = np.abs(cosines) > 1 + 1e-5  # NaN is not
    if wrong.any():
        raise ValueError(
            f"{where}[{scale!r}] needs cosines from -1 to 1, got {cosines[wrong][0]} "
            f"for layer {int(np.flatnonzero(wrong)[0])}"
        )
    return cosines
