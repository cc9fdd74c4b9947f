"""Tree ensembles as ONNX graphs: each tree by the very comparisons that scikit-learn makes.

A row is float32 to scikit-learn's forests, a threshold float64; rounded down to float32 the threshold decides
every float32 value alike, so a graph takes the same branches and differs only in how leaves are summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, save

from raresight.detect.export import OPSET

Array = NDArray[Any]

ML_OPSET = 3
IR_VERSION = 10


@dataclass(frozen=True)
class Tree:
    """One binary tree; node 0 is the root.

    Attributes
    ----------
    feature : (nodes,) int array
        What a node looks at.
    threshold : (nodes,) float array
        A value of at most so much goes left.
    left, right : (nodes,) int array
    leaf : (nodes,) bool array
    value : (nodes, targets) float array
        What a leaf adds to each target.
    missing_left : (nodes,) bool array
        Whether NaN goes left.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    leaf: Array
    value: Array
    missing_left: Array

    @classmethod
    def of(cls, tree: Any, value: Array, columns: Array | None = None) -> Tree:
        """Take the tree of a scikit-learn ``DecisionTree…`` or ``ExtraTree…``.

        Parameters
        ----------
        tree : sklearn.tree._tree.Tree
        value : (nodes, targets) array
        columns : int array, optional
            The columns that the tree was grown on, where they are not all.
        """
        leaf = tree.children_left < 0
        feature = np.where(leaf, 0, tree.feature)
        return cls(
            feature if columns is None else np.asarray(columns)[feature],
            tree.threshold,
            tree.children_left,
            tree.children_right,
            leaf,
            value,
            np.asarray(tree.missing_go_to_left, bool),
        )

    @classmethod
    def of_histogram(cls, nodes: Array, target: int, targets: int) -> Tree:
        """Take a tree of scikit-learn's histogram gradient boosting, which adds to one target."""
        if nodes["is_categorical"].any():
            raise NotImplementedError("categorical splits have no place in a graph of numbers")
        value = np.zeros((len(nodes), targets))
        value[:, target] = nodes["value"]
        return cls(
            nodes["feature_idx"],
            nodes["num_threshold"],
            nodes["left"],
            nodes["right"],
            nodes["is_leaf"].astype(bool),
            value,
            nodes["missing_go_to_left"].astype(bool),
        )


def round_down(threshold: Array) -> NDArray[np.float32]:
    """Give the largest float32 that is not above each float64."""
    exact = np.asarray(threshold, np.float64)
    with np.errstate(over="ignore"):
        near = exact.astype(np.float32)
    below: NDArray[np.float32] = np.nextafter(near, np.float32(-np.inf))
    return np.where(near.astype(np.float64) > exact, below, near).astype(np.float32)


def tree_node(trees: Sequence[Tree], constant: Sequence[float], source: str, result: str) -> NodeProto:
    """Sum trees in one ``ai.onnx.ml.TreeEnsembleRegressor``.

    Parameters
    ----------
    trees : sequence of Tree
    constant : sequence of float
        Added to each target.
    source, result : str
        Names of the input (n, features) and the output (n, targets).
    """
    sizes = [len(tree.leaf) for tree in trees]
    inner = ~np.concatenate([tree.leaf for tree in trees])
    number = np.repeat(np.arange(len(trees)), sizes)
    node = np.concatenate([np.arange(size) for size in sizes])
    value = np.concatenate([tree.value for tree in trees])

    def joined(name: str, filler: float = 0) -> Array:
        return np.where(inner, np.concatenate([getattr(tree, name) for tree in trees]), filler)

    targets = value.shape[1]
    at, target = np.nonzero(~inner[:, None] & np.ones((1, targets), bool))
    return helper.make_node(
        "TreeEnsembleRegressor",
        [source],
        [result],
        domain="ai.onnx.ml",
        n_targets=targets,
        aggregate_function="SUM",
        base_values=[float(each) for each in constant],
        nodes_treeids=number.tolist(),
        nodes_nodeids=node.tolist(),
        nodes_featureids=joined("feature").astype(int).tolist(),
        nodes_modes=np.where(inner, "BRANCH_LEQ", "LEAF").tolist(),
        nodes_values=round_down(joined("threshold")).tolist(),
        nodes_truenodeids=joined("left").astype(int).tolist(),
        nodes_falsenodeids=joined("right").astype(int).tolist(),
        nodes_missing_value_tracks_true=joined("missing_left").astype(int).tolist(),
        target_treeids=number[at].tolist(),
        target_nodeids=node[at].tolist(),
        target_ids=target.tolist(),
        target_weights=value[at, target].astype(np.float32).tolist(),
    )


def flat_nodes(dtype: Any, result: str) -> list[NodeProto]:
    """Do to the input ``x`` what `raresight.detect.base.flatten` does: (n, features) float32."""
    kind = np.dtype(dtype)
    nodes = [
        helper.make_node("Flatten", ["x"], ["x_flat"], axis=1),
        helper.make_node(
            "Cast", ["x_flat"], ["x_whole" if kind.kind in "ui" else result], to=TensorProto.FLOAT
        ),
    ]
    if kind.kind in "ui":
        full = helper.make_tensor("x_full", TensorProto.FLOAT, [], [float(np.iinfo(kind).max)])
        nodes += [
            helper.make_node("Constant", [], ["x_full"], value=full),
            helper.make_node("Div", ["x_whole", "x_full"], [result]),
        ]
    return nodes


def scoring_graph(nodes: Sequence[NodeProto], dtype: Any, shape: Sequence[int], classes: int) -> ModelProto:
    """Make a model from ``x`` (n, …) to ``score`` (n,), or (n, classes) if they are more than two.

    Parameters
    ----------
    nodes : sequence of NodeProto
        In their order; the last gives ``score``.
    dtype : dtype
        Of ``x``; float64 becomes float32.
    shape : sequence of int
        Of one row.
    classes : int
    """
    kind = np.dtype(np.float32) if np.dtype(dtype) == np.float64 else np.dtype(dtype)
    entry = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(kind), ["n", *shape])
    exit_shape: list[str | int] = ["n", classes] if classes > 2 else ["n"]
    found = helper.make_tensor_value_info("score", TensorProto.FLOAT, exit_shape)
    graph = helper.make_graph(list(nodes), "detector", [entry], [found])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    checker.check_model(model)
    return model


def export_trees(
    path: Path, trees: Sequence[Tree], constant: Sequence[float], example: Array, dtype: Any
) -> None:
    """Write a sum of trees as a detector's graph: one target gives (n,), more give (n, targets).

    Parameters
    ----------
    path : Path
    trees : sequence of Tree
    constant : sequence of float
        Added to each target.
    example : (n, …) array
        Rows as the detector sees them.
    dtype : dtype
        Of the rows that the detector was trained on.
    """
    targets = trees[0].value.shape[1]
    nodes = [*flat_nodes(dtype, "flat"), tree_node(trees, constant, "flat", "sums")]
    nodes += as_scores("sums", targets)
    save(scoring_graph(nodes, example.dtype, example.shape[1:], max(targets, 2)), path)


def as_scores(source: str, targets: int) -> list[NodeProto]:
    """Give (n, 1) as ``score`` (n,), and (n, targets) as it is."""
    if targets > 1:
        return [helper.make_node("Identity", [source], ["score"])]
    flat = helper.make_tensor("score_shape", TensorProto.INT64, [1], [-1])
    return [
        helper.make_node("Constant", [], ["score_shape"], value=flat),
        helper.make_node("Reshape", [source, "score_shape"], ["score"]),
    ]


def export_isolation(path: Path, forest: Any, example: Array, dtype: Any) -> None:
    """Write a scikit-learn ``IsolationForest`` as a graph of the score 2 ** −(mean depth / expected depth).

    Parameters
    ----------
    path : Path
    forest : sklearn.ensemble.IsolationForest
    example : (n, …) array
        Rows as the detector sees them.
    dtype : dtype
        Of the rows that the detector was trained on.
    """
    trees = []
    for grown, columns in zip(forest.estimators_, forest.estimators_features_, strict=True):
        depth = node_depths(grown.tree_) + expected_depth(grown.tree_.n_node_samples)
        trees.append(Tree.of(grown.tree_, depth[:, None], columns))
    usual = len(trees) * float(expected_depth(np.array([forest.max_samples_]))[0])
    by = helper.make_tensor("by_value", TensorProto.FLOAT, [], [-1 / usual if usual else 0.0])
    two = helper.make_tensor("two_value", TensorProto.FLOAT, [], [2.0])
    nodes = [
        *flat_nodes(dtype, "flat"),
        tree_node(trees, [0.0], "flat", "depths"),
        helper.make_node("Constant", [], ["by"], value=by),
        helper.make_node("Constant", [], ["two"], value=two),
        helper.make_node("Mul", ["depths", "by"], ["exponents"]),
        helper.make_node("Pow", ["two", "exponents"], ["powers"]),
        *as_scores("powers", 1),
    ]
    save(scoring_graph(nodes, example.dtype, example.shape[1:], 2), path)


def node_depths(tree: Any) -> NDArray[np.float64]:
    """Give how many splits above each node of a scikit-learn tree there are."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):  # children always come after their parent
        for child in (tree.children_left[node], tree.children_right[node]):
            if child >= 0:
                depth[child] = depth[node] + 1
    return depth


def expected_depth(n: Array) -> NDArray[np.float64]:
    """Give the mean depth of an unsuccessful search among n rows (Liu et al. 2008, equation 1)."""
    rows = np.asarray(n, np.float64)
    many = 2 * (np.log(np.maximum(rows - 1, 1)) + np.euler_gamma) - 2 * (rows - 1) / np.maximum(rows, 1)
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, many))
