"""Calibrators, against scikit-learn and statsmodels and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from raresight.errors import DataError, OptionError
from raresight.evidence.calibration import CALIBRATIONS, UNCALIBRATED, Beta, Isotonic, Platt, VennAbers
from raresight.evidence.metrics import probability_metrics

LEARNING = [name for name in CALIBRATIONS if name != UNCALIBRATED]


def sample(seed: int, n: int = 400, *, ties: bool = False, prevalence: float = 0.3):
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < prevalence).astype(int)
    score = 3 * rng.normal(size=n) + 4 * label - 7
    return (np.round(score) if ties else score), label


class Scores(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose decision function is its only column."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        return X[:, 0]

    def predict(self, X):
        return self.classes_[(X[:, 0] > 0).astype(int)]


@pytest.mark.parametrize("seed", range(4))
def test_platt_is_scikit_learns_sigmoid(seed):
    score, label = sample(seed)
    theirs = CalibratedClassifierCV(FrozenEstimator(Scores().fit(score[:, None], label)), method="sigmoid")
    # One fold: the frozen classifier is calibrated on all rows, as ours is.
    everything = np.arange(len(label))
    theirs.set_params(cv=[(everything, everything)]).fit(score[:, None], label)
    expected = theirs.predict_proba(score[:, None])[:, 1]
    np.testing.assert_allclose(Platt().fit(score, label).predict(score), expected, atol=2e-4)


def soft_logistic(features, label):
    """A logistic regression of Platt's targets: each row twice, as either class, weighted by the target."""
    n1, n0 = label.sum(), (1 - label).sum()
    target = np.where(label == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
    fit = LogisticRegression(C=np.inf, tol=1e-12, max_iter=2000, solver="newton-cholesky")
    twice = np.vstack([features, features])
    fit.fit(twice, np.r_[np.ones_like(label), np.zeros_like(label)], sample_weight=np.r_[target, 1 - target])
    return fit


@pytest.mark.parametrize("seed", range(4))
def test_platt_is_a_logistic_regression_of_his_targets(seed):
    score, label = sample(seed)
    fit = soft_logistic(score[:, None], label)
    ours = Platt().fit(score, label)
    assert ours.slope_ == pytest.approx(fit.coef_[0, 0], rel=1e-5)
    assert ours.intercept_ == pytest.approx(fit.intercept_[0], rel=1e-5)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_isotonic_is_scikit_learns(seed, ties):
    score, label = sample(seed, ties=ties)
    new, _ = sample(seed + 100, ties=ties)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(score, label)
    np.testing.assert_allclose(Isotonic().fit(score, label).predict(new), theirs.predict(new), atol=1e-12)


def bent(seed: int, n: int = 3000):
    """Scores whose log odds bend: a beta curve with a = 2, b = 0.6 over p = expit(score)."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n) * 1.5
    z = 2 * np.log(expit(score)) - 0.6 * np.log(expit(-score)) + 1
    return score, (rng.random(n) < expit(z)).astype(int), expit(z)


@pytest.mark.parametrize("seed", range(3))
def test_beta_is_a_logistic_regression_on_both_logarithms(seed):
    score, label, _ = bent(seed)
    p = Platt().fit(score, label).predict(score)
    fit = soft_logistic(np.column_stack([np.log(p), -np.log(1 - p)]), label)
    ours = Beta().fit(score, label)
    assert min(ours.a_, ours.b_) > 0
    np.testing.assert_allclose(
        [ours.a_, ours.b_, ours.c_], [*fit.coef_[0], fit.intercept_[0]], rtol=1e-3, atol=1e-4
    )


def test_beta_follows_a_bend_that_platt_cannot():
    score, label, truth = bent(0, 20_000)
    gaps = {c: np.abs(c().fit(score, label).predict(score) - truth).mean() for c in (Platt, Beta)}
    assert gaps[Beta] < 0.01 < 0.02 < gaps[Platt]


def test_beta_never_turns_the_order_round():
    # Anomalies above, and some at the very bottom: the free fit has a slope below 0.
    score = np.linspace(-4, 4, 200)
    label = ((score > 1) | (score < -3.5)).astype(int)
    beta = Beta().fit(score, label)
    assert max(beta.a_, beta.b_) > 0
    assert min(beta.a_, beta.b_) == 0
    assert (np.diff(beta.predict(score)) >= -1e-12).all()


@pytest.mark.parametrize("ties", [False, True])
def test_venn_abers_is_isotonic_twice_by_the_definition(ties):
    score, label = sample(5, 60, ties=ties)
    new = np.r_[sample(6, 25, ties=ties)[0], score[:5], -1e6, 1e6]
    low, high = VennAbers().fit(score, label).interval(new)
    for s, p0, p1 in zip(new, low, high, strict=True):
        for own, found in ((0, p0), (1, p1)):
            theirs = IsotonicRegression().fit(np.r_[score, s], np.r_[label, own])
            assert found == pytest.approx(float(theirs.predict([s])[0]), abs=1e-12)
    assert (low <= high).all()
    merged = VennAbers().fit(score, label).predict(new)
    np.testing.assert_allclose(merged, high / (1 - low + high))
    assert ((merged > 0) & (merged < 1)).all()


def test_one_of_the_two_venn_abers_probabilities_is_calibrated():
    """Theorem 1 of Vovk & Petej: the one of the image's true class, in small samples and with bent scores."""
    rng = np.random.default_rng(0)
    stated, was = [], []
    for _ in range(1500):
        score, label, _ = bent(int(rng.integers(2**32)), 31)
        if 0 < label[:30].sum() < 30:
            low, high = VennAbers().fit(score[:30], label[:30]).interval(score[30:])
            stated.append(high[0] if label[30] else low[0])
            was.append(label[30])
    p, y = np.array(stated), np.array(was)
    for bin_ in np.array_split(np.argsort(p, kind="stable"), 5):
        error = np.sqrt(max(y[bin_].mean() * (1 - y[bin_].mean()), 0.01) / len(bin_))
        assert abs(p[bin_].mean() - y[bin_].mean()) < 4 * error


@pytest.mark.parametrize("name", LEARNING)
def test_every_calibrator_recovers_the_truth_in_order_and_in_range(name):
    rng = np.random.default_rng(1)
    truth = rng.normal(size=8000) * 2 - 1
    label = (rng.random(8000) < expit(truth)).astype(int)
    calibrator = CALIBRATIONS[name].load()().fit(40 * truth[:4000] + 300, label[:4000])
    found = calibrator.predict(40 * truth[4000:] + 300)
    assert np.abs(found - expit(truth[4000:])).mean() < 0.03
    metrics = probability_metrics(label[4000:], found, np.ones((1, 4000)))
    assert metrics["ece"][0] < 0.04
    ordered = found[np.argsort(truth[4000:])]
    assert (np.diff(ordered) >= -1e-12).all() and ordered[0] >= 0 and ordered[-1] <= 1


@pytest.mark.parametrize("name", LEARNING)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_the_scores_does_not_matter(name, scale):
    score, label = sample(3)
    one, other = (CALIBRATIONS[name].load()().fit(k * score, label).predict(k * score) for k in (1.0, scale))
    np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("name", LEARNING)
def test_perfectly_parted_classes_and_equal_scores_give_finite_probabilities(name):
    label = np.repeat([0, 1], 30)
    for score in (np.arange(60.0), np.zeros(60)):
        found = CALIBRATIONS[name].load()().fit(score, label).predict(score)
        assert np.isfinite(found).all() and found[0] <= found[-1]
    assert found[0] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", LEARNING)
def test_one_class_or_a_score_that_is_no_number_is_refused(name):
    with pytest.raises(DataError, match="one class"):
        CALIBRATIONS[name].load()().fit(np.arange(9.0), np.zeros(9, int))
    with pytest.raises(DataError, match="not finite"):
        CALIBRATIONS[name].load()().fit(np.array([0.0, np.nan]), np.array([0, 1]))


def test_no_calibration_gives_back_what_comes_in():
    uncalibrated = CALIBRATIONS[UNCALIBRATED].load()().fit(np.zeros(2), np.zeros(2))
    np.testing.assert_array_equal(uncalibrated.predict([0.1, np.nan]), [0.1, np.nan])


def test_a_misspelt_calibration_gets_a_hint():
    with pytest.raises(OptionError, match="did you mean 'isotonic'"):
        CALIBRATIONS["isotonik"]
