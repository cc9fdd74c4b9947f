"""Every metric, against scikit-learn and against its definition, weighted and not."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from raresight.evidence.metrics import ECE_BINS, METRICS, average, evaluate, flag

LINES = 4


def sample(seed: int, *, ties: bool = False, n: int = 90):
    rng = np.random.default_rng(seed)
    label = rng.random(n) < 0.35
    score = rng.normal(size=n) + 1.2 * label
    if ties:
        score = np.round(score * 2) / 2
    probability = np.clip(1 / (1 + np.exp(-(1.7 * score - 1) + 0.3 * rng.normal(size=n))), 0.001, 0.999)
    weights = rng.integers(0, 4, size=(LINES, n)) * rng.uniform(0.5, 2, size=(LINES, 1))
    return label, score, probability, flag(score, 0.7), weights


def oracle(label, score, probability, flagged, w):
    kept = w > 0
    fpr, tpr, _ = sk.roc_curve(label, score, sample_weight=w, drop_intermediate=False)
    ppv = sk.precision_score(label, flagged, sample_weight=w)
    npv = sk.precision_score(~label, ~flagged, sample_weight=w)
    logit = np.log(probability / (1 - probability))[:, None]
    fit = LogisticRegression(C=np.inf, tol=1e-13, max_iter=1000, solver="newton-cholesky")
    return {
        "accuracy": sk.accuracy_score(label, flagged, sample_weight=w),
        "sensitivity": sk.recall_score(label, flagged, sample_weight=w),
        "specificity": sk.recall_score(~label, ~flagged, sample_weight=w),
        "f1": sk.f1_score(label, flagged, sample_weight=w),
        "ppv": ppv,
        "npv": npv,
        "mcc": sk.matthews_corrcoef(label, flagged, sample_weight=w),
        "informedness": sk.balanced_accuracy_score(label, flagged, sample_weight=w, adjusted=True),
        "markedness": ppv + npv - 1,
        "balanced_accuracy": sk.balanced_accuracy_score(label, flagged, sample_weight=w),
        "auroc": sk.roc_auc_score(label, score, sample_weight=w),
        "auprc": sk.average_precision_score(label, score, sample_weight=w),
        "sensitivity_at_95_specificity": tpr[1 - fpr >= 0.95 - 1e-12].max(),
        "brier": sk.brier_score_loss(label, probability, sample_weight=w),
        "log_loss": sk.log_loss(label, probability, sample_weight=w),
        "calibration_intercept": intercept_alone(label, logit[:, 0], w),
        "calibration_slope": fit.fit(logit[kept], label[kept], sample_weight=w[kept]).coef_[0, 0],
    }


def intercept_alone(label, logit, w):
    """statsmodels' binomial regression on a constant, the logit as an offset."""
    family = sm.families.Binomial()
    fit = sm.GLM(label.astype(float), np.ones_like(logit), family, offset=logit, freq_weights=w)
    return float(fit.fit(tol=1e-12).params[0])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_every_metric_agrees_with_scikit_learn_under_weights(seed, ties):
    label, score, probability, flagged, weights = sample(seed, ties=ties)
    found = evaluate(label, score, probability, flagged, weights)
    for line, w in enumerate(weights):
        for name, expected in oracle(label, score, probability, flagged, w).items():
            tolerance = 1e-6 if name == "calibration_slope" else 1e-9
            assert found[name][line] == pytest.approx(expected, abs=tolerance), name


def test_no_metric_escapes_the_comparison_with_scikit_learn():
    label, score, probability, flagged, weights = sample(0)
    assert {*oracle(label, score, probability, flagged, weights[0]), "ece"} == set(METRICS)


def test_calibration_slope_solves_the_likelihood_equations():
    label, _, probability, _, weights = sample(3)
    slope = evaluate(label, probability, probability, label, weights)["calibration_slope"]
    x = np.log(probability / (1 - probability))
    for line, w in enumerate(weights):
        # Given the slope, find the intercept by bisection; then both score equations must hold.
        low, high = -20.0, 20.0
        for _ in range(200):
            middle = (low + high) / 2
            residual = label - 1 / (1 + np.exp(-(middle + slope[line] * x)))
            low, high = (middle, high) if (w @ residual) > 0 else (low, middle)
        assert w @ (residual * x) == pytest.approx(0, abs=1e-8)


def test_ece_is_scikit_learns_quantile_calibration_curve_weighted_by_bin_size():
    label, score, probability, flagged, _ = sample(1, n=300)
    found = evaluate(label, score, probability, flagged)["ece"][0]
    share, mean = calibration_curve(label, probability, n_bins=ECE_BINS, strategy="quantile")
    edges = np.quantile(probability, np.linspace(0, 1, ECE_BINS + 1)[1:-1])
    sizes = np.bincount(np.searchsorted(edges, probability), minlength=ECE_BINS)
    assert found == pytest.approx(np.average(np.abs(share - mean), weights=sizes[sizes > 0]), abs=1e-9)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_weight_of_k_counts_like_the_row_k_times(seed):
    label, score, probability, flagged, weights = sample(seed, ties=True)
    times = np.rint(weights[0] / weights[0][weights[0] > 0].min()).astype(int)
    rows = np.repeat(np.arange(len(label)), times)
    weighted = evaluate(label, score, probability, flagged, times[None].astype(float))
    repeated = evaluate(label[rows], score[rows], probability[rows], flagged[rows])
    for name in METRICS:
        if name != "ece":  # its bins are the rows' own, whatever their weights
            assert weighted[name][0] == pytest.approx(repeated[name][0], abs=1e-7, nan_ok=True), name


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_ranking_metrics_do_not_see_a_monotone_change_of_the_scores(seed):
    label, score, probability, flagged, weights = sample(seed, ties=True)
    one = evaluate(label, score, probability, flagged, weights)
    other = evaluate(label, np.arctan(score) * 7 - 3, probability, flagged, weights)
    for name in ("auroc", "auprc", "sensitivity_at_95_specificity"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-12)


def test_perfect_scores_are_perfect_and_reversed_scores_are_worst():
    label = np.arange(40) >= 20
    good = evaluate(label, np.arange(40), np.where(label, 0.9, 0.1), label)
    assert [good[name][0] for name in ("auroc", "auprc", "sensitivity_at_95_specificity", "mcc")] == [
        pytest.approx(1)
    ] * 4
    bad = evaluate(label, -np.arange(40), np.where(label, 0.1, 0.9), ~label)
    assert [bad[name][0] for name in ("auroc", "sensitivity_at_95_specificity")] == [0, 0]
    assert [bad[name][0] for name in ("mcc", "informedness", "markedness")] == [pytest.approx(-1)] * 3


def test_what_is_not_defined_is_nan_and_raises_nothing():
    label = np.zeros(10, bool)
    found = evaluate(label, np.arange(10), np.full(10, np.nan), np.zeros(10, bool))
    assert [found[name][0] for name in ("specificity", "accuracy", "npv")] == [1] * 3
    undefined = (
        "sensitivity",
        "f1",
        "ppv",
        "mcc",
        "auroc",
        "auprc",
        "brier",
        "log_loss",
        "ece",
        "calibration_slope",
    )
    assert all(np.isnan(found[name]).all() for name in undefined)


def test_a_resample_without_a_class_is_nan_beside_defined_ones():
    label, score, probability, flagged, weights = sample(0)
    weights[1, label] = 0
    found = evaluate(label, score, probability, flagged, weights)
    assert np.isnan(found["auroc"][1]) and np.isnan(found["sensitivity"][1]) and np.isnan(found["auprc"][1])
    assert np.isfinite(found["auroc"][[0, 2, 3]]).all()


def test_perfectly_separated_probabilities_have_no_calibration_slope():
    label = np.arange(20) >= 10
    found = evaluate(label, np.arange(20), np.where(label, 0.8, 0.2) + np.arange(20) / 1000, label)
    assert np.isnan(found["calibration_slope"]).all()


def test_overconfident_probabilities_have_a_slope_below_one():
    rng = np.random.default_rng(0)
    logit = rng.normal(size=20_000) * 2
    label = rng.random(20_000) < 1 / (1 + np.exp(-logit))
    found = evaluate(label, logit, 1 / (1 + np.exp(-logit / 0.5)), logit > 0)
    assert found["calibration_slope"][0] == pytest.approx(0.5, abs=0.03)


def test_a_score_at_the_threshold_is_flagged():
    assert flag([0.4, 0.5, 0.6], 0.5).tolist() == [False, True, True]


def test_average_leaves_out_undefined_folds():
    np.testing.assert_array_equal(
        average([np.array([1.0, np.nan]), np.array([3.0, np.nan])]), np.array([2.0, np.nan])
    )
