"""Another prevalence: prior correction, predictive values, net benefit and what metrics.json says of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from raresight.errors import OptionError
from raresight.evidence.decision_curve import net_benefit, threshold_grid, treat_all
from raresight.evidence.deployment import at_prevalence, calibration_of
from raresight.evidence.estimates import weigh
from raresight.evidence.prevalence import (
    brier_of_constant,
    log_loss_of_constant,
    predictive_values,
    prior_correction,
)
from raresight.evidence.summary import summarise

NAME = "svm@embedding+none"


def population(n: int, prevalence: float, seed: int):
    """Scores N(0, 1) and N(2, 1): the log odds of an anomaly are 2 score − 2 + logit(prevalence)."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < prevalence).astype(int)
    return rng.normal(size=n) + 2 * label, label


@pytest.mark.parametrize(("trained_at", "wanted"), [(0.05, 0.5), (0.5, 0.05), (0.3, 0.3), (0.9, 0.01)])
def test_prior_correction_is_exact_where_the_truth_is_known(trained_at, wanted):
    score = np.linspace(-4, 6, 101)
    stated = expit(2 * score - 2 + logit(trained_at))
    truth = expit(2 * score - 2 + logit(wanted))
    np.testing.assert_allclose(prior_correction(stated, trained_at, wanted), truth, rtol=1e-10)
    back = prior_correction(prior_correction(stated, trained_at, wanted), wanted, trained_at)
    np.testing.assert_allclose(back, stated, rtol=1e-10)


def test_certainties_stay_and_the_same_prevalence_changes_no_digit():
    p = np.array([0.0, 1.0, np.nan, 0.1])
    np.testing.assert_array_equal(prior_correction(p, 0.1, 0.7)[:3], p[:3])
    np.testing.assert_array_equal(prior_correction(p, 0.1, 0.1), p)
    with pytest.raises(OptionError, match=r"wanted 1 is out of range"):
        prior_correction(p, 0.1, 1.0)


def test_a_detector_taught_on_thinned_rows_is_calibrated_again_after_correction():
    score, label = population(60_000, 0.04, 0)
    new, truth = population(60_000, 0.4, 1)
    fit = LogisticRegression(C=np.inf).fit(score[:, None], label)
    stated = fit.predict_proba(new[:, None])[:, 1]
    corrected = prior_correction(stated, label.mean(), 0.4)
    assert abs(stated.mean() - truth.mean()) > 0.15
    assert abs(corrected.mean() - truth.mean()) < 0.01
    assert ((corrected - truth) ** 2).mean() < ((stated - truth) ** 2).mean() - 0.02


@pytest.mark.parametrize("balance", ["class-weight", "random-over"])
def test_pure_re_weighting_is_undone_by_correction_alone(balance):
    score, label = population(40_000, 0.05, 2)
    weight = np.where(label == 1, (label == 0).sum() / label.sum(), 1.0)
    rows = np.arange(len(label))
    if balance == "random-over":
        rows = np.random.default_rng(0).choice(len(label), 2 * len(label), p=weight / weight.sum())
        weight = np.ones(len(label))
    fit = LogisticRegression(C=np.inf).fit(score[rows, None], label[rows], sample_weight=weight[rows])
    plain = LogisticRegression(C=np.inf).fit(score[:, None], label).predict_proba(score[:, None])[:, 1]
    taught = fit.predict_proba(score[:, None])[:, 1]
    assert np.abs(taught - plain).mean() > 0.1
    assert np.abs(prior_correction(taught, 0.5, label.mean()) - plain).mean() < 0.004


def test_predictive_values_follow_bayes():
    # Altman & Bland, BMJ 309 (1994) 102: liver scans, sensitivity .90 (231 / 258), specificity .63 (54 / 86).
    # At the patients' own prevalence of .75: PPV .88, NPV .67; at .25: PPV .45, NPV .95.
    ppv, npv = predictive_values([231 / 258] * 2, [54 / 86] * 2, 0.75)
    assert (round(ppv[0], 2), round(npv[0], 2)) == (0.88, 0.67)
    ppv, npv = predictive_values([231 / 258], [54 / 86], 0.25)
    assert (round(ppv[0], 2), round(npv[0], 2)) == (0.45, 0.95)
    assert np.isnan(predictive_values([0.0], [1.0], 0.3)[0]).all()


# From dcurves 1.1.7: dca(frame, "label", ["p"], thresholds=…, prevalence=…) on
# the twenty rows below; net benefit of the model and of treating all.
DCURVES = {
    None: {0.06: (0.371277, 0.361702), 0.25: (0.266667, 0.2), 0.5: (0.1, -0.2), 0.9: (0.1, -5.0)},
    0.05: {
        0.06: (0.004521, -0.010638),
        0.25: (-0.088194, -0.266667),
        0.5: (-0.206250, -0.9),
        0.9: (0.0125, -8.5),
    },
    0.6: {0.06: (0.580851, 0.574468), 0.25: (0.469444, 0.466667), 0.5: (0.275, 0.2), 0.9: (0.15, -3.0)},
}


@pytest.mark.parametrize("prevalence", DCURVES)
def test_net_benefit_is_that_of_dcurves(prevalence):
    p = np.array([2, 5, 5, 8, 11, 15, 20, 22, 30, 33, 41, 45, 52, 60, 66, 71, 80, 86, 93, 97]) / 100
    label = np.array([0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1])
    here = label.mean() if prevalence is None else prevalence
    for t, (model, everybody) in DCURVES[prevalence].items():
        called = p >= t
        ours = net_benefit(called[label == 1].mean(), 1 - called[label == 0].mean(), here, t)
        assert ours == pytest.approx(model, abs=1e-6)
        assert treat_all(here, t) == pytest.approx(everybody, abs=1e-6)


def test_knowing_the_prevalence_alone_scores_what_it_does_by_direct_count():
    label = np.repeat([1, 0], [30, 70])
    assert brier_of_constant(0.3) == pytest.approx(((0.3 - label) ** 2).mean())
    direct = -(label * np.log(0.3) + (1 - label) * np.log(0.7)).mean()
    assert log_loss_of_constant(0.3) == pytest.approx(direct)


@pytest.mark.parametrize("prevalence", [0.001, 0.02, 0.3, 0.9])
def test_the_grid_holds_the_prevalence_and_stays_below_one(prevalence):
    grid = threshold_grid(prevalence)
    assert np.isclose(grid, prevalence).any() and grid.max() < 0.95 and (np.diff(grid) > 0).all()


def test_evidence_carried_to_a_prevalence_matches_a_population_that_has_it(made_up):
    predictions, thresholds = made_up(groups=3000, distance=2.0, shared=0.0, recipes={NAME: 1.0}, folds=2)
    evidence = weigh(predictions, thresholds, resamples=400)
    found = at_prevalence(evidence, NAME, 0.1)
    score, label = population(400_000, 0.1, 5)
    called = score >= 1.0
    ppv, npv = label[called].mean(), 1 - label[~called].mean()
    for name, truth in (("ppv", ppv), ("npv", npv)):
        cell = found["at"]["default"][name]
        assert cell["low"] < truth < cell["high"] and cell["high"] - cell["low"] < 0.1
    truth = expit(2 * score - 2 + logit(0.1))
    assert found["metrics"]["brier"] == pytest.approx(((truth - label) ** 2).mean(), abs=0.003)
    assert found["metrics"]["brier"] < found["constant"]["brier"] == pytest.approx(0.09)
    curve = found["decision_curve"]
    for t, mean, low, high in zip(*(curve[k] for k in ("threshold", "mean", "low", "high")), strict=True):
        act = truth >= t
        direct = (act & (label == 1)).mean() - (act & (label == 0)).mean() * t / (1 - t)
        assert low <= mean <= high and mean == pytest.approx(direct, abs=0.006)
        assert low - 0.002 <= direct <= high + 0.002


def test_predictive_values_at_the_sets_own_prevalence_are_those_of_the_table(made_up):
    predictions, thresholds = made_up(repeats=2)
    evidence = weigh(predictions, thresholds, resamples=50)
    own = float(evidence.rows[NAME].label.mean())
    found = at_prevalence(evidence, NAME, own)
    for rule in ("default", "youden"):
        for name in ("ppv", "npv"):
            # Two repeats: here from the pooled rates, in the table the mean of two matrices.
            table = evidence.cell(NAME, name, rule)["mean"]
            assert found["at"][rule][name]["mean"] == pytest.approx(table, abs=2e-3)
    assert found["metrics"]["brier"] == pytest.approx(evidence.cell(NAME, "brier")["mean"])


def test_before_calibration_is_told_from_after(made_up):
    predictions, thresholds = made_up(groups=400, shared=0.0)
    predictions["probability_raw"] = expit(3 * logit(predictions["probability"]))
    row = summarise(predictions, thresholds, [], {}, resamples=20)["recipes"][0]
    before, after = row["calibration"]["before"], row["metrics"]
    assert before["calibration_slope"] == pytest.approx(after["calibration_slope"]["mean"] / 3, rel=1e-3)
    assert before["brier"] > after["brier"]["mean"] and row["calibration"]["constant"]["brier"] == 0.25
    assert "at_prevalence" not in row


def test_a_stated_prevalence_stands_in_metrics_json(made_up):
    predictions, thresholds = made_up()
    settings = {"protocol": {"prevalence": 0.02, "seed": 1}}
    one, two = (summarise(predictions, thresholds, [], settings, resamples=30) for _ in range(2))
    assert one == two
    at = one["recipes"][0]["at_prevalence"]
    assert at["prevalence"] == 0.02 and set(at["at"]) == {"default", "youden"}


def test_without_probabilities_or_a_class_nothing_is_claimed(made_up):
    predictions, thresholds = made_up()
    evidence = weigh(predictions.assign(probability=np.nan), thresholds, resamples=20)
    found = at_prevalence(evidence, NAME, 0.1)
    assert found["metrics"] is None and found["decision_curve"] is None and found["at"]["default"]["ppv"]
    assert calibration_of(evidence.rows[NAME])["before"] is None
    evidence = weigh(predictions.assign(label=0), thresholds, resamples=20)
    assert at_prevalence(evidence, NAME, 0.1) is None
    assert calibration_of(evidence.rows[NAME])["constant"] is None
