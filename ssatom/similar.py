"""Crystals that are alike: an index of embeddings that is searched, saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import ssatom
from ssatom.embeddings import FeatureColumns, parse_pooling
from ssatom.embeddings.nearest import NearestRows
from ssatom.exceptions import ParameterError, StructureError, WeightsError, unwrap
from ssatom.files import CardFormat, check_name, filling, write_json
from ssatom.structures import StructureLike, formula_of, iter_structures
from ssatom.validation import column, whole_number

__all__ = ["SimilarCrystals"]

CARD = "index.json"
_TENSORS, _NAMES = "embeddings.safetensors", "crystals.json"
FORMAT = CardFormat(
    1,
    {},
    noun="an index of crystals",
    writers="`ssatom index` or SimilarCrystals.save",
    remedy="make the index again, or copy the folder again",
    kind="ssatom index",
)
_ROUNDING = 1e-5  # of the size of the embeddings: a smaller spread of a column is rounding


class SimilarCrystals(BaseEstimator):
    """The crystals of a collection that are most like a given one, by their embeddings.

    The distance of two crystals is the root mean square difference of their embeddings, each
    column in units of its standard deviation over the collection: 0 for equal crystals, about 1.4
    for two drawn at random. All distances are computed, so none of the nearest is missed.

    Parameters
    ----------
    layers : str of digits, int or sequence of int, default="012"
        Layers that are compared; 0 alone compares compositions.
    weights : str, path, PretrainedEncoder or None, default=None
        Name of a shipped set, a folder, or None for the default set.
    pooling : str or tuple of str, default="mean"
        Names of `ssatom.embeddings.POOLINGS`.
    device : str, default="auto"
        "auto" (a GPU if there is one), "cpu" or "cuda", for the embeddings.

    Attributes
    ----------
    ids_ : list
        Names of the crystals.
    formulas_ : list of str
        Their reduced formulas.
    embeddings_ : ndarray of float32, shape (n_crystals, n_columns)
        Scaled so that their Euclidean distances are those above.

    Examples
    --------
    >>> from ssatom import SimilarCrystals, load_example_crystals
    >>> crystals = load_example_crystals().set_index("name")["structure"]
    >>> index = SimilarCrystals().fit(crystals, ids=crystals.index)
    >>> found = index.query([crystals["halite"]], n_neighbors=2)
    >>> found["id"].tolist(), found["formula"].tolist()
    (['halite', 'sodium bromide'], ['NaCl', 'NaBr'])
    """

    def __init__(
        self,
        layers: str | int | Sequence[int] = "012",
        weights: Any = None,
        *,
        pooling: str | Sequence[str] = "mean",
        device: str = "auto",
    ) -> None:
        self.layers = layers
        self.weights = weights
        self.pooling = pooling
        self.device = device

    def fit(self, structures: Iterable[StructureLike], ids: Sequence[Any] | None = None) -> Any:
        """Make the index of a collection.

        Parameters
        ----------
        structures : iterable of Structure, Atoms or path
            The collection; a generator is streamed.
        ids : sequence of str or int, default=None
            Names of the crystals; None counts them from 0.

        Returns
        -------
        self

        Raises
        ------
        StructureError, ParameterError, WeightsError
            At the first row that is no usable structure; if a parameter is not allowed, `ids` are
            not one a crystal, or there is no crystal.
        """
        formulas: list[str] = []

        def noted() -> Iterator[StructureLike]:
            for structure in map(unwrap, iter_structures(structures)):
                formulas.append(formula_of(structure))
                yield structure

        columns = self._columns()
        rows = list(map(unwrap, columns.embed(noted(), device=self.device)))
        return self._fit_rows(rows, formulas, range(len(rows)) if ids is None else ids, columns)

    def query(self, structures: Iterable[StructureLike], n_neighbors: int = 5) -> pd.DataFrame:
        """Find the nearest crystals of the index.

        Parameters
        ----------
        structures : iterable of Structure, Atoms or path
            A crystal that is in the index finds itself first.
        n_neighbors : int, default=5
            How many for each, at most as many as the index has.

        Returns
        -------
        DataFrame
            `n_neighbors` rows for each structure: "query" (its place in the list), "rank" (from
            1), "id", "formula" and "distance".

        Raises
        ------
        StructureError, ParameterError
            At the first row that is no usable structure, or if `n_neighbors` is not allowed.
        """
        check_is_fitted(self, "embeddings_")
        return self._nearest(list(map(unwrap, self._embed(structures))), n_neighbors)

    def save(self, folder: str | Path) -> Path:
        """Write the index to a folder that any machine can load.

        Parameters
        ----------
        folder : path
            Created. If it exists it must be empty, or hold an index, which is replaced.

        Returns
        -------
        Path
            The folder: ``embeddings.safetensors``, ``crystals.json`` and the card ``index.json``,
            which names the weights by hash.

        Raises
        ------
        ParameterError, SsatomError
            If `ids` are neither texts nor whole numbers, or the folder holds something else.
        """
        check_is_fitted(self, "embeddings_")
        folder, columns = Path(folder), self._fitted_columns
        FORMAT.check_replaced(folder / CARD)
        if odd := [one for one in self.ids_ if not isinstance(one, str | int)]:
            raise ParameterError(f"ids: {odd[0]!r} cannot be saved; use texts or whole numbers")
        card = {
            "kind": FORMAT.kind,
            "format_version": FORMAT.version,
            "package_version": ssatom.__version__,
            "layers": list(columns.layers),
            "pooling": list(columns.poolings or ()),
            "weights": {"name": columns.weights.name, "sha256": columns.weights.sha256},
        }
        tensors = {"embeddings": self.embeddings_, "mean": self._mean, "scale": self._scale}
        with filling(folder, last=CARD) as new:
            save_file(tensors, new / _TENSORS)
            write_json(new / _NAMES, {"ids": self.ids_, "formulas": self.formulas_})
            FORMAT.write(new / CARD, {**card, "files": FORMAT.hashes(new, (_TENSORS, _NAMES))})
        return folder

    @classmethod
    def load(cls, folder: str | Path, weights: Any = None, *, device: str = "auto") -> Any:
        """Load what `save` or ``ssatom index`` wrote.

        Parameters
        ----------
        folder : path
            The folder.
        weights : str, path, PretrainedEncoder or None, default=None
            Those that made the index, needed where they are no shipped set.
        device : str, default="auto"
            For the embeddings of queries.

        Returns
        -------
        SimilarCrystals
            Fitted.

        Raises
        ------
        WeightsError
            If the folder is missing, incomplete or changed, or the weights are not those that
            made it.
        """
        folder = Path(folder)
        card = FORMAT.read(folder / CARD)
        FORMAT.verify(folder, card.get("files"), needed=(_TENSORS, _NAMES))
        made_by = "made with other weights"
        try:
            check_name(folder, card["weights"]["name"])
            made_by = "made with weights {name!r} (sha256 {sha256:.12}…)".format(**card["weights"])
            name = card["weights"]["name"] if weights is None else weights
            index = cls(card["layers"], name, pooling=tuple(card["pooling"]), device=device)
            columns = index._columns()
            if columns.weights.sha256 != card["weights"]["sha256"]:
                raise WeightsError(f"{name!r} has sha256 {columns.weights.sha256[:12]}…")
            tensors = load_file(folder / _TENSORS)
            names = json.loads((folder / _NAMES).read_text(encoding="utf-8"))
            index._mean, index._scale = tensors["mean"], tensors["scale"]
            _check_tensors(tensors, len(columns))
            if not all(type(one) in (str, int) for one in (*names["ids"], *names["formulas"])):
                raise ValueError(f"names in {_NAMES} are neither texts nor whole numbers")
            return index._keep(tensors["embeddings"], names["formulas"], names["ids"], columns)
        except WeightsError as error:
            raise WeightsError(
                f"'{folder}' was {made_by}: {error}; give those, as in "
                "SimilarCrystals.load(folder, weights=…), or make the index again"
            ) from error
        except Exception as error:  # whatever a card of odd values leads to
            raise WeightsError(f"{folder}: its files do not fit together: {error}") from error

    def _columns(self) -> FeatureColumns:
        poolings = parse_pooling(self.pooling)
        if functions := [one for one in poolings if not isinstance(one, str)]:
            raise ParameterError(f"pooling={functions[0]!r} is a function; allowed are names")
        return FeatureColumns.of_arguments(self.layers, self.weights, poolings=poolings)

    def _embed(self, structures: Iterable[Any]) -> Iterator[np.ndarray | StructureError]:
        """Embeddings of structures, or their errors, in order."""
        return self._fitted_columns.embed(structures, device=self.device)

    def _fit_rows(self, rows: Any, formulas: Any, ids: Any, columns: FeatureColumns) -> Any:
        """Make the index of embeddings."""
        if not len(rows):
            raise ParameterError("there are no crystals to make an index of; give at least one")
        X = np.asarray(rows, dtype=np.float32)
        scaler = StandardScaler().fit(X)
        tells = scaler.scale_ > _ROUNDING * np.sqrt(np.mean(np.square(X)))
        scale = np.sqrt(X.shape[1]) * np.where(tells, scaler.scale_, 1.0)
        self._mean, self._scale = scaler.mean_.astype(np.float32), scale.astype(np.float32)
        return self._keep((X - self._mean) / self._scale, formulas, ids, columns)

    def _keep(self, rows: np.ndarray, formulas: Any, ids: Any, columns: FeatureColumns) -> Any:
        self.formulas_ = column("formulas", formulas, len(rows)).tolist()
        self.ids_ = column("ids", ids, len(rows)).tolist()
        self.embeddings_, self._fitted_columns = rows, columns
        self._search = NearestRows(rows)
        return self

    def _nearest(self, rows: Any, n_neighbors: int) -> pd.DataFrame:
        """Table of the crystals nearest to embeddings."""
        n_all, n_columns = self.embeddings_.shape
        if whole_number("n_neighbors", n_neighbors, 1) > n_all:
            raise ParameterError(f"n_neighbors={n_neighbors}: the index has only {n_all} crystals")
        queries = (np.asarray(rows, np.float32).reshape(-1, n_columns) - self._mean) / self._scale
        distances, found = self._search.find(queries, n_neighbors)
        places = found.ravel().tolist()
        return pd.DataFrame(
            {
                "query": np.repeat(np.arange(len(queries)), n_neighbors),
                "rank": np.tile(np.arange(1, n_neighbors + 1), len(queries)),
                "id": [self.ids_[place] for place in places],
                "formula": [self.formulas_[place] for place in places],
                "distance": distances.ravel(),
            }
        )


def _check_tensors(tensors: dict[str, np.ndarray], n_columns: int) -> None:
    """Refuse tensors of other shapes than an index has, or not finite."""
    shapes = {name: tensors[name].shape[-1:] for name in ("embeddings", "mean", "scale")}
    with np.errstate(all="ignore"):
        finite = all(np.isfinite(np.square(tensors[name]).sum()) for name in shapes)
        finite &= bool((tensors["scale"] > 0).all())
    if {*shapes.values()} != {(n_columns,)} or tensors["embeddings"].ndim != 2 or not finite:
        raise ValueError(f"its tensors are not finite numbers in {n_columns} columns: {shapes}")
