"""Gradient boosting over histograms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from raresight.detect.base import flatten
from raresight.detect.classical import ClassicalDetector

Array = NDArray[Any]


class Boosting(ClassicalDetector):
    """Gradient boosting over histograms, scikit-learn's, a yardstick; its score is the log odds.

    Source: Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29
    (2001); over histograms Ke et al., "LightGBM: a highly efficient gradient boosting decision tree", NeurIPS
    2017.

    Parameters
    ----------
    max_iter : int
        Trees, one after the other (a class, where there are more than two).
    learning_rate : float
    max_leaf_nodes : int
    min_samples_leaf : int
    max_features : float
        Share of the features tried at each split, above 0 and at most 1.
    l2_regularization : float
    random_state : int
        Of the features tried.
    """

    scaled = False
    stochastic = True
    logits = True
    link = "logit"

    def __init__(
        self,
        max_iter: int = 150,
        learning_rate: float = 0.1,
        max_leaf_nodes: int = 15,
        min_samples_leaf: int = 5,
        max_features: float = 0.1,
        l2_regularization: float = 1.0,
        random_state: int = 0,
    ) -> None:
        self.max_iter, self.learning_rate = max_iter, learning_rate
        self.max_leaf_nodes, self.min_samples_leaf = max_leaf_nodes, min_samples_leaf
        self.max_features, self.l2_regularization = max_features, l2_regularization
        self.random_state = random_state

    def _classifier(self) -> Any:
        return HistGradientBoostingClassifier(**self.get_params(), early_stopping=False)

    @staticmethod
    def _rows(X: Array) -> Array:
        """Round as an exported graph does; scikit-learn would split between float64 values."""
        return flatten(X).astype(np.float32, copy=False)

    def predict_proba(self, X: Array) -> NDArray[np.float64]:
        """Probability of each class, (n, classes)."""
        shares: NDArray[np.float64] = self.classifier_.predict_proba(self._rows(X))
        return shares

    def export_onnx(self, path: Path, example: Array) -> None:
        """Write the trees as an ONNX graph; see `Detector.export_onnx`."""
        from raresight.detect.trees import Tree, export_trees

        grown = self.classifier_._predictors
        targets = len(grown[0])
        trees = [
            Tree.of_histogram(each.nodes, target, targets)
            for step in grown
            for target, each in enumerate(step)
        ]
        start = np.ravel(self.classifier_._baseline_prediction).tolist()
        export_trees(path, trees, start, example, self.dtype_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.3, log=True),
            "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 3, 31, log=True),
            "max_features": trial.suggest_float("max_features", 0.02, 0.5, log=True),
        }
