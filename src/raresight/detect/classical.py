"""Classical detectors on a representation: logistic regression, support vector machine, random forest."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from raresight.detect.base import Detector, flatten

Array = NDArray[Any]


class ClassicalDetector(ClassifierMixin, Detector):  # type: ignore[misc]
    """Base of the detectors that wrap a scikit-learn classifier."""

    scaled = True

    def _classifier(self) -> Any:
        raise NotImplementedError

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from (n, …) rows; images are flattened and integers scaled to 0 … 1."""
        self.classifier_ = self._classifier().fit(flatten(X), y, sample_weight=sample_weight)
        self.classes_ = self.classifier_.classes_
        self.dtype_ = X.dtype
        return self

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, …) rows, higher = more anomalous."""
        return np.asarray(self.classifier_.decision_function(flatten(X)), np.float64)

    def predict(self, X: Array) -> Array:
        """Call each row by the default threshold."""
        anomalous = self.decision_function(X) >= (self.default_threshold or 0)
        called: Array = self.classes_[anomalous.astype(int)]
        return called


class SVM(ClassicalDetector):
    """Support vector machine with a Gaussian kernel.

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
        """Read the margin as log odds, (n, 2); so over- or under-confident, and uncalibrated."""
        anomalous = expit(self.decision_function(X))
        return np.column_stack([1 - anomalous, anomalous])

    def scorer(self) -> Any:
        """Give the kernel expansion as a torch module."""
        from raresight.detect.kernels import KernelExpansion

        fitted = self.classifier_
        return KernelExpansion(
            fitted.support_vectors_,
            fitted.dual_coef_[0],
            float(fitted.intercept_[0]),
            fitted._gamma,
            self.dtype_,
        )

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

    def fit(self, X: Array, y: Array, sample_weight: Array | None = None) -> SVC:
        variance = float(X.var()) or 1.0
        gamma = self.width / (X.shape[1] * variance)
        return SVC(C=self.C, gamma=gamma, cache_size=500, random_state=0).fit(
            X, y, sample_weight=sample_weight
        )


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
        """Score (n, …) rows from 0 to 1."""
        return self.predict_proba(X)[:, 1]

    def predict_proba(self, X: Array) -> NDArray[np.float64]:
        """Share of votes for normal and for anomalous, (n, 2)."""
        shares: NDArray[np.float64] = self.classifier_.predict_proba(flatten(X))
        return shares

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

    def __init__(self, C: float = 0.01) -> None:
        self.C = C

    def _classifier(self) -> Any:
        return LogisticRegression(C=self.C, max_iter=2000)

    def predict_proba(self, X: Array) -> NDArray[np.float64]:
        """Probability of normal and of anomalous, (n, 2)."""
        shares: NDArray[np.float64] = self.classifier_.predict_proba(flatten(X))
        return shares

    def scorer(self) -> Any:
        """Give the linear function as a torch module."""
        from raresight.detect.kernels import Linear

        return Linear(self.classifier_.coef_[0], float(self.classifier_.intercept_[0]), self.dtype_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {"C": trial.suggest_float("C", 1e-4, 1.0, log=True)}
