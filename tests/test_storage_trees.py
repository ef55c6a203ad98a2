"""Trees and forests are saved, and those of a file that was changed are refused unfollowed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.testing import assert_array_equal
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.multioutput import RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor
from sklearn.tree._tree import Tree

from ssatom import ParameterError, WeightsError, load_estimator, save_estimator
from ssatom.storage.trusted import dumped, loaded

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 5))
Y = X[:, 0] + X[:, 1] ** 2
CLASSES = np.digitize(Y, [0.0, 1.0])

MODELS: dict[str, Any] = {
    "tree": DecisionTreeRegressor(),
    "best leaves first": DecisionTreeRegressor(max_leaf_nodes=7),
    "pruned": DecisionTreeRegressor(ccp_alpha=0.02),
    "one leaf": DecisionTreeRegressor(min_samples_split=1.0),
    "random tree": ExtraTreeRegressor(),
    "forest": RandomForestRegressor(4),
    "forest of classes": RandomForestClassifier(4),
    "extra trees": ExtraTreesRegressor(4),
    "boosting": GradientBoostingRegressor(n_estimators=4),
    "boosting of three classes": GradientBoostingClassifier(n_estimators=4),
    "boosting from zero": GradientBoostingClassifier(n_estimators=4, init="zero"),
    "boosting of histograms": HistGradientBoostingRegressor(max_iter=4),
    "histograms of three classes": HistGradientBoostingClassifier(max_iter=4),
    "AdaBoost": AdaBoostRegressor(n_estimators=3),
    "bagging": BaggingRegressor(n_estimators=3, max_features=0.6),
    "stack": StackingRegressor([("forest", RandomForestRegressor(2))]),
    "vote": VotingRegressor([("a", RandomForestRegressor(2)), ("b", ExtraTreesRegressor(2))]),
    "isolation": IsolationForest(n_estimators=3),
    "isolation by some columns": IsolationForest(n_estimators=3, max_features=0.6),
    "chain": RegressorChain(DecisionTreeRegressor()),
    "after leaves": make_pipeline(RandomTreesEmbedding(3), DecisionTreeRegressor()),
}


def fitted(model: Any) -> Any:
    """The model, fitted to numbers or to classes."""
    if "random_state" in model.get_params():
        model = model.set_params(random_state=0)
    y = CLASSES if is_classifier(model) else Y
    return model.fit(X, np.stack([y, -y], axis=1) if isinstance(model, RegressorChain) else y)


@pytest.mark.parametrize("name", MODELS)
def test_trees_come_back(name: str, tmp_path: Path) -> None:
    model = fitted(MODELS[name])
    again = load_estimator(save_estimator(model, tmp_path / "model"))
    assert_array_equal(again.predict(X), model.predict(X))


def test_forest_saved_twice_is_the_same(tmp_path: Path) -> None:
    """Memory lies between the fields of nodes; none of it is written."""
    model = fitted(RandomForestRegressor(4))
    files = [save_estimator(model, tmp_path / name) / "model.skops" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


# Files that were changed


def with_nodes(tree: Tree, **columns: Any) -> Tree:
    """A tree of which columns of the first node, or other parts of its state, are changed."""
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    for name, value in columns.items():
        where = state if name in state else state["nodes"][:1]
        where[name] = value
    changed = Tree(*tree.__reduce__()[1])
    changed.__setstate__(state)
    return changed


def change_tree(model: Any, **columns: Any) -> None:
    model.tree_ = with_nodes(model.tree_, **columns)


def change_member(model: Any, **columns: Any) -> None:
    change_tree(model.estimators_[0], **columns)


def change_histogram(model: Any, **columns: Any) -> None:
    for name, value in columns.items():
        model._predictors[0][0].nodes[name][0] = value


def widen_member(model: Any, by: int = 40) -> None:
    """A member that says it has more columns than it gets, and asks for them."""
    model.estimators_[0].n_features_in_ += by
    change_member(model, feature=by)


def fewer_outputs(model: Any) -> None:
    model.init_.class_prior_ = model.init_.class_prior_[:2]
    model.init_.classes_ = model.init_.classes_[:2]
    model.init_.n_classes_ = 2


def no_columns(model: Any) -> None:
    del model.n_features_in_


def narrow_tree(model: Any) -> None:
    """A tree of one column, over which importances would be written."""
    _, (_, *others), state = model.tree_.__reduce__()
    model.tree_ = Tree(1, *others)
    model.tree_.__setstate__(state)


def prepared_columns(model: Any) -> None:
    """Trees that get fewer columns than the estimator counts."""
    model._preprocessor = ColumnTransformer([("first", "passthrough", [0])]).fit(X)


def longer_columns(model: Any) -> None:
    model.estimators_features_ = [np.arange(2) for _ in model.estimators_]


TREE, FOREST = DecisionTreeRegressor, partial(RandomForestRegressor, 3)
HISTOGRAMS = partial(HistGradientBoostingRegressor, max_iter=2)
CHANGED: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "child beyond": (TREE, partial(change_tree, left_child=10**9)),
    "child below": (TREE, partial(change_tree, right_child=-7)),
    "child is itself": (TREE, partial(change_tree, left_child=0)),
    "column beyond": (TREE, partial(change_tree, feature=5)),
    "column below": (TREE, partial(change_tree, feature=-3)),
    "shorter paths": (TREE, partial(change_tree, max_depth=1)),
    "tree of fewer columns": (TREE, narrow_tree),
    "histogram's columns prepared": (HISTOGRAMS, prepared_columns),
    "one member": (FOREST, partial(change_member, left_child=10**9)),
    "member of more columns": (FOREST, widen_member),
    "any number of columns": (FOREST, no_columns),
    "fewer outputs": (partial(GradientBoostingClassifier, n_estimators=2), fewer_outputs),
    "histogram's child": (HISTOGRAMS, partial(change_histogram, left=10**6)),
    "histogram's column": (HISTOGRAMS, partial(change_histogram, feature_idx=99)),
    "histogram's category": (
        HISTOGRAMS,
        partial(change_histogram, is_categorical=1, bitset_idx=10**6),
    ),
    "fewer columns than chosen": (
        partial(IsolationForest, n_estimators=2, max_features=0.9),
        longer_columns,
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_changed_trees_are_refused(name: str) -> None:
    make, change = CHANGED[name]
    model = fitted(make())
    change(model)
    with pytest.raises(WeightsError, match="model.skops was changed"):
        loaded(skops.io.dumps(model), "model.skops")
    with pytest.raises(ParameterError, match="would refuse the model"):
        dumped(model)


def test_trees_elsewhere_are_refused() -> None:
    model = fitted(DecisionTreeRegressor())
    model.other_ = with_nodes(model.tree_, left_child=10**9)
    with pytest.raises(WeightsError, match="other places than scikit-learn's estimators"):
        loaded(skops.io.dumps(model), "model.skops")
