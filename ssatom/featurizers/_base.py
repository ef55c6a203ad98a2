"""Base class of the featurizers: the contracts of scikit-learn and matminer."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from matminer.featurizers.base import BaseFeaturizer
from sklearn.utils import TransformerTags

from ssatom.exceptions import ParameterError, StructureError
from ssatom.progress import make_bar
from ssatom.shared_docs import OF_EMBEDDINGS, SharedDocs
from ssatom.validation import one_of
from ssatom.warn import warn_user_of

_MAX_REASONS = 20  # in one warning

shared_docs = SharedDocs(
    OF_EMBEDDINGS,
    """
    errors : {"raise", "nan"}
        Raise at the first bad row, or give NaN for bad rows and warn once.
    """,
)


class CrystalFeaturizer(BaseFeaturizer):
    """Base of the featurizers: a scikit-learn transformer and a matminer featurizer.

    A subclass stores its arguments in ``__init__``, `errors` among them, and defines
    `_features`, `feature_labels` and `citations`. Fitting learns nothing and sets
    no attribute: as for scikit-learn's vectorizers of text, the input has no columns to count, so
    there is neither `n_features_in_` nor `feature_names_in_`.

    matminer's base class is the only base: it is a scikit-learn transformer already, and the mixins
    of scikit-learn cannot stand before it.
    """

    errors: str

    @abstractmethod
    def _features(self, rows: Any) -> Iterator[np.ndarray | StructureError]:
        """The features of each row as float32, or its error, in order.

        Wrong parameters are refused before the first item, also if there are no rows.
        """

    @abstractmethod
    def feature_labels(self) -> list[str]:
        """Names of the features; a new list at each call, since matminer appends to it."""

    def _n_features(self) -> int:
        return len(self.feature_labels())

    def implementors(self) -> list[str]:
        """Authors of the featurizer."""
        return ["The ssatom developers"]

    def fit(self, X: Any, y: Any = None) -> CrystalFeaturizer:
        """Check the parameters; nothing is learned and `X` is not read.

        Raises
        ------
        ParameterError, WeightsError
            If a parameter is not allowed.
        """
        for _ in self._rows([], ignore_errors=False):
            pass
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Features of the rows of `X`.

        Parameters
        ----------
        X : list, tuple, Series, DataFrame, object array or generator
            Structures, or pairs of structure and site index, according to the class.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_features)
            A DataFrame after ``set_output(transform="pandas")``.

        Raises
        ------
        StructureError
            At the first bad row; with ``errors="nan"`` only if `X` is no container of rows.
        ParameterError, WeightsError
            If a parameter is not allowed.
        """
        row_type = np.dtype((np.float32, (self._n_features(),)))
        rows = self._rows(X, ignore_errors=False)
        return np.fromiter((features for features, _ in rows), dtype=row_type)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns of `transform`, as `feature_labels`; the input has none."""
        return np.array(self.feature_labels(), dtype=object)

    def featurize(self, *entry: Any) -> list[float]:
        """Features of one structure, or of one site given as structure and index.

        NaN for a bad entry if ``errors="nan"``, which warns; a StructureError otherwise.
        """
        [(features, _)] = self._rows(_unpacked([entry]), ignore_errors=False, numbered=False)
        return features.tolist()

    def featurize_many(
        self,
        entries: Any,
        ignore_errors: bool = False,
        return_errors: bool = False,
        pbar: bool | dict[str, Any] = True,
    ) -> list[list[Any]]:
        """Features of many rows, computed in batches in this process.

        Parameters
        ----------
        entries : list, tuple, Series, DataFrame, object array or generator
            As for `transform`; single structures may also come as tuples of length one.
        ignore_errors : bool, default=False
            Give NaN for bad rows instead of raising.
        return_errors : bool, default=False
            Append the reason to each bad row and NaN to each good one.
        pbar : bool or dict, default=True
            Show progress, on stderr, in a terminal or a notebook; a dict holds options of tqdm.

        Returns
        -------
        list of list
            One list a row.

        Raises
        ------
        StructureError
            At the first bad row, unless `ignore_errors` is set or ``errors="nan"``.
        ParameterError
            If `return_errors` is set without `ignore_errors`.
        """
        if return_errors and not ignore_errors:
            raise ParameterError("return_errors=True needs ignore_errors=True")
        rows = self._rows(_unpacked(entries), ignore_errors=ignore_errors)
        if pbar:
            options = {
                "desc": type(self).__name__,
                "total": len(entries) if hasattr(entries, "__len__") else None,
            }
            rows = make_bar(rows, **{**options, **(pbar if isinstance(pbar, dict) else {})})
        if not return_errors:
            return [features.tolist() for features, _ in rows]
        return [
            [*features.tolist(), f"{type(error).__name__}: {error}" if error else math.nan]
            for features, error in rows
        ]

    def precheck(self, *entry: Any) -> bool:
        """Whether one entry can be featurized, found by computing the features."""
        [(_, error)] = self._rows(_unpacked([entry]), ignore_errors=True)
        return error is None

    @property
    def n_jobs(self) -> int:
        """Number of processes, always 1: batches in one process are faster than a pool."""
        return 1

    def set_n_jobs(self, n_jobs: int) -> None:
        """Does nothing; matminer's tools call it."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        # matminer's order of bases keeps those of scikit-learn's TransformerMixin out.
        tags.transformer_tags = TransformerTags(preserves_dtype=[])
        return tags

    def _rows(
        self, rows: Any, *, ignore_errors: bool, numbered: bool = True
    ) -> Iterator[tuple[np.ndarray, StructureError | None]]:
        """Features of each row with its error; `errors` decides between raising and NaN."""
        one_of("errors", self.errors, ("raise", "nan"))
        failed: dict[int, StructureError] = {}
        for i, features in enumerate(self._features(rows)):
            if not isinstance(features, StructureError):
                yield features, None
                continue
            if not numbered:  # a single entry, which has no place in a list
                features = features.at(row=None)
            if not ignore_errors and self.errors == "raise":
                raise features
            failed[i] = features
            yield np.full(self._n_features(), np.nan, dtype=np.float32), features
        if not ignore_errors:
            found = (([str(error.at(row=None))], (row, error)) for row, error in failed.items())
            name = type(self).__name__
            warn_user_of(found, lambda rows: UserWarning(_summary(dict(rows), name)), False)


def _unpacked(entries: Any) -> Any:
    """Rows of lists and tuples, out of the tuples of length one that matminer makes."""
    if not isinstance(entries, list | tuple):
        return entries
    return [e[0] if isinstance(e, list | tuple) and len(e) == 1 else e for e in entries]


def _summary(failed: dict[int, StructureError], name: str) -> str:
    """One message for all bad rows."""
    lines = [f"{name}: {len(failed)} row{'s' * (len(failed) > 1)} of NaN: {list(failed)}"]
    lines += [f"  {error}" for error in list(failed.values())[:_MAX_REASONS]]
    if len(failed) > _MAX_REASONS:
        lines.append(f"  and {len(failed) - _MAX_REASONS} more")
    return "\n".join(lines)
