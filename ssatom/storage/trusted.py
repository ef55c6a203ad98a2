"""Models as bytes of skops, in which types that are known can stand alone."""

from __future__ import annotations

import pickle
import re
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from ssatom.exceptions import ParameterError, WeightsError
from ssatom.storage.arrays import unfit_arrays
from ssatom.storage.trees import TREE_TYPES, unsafe_trees

# skops is imported in the functions, since it imports all of scikit-learn.

_SCHEMA = "schema.json"
_ADDRESS = re.compile(r'(?<="__id__": )\d+|(?<="file": ")\d+')
_ADDRESS_OF_FILE = re.compile(r"^\d+")

_SPLITTERS = (
    "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut PredefinedSplit "
    "RepeatedKFold RepeatedStratifiedKFold ShuffleSplit StratifiedGroupKFold StratifiedKFold "
    "StratifiedShuffleSplit"
)
_KERNELS = (
    "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern PairwiseKernel "
    "Product RBF RationalQuadratic Sum WhiteKernel"
)
_SCORES = {
    "classification": "accuracy_score balanced_accuracy_score f1_score log_loss",
    "ranking": "roc_auc_score",
    "regression": (
        "max_error mean_absolute_error mean_squared_error median_absolute_error r2_score "
        "root_mean_squared_error"
    ),
}
TRUSTED = (
    "ssatom.embeddings.nearest.Nearness",
    "ssatom.embeddings.nearest.NearestRows",
    "ssatom.estimators.classifiers.CGCNNClassifier",
    "ssatom.estimators.classifiers.NEGNNClassifier",
    "ssatom.estimators.regressors.CGCNNRegressor",
    "ssatom.estimators.regressors.NEGNNRegressor",
    "ssatom.evaluation.intervals.Calibration",
    "ssatom.evaluation.intervals.ConformalRegressor",
    "ssatom.evaluation.kernel_ridge.KernelRidgeCV",
    "ssatom.featurizers.electronic.ElectronicFeaturizer",
    "ssatom.featurizers.embedding.GraphEmbeddingFeaturizer",
    "ssatom.featurizers.embedding.SelfSupervisedSiteFeaturizer",
    "ssatom.featurizers.ofm.OrbitalFieldMatrixTransformer",
    "numpy.dtype",
    "sklearn.utils._bunch.Bunch",
    *(f"sklearn.gaussian_process.kernels.{name}" for name in _KERNELS.split()),
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    *(f"sklearn.metrics._{room}.{name}" for room in _SCORES for name in _SCORES[room].split()),
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    *(f"sklearn.model_selection._split.{name}" for name in _SPLITTERS.split()),
    *TREE_TYPES,
)
"""Types and functions that are read beside those which skops trusts: arrays, and estimators of
scikit-learn. Trees and arrays are checked after reading."""

_ALLOWED = (
    "allowed are estimators of ssatom and scikit-learn with numbers, texts, arrays or lists of "
    "them, with scores by their names; keep others with skops.io.dump, and "
    "load them with a list of types that you trust"
)


def dumped(model: Any) -> bytes:
    """The model as skops writes it, if `load_estimator` would read that."""
    from skops.io import dumps

    try:
        data = dumps(model, compression=ZIP_DEFLATED)
    except (TypeError, ValueError, AttributeError, pickle.PicklingError) as error:
        raise ParameterError(
            f"the model holds what cannot be saved ({error}); {_ALLOWED}"
        ) from error
    if unknown := _unknown_types(data):
        raise ParameterError(
            f"the model holds {', '.join(unknown)}, which load_estimator would refuse; {_ALLOWED}"
        )
    if fault := _unsafe(model, data):
        raise ParameterError(f"load_estimator would refuse the model: {fault}; {_ALLOWED}")
    return _repeatable(data)


def _unsafe(model: Any, data: bytes) -> str | None:
    """What compiled code would follow out of bounds in the model of a file; None if nothing."""
    with ZipFile(BytesIO(data)) as archive:
        schema = archive.read(_SCHEMA).decode()
    return unsafe_trees(model, schema) or unfit_arrays(model)


def _repeatable(data: bytes) -> bytes:
    """The same file for the same model: no addresses of objects and no times in it."""
    numbers: dict[str, str] = {}

    def renamed(address: re.Match[str]) -> str:
        return numbers.setdefault(address[0], str(len(numbers) + 1))

    out = BytesIO()
    with ZipFile(BytesIO(data)) as old, ZipFile(out, "w", ZIP_DEFLATED) as new:
        schema = _ADDRESS.sub(renamed, old.read(_SCHEMA).decode())
        files = {_ADDRESS_OF_FILE.sub(renamed, name): name for name in old.namelist()}
        for name in sorted(files):
            content = schema.encode() if name == _SCHEMA else old.read(files[name])
            new.writestr(ZipInfo(name), content, ZIP_DEFLATED)
    return out.getvalue()


def _unknown_types(data: bytes) -> list[str]:
    from skops.io import get_untrusted_types

    return sorted(set(get_untrusted_types(data=data)) - set(TRUSTED))


def loaded(data: bytes, source: str) -> Any:
    """What `dumped` wrote; `source` is where the bytes are from."""
    from skops.io import loads

    if unknown := _unknown_types(data):
        raise WeightsError(
            f"{source} holds {', '.join(unknown)}, which no saved estimator has, and was not read; "
            "use files of people you trust"
        )
    model = loads(data, trusted=list(TRUSTED))
    if fault := _unsafe(model, data):
        raise WeightsError(f"{source} was changed: {fault}; use files of people you trust")
    return model
