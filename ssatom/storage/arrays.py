"""Arrays of a file that compiled code of scikit-learn follows unchecked, so they are checked here.

Trees have a page of their own. Neighbours by a tree of points, and sparse matrices, are no types
that are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ssatom.storage.encoders import parts_of

# scikit-learn's rooms are imported in the functions, since most models have none of these parts.


def unfit_arrays(model: Any) -> str | None:
    """What is wrong with the arrays of a model; None if nothing is.

    A value in the place of a method could take the place of scikit-learn's own checks of columns.
    """
    for part in parts_of(model):
        name = type(part).__name__
        for key in vars(part):
            if callable(getattr(type(part), key, None)):
                return f"a value stands in the place of the method {key} of {name}"
        if not _fit(part):
            return f"the arrays of {name} do not fit together"
    return None


def _fit(part: Any) -> bool:
    from sklearn.cluster._kmeans import _BaseKMeans
    from sklearn.neighbors._base import NeighborsBase
    from sklearn.svm._base import BaseLibSVM

    n_columns = getattr(part, "n_features_in_", 0)
    if isinstance(part, _BaseKMeans) and hasattr(part, "cluster_centers_"):
        return bool(part.cluster_centers_.shape[1:] == (n_columns,))
    if isinstance(part, NeighborsBase) and hasattr(part, "_fit_X"):
        return _neighbors_fit(part, n_columns)
    return _vectors_fit(part, n_columns) if isinstance(part, BaseLibSVM) else True


def _neighbors_fit(part: Any, n_columns: int) -> bool:
    """Whether rows have as many columns as new ones, and a label each, of the classes there are."""
    rows = part._fit_X
    labels = getattr(part, "_y", np.zeros(len(rows)))
    if rows.shape[1:] != (n_columns,) or len(labels) != len(rows):
        return False
    if not hasattr(part, "classes_") or labels.ndim > 1:
        return True
    return bool(((labels >= 0) & (labels < len(part.classes_))).all())


def _vectors_fit(svm: Any, n_columns: int) -> bool:
    """Whether support vectors, their coefficients and the pairs of classes are of one size."""
    if not hasattr(svm, "support_"):
        return True
    n_vectors, n_classes = len(svm.support_), len(svm._n_support)
    n_pairs = n_classes * (n_classes - 1) // 2
    if isinstance(svm.kernel, str) and svm.kernel != "precomputed":
        vectors = svm.support_vectors_.shape == (n_vectors, n_columns)
    else:  # support vectors are columns of the kernel
        vectors = ((svm.support_ >= 0) & (svm.support_ < svm.shape_fit_[0])).all()
    return bool(
        vectors
        and (svm._n_support >= 0).all()
        and svm._dual_coef_.shape == (n_classes - 1, n_vectors)
        and svm._intercept_.shape == (n_pairs,)
        and all(len(of) in (0, n_pairs) for of in (svm._probA, svm._probB))
    )
