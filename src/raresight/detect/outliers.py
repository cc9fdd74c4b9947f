"""One-class detectors of tabular outliers: support vectors, isolation, tail probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import skew
from sklearn.ensemble import IsolationForest as SklearnForest
from sklearn.svm import OneClassSVM as SklearnSVM
from torch import Tensor, nn

from raresight.detect.base import OneClassDetector, flatten
from raresight.detect.export import Flat
from raresight.errors import OptionError

Array = NDArray[Any]


class OneClassSVM(OneClassDetector):
    """Support vectors of the normal rows' region, with a Gaussian kernel; the score is minus the margin.

    Source: Schölkopf, Platt, Shawe-Taylor, Smola & Williamson, "Estimating the support of a high-dimensional
    distribution", Neural Computation 13 (2001).

    Parameters
    ----------
    nu : float
        Bound on the share of normal rows left outside, above 0 and below 1.
    width : float
        Kernel width relative to scikit-learn's `scale`: gamma = width / (features × variance).
    """

    scaled = True

    def __init__(self, nu: float = 0.1, width: float = 0.5) -> None:
        self.nu, self.width = nu, width

    def _learn(self, X: Array, held: Array | None) -> None:
        if not 0 < self.nu < 1:
            raise OptionError(f"ocsvm[nu={self.nu}] is no share; choose above 0 and below 1")
        rows = flatten(X)
        gamma = self.width / (rows.shape[1] * (float(rows.var()) or 1.0))
        machine = SklearnSVM(nu=self.nu, gamma=gamma, cache_size=500)
        machine.random_state = 0  # no option of scikit-learn's; None would draw from the global seed
        self.machine_ = machine.fit(rows)
        self.dtype_ = X.dtype

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, …) rows; above 0 lies outside."""
        return -np.asarray(self.machine_.decision_function(flatten(X)), np.float64)

    def scorer(self) -> nn.Module:
        """Give the kernel expansion as a torch module."""
        from raresight.detect.kernels import KernelExpansion

        fitted = self.machine_
        return KernelExpansion(
            fitted.support_vectors_,
            -fitted.dual_coef_[0],
            -float(fitted.intercept_[0]),
            fitted._gamma,
            self.dtype_,
        )

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {
            "nu": trial.suggest_float("nu", 0.01, 0.5, log=True),
            "width": trial.suggest_float("width", 0.03, 3.0, log=True),
        }


class IsolationForest(OneClassDetector):
    """How few random splits set a row apart from normal ones; the score runs from 0 to 1.

    Source: Liu, Ting & Zhou, "Isolation forest", ICDM 2008.

    Parameters
    ----------
    n_estimators : int
    max_samples : int
        Rows that a tree is grown on, at most.
    random_state : int
    """

    stochastic = True

    def __init__(self, n_estimators: int = 200, max_samples: int = 256, random_state: int = 0) -> None:
        self.n_estimators, self.max_samples, self.random_state = n_estimators, max_samples, random_state

    def _learn(self, X: Array, held: Array | None) -> None:
        if self.n_estimators < 1 or self.max_samples < 2:
            raise OptionError("iforest needs n_estimators of at least 1 and max_samples of at least 2")
        rows = flatten(X)
        self.forest_ = SklearnForest(
            n_estimators=self.n_estimators,
            max_samples=min(self.max_samples, len(rows)),
            random_state=self.random_state,
        ).fit(rows)
        self.dtype_ = X.dtype

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, …) rows from 0 to 1."""
        return -np.asarray(self.forest_.score_samples(flatten(X)), np.float64)

    def export_onnx(self, path: Path, example: Array) -> None:
        """Write the trees as an ONNX graph; see `Detector.export_onnx`."""
        from raresight.detect.trees import export_isolation

        export_isolation(path, self.forest_, example, self.dtype_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {"max_samples": trial.suggest_int("max_samples", 32, 512, log=True)}


class ECOD(OneClassDetector):
    """How far out in the tails of the features' empirical distributions a row lies.

    A row counts itself among the training rows, so that no tail probability is 0.

    Source: Li, Zhao, Hu, Botta, Ionescu & Chen, "ECOD: unsupervised outlier detection using empirical
    cumulative distribution functions", IEEE TKDE 2022, algorithm 1.
    """

    def _learn(self, X: Array, held: Array | None) -> None:
        rows = flatten(X).astype(np.float32)
        self.sorted_ = np.sort(rows, axis=0)
        varies = self.sorted_[0] < self.sorted_[-1]
        self.left_skewed_ = np.zeros(rows.shape[1], bool)
        self.left_skewed_[varies] = skew(rows[:, varies].astype(np.float64), axis=0) < 0
        self.dtype_ = X.dtype

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, …) rows from 0 on."""
        rows = flatten(X).astype(np.float32)
        n = len(self.sorted_)
        below, above = np.empty(rows.shape), np.empty(rows.shape)
        for feature, values in enumerate(self.sorted_.T):
            below[:, feature] = np.searchsorted(values, rows[:, feature], "right")
            above[:, feature] = n - np.searchsorted(values, rows[:, feature], "left")
        left, right = -np.log((below + 1) / (n + 1)), -np.log((above + 1) / (n + 1))
        skewed = np.where(self.left_skewed_, left, right)
        return np.asarray(np.max([part.sum(axis=1) for part in (left, right, skewed)], axis=0))

    def scorer(self) -> nn.Module:
        """Give the tail probabilities as a torch module."""
        return _Tails(self.sorted_, self.left_skewed_, self.dtype_)


class _Tails(nn.Module):
    rows: Tensor
    left_skewed: Tensor

    def __init__(self, rows: Array, left_skewed: Array, dtype: Any) -> None:
        super().__init__()
        self.flat = Flat(dtype)
        self.register_buffer("rows", torch.from_numpy(rows))
        self.register_buffer("left_skewed", torch.from_numpy(left_skewed))

    def forward(self, x: Tensor) -> Tensor:
        flat = self.flat(x).unsqueeze(1)
        count = len(self.rows) + 1
        left = -torch.log(((self.rows <= flat).float().sum(dim=1) + 1) / count)
        right = -torch.log(((self.rows >= flat).float().sum(dim=1) + 1) / count)
        skewed = torch.where(self.left_skewed, left, right)
        return torch.stack([part.sum(dim=1) for part in (left, right, skewed)], dim=1).amax(dim=1)
