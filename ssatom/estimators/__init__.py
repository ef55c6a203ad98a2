"""scikit-learn estimators on crystals: the graph network on embeddings, or on raw features."""

from ssatom.estimators._checks import PARAMETER_GRID
from ssatom.estimators.classifiers import CGCNNClassifier, NEGNNClassifier
from ssatom.estimators.regressors import CGCNNRegressor, NEGNNRegressor

__all__ = [
    "PARAMETER_GRID",
    "CGCNNClassifier",
    "CGCNNRegressor",
    "NEGNNClassifier",
    "NEGNNRegressor",
]
