"""Results of an evaluation, and the file that keeps them while it runs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from ssatom.exceptions import MissingFileError, ParameterError
from ssatom.files import differing, write_json
from ssatom.validation import one_of
from ssatom.warn import warn_user

METRIC_NAMES = ("mae", "mse", "r2", "pcc")
"""Mean absolute error, mean squared error, R², Pearson correlation coefficient."""


def score_predictions(y: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """The paper's four metrics.

    Parameters
    ----------
    y, predictions : ndarray of float, shape (n_rows,)
        Labels, and what was predicted.

    Returns
    -------
    dict of float
        "mae", "mse", "r2" and "pcc". PCC is NaN if labels or predictions are constant, R² if
        there are fewer than two rows.

    Examples
    --------
    >>> import numpy as np
    >>> from ssatom.evaluation import score_predictions
    >>> score_predictions(np.array([0.0, 1.0]), np.array([0.0, 2.0]))["mae"]
    0.5
    """
    constant = np.ptp(y) == 0 or np.ptp(predictions) == 0
    return {
        "mae": float(mean_absolute_error(y, predictions)),
        "mse": float(mean_squared_error(y, predictions)),
        "r2": float(r2_score(y, predictions)) if len(y) > 1 else np.nan,
        "pcc": np.nan if constant else float(np.corrcoef(y, predictions)[0, 1]),
    }


_FORMAT = "ssatom-evaluation"
_VERSION = 1
_HEAD = '{\n "format": "' + _FORMAT + '"'  # the beginning of every result file


@dataclass(frozen=True)
class SplitScores:
    """Scores of one split into training and test rows.

    Attributes
    ----------
    kind : str
        "random", "grouped" or "official".
    seed : int
        Seed of the split.
    n_train, n_test : int
        Rows of the two parts.
    mae, mse, r2, pcc : float
        Metrics on the test rows; mae in the unit of the label, mse in its square. PCC is NaN where
        all predictions are equal.
    best_params : dict
        Hyper-parameters that the model chose; empty for a model that chooses none.
    cv_score : float
        Cross-validation score of these hyper-parameters; NaN for a model without one.
    seconds : float
        Time to fit and predict.
    test_rows, predictions : list or None
        Row numbers and predictions of the test part, where they were to be kept.
    """

    kind: str
    seed: int
    n_train: int
    n_test: int
    mae: float
    mse: float
    r2: float
    pcc: float
    best_params: dict[str, Any]
    cv_score: float
    seconds: float
    test_rows: list[int] | None = None
    predictions: list[float] | None = None

    def __repr__(self) -> str:
        rows = f"{self.n_train} + {self.n_test} rows"
        return f"<SplitScores {self.kind} {self.seed}: {rows}, MAE {self.mae:.4g}>"

    @property
    def key(self) -> tuple[str, int]:
        """Kind and seed."""
        return self.kind, self.seed


@dataclass
class EvaluationResult:
    """Scores of all splits, and what was evaluated.

    Attributes
    ----------
    identity : dict
        What decides the numbers: hashes of features, labels and groups, and the model.
        A result file is resumed only by an evaluation of the same identity.
    settings : dict
        Names, data file and weights with their hashes, versions.
    splits : list of SplitScores
        By kind and seed.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from ssatom import evaluate
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> result = evaluate(X, X.sum(axis=1), model=Ridge(1e-6), n_seeds=2, progress_bar=False)
    >>> round(result.mean("mae"), 3), len(result.splits)
    (0.0, 2)
    """

    identity: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    splits: list[SplitScores] = field(default_factory=list)

    def __repr__(self) -> str:
        scores = "; ".join(
            f"{kind}: MAE {self.mean(kind=kind):.4g} ± {self.std(kind=kind):.2g}"
            for kind in self.kinds
        )
        return f"<EvaluationResult: {len(self.splits)} splits{'; ' * bool(scores)}{scores}>"

    @property
    def kinds(self) -> list[str]:
        """Kinds of splits there are."""
        return list(dict.fromkeys(split.kind for split in self.splits))

    def values(self, metric: str = "mae", kind: str = "random") -> np.ndarray:
        """One metric of each split of one kind.

        Parameters
        ----------
        metric : {"mae", "mse", "r2", "pcc"}, default="mae"
            The metric.
        kind : str, default="random"
            Kind of the splits.

        Returns
        -------
        ndarray of float64, shape (n_seeds,)
            In order of seeds.

        Raises
        ------
        ParameterError
            If there is no such metric or kind.
        """
        one_of("metric", metric, METRIC_NAMES)
        one_of("kind", kind, self.kinds)
        return np.array([getattr(split, metric) for split in self.splits if split.kind == kind])

    def mean(self, metric: str = "mae", kind: str = "random") -> float:
        """Mean over splits, as `values` chooses them."""
        return float(self.values(metric, kind).mean())

    def std(self, metric: str = "mae", kind: str = "random") -> float:
        """Standard deviation over splits (n − 1 in the denominator); NaN for a single one."""
        values = self.values(metric, kind)
        return float(values.std(ddof=1)) if len(values) > 1 else math.nan

    def summary(self) -> pd.DataFrame:
        """Mean and standard deviation of all metrics.

        Returns
        -------
        DataFrame
            A row a kind of split; columns of two levels: metric, and "mean" or "std".
        """
        columns = pd.MultiIndex.from_product([METRIC_NAMES, ("mean", "std")])
        rows = [
            [value for m in METRIC_NAMES for value in (self.mean(m, kind), self.std(m, kind))]
            for kind in self.kinds
        ]
        return pd.DataFrame(rows, index=pd.Index(self.kinds, name="split"), columns=columns)

    def to_frame(self) -> pd.DataFrame:
        """A row a split.

        Returns
        -------
        DataFrame
            Columns as in `SplitScores`, without predictions.
        """
        names = [f.name for f in fields(SplitScores)][:-2]
        return pd.DataFrame([{n: getattr(s, n) for n in names} for s in self.splits], columns=names)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result file in one step: a reader sees the old one or the new one.

        Parameters
        ----------
        path : path
            Folders are made as needed.
        """
        content = {"format": _FORMAT, "version": _VERSION, **asdict(self), "n": len(self.splits)}
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, plain(content), ensure_ascii=False, allow_nan=False)


def load_result(path: str | os.PathLike[str]) -> EvaluationResult:
    """Read a result file.

    Parameters
    ----------
    path : path
        As `EvaluationResult.save` wrote it.

    Returns
    -------
    EvaluationResult
        With the splits that were finished.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ParameterError
        If it is half-written or something else.

    Examples
    --------
    >>> import tempfile
    >>> from ssatom.evaluation import EvaluationResult, load_result
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     EvaluationResult({"model": "none"}).save(f"{folder}/empty.json")
    ...     load_result(f"{folder}/empty.json").identity
    {'model': 'none'}
    """
    if not Path(path).exists():
        raise MissingFileError(f"'{path}': there is no such file (looked in {os.getcwd()})")
    result = _parse(Path(path))
    if result is None:
        raise ParameterError(
            f"'{path}' is a half-written result file; run its evaluation again, or delete it"
        )
    return result


def resume(path: str | os.PathLike[str], identity: Mapping[str, Any]) -> list[SplitScores]:
    """Finished splits in the file of this evaluation; none if it is missing or half-written."""
    path = Path(path)
    if not path.exists():
        return []
    result = _parse(path)
    if result is None:
        warn_user(UserWarning(f"'{path}' is half-written; its evaluation is done again"))
        return []
    if changed := differing(result.identity, plain(dict(identity))):
        changes = "; ".join(
            f"{k}: there {old!r}, here {new!r}" for k, (old, new) in changed.items()
        )
        raise ParameterError(
            f"'{path}' holds the result of another evaluation ({changes}); choose another file, "
            "or delete this one"
        )
    return result.splits


def _parse(path: Path) -> EvaluationResult | None:
    """The result in a file; None if the file is incomplete."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.startswith(_HEAD) and not _HEAD.startswith(text):
        raise ParameterError(
            f"'{path}' is no result file of ssatom, and is left alone; choose another file"
        )
    try:
        content = json.loads(text)
        if content["version"] != _VERSION:
            raise ParameterError(
                f"'{path}' has version {content['version']} of the format; this version of ssatom "
                f"reads {_VERSION}: choose another file, or update ssatom"
            )
        if content["n"] != len(content["splits"]):
            return None
        for row in content["splits"]:
            row |= {name: math.nan for name in (*METRIC_NAMES, "cv_score") if row[name] is None}
        splits = [SplitScores(**row) for row in content["splits"]]
    except (json.JSONDecodeError, KeyError, TypeError):
        return None
    return EvaluationResult(content["identity"], content["settings"], splits)


def plain(value: Any) -> Any:
    """The value as JSON can hold it: arrays as lists, NumPy's numbers as Python's, NaN as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
