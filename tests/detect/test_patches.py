"""Detectors on feature maps."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from raresight.detect.patches import PaDiM, PatchCore, farthest_first, shrunk_whitening
from raresight.errors import DataError, OptionError
from raresight.images.load import load
from raresight.images.store import build_store
from raresight.represent.maps import Maps


@cache
def mapped() -> tuple[np.ndarray, np.ndarray]:
    store = build_store(load("phantom:brain?n=150&anomalies=0.3&difficulty=0.2&seed=0"))
    return np.array(Maps().whole(store)), store.manifest.y


@pytest.mark.parametrize("detector", [PaDiM(), PatchCore(coreset=500)], ids=["padim", "patchcore"])
def test_it_finds_easy_lesions_from_normal_images(detector):
    X, y = mapped()
    detector.fit(X[:100], y[:100])
    assert roc_auc_score(y[100:], detector.decision_function(X[100:])) > FLOORS[type(detector).__name__]


FLOORS = {"PaDiM": 0.8, "PatchCore": 0.7}


@pytest.mark.parametrize("detector", [PaDiM(), PatchCore(coreset=500)], ids=["padim", "patchcore"])
def test_a_change_in_one_place_is_hottest_there(detector):
    X, y = mapped()
    detector.fit(X[y == 0])
    odd = X[:1].copy()
    odd[0, 5, 9] += 20
    heat = detector.heatmap(odd)[0]
    assert np.unravel_index(heat.argmax(), heat.shape) == (5, 9)


def test_covariance_is_shrunk_as_by_scikit_learn():
    random = np.random.default_rng(0)
    rows = random.normal(size=(40, 12)) @ random.normal(size=(12, 12))
    rows -= rows.mean(axis=0)
    whitening = shrunk_whitening(rows).astype(float)
    estimate = LedoitWolf(assume_centered=True).fit(rows)
    expected = np.sqrt(estimate.mahalanobis(rows))
    np.testing.assert_allclose(np.linalg.norm(rows @ whitening, axis=1), expected, rtol=1e-4)


def test_places_that_never_vary_are_no_harm():
    X = np.random.default_rng(0).normal(size=(20, 4, 4, 5)).astype(np.float16)
    X[:, 2, 2] = 1
    scores = PaDiM().fit(X).decision_function(X)
    assert np.isfinite(scores).all()


def test_the_coreset_takes_the_farthest_first():
    rows = np.array([[0.0, 0], [0.1, 0], [10, 0], [0, 6], [0, 6.1]], np.float32)
    assert set(farthest_first(rows, 3).tolist()) == {0, 2, 4} or set(farthest_first(rows, 3)) == {1, 2, 4}
    assert sorted(farthest_first(rows, 99).tolist()) == [0, 1, 2, 3, 4]


def test_patchcore_scores_the_farthest_place_by_its_nearest_memory():
    X, y = mapped()
    detector = PatchCore(coreset=200, n_neighbors=1).fit(X[y == 0])
    rows = X[:3].astype(float).reshape(3, -1, 1, X.shape[3])
    distances = np.sqrt(((rows - detector.memory_) ** 2).sum(axis=3)).min(axis=2)
    np.testing.assert_allclose(detector.decision_function(X[:3]), distances.max(axis=1), rtol=1e-3)
    np.testing.assert_allclose(detector.heatmap(X[:3]).reshape(3, -1), distances, rtol=1e-2, atol=0.1)
    weighted = PatchCore(coreset=200).fit(X[y == 0]).decision_function(X[:3])
    assert (weighted < distances.max(axis=1)).all()


@pytest.mark.parametrize("detector", [PatchCore(coreset=0), PatchCore(drawn=0), PatchCore(n_neighbors=0)])
def test_options_too_small_are_refused(detector):
    with pytest.raises(OptionError, match="at least 1"):
        detector.fit(np.zeros((3, 2, 2, 4), np.float16))


@pytest.mark.parametrize("detector", [PaDiM(), PatchCore()])
def test_rows_that_are_no_maps_are_refused(detector):
    with pytest.raises(DataError, match="feature maps"):
        detector.fit(np.zeros((3, 4), np.float32))


@pytest.mark.parametrize("detector", [PaDiM(features=0), PaDiM(around=-1)])
def test_padim_refuses_options_out_of_range(detector):
    with pytest.raises(OptionError, match="padim takes"):
        detector.fit(np.zeros((3, 2, 2, 4), np.float16))


def test_standardised_places_of_training_rows_are_about_0_and_1():
    X, y = mapped()
    heat = PaDiM(features=20).fit(X[y == 0]).heatmap(X[y == 0])
    np.testing.assert_allclose(heat.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(heat.std(axis=0), 1, atol=0.1)
