"""How well features predict a property: splits, kernel ridge, scores, and a property's range."""

from ssatom.evaluation.contributions import site_contributions
from ssatom.evaluation.intervals import ConformalRegressor
from ssatom.evaluation.kernel_ridge import KernelRidgeCV
from ssatom.evaluation.locality import Locality, measure_locality
from ssatom.evaluation.protocol import evaluate, evaluate_columns
from ssatom.evaluation.results import EvaluationResult, SplitScores, load_result, score_predictions
from ssatom.splits import split_rows

__all__ = [
    "ConformalRegressor",
    "EvaluationResult",
    "KernelRidgeCV",
    "Locality",
    "SplitScores",
    "evaluate",
    "evaluate_columns",
    "load_result",
    "measure_locality",
    "score_predictions",
    "site_contributions",
    "split_rows",
]
