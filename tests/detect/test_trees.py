"""Tree ensembles as ONNX graphs decide as scikit-learn's own code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from raresight.detect.boosting import Boosting
from raresight.detect.classical import RandomForest
from raresight.detect.trees import round_down
from raresight.spec import parse_spec


def scores_of(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["score"], {"x": x})[0]


def rows(classes: int, n: int = 120, features: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(n, features)).astype(np.float32)
    y = np.digitize(X[:, 0] + X[:, 1] ** 2, np.linspace(0, 2, classes - 1))
    return X, y


def test_thresholds_rounded_down_decide_every_float32_alike():
    random = np.random.default_rng(0)
    x = random.normal(size=1000).astype(np.float32)
    near = np.nextafter(x, np.float32(np.inf))
    for threshold in (x.astype(float), (x.astype(float) + near) / 2, np.nextafter(x.astype(float), -9)):
        rounded = round_down(threshold)
        for value in (x, near, np.nextafter(x, np.float32(-9))):
            assert ((value <= rounded) == (value.astype(float) <= threshold)).all()
    assert round_down(np.array([np.inf, -np.inf, 1e300])).tolist() == [
        np.inf,
        -np.inf,
        np.finfo(np.float32).max,
    ]


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("name", ["rf", "boosting"])
def test_graphs_give_the_scores_of_two_and_of_more_classes(name: str, classes: int, tmp_path: Path):
    from raresight.detect import DETECTORS

    X, y = rows(classes)
    detector = parse_spec(name).make(DETECTORS, n_estimators=10, max_iter=10, max_features=0.5).fit(X, y)
    detector.export_onnx(tmp_path / "trees.onnx", X)
    # Values that training saw are where thresholds lie nearest; in float64 they'd differ from their rounding.
    for part in (X, X[:1], X[:1] * 3):
        expected = detector.decision_function(part)
        assert expected.shape == ((len(part),) if classes == 2 else (len(part), classes))
        np.testing.assert_allclose(scores_of(tmp_path / "trees.onnx", part), expected, atol=1e-5)


@pytest.mark.parametrize("detector", [RandomForest(5), Boosting(5, max_features=1.0, min_samples_leaf=1)])
def test_values_halfway_between_two_training_rows_go_the_same_way(detector, tmp_path: Path):
    low = np.float32(8 / 3)
    high = np.nextafter(np.nextafter(low, np.float32(1)), np.float32(1))
    X = np.repeat([low, high], 20)[:, None]
    detector.fit(X, np.repeat([0, 1], 20))
    detector.export_onnx(tmp_path / "trees.onnx", X)
    between = np.array([low, np.nextafter(low, np.float32(1)), high])[:, None]
    scores = detector.decision_function(between)
    assert scores[0] < scores[2]
    np.testing.assert_allclose(scores_of(tmp_path / "trees.onnx", between), scores, atol=1e-6)


def test_a_forest_of_stored_pixels_takes_them_as_they_are(tmp_path: Path):
    random = np.random.default_rng(0)
    X = random.integers(0, 256, (60, 5, 5, 1), np.uint8)
    detector = RandomForest(10).fit(X, (X[:, 2, 2, 0] > 128).astype(int))
    detector.export_onnx(tmp_path / "trees.onnx", X)
    np.testing.assert_allclose(
        scores_of(tmp_path / "trees.onnx", X), detector.decision_function(X), atol=1e-6
    )


def test_boosting_that_finds_no_split_still_makes_a_graph(tmp_path: Path):
    X, y = rows(2, n=30)
    detector = Boosting(min_samples_leaf=20).fit(X, y)
    detector.export_onnx(tmp_path / "trees.onnx", X)
    np.testing.assert_allclose(
        scores_of(tmp_path / "trees.onnx", X), detector.decision_function(X), atol=1e-6
    )


def test_boosting_sends_missing_values_where_it_learned_to(tmp_path: Path):
    X, y = rows(2)
    X[y == 1, 0] = np.nan
    detector = Boosting(10, max_features=1.0).fit(X, y)
    detector.export_onnx(tmp_path / "trees.onnx", X)
    np.testing.assert_allclose(
        scores_of(tmp_path / "trees.onnx", X), detector.decision_function(X), atol=1e-5
    )
