"""scikit-learn estimators on crystals: the graph network on embeddings, or on raw features."""

from ssatom.estimators._checks import PARAMETER_GRID
from ssatom.estimators.classifiers import CGCNNClassifier, NEGNNClassifier
from ssatom.estimators.regressors import CGCNNRegressor, NEGNNRegressor
from ssatom.estimators.storage import load_estimator, save_estimator

__all__ = [
    "PARAMETER_GRID",
    "CGCNNClassifier",
    "CGCNNRegressor",
    "NEGNNClassifier",
    "NEGNNRegressor",
    "load_estimator",
    "save_estimator",
]
