"""Measurements: what the package promises, shown on data."""

from ssatom.evaluation.benchmark import run_benchmark
from ssatom.evaluation.coulomb import CoulombMatrixFeaturizer, EwaldSumMatrixFeaturizer
from ssatom.evaluation.datasets import DATASETS, Dataset, DatasetInfo, load_dataset
from ssatom.evaluation.descriptors import (
    ElementFractionFeaturizer,
    MagpieFeaturizer,
    SineMatrixFeaturizer,
)
from ssatom.evaluation.kernel_ridge import KernelRidgeCV
from ssatom.evaluation.locality import Locality, measure_locality
from ssatom.evaluation.protocol import evaluate, evaluate_columns
from ssatom.evaluation.radial import RadialDistributionFeaturizer
from ssatom.evaluation.results import EvaluationResult, SplitScores, load_result
from ssatom.evaluation.soap import SoapFeaturizer
from ssatom.evaluation.splits import score_predictions, split_rows

__all__ = [
    "DATASETS",
    "CoulombMatrixFeaturizer",
    "Dataset",
    "DatasetInfo",
    "ElementFractionFeaturizer",
    "EvaluationResult",
    "EwaldSumMatrixFeaturizer",
    "KernelRidgeCV",
    "Locality",
    "MagpieFeaturizer",
    "RadialDistributionFeaturizer",
    "SineMatrixFeaturizer",
    "SoapFeaturizer",
    "SplitScores",
    "evaluate",
    "evaluate_columns",
    "load_dataset",
    "load_result",
    "measure_locality",
    "run_benchmark",
    "score_predictions",
    "split_rows",
]
