"""The range of a property: its error over the layers that features are taken from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from pymatgen.core import Structure
from sklearn.base import BaseEstimator

from ssatom.embeddings import resolve_weights
from ssatom.embeddings.columns import Weights
from ssatom.evaluation.kernel_ridge import KernelRidgeCV
from ssatom.evaluation.protocol import evaluate
from ssatom.evaluation.results import EvaluationResult
from ssatom.featurizers import GraphEmbeddingFeaturizer, SelfSupervisedSiteFeaturizer
from ssatom.plots import plot_layer_errors
from ssatom.warn import told_already

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOCAL_STEPS = 2
"""Environments of so many steps along the graph, or fewer, are called local."""


@dataclass(frozen=True)
class Locality:
    """Errors of a property over layer settings, and the range that follows from them.

    Attributes
    ----------
    results : dict of str to EvaluationResult
        By layer setting, such as "012", from few layers to all.
    unit : str
        Unit of the property.
    """

    results: Mapping[str, EvaluationResult]
    unit: str = ""

    def __repr__(self) -> str:
        return f"<Locality: layers {', '.join(self.results)}; {self.reading}>"

    @property
    def n_steps(self) -> int:
        """Number of steps along the graph that suffices; see `reading`."""
        return len(self._smallest()) - 1

    @property
    def reading(self) -> str:
        """The range that suffices, in a sentence.

        It is the smallest one whose error exceeds the lowest error by no more than one standard
        error of their difference over the random splits.
        """
        smallest, best = self._smallest(), self._best()
        errors = {s: self.results[s].mean() for s in (smallest, best)}
        words = {0: "a matter of composition", 1: "local: the nearest neighbours suffice"}
        steps = self.n_steps
        local = f"local: {steps} steps along the graph suffice"
        far = f"longer-ranged: it takes {steps} steps along the graph"
        verdict = words.get(steps, local if steps <= LOCAL_STEPS else far)
        text = f"{verdict} (layers {smallest}: {errors[smallest]:.3g}"
        if smallest != best:
            text += f", within one standard error of the best, layers {best}: {errors[best]:.3g}"
        return f"{text})."

    def to_frame(self) -> pd.DataFrame:
        """Errors of every layer setting.

        Returns
        -------
        DataFrame
            A row a setting; "mae" and "std" of each kind of split, in the unit of the property.
        """
        kinds = next(iter(self.results.values())).kinds
        columns = pd.MultiIndex.from_product([kinds, ("mae", "std")])
        rows = [
            [value for k in kinds for value in (r.mean("mae", k), r.std("mae", k))]
            for r in self.results.values()
        ]
        return pd.DataFrame(rows, index=pd.Index(self.results, name="layers"), columns=columns)

    def plot(self) -> Figure:
        """Errors over layer settings.

        Returns
        -------
        Figure
            As from `ssatom.plots.plot_layer_errors`.
        """
        frame = self.to_frame()
        kinds = frame.columns.unique(level=0)
        errors = {
            f"{kind} splits": {s: tuple(frame.loc[s, kind]) for s in frame.index} for kind in kinds
        }
        unit = f" ({self.unit})" if self.unit else ""
        return plot_layer_errors(errors, ylabel=f"mean absolute error{unit}")

    def _best(self) -> str:
        return min(self.results, key=lambda setting: self.results[setting].mean())

    def _smallest(self) -> str:
        best = self.results[self._best()].values()
        for setting, result in self.results.items():
            excess = result.values() - best
            error = excess.std(ddof=1) / math.sqrt(len(excess)) if len(excess) > 1 else 0.0
            if excess.mean() <= error:
                return setting
        raise AssertionError("the best setting is no worse than itself")


def measure_locality(
    rows: Sequence[Any],
    y: Any,
    *,
    weights: Weights = None,
    groups: Any = None,
    model: BaseEstimator | None = None,
    n_seeds: int = 5,
    unit: str = "",
    n_jobs: int | None = None,
    progress_bar: bool = True,
) -> Locality:
    """Measure the range of a property, by the layers that its prediction needs.

    A hidden state of layer n depends on the surroundings up to n steps along the graph. The error
    is measured with the layers 0, 01, 012 and so on. A property is local if more layers do not
    lower it, as in Figs. 10 and 11 of the paper [1]_.

    Parameters
    ----------
    rows : list of Structure, or of pairs of Structure and site index
        Crystals; pairs for a property of sites.
    y : array-like of float, shape (n_rows,)
        The property.
    weights : str, path, PretrainedEncoder or None, default=None
        As for the featurizers; None is the default set.
    groups : array-like, shape (n_rows,), default=None
        The group of each row, such as its reduced formula. With groups there are also splits in
        which no group is in both parts.
    model : regressor, default=None
        None is ``KernelRidgeCV(search="coarse-to-fine")``.
    n_seeds : int, default=5
        Number of splits of each kind.
    unit : str, default=""
        Unit of the property, for the figure.
    n_jobs : int, default=None
        Processes over splits; None is one, -1 as many as cores.
    progress_bar : bool, default=True
        Show splits done, on stderr, in a terminal or a notebook.

    Returns
    -------
    Locality
        With ``reading``, ``to_frame()`` and ``plot()``.

    Raises
    ------
    StructureError
        At the first bad row.
    ParameterError
        As from `evaluate`.

    References
    ----------
    .. [1] Kong et al., "Self-supervised representations and node embedding graph neural networks
       for accurate and multi-scale analysis of materials", Mach. Learn.: Sci. Technol. 5, 035018
       (2024), 10.48550/arXiv.2211.03563

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from ssatom import load_example_crystals, measure_locality
    >>> table = load_example_crystals().dropna(subset="bulk_modulus_GPa")[:60]
    >>> found = measure_locality(
    ...     list(table["structure"]),
    ...     table["bulk_modulus_GPa"],
    ...     model=Ridge(1.0),
    ...     unit="GPa",
    ...     progress_bar=False,
    ... )
    >>> list(found.results)
    ['0', '01', '012', '0123', '01234', '012345']
    >>> found.to_frame().shape
    (6, 2)
    """
    encoder = resolve_weights(weights)
    rows = list(rows)
    pairs = bool(rows) and not isinstance(rows[0], Structure) and isinstance(rows[0], tuple | list)
    featurizer = SelfSupervisedSiteFeaturizer if pairs else GraphEmbeddingFeaturizer
    layers = [str(layer) for layer in range(encoder.n_layers)]
    model = KernelRidgeCV(search="coarse-to-fine") if model is None else model
    results: dict[str, EvaluationResult] = {}
    for n in range(1, len(layers) + 1):
        setting = "".join(layers[:n])
        with told_already() if results else nullcontext():
            features = featurizer(range(n), weights=encoder).fit_transform(rows)
        results[setting] = evaluate(
            features,
            y,
            groups=groups,
            model=model,
            n_seeds=n_seeds,
            name=f"layers {setting}",
            weights=encoder,
            n_jobs=n_jobs,
            progress_bar=progress_bar,
        )
    return Locality(results, unit)
