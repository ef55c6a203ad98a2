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

_OF_SCIKIT_LEARN = {
    "calibration": "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling",
    "compose._column_transformer": "make_column_selector",
    "feature_selection._mutual_info": "mutual_info_classif mutual_info_regression",
    "feature_selection._univariate_selection": "chi2 f_classif f_regression r_regression",
    "gaussian_process._gpc": "_BinaryGaussianProcessClassifierLaplace",
    "gaussian_process.kernels": (
        "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern "
        "PairwiseKernel Product RBF RationalQuadratic Sum WhiteKernel"
    ),
    "impute._iterative": "IterativeImputer _ImputerTriplet",
    "metrics._classification": (
        "accuracy_score balanced_accuracy_score brier_score_loss d2_brier_score d2_log_loss_score "
        "f1_score jaccard_score log_loss matthews_corrcoef precision_score recall_score"
    ),
    "metrics._ranking": "average_precision_score roc_auc_score top_k_accuracy_score",
    "metrics._regression": (
        "d2_absolute_error_score explained_variance_score max_error mean_absolute_error "
        "mean_absolute_percentage_error mean_gamma_deviance mean_poisson_deviance "
        "mean_squared_error mean_squared_log_error median_absolute_error r2_score "
        "root_mean_squared_error root_mean_squared_log_error"
    ),
    "metrics._scorer": (
        "_CurveScorer _PassthroughScorer _Scorer negative_likelihood_ratio "
        "positive_likelihood_ratio"
    ),
    "model_selection._split": (
        "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut LeavePGroupsOut "
        "LeavePOut PredefinedSplit RepeatedKFold RepeatedStratifiedKFold ShuffleSplit "
        "StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit TimeSeriesSplit"
    ),
    "multiclass": "_ConstantPredictor",
    "neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
    "utils._bunch": "Bunch",
    "utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
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
    "numpy.number",
    *(f"sklearn.{room}.{name}" for room, of in _OF_SCIKIT_LEARN.items() for name in of.split()),
    *TREE_TYPES,
)
"""Types and functions that are read beside those which skops trusts: arrays, and estimators of
scikit-learn. Trees and arrays are checked after reading."""

_ALLOWED = (
    "allowed are estimators of ssatom and scikit-learn with numbers, texts, arrays or lists of "
    "them, NumPy's functions of single numbers such as np.log1p, and scores by their names; keep "
    "others with skops.io.dump, and load them with a list of types that you trust"
)
_REMEDIES = {
    "scipy.interpolate": "take KBinsDiscretizer or PolynomialFeatures in place of splines",
    "scipy.sparse": "take GaussianRandomProjection, or another estimator that keeps full matrices",
    "scipy.stats": "save the best_estimator_ of the search, which holds no distributions",
    "sklearn.metrics._dist_metrics": 'give the neighbours algorithm="brute"',
    "sklearn.utils.validation": "encode categories before the trees, with OneHotEncoder",
}
"""What to do about types that are not read, by the start of their names."""


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
        remedies = (
            remedy
            for start, remedy in _REMEDIES.items()
            if any(name.startswith(start) for name in unknown)
        )
        raise ParameterError(
            f"the model holds {', '.join(unknown)}, which load_estimator would refuse; "
            + "; ".join([*remedies, _ALLOWED])
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
