"""Outlier detectors on rows, and the distance to the normal distribution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from tiny import make_detector

from raresight.detect.memory import Mahalanobis
from raresight.detect.outliers import ECOD, IsolationForest, OneClassSVM
from raresight.detect.trees import expected_depth
from raresight.errors import DataError, OptionError

OUTLIERS = ["knn", "mahalanobis", "ocsvm", "iforest", "ecod"]


def rows(n: int = 200, features: int = 20) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(n, features)).astype(np.float32)
    y = (np.arange(n) % 4 == 0).astype(int)
    X[y == 1, :8] += 1.7
    return X, y


@pytest.mark.parametrize("name", OUTLIERS)
def test_shifted_rows_stand_out(name: str):
    X, y = rows()
    detector = make_detector(name).fit(X[:120], y[:120])
    assert roc_auc_score(y[120:], detector.decision_function(X[120:])) > 0.85


@pytest.mark.parametrize("name", OUTLIERS)
def test_no_normal_row_to_learn_from_is_refused(name: str):
    with pytest.raises(DataError, match="normal"):
        make_detector(name).fit(np.zeros((4, 3), np.float32), np.ones(4, int))


@pytest.mark.parametrize("features", [5, 80])
def test_mahalanobis_is_the_distance_by_ledoit_and_wolfs_covariance(features: int):
    X = np.random.default_rng(0).normal(size=(60, features)) * np.arange(1, features + 1)
    estimate = LedoitWolf().fit(X[:40])
    expected = np.sqrt(estimate.mahalanobis(X))
    np.testing.assert_allclose(Mahalanobis().fit(X[:40]).decision_function(X), expected, rtol=1e-3)


def test_mahalanobis_on_fewer_components_leaves_the_rest_out():
    X = np.random.default_rng(0).normal(size=(60, 3)) * [10, 1, 0.01]
    detector = Mahalanobis(variance=0.9).fit(X)
    moved = X.copy()
    moved[:, 2] += 5
    # The axes lie a little askew, so that the move is not unseen altogether.
    np.testing.assert_allclose(detector.decision_function(moved), detector.decision_function(X), atol=0.1)


def test_ecod_is_the_papers_sum_of_tail_probabilities():
    X = np.array([[1.0, 1], [2, 1], [3, 2], [4, 9]], np.float32)
    # Of (1.5, 1): itself and one row are ≤ 1.5, itself and two are ≤ 1.
    left = np.log(5 / 2) + np.log(5 / 3)
    right = np.log(5 / 4) + np.log(5 / 5)
    scores = ECOD().fit(X).decision_function(np.array([[1.5, 1]], np.float32))
    # The first feature is not skewed and the second to the right, so the skewed sum is the right one.
    np.testing.assert_allclose(scores, max(left, right))


def test_ecod_takes_the_left_tail_of_what_is_skewed_to_the_left():
    X = np.array([[0.0], [9], [10], [10]], np.float32)
    assert ECOD().fit(X).left_skewed_.tolist() == [True]
    assert ECOD().fit(-X).left_skewed_.tolist() == [False]


def test_isolation_depth_is_the_papers():
    np.testing.assert_allclose(expected_depth(np.array([0, 1, 2])), [0, 0, 1])
    harmonic = (1 / np.arange(1, 256)).sum()
    np.testing.assert_allclose(expected_depth(np.array([256])), 2 * harmonic - 2 * 255 / 256, rtol=1e-3)


def test_isolation_of_rows_all_alike_still_makes_a_graph(tmp_path: Path):
    X = np.ones((20, 3), np.float32)
    detector = IsolationForest(10).fit(X)
    detector.export_onnx(tmp_path / "forest.onnx", X)
    session = onnxruntime.InferenceSession(tmp_path / "forest.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["score"], {"x": X})[0], detector.decision_function(X), atol=1e-5)


@pytest.mark.parametrize(
    "detector",
    [
        OneClassSVM(nu=0),
        OneClassSVM(nu=1),
        Mahalanobis(variance=0),
        Mahalanobis(variance=1.5),
        IsolationForest(0),
        IsolationForest(max_samples=1),
    ],
)
def test_options_out_of_range_are_refused(detector):
    with pytest.raises(OptionError):
        detector.fit(rows()[0])
