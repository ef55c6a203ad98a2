"""Decision trees of a file: scikit-learn follows their indices unchecked, so they are checked here.

A tree is safe if each child comes after its parent, each question is about a column that the
estimator has, and paths are as short as it says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ssatom.storage.encoders import parts_of

# scikit-learn's trees are imported in the functions, since most models have none.

TREE_TYPES = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""Types of trees, which skops reads and does not check."""


class _Tree(NamedTuple):
    """A tree and its nodes: their children, -1 for none, and the columns that they ask about.

    There are `n_columns` columns, and paths of `max_depth` steps at most.
    """

    source: Any
    left: np.ndarray
    right: np.ndarray
    column: np.ndarray
    n_columns: int
    max_depth: float


def unsafe_trees(model: Any, schema: str) -> str | None:
    """What is wrong with the trees of a model; None if nothing is.

    The `schema` of its file tells how many trees there must be, so that none is overlooked.
    """
    written = {entry["__id__"] for entry in _entries(json.loads(schema)) if _is_tree(entry)}
    if not written:
        return None
    checked: set[int] = set()
    parts = list(parts_of(model))
    for part in parts:
        trees = list(_trees_of(part))
        if not all(_is_safe(tree) for tree in trees):
            return f"trees of {type(part).__name__} are damaged, or divide categories"
        checked.update(id(tree.source) for tree in trees)
    if len(checked) != len(written):
        return "trees are in other places than scikit-learn's estimators"
    if misfit := next(filter(_misfits, parts), None):
        return f"the trees of {type(misfit).__name__} do not fit together"
    return None


def _entries(schema: Any) -> Iterator[dict[str, Any]]:
    """All objects of a schema."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _is_tree(entry: dict[str, Any]) -> bool:
    return f"{entry.get('__module__')}.{entry.get('__class__')}" in TREE_TYPES


def _n_columns(part: Any) -> int:
    """Number of columns that an estimator insists on."""
    return getattr(part, "n_features_in_", 0)


def _trees_of(part: Any) -> Iterator[_Tree]:
    """Trees that an estimator itself has; those that divide categories are given no nodes.

    Columns of categories are prepared first, so that trees would get others than are counted.
    """
    from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
    from sklearn.tree import BaseDecisionTree

    if isinstance(part, BaseDecisionTree) and hasattr(part, "tree_"):
        tree = part.tree_
        n_columns = min(tree.n_features, _n_columns(part))  # importances have the tree's own
        children = tree.children_left, tree.children_right
        yield _Tree(tree, *children, tree.feature, n_columns, tree.max_depth)
    if isinstance(part, BaseHistGradientBoosting):
        for tree in (tree for of in getattr(part, "_predictors", ()) for tree in of):
            plain = part._preprocessor is None and not tree.nodes["is_categorical"].any()
            nodes = tree.nodes if plain else tree.nodes[:0]
            left, right = (
                np.where(nodes["is_leaf"], -1, nodes[side].astype(int))
                for side in ("left", "right")
            )
            yield _Tree(tree, left, right, nodes["feature_idx"], _n_columns(part), np.inf)


def _is_safe(tree: _Tree) -> bool:
    """Whether each path stays within nodes and columns, and ends in time."""
    n_nodes = len(tree.left)
    inner = np.flatnonzero(tree.left != -1)
    children = np.stack([tree.left[inner], tree.right[inner]])
    column = tree.column[inner]
    if not n_nodes or not ((children > inner) & (children < n_nodes)).all():
        return False
    depth, level = 0, np.array([0])
    while len(level := level[tree.left[level] != -1]):
        depth += 1
        level = np.unique(np.concatenate([tree.left[level], tree.right[level]]))
    within = (column >= 0) & (column < tree.n_columns)
    return bool(within.all() and depth <= tree.max_depth)


def _misfits(part: Any) -> bool:
    """Whether an ensemble hands its trees too few columns, or takes too many outputs of them.

    Others than these let each tree count its columns.
    """
    from sklearn.ensemble._bagging import BaseBagging
    from sklearn.ensemble._forest import BaseForest
    from sklearn.ensemble._gb import BaseGradientBoosting
    from sklearn.tree import BaseDecisionTree

    boosted = isinstance(part, BaseGradientBoosting)
    if not boosted and not isinstance(part, BaseBagging | BaseForest):
        return False
    members = np.array(getattr(part, "estimators_", []), dtype=object).ravel()
    chosen = getattr(part, "estimators_features_", [range(_n_columns(part))] * len(members))
    columns = [min(len(of), _n_columns(part)) for of in chosen]
    if len(columns) != len(members) or any(
        isinstance(tree, BaseDecisionTree) and _n_columns(tree) > n
        for tree, n in zip(members, columns, strict=True)
    ):
        return True
    if not boosted or not len(members):
        return False
    row = np.zeros((1, _n_columns(part)), dtype=np.float32)
    return part.estimators_.shape[1:] != part._raw_predict_init(row).shape[1:]


def fill_gaps(part: Any) -> None:
    """Zeros between the fields of a tree's nodes, where what memory held would be written."""
    from sklearn.tree import BaseDecisionTree

    if not isinstance(part, BaseDecisionTree) or not hasattr(part, "tree_"):
        return
    _, arguments, state = part.tree_.__reduce__()
    nodes = np.zeros(len(state["nodes"]), dtype=state["nodes"].dtype)
    for name in nodes.dtype.names or ():
        nodes[name] = state["nodes"][name]
    tree = type(part.tree_)(*arguments)
    tree.__setstate__({**state, "nodes": nodes})
    part.tree_ = tree
