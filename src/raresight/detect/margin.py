"""Support vector machines with a Gaussian kernel that BLAS computes, for LIBSVM's own solver.

LIBSVM computes kernel values one by one, and again whenever its cache is full. All of them come from one
matrix product; given these, the same solver finds the same machine, and scores take a fraction of the time
(`benchmarks/svm.py`).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import SVC

Array = NDArray[Any]

MOST = 11_585
"""Rows whose kernel is held at once, 1 GiB; of more, LIBSVM computes what it needs."""

BLOCK = 4096
"""Rows that are scored at once."""


class GaussianSVC:
    """A two-class support vector machine.

    Parameters
    ----------
    C : float
    gamma : float
        The kernel is exp(−gamma · squared distance).

    Attributes
    ----------
    support_vectors_ : (m, features) float64 array
    dual_coef_ : (1, m) float64 array
    intercept_ : (1,) float64 array
    classes_ : (2,) array
    """

    def __init__(self, C: float, gamma: float) -> None:
        self.C, self.gamma = C, gamma

    def fit(
        self, X: Array, y: Array, sample_weight: Array | None = None, kernel: Array | None = None
    ) -> Self:
        """Learn from (n, features) rows; `kernel`: theirs (n, n), where it is known already."""
        settings = {"C": self.C, "cache_size": 500, "random_state": 0}
        if kernel is None and len(X) <= MOST:
            kernel = gaussian_kernel(X, X, self.gamma)
        if kernel is None:
            machine = SVC(gamma=self.gamma, **settings).fit(X, y, sample_weight)
        else:
            machine = SVC(kernel="precomputed", **settings).fit(kernel, y, sample_weight)
        self.support_vectors_ = np.asarray(X[machine.support_], np.float64)
        self.dual_coef_, self.intercept_ = machine.dual_coef_, machine.intercept_
        self.classes_ = machine.classes_
        return self

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, features) rows: (n,), above 0 for the second class."""
        scores = [
            gaussian_kernel(X[start : start + BLOCK], self.support_vectors_, self.gamma) @ self.dual_coef_[0]
            for start in range(0, len(X), BLOCK)
        ]
        found: NDArray[np.float64] = np.concatenate([*scores, np.empty(0)]) + self.intercept_[0]
        return found


def gaussian_kernel(X: Array, Z: Array, gamma: float) -> NDArray[np.float64]:
    """Compute exp(−gamma · squared distance) of (n, d) and (m, d) rows: (n, m)."""
    same = X is Z
    X = np.asarray(X, np.float64)
    Z = X if same else np.asarray(Z, np.float64)
    # Distances are taken about a common centre: far from the origin they would cancel out.
    centre = Z.mean(axis=0)
    X = X - centre
    Z = X if same else Z - centre
    squares = np.einsum("ij,ij->i", X, X), np.einsum("ij,ij->i", Z, Z)
    kernel: NDArray[np.float64] = X @ Z.T
    kernel *= -2
    kernel += squares[0][:, None]
    kernel += squares[1][None]
    np.maximum(kernel, 0, out=kernel)
    kernel *= -gamma
    return np.exp(kernel, out=kernel)
