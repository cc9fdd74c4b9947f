"""The machine is LIBSVM's own, whoever computes the kernel."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC

from raresight.detect import margin
from raresight.detect.margin import GaussianSVC, gaussian_kernel


def rows(n: int = 200, d: int = 12, far: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    X = random.normal(far, 1, (n, d)).astype(np.float32)
    return X, (X[:, 0] + 0.7 * random.normal(size=n) > far).astype(int)


@pytest.mark.parametrize("far", [0.0, 1000.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("most", [10**6, 50])
def test_it_scores_as_scikit_learns_does(far, weighted, most, monkeypatch):
    monkeypatch.setattr(margin, "MOST", most)
    X, y = rows(far=far)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y)) if weighted else None
    own = GaussianSVC(2.0, 0.05).fit(X[:150], y[:150], None if weight is None else weight[:150])
    theirs = SVC(C=2.0, gamma=0.05).fit(X[:150], y[:150], None if weight is None else weight[:150])
    np.testing.assert_allclose(
        own.decision_function(X[150:]), theirs.decision_function(X[150:]), atol=1e-6 if far else 1e-9
    )
    assert own.support_vectors_.shape == theirs.support_vectors_.shape


def test_blocks_change_nothing(monkeypatch):
    X, y = rows()
    machine = GaussianSVC(1.0, 0.1).fit(X, y)
    whole = machine.decision_function(X)
    monkeypatch.setattr(margin, "BLOCK", 7)
    np.testing.assert_allclose(machine.decision_function(X), whole, atol=1e-12)
    assert machine.decision_function(X[:0]).shape == (0,)


def test_the_kernel_is_exact_far_from_the_origin():
    X, _ = rows(20, 5, far=1e4)
    apart = ((X[:, None].astype(np.float64) - X[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(gaussian_kernel(X, X, 0.1), np.exp(-0.1 * apart), rtol=1e-6)
