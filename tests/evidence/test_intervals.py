"""Intervals hold the truth as often as they say, also with few groups and near the end of the range."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats

from raresight.evidence.intervals import difference_interval, draw_groups, interval
from raresight.evidence.metrics import decision_metrics, ranking_metrics

GROUPS = 30


@cache
def coverage(auroc: float, studies: int = 250, draws: int = 300) -> dict[str, float]:
    """Share of studies of 30 + 30 patients, two correlated images each, whose interval holds the truth."""
    distance = np.sqrt(2) * stats.norm.ppf(auroc)
    group = np.repeat(np.arange(2 * GROUPS), 2)
    label = group >= GROUPS
    truth = {"auroc": auroc, "sensitivity": stats.norm.cdf(distance / 2)}
    held = dict.fromkeys((*truth, "percentile"), 0)
    rng = np.random.default_rng(7)
    for study in range(studies):
        score = (rng.normal(size=2 * GROUPS)[group] + rng.normal(size=len(group))) / np.sqrt(
            2
        ) + distance * label
        counts = draw_groups(np.arange(2 * GROUPS) >= GROUPS, draws, seed=study)
        weights = np.vstack([np.ones(len(group)), counts[:, group]])
        values = {
            "auroc": ranking_metrics(label, score, weights)["auroc"],
            "sensitivity": decision_metrics(label, score >= distance / 2, weights)["sensitivity"],
        }
        for name, value in values.items():
            low, high = interval(name, value[0], value[1:], GROUPS)
            held[name] += low <= truth[name] <= high
        low, high = np.quantile(values["auroc"][1:], [0.025, 0.975])
        held["percentile"] += low <= auroc <= high
    return {name: count / studies for name, count in held.items()}


@pytest.mark.parametrize("auroc", [0.85, 0.985])
def test_intervals_hold_the_truth_in_95_of_100_studies_of_few_patients(auroc):
    held = coverage(auroc)
    # Binomial standard error of a coverage of .95 over 250 studies: .014.
    assert 0.91 <= held["auroc"] <= 0.99
    assert 0.91 <= held["sensitivity"] <= 0.995


def test_near_one_the_plain_percentile_interval_is_too_often_wrong():
    held = coverage(0.985)
    assert held["percentile"] < 0.90 < held["auroc"]


def test_the_same_seed_draws_the_same_groups_and_another_seed_others():
    anomalous = np.arange(40) < 10
    assert (draw_groups(anomalous, 50, 3) == draw_groups(anomalous, 50, 3)).all()
    assert (draw_groups(anomalous, 50, 3) != draw_groups(anomalous, 50, 4)).any()


def test_each_resample_keeps_the_number_of_groups_of_each_kind():
    anomalous = np.arange(40) < 10
    counts = draw_groups(anomalous, 200)
    assert (counts[:, anomalous].sum(axis=1) == 10).all()
    assert (counts[:, ~anomalous].sum(axis=1) == 30).all()
    assert len(np.unique(counts, axis=0)) == 200


def test_a_perfect_value_gets_the_wilson_interval_of_its_groups():
    low, high = interval("sensitivity", 1.0, np.ones(100), 20)
    t = stats.t.ppf(0.975, 19)
    assert (low, high) == (pytest.approx(20 / (20 + t * t)), 1.0)
    assert interval("mcc", -1.0, -np.ones(100), 20)[1] == pytest.approx(-1 + 2 * t * t / (20 + t * t))


@pytest.mark.parametrize("name", ["auroc", "mcc", "brier", "ece"])
def test_an_interval_stays_in_the_metrics_range_and_holds_the_value(name):
    rng = np.random.default_rng(0)
    low, high = interval(name, 0.98, np.clip(0.98 + 0.05 * rng.normal(size=500), 0, 1), 12)
    assert 0 <= low <= 0.98 <= high <= 1


def test_undefined_values_have_no_interval():
    assert np.isnan(interval("f1", float("nan"), np.ones(10), 20)).all()
    assert np.isnan(interval("f1", 0.5, np.full(10, np.nan), 20)).all()
    assert np.isnan(interval("f1", 0.5, np.linspace(0.4, 0.6, 10), 1)).all()
    assert np.isnan(difference_interval(float("nan"), np.ones(10), 20)).all()


def test_the_calibration_error_of_a_calibrated_model_is_compatible_with_zero():
    # Binned over 15 bins, a perfectly calibrated model shows √2 times its error again in each resample.
    rng = np.random.default_rng(0)
    low, high = interval("ece", 0.05, 0.05 * np.sqrt(2) + 0.01 * rng.normal(size=2000), 100)
    assert low == 0 and high >= 0.05
