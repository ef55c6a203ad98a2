"""The paper's protocol: repeated splits with scaling, choice of hyper-parameters and scores."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from pymatgen.core import Structure
from sklearn.base import BaseEstimator, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_array, has_fit_parameter

import ssatom
from ssatom.embeddings import resolve_weights
from ssatom.embeddings.columns import Weights
from ssatom.evaluation.kernel_ridge import KernelRidgeCV
from ssatom.evaluation.results import EvaluationResult, SplitScores, resume, score_predictions
from ssatom.progress import make_bar
from ssatom.shared_docs import SharedDocs
from ssatom.splits import KINDS, check_kinds, split_rows
from ssatom.structures import check_sites, check_structures, structure_key
from ssatom.validation import check_target, groups_of, number, whole_number

_shared_docs = SharedDocs("""
features : array-like of float, shape (n_rows, n_features), or list of Structure or of pairs
    Features of structures or sites. The model gets the names of a DataFrame's columns, from which
    `KernelRidgeCV` takes its blocks. Or the structures (pairs of structure and site) themselves,
    for a `model` that takes them, such as `NEGNNRegressor`.
groups : array-like, shape (n_rows,)
    The group of each row, such as its reduced formula. Grouped splits also keep groups together
    in the folds inside the training part, if the model's ``fit`` takes `groups`, as that of
    `KernelRidgeCV` does.
folds : array-like, shape (n_rows,)
    Official folds of the data: the one in which each row is tested.
model : estimator
    Regressor of scikit-learn's kind; None is ``KernelRidgeCV()``, with the widths of Table I and
    10 folds; the paper's is ``KernelRidgeCV(["laplacian", "rbf"])``. Its `random_state`, if it has
    one, becomes the seed of the split.
n_seeds : int
    Splits of each kind, with seeds 0, 1, …
test_size : float
    Share of rows (of groups, for grouped splits) in the test part.
splits : sequence of {"random", "grouped", "official"}
    Kinds of splits; None is the official folds if there are `folds`, and else random ones,
    and grouped ones if there are groups.
scale : bool
    Shift and scale each feature to mean 0 and variance 1 over the training part; structures
    are never scaled.
name : str
    Name of the features, for the result file.
weights : str, path or PretrainedEncoder
    Weights that made the features, for the result file; None for features without weights.
keep_predictions : bool
    Keep row numbers and predictions of the test parts.
n_jobs : int
    Processes over splits; None is one, -1 as many as cores.
progress_bar : bool
    Show splits done, on stderr, in a terminal or a notebook.
""")


@_shared_docs
def evaluate(
    features: Any,
    y: Any,
    *,
    groups: Any = None,
    folds: Any = None,
    model: BaseEstimator | None = None,
    n_seeds: int = 5,
    test_size: float = 0.2,
    splits: Sequence[str] | None = None,
    scale: bool = True,
    name: str | None = None,
    data: Mapping[str, Any] | None = None,
    weights: Weights = None,
    result_file: str | os.PathLike[str] | None = None,
    keep_predictions: bool = False,
    n_jobs: int | None = None,
    progress_bar: bool = True,
) -> EvaluationResult:
    """Measure how well features predict a property, by the paper's protocol.

    For each seed the rows are split 8:2. A scaler and a model, which chooses its hyper-parameters
    by cross-validation, are fitted on the training part alone, and the test part is scored [1]_.
    In grouped splits no group is in both parts: rows of one formula are similar, so that random
    splits underestimate the error for new formulas.

    Parameters
    ----------
    {features}
    y : array-like of float, shape (n_rows,)
        Labels.
    {groups, folds, model, n_seeds, test_size, splits, scale, name}
    data : mapping, default=None
        Where rows come from, for the result file: such as name, target and hash.
    {weights}
    result_file : path, default=None
        JSON file to which each finished split is added at once. If there is one of the same
        evaluation already, only missing splits are computed.
    {keep_predictions, n_jobs, progress_bar}

    Returns
    -------
    EvaluationResult
        Scores of each split, their means and standard deviations.

    Raises
    ------
    ParameterError
        If labels are NaN, constant or of another length, a parameter is not allowed, or the
        result file holds anything else than this evaluation; such a file is not overwritten. A
        half-written one is replaced, with a warning.

    References
    ----------
    .. [1] Kong et al., "Self-supervised Representations and Node Embedding Graph Neural Networks
       for Accurate and Multi-scale Analysis of Materials", arXiv:2211.03563

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom import KernelRidgeCV, evaluate
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> model = KernelRidgeCV(["rbf"], gammas=[0.1, 1], alphas=[1e-4], cv=3)
    >>> result = evaluate(X, X[:, 0] ** 2, model=model, n_seeds=2, progress_bar=False)
    >>> result.mean("r2") > 0.5
    True
    """
    shared = dict(locals())
    for own in ("y", "data", "result_file"):
        del shared[own]
    results = evaluate_columns(
        targets={"y": y},
        data=None if data is None else {"y": data},
        result_files=None if result_file is None else {"y": result_file},
        **shared,
    )
    return results["y"]


@_shared_docs
def evaluate_columns(
    features: Any,
    targets: Mapping[str, Any],
    *,
    groups: Any = None,
    folds: Any = None,
    model: BaseEstimator | None = None,
    n_seeds: int = 5,
    test_size: float = 0.2,
    splits: Sequence[str] | None = None,
    scale: bool = True,
    name: str | None = None,
    data: Mapping[str, Mapping[str, Any]] | None = None,
    weights: Weights = None,
    result_files: Mapping[str, str | os.PathLike[str]] | None = None,
    keep_predictions: bool = False,
    n_jobs: int | None = None,
    progress_bar: bool = True,
) -> dict[str, EvaluationResult]:
    """Evaluate one set of features on several labels of the same rows.

    The numbers are those of `evaluate` on each label. With `KernelRidgeCV` they take hardly more
    time than one label, since the labels share the decompositions.

    Parameters
    ----------
    {features}
    targets : mapping of str to array-like of float, shape (n_rows,)
        Labels by name, all of them known in all rows.
    {groups, folds, model, n_seeds, test_size, splits, scale, name}
    data : mapping of str to mapping, default=None
        Where rows come from, by the same names.
    {weights}
    result_files : mapping of str to path, default=None
        JSON files by the same names, as `result_file` of `evaluate`.
    {keep_predictions, n_jobs, progress_bar}

    Returns
    -------
    dict of EvaluationResult
        By the same names.

    Raises
    ------
    ParameterError
        As from `evaluate`.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom import KernelRidgeCV
    >>> from ssatom.evaluation import evaluate_columns
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> model = KernelRidgeCV(["rbf"], gammas=[0.1, 1], alphas=[1e-4], cv=3)
    >>> labels = {"a": X[:, 0], "b": X[:, 1] ** 2}
    >>> results = evaluate_columns(X, labels, model=model, n_seeds=1, progress_bar=False)
    >>> {target: result.mean("r2") > 0.5 for target, result in results.items()}
    {'a': True, 'b': True}
    """
    X, names, sha256 = _checked(features)
    columns = {target: check_target(y, len(X), target) for target, y in targets.items()}
    groups = None if groups is None else groups_of("groups", groups, len(X))
    folds = None if folds is None else groups_of("folds", folds, len(X))
    kinds = check_kinds(splits, groups, folds)
    whole_number("n_seeds", n_seeds, least=1)
    number("test_size", test_size, "(0, 1)")
    model = KernelRidgeCV() if model is None else model
    scaled = scale and X.ndim == 2
    run = _Run(X, names, sha256, columns, groups, folds, model, test_size, scaled, keep_predictions)
    files, data = dict(result_files or {}), data or {}
    settings = _settings(name, weights, X.shape)
    kept = {
        target: EvaluationResult(run.identity(target), {**settings, "data": data.get(target)})
        for target in columns
    }
    done = {
        (target, *split.key): split
        for target, file in files.items()
        for split in resume(file, kept[target].identity)
    }
    counts = {kind: len(np.unique(folds)) if kind == "official" else n_seeds for kind in kinds}
    wanted = [(kind, seed) for kind in kinds for seed in range(counts[kind])]
    jobs = {key: [target for target in columns if (target, *key) not in done] for key in wanted}
    missing = [delayed(run.split)(*key, todo) for key, todo in jobs.items() if todo]
    new = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(missing) if missing else []
    counted = {"total": len(wanted), "initial": len(wanted) - len(missing)}
    for scores in make_bar(new, desc=name or "splits", **counted, show=progress_bar):
        for target, split in scores.items():
            done[target, *split.key] = split
            if target in files:
                # Splits that this call does not want stay in the file for those that do.
                kept[target].splits = _ordered(done, target)
                kept[target].save(files[target])
    for target, result in kept.items():
        result.splits = [done[target, *key] for key in wanted]
    return kept


@dataclass(frozen=True)
class _Run:
    """What all splits of an evaluation have in common."""

    X: np.ndarray
    names: list[str] | None
    sha256: str
    columns: dict[str, np.ndarray]
    groups: np.ndarray | None
    folds: np.ndarray | None
    model: Any
    test_size: float
    scale: bool
    keep_predictions: bool

    def split(self, kind: str, seed: int, targets: list[str]) -> dict[str, SplitScores]:
        """Scores of one split, for some of the labels."""
        whole = (len(self.X), self.groups, self.test_size, self.folds)
        train, test = split_rows(kind, seed, *whole)
        start = time.perf_counter()
        X_train, X_test = self.X[train], self.X[test]
        if self.scale:
            scaler = StandardScaler().fit(X_train)  # never sees a test row
            X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
        if self.names is not None:
            X_train, X_test = (pd.DataFrame(X, columns=self.names) for X in (X_train, X_test))
        model = clone(self.model)
        if "random_state" in model.get_params():
            model.set_params(random_state=seed)
        inner = {}
        if kind == "grouped" and self.groups is not None and has_fit_parameter(model, "groups"):
            inner["groups"] = self.groups[train]
        labels = [self.columns[target] for target in targets]
        models = _fit(model, X_train, [y[train] for y in labels], inner)
        predictions = [np.asarray(m.predict(X_test), dtype=np.float64) for m in models]
        seconds = (time.perf_counter() - start) / len(targets)
        return {
            target: SplitScores(
                kind=kind,
                seed=seed,
                n_train=len(train),
                n_test=len(test),
                **score_predictions(y[test], predicted),
                best_params=dict(getattr(fitted, "best_params_", {})),
                cv_score=float(getattr(fitted, "best_score_", np.nan)),
                seconds=seconds,
                test_rows=test.tolist() if self.keep_predictions else None,
                predictions=predicted.tolist() if self.keep_predictions else None,
            )
            for target, y, fitted, predicted in zip(
                targets, labels, models, predictions, strict=True
            )
        }

    def identity(self, target: str) -> dict[str, Any]:
        """What decides the numbers of a split, apart from its kind and seed."""
        params = self.model.get_params()
        kept = {
            name: value
            for name, value in params.items()
            if name not in ("random_state", "n_jobs") and not name.endswith("progress_bar")
        }
        return {
            "features_sha256": self.sha256,
            "labels_sha256": _sha256(self.columns[target]),
            "groups_sha256": None if self.groups is None else _sha256(self.groups.astype(str)),
            # The file format's name for folds.
            "parts_sha256": None if self.folds is None else _sha256(self.folds.astype(str)),
            "model": type(self.model).__name__,
            "model_params": json.loads(json.dumps(kept, default=repr)),
            "test_size": self.test_size,
            "scaler": "StandardScaler of the training part" if self.scale else None,
            "keep_predictions": self.keep_predictions,
        }


def _fit(
    model: Any, X: np.ndarray, labels: list[np.ndarray], inner: dict[str, np.ndarray]
) -> list[Any]:
    """A fitted model for each label, together where the model knows how to."""
    if len(labels) > 1 and hasattr(model, "fit_columns"):
        return model.fit_columns(X, np.column_stack(labels), **inner)
    return [clone(model).fit(X, y, **inner) for y in labels]


def _ordered(done: dict[tuple[str, str, int], SplitScores], target: str) -> list[SplitScores]:
    mine = [split for key, split in done.items() if key[0] == target]
    return sorted(mine, key=lambda split: (KINDS.index(split.kind), split.seed))


def _settings(name: str | None, weights: Weights, shape: tuple[int, ...]) -> dict[str, Any]:
    """What the result file says of the features."""
    encoder = None if weights is None else resolve_weights(weights)
    return {
        "features": name,
        "n_rows": shape[0],
        "n_features": shape[1] if len(shape) == 2 else None,
        "data": None,
        "weights": encoder and {"name": encoder.name, "sha256": encoder.sha256},
        "folds_of_grouped_splits": "grouped, if the model's fit takes groups",
        "standard_deviation": "over seeds, n - 1 in the denominator",
        "ssatom": ssatom.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def _checked(features: Any) -> tuple[np.ndarray, list[str] | None, str]:
    """Features as an array of two dimensions, or rows of structures as one of objects.

    With them the names of the columns, if they have some, and a hash of both.
    """
    first = features[0] if isinstance(features, list | tuple) and len(features) else None
    pairs = isinstance(first, tuple) and isinstance(first[0], Structure)
    if not pairs and not isinstance(first, Structure):
        X = check_array(features, dtype=np.float64, input_name="features")
        names = list(getattr(features, "columns", []))
        if not names or not all(isinstance(name, str) for name in names):
            return X, None, _sha256(X)
        digest = hashlib.sha256(json.dumps([_sha256(X), names]).encode())
        return X, names, digest.hexdigest()
    X = np.empty(len(features), dtype=object)
    for i, row in enumerate(features):  # NumPy would take structures apart into sites
        X[i] = row
    sites = check_sites(features) if pairs else [(s, -1) for s in check_structures(features)]
    keys = b"".join(structure_key(s) + int(i).to_bytes(8, signed=True) for s, i in sites)
    return X, None, hashlib.sha256(keys).hexdigest()


def _sha256(array: np.ndarray) -> str:
    array = np.ascontiguousarray(array)
    head = f"{array.dtype.kind}{array.shape}".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()
