"""Classical detectors on a representation: logistic regression, support vector machine, random forest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from raresight.detect.base import Detector, flatten
from raresight.detect.margin import MOST, GaussianSVC, gaussian_kernel
from raresight.errors import DataError

Array = NDArray[Any]


class ClassicalDetector(ClassifierMixin, Detector):  # type: ignore[misc]
    """Base of the detectors that wrap a scikit-learn classifier.

    Attributes
    ----------
    link : {"margin", "logit", "share"}
        How scores become probabilities: by the logistic function each for itself (and then divided by their
        sum), by the logistic or softmax function, or not at all.
    classes_ : int array
        0 = normal, 1 = anomalous; or 0, 1, 2 …
    """

    scaled = True
    multiclass = True
    link: str = "margin"

    def _classifier(self) -> Any:
        raise NotImplementedError

    @staticmethod
    def _rows(X: Array) -> Array:
        """Give (n, …) rows as the classifier takes them."""
        return flatten(X)

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from (n, …) rows; images are flattened and integers scaled to 0 … 1.

        Raises
        ------
        DataError
            If all rows are of one class.
        """
        if len(np.unique(np.asarray(y))) < 2:
            raise DataError(
                f"{type(self).__name__} learns from normal and anomalous images and all of these "
                f"{len(X)} are of one class; take a one-class detector"
            )
        self.classifier_ = self._classifier().fit(self._rows(X), y, sample_weight=sample_weight)
        self.classes_ = self.classifier_.classes_
        self.dtype_ = X.dtype
        return self

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, …) rows, (n,), higher = more anomalous; each of more than two classes, (n, classes)."""
        return np.asarray(self.classifier_.decision_function(self._rows(X)), np.float64)

    def predict(self, X: Array) -> Array:
        """Call each row by the default threshold; of more than two classes, the one that scores highest."""
        scores = self.decision_function(X)
        if scores.ndim == 2:
            return np.asarray(self.classes_[scores.argmax(axis=1)])
        anomalous = scores >= (self.default_threshold or 0)
        called: Array = self.classes_[anomalous.astype(int)]
        return called


class SVM(ClassicalDetector):
    """Support vector machine with a Gaussian kernel; of more than two classes, one against the rest for each.

    Source: Cortes & Vapnik, "Support-vector networks", Machine Learning 20 (1995).

    Parameters
    ----------
    C : float
        Cost of a margin violation, above 0.
    width : float
        Kernel width relative to scikit-learn's `scale`: gamma = width / (features × variance).
    """

    def __init__(self, C: float = 2.0, width: float = 0.5) -> None:
        self.C, self.width = C, width

    def _classifier(self) -> Any:
        return _ScaledSVC(self.C, self.width)

    def predict_proba(self, X: Array) -> NDArray[np.float64]:
        """Read margins as log odds, (n, classes); so over- or under-confident, and uncalibrated."""
        anomalous = expit(self.decision_function(X))
        if anomalous.ndim == 2:
            shares: NDArray[np.float64] = anomalous / anomalous.sum(axis=1, keepdims=True)
            return shares
        return np.column_stack([1 - anomalous, anomalous])

    def scorer(self) -> Any:
        """Give the kernel expansion, or one a class, as a torch module."""
        from raresight.detect.kernels import Columns, KernelExpansion

        machines = getattr(self.classifier_, "machines", [self.classifier_])
        expansions = [
            KernelExpansion(
                fitted.support_vectors_,
                fitted.dual_coef_[0],
                float(fitted.intercept_[0]),
                fitted.gamma,
                self.dtype_,
            )
            for fitted in machines
        ]
        return expansions[0] if len(expansions) == 1 else Columns(expansions)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {
            "C": trial.suggest_float("C", 0.3, 100.0, log=True),
            "width": trial.suggest_float("width", 0.03, 2.0, log=True),
        }


class _ScaledSVC:
    """An SVC whose gamma follows from the data, as scikit-learn's ``scale`` does, times a factor."""

    def __init__(self, C: float, width: float) -> None:
        self.C, self.width = C, width

    def fit(self, X: Array, y: Array, sample_weight: Array | None = None) -> Any:
        variance = float(X.var()) or 1.0
        gamma = self.width / (X.shape[1] * variance)
        classes = np.unique(y)
        if len(classes) > 2:
            kernel = gaussian_kernel(X, X, gamma) if len(X) <= MOST else None
            machines = [
                GaussianSVC(self.C, gamma).fit(X, y == each, sample_weight, kernel) for each in classes
            ]
            return _OneAgainstRest(machines, classes)
        return GaussianSVC(self.C, gamma).fit(X, y, sample_weight)


class _OneAgainstRest:
    """A machine for each class; scikit-learn's own mixes pairs' votes, which make no simple graph."""

    def __init__(self, machines: list[GaussianSVC], classes: Array) -> None:
        self.machines, self.classes_ = machines, classes

    def decision_function(self, X: Array) -> Array:
        return np.column_stack([machine.decision_function(X) for machine in self.machines])


class RandomForest(ClassicalDetector):
    """Random forest; its score is the share of votes for the anomaly.

    Source: Breiman, "Random forests", Machine Learning 45 (2001).

    Parameters
    ----------
    n_estimators : int
    max_features : str, int or float
        Features tried at each split; ``"log2"`` is the paper's own choice (section 4), and on 1,280 features
        a third of the work of ``"sqrt"``.
    min_samples_leaf : int
    random_state : int
    """

    scaled = False
    stochastic = True
    default_threshold = 0.5
    link = "share"

    def __init__(
        self,
        n_estimators: int = 100,
        max_features: Any = "log2",
        min_samples_leaf: int = 1,
        random_state: int = 0,
    ) -> None:
        self.n_estimators, self.max_features = n_estimators, max_features
        self.min_samples_leaf, self.random_state = min_samples_leaf, random_state

    def _classifier(self) -> Any:
        return RandomForestClassifier(**self.get_params(), n_jobs=1)

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, …) rows from 0 to 1; of more than two classes, each class's share of the votes."""
        shares = self.predict_proba(X)
        return shares[:, 1] if shares.shape[1] == 2 else shares

    def predict_proba(self, X: Array) -> NDArray[np.float64]:
        """Share of votes for each class, (n, classes)."""
        shares: NDArray[np.float64] = self.classifier_.predict_proba(self._rows(X))
        return shares

    def export_onnx(self, path: Path, example: Array) -> None:
        """Write the trees as an ONNX graph; see `Detector.export_onnx`."""
        from raresight.detect.trees import Tree, export_trees

        trees = []
        for grown in (each.tree_ for each in self.classifier_.estimators_):
            shares = grown.value[:, 0] / grown.value[:, 0].sum(axis=1, keepdims=True)
            votes = shares[:, 1:] if shares.shape[1] == 2 else shares
            trees.append(Tree.of(grown, votes / len(self.classifier_.estimators_)))
        export_trees(path, trees, [0.0] * trees[0].value.shape[1], example, self.dtype_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {
            "max_features": trial.suggest_float("max_features", 0.01, 0.2, log=True),
            "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 8, log=True),
        }


class Logistic(ClassicalDetector):
    """Logistic regression with an L2 penalty, the plain yardstick.

    Source: Cox, "The regression analysis of binary sequences", JRSS B 20 (1958).

    Parameters
    ----------
    C : float
        Inverse of the penalty, above 0.
    """

    logits = True
    link = "logit"

    def __init__(self, C: float = 0.01) -> None:
        self.C = C

    def _classifier(self) -> Any:
        return LogisticRegression(C=self.C, max_iter=2000)

    def predict_proba(self, X: Array) -> NDArray[np.float64]:
        """Probability of each class, (n, classes)."""
        shares: NDArray[np.float64] = self.classifier_.predict_proba(self._rows(X))
        return shares

    def scorer(self) -> Any:
        """Give the linear function, or one a class, as a torch module."""
        from raresight.detect.kernels import Columns, Linear

        functions = [
            Linear(weights, float(constant), self.dtype_)
            for weights, constant in zip(self.classifier_.coef_, self.classifier_.intercept_, strict=True)
        ]
        return functions[0] if len(functions) == 1 else Columns(functions)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {"C": trial.suggest_float("C", 1e-4, 1.0, log=True)}
