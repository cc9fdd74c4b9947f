"""Classical detectors: floors, more than two classes, bad input."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from tiny import make_detector

from raresight.errors import DataError, OptionError
from raresight.images.load import load
from raresight.images.store import build_store
from raresight.represent.embedding import Embedding

CLASSICAL = ["svm", "rf", "logistic", "boosting", "vote"]


@cache
def embedded() -> tuple[np.ndarray, np.ndarray]:
    store = build_store(load("phantom:brain?n=150&anomalies=0.3&difficulty=0.2&seed=0"))
    every = np.arange(len(store))
    return StandardScaler().fit_transform(Embedding().transform(store, every)), store.manifest.y


@pytest.mark.parametrize("name", CLASSICAL)
def test_it_finds_easy_lesions_in_images_it_has_not_seen(name: str):
    X, y = embedded()
    options = {"n_estimators": 100} if name == "rf" else {}
    detector = make_detector(name, **options).fit(X[:100], y[:100])
    assert roc_auc_score(y[100:], detector.decision_function(X[100:])) > 0.85


def three_classes(n: int = 240) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    y = np.arange(n) % 3
    return random.normal(size=(n, 10)).astype(np.float32) + 1.5 * np.eye(3, 10, dtype=np.float32)[y], y


@pytest.mark.parametrize("name", CLASSICAL)
def test_of_three_classes_each_has_a_score(name: str, tmp_path: Path):
    X, y = three_classes()
    detector = make_detector(name).fit(X[:160], y[:160])
    scores, shares = detector.decision_function(X), detector.predict_proba(X)
    assert scores.shape == shares.shape == (240, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    assert (detector.predict(X) == scores.argmax(axis=1)).all()
    assert (detector.predict(X) == shares.argmax(axis=1)).all()
    assert (detector.predict(X[160:]) == y[160:]).mean() > 0.6
    detector.export_onnx(tmp_path / "detector.onnx", X)
    session = onnxruntime.InferenceSession(tmp_path / "detector.onnx", providers=["CPUExecutionProvider"])
    for part in (X[:1], X[:7]):
        (found,) = session.run(["score"], {"x": part})
        np.testing.assert_allclose(found, detector.decision_function(part), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CLASSICAL)
def test_one_class_alone_is_refused(name: str):
    with pytest.raises(DataError, match="one class"):
        make_detector(name).fit(np.zeros((5, 3), np.float32), np.zeros(5, int))


def test_a_vote_is_the_mean_of_its_members_probabilities():
    X, y = three_classes()
    for labels in (y, (y > 0).astype(int)):
        vote = make_detector("vote", members="svm+logistic", random_state=3).fit(X, labels)
        shares = [make_detector(name).fit(X, labels).predict_proba(X) for name in ("svm", "logistic")]
        np.testing.assert_allclose(vote.predict_proba(X), np.mean(shares, axis=0), rtol=1e-6)


@pytest.mark.parametrize("members", ["svm", "svm+cnn", "svm+svm", ""])
def test_a_vote_of_one_or_of_strangers_is_refused(members: str):
    X, y = three_classes()
    with pytest.raises(OptionError, match="at least two of svm, rf, logistic, boosting"):
        make_detector("vote", members=members).fit(X, y)
