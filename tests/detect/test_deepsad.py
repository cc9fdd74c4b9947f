"""Deep SAD: few labels, or none."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from raresight.detect.deepsad import DeepSAD
from raresight.errors import DataError, OptionError


def rows(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(n, 20)).astype(np.float32)
    y = (np.arange(n) % 5 == 0).astype(int)
    X[y == 1, :3] += 1.5
    return X, y


def test_a_few_labelled_anomalies_help():
    X, y = rows()
    few = np.flatnonzero((y[:200] == 0) | (np.arange(200) < 60))
    normal = np.flatnonzero(y[:200] == 0)
    found = [DeepSAD().fit(X[part], y[part]).decision_function(X[200:]) for part in (few, normal)]
    with_labels, without = (roc_auc_score(y[200:], scores) for scores in found)
    assert with_labels > 0.85
    assert with_labels > without + 0.05


def test_without_anomalies_it_is_deep_svdd_and_finds_what_is_far_off():
    X, y = rows()
    detector = DeepSAD().fit(X[y == 0])
    scores = detector.decision_function(np.concatenate([X[y == 0], 5 * X[y == 0]]))
    assert roc_auc_score(np.repeat([0, 1], (y == 0).sum()), scores) > 0.9
    assert np.array_equal(
        scores,
        DeepSAD().fit(X[y == 0], y[y == 0]).decision_function(np.concatenate([X[y == 0], 5 * X[y == 0]])),
    )


def test_training_draws_normal_rows_nearer_to_the_centre_than_anomalies():
    X, y = rows()
    before, after = (DeepSAD(epochs=epochs).fit(X, y).decision_function(X) for epochs in (0, 50))
    assert after[y == 1].mean() / after[y == 0].mean() > 2 * before[y == 1].mean() / before[y == 0].mean()


def test_a_row_of_no_weight_teaches_nothing():
    X, y = rows(60)
    weight = np.ones(60)
    weight[y == 1] = 0
    one, other = X.copy(), X.copy()
    other[y == 1] += 3
    first, second = (DeepSAD(epochs=3).fit(each, y, sample_weight=weight) for each in (one, other))
    np.testing.assert_allclose(first.decision_function(X), second.decision_function(X), rtol=1e-5)


@pytest.mark.parametrize("options", [{"width": 0}, {"depth": 0}, {"eta": -1.0}, {"epochs": -1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match="deep-sad"):
        DeepSAD(**options).fit(*rows())


def test_bad_labels_are_refused():
    X, y = rows()
    with pytest.raises(DataError, match="normal"):
        DeepSAD().fit(X, np.ones(len(X), int))
    with pytest.raises(DataError, match="labels"):
        DeepSAD().fit(X, y[:5])
