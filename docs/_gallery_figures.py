"""Figures of `ssatom.plots` in the gallery, which pyplot knows nothing of."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

_shown: WeakSet[Figure] = WeakSet()


def scrape_figures(block: Any, variables: dict[str, Any], settings: dict[str, Any]) -> str:  # noqa: ARG001
    """Save the figures that a block of an example has drawn, and show them below it."""
    paths = []
    for value in variables["example_globals"].values():
        if isinstance(value, Figure) and not hasattr(value, "number") and value not in _shown:
            _shown.add(value)
            paths.append(next(variables["image_path_iterator"]))
            value.savefig(paths[-1], dpi=120)
    return figure_rst(paths, settings["src_dir"])
