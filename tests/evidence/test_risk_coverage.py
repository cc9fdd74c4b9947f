"""Risk–coverage curves against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from raresight.errors import DataError
from raresight.evidence.risk_coverage import (
    aurc,
    best_aurc,
    compare_uncertainties,
    excess_aurc,
    risk_coverage_curve,
)


def test_by_hand():
    curve = risk_coverage_curve([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    assert curve.x == pytest.approx([0.25, 0.5, 0.75, 1])
    assert curve.y == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert aurc([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4]) == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4)


def test_the_best_order_has_no_excess_and_geifmans_area():
    rng = np.random.default_rng(0)
    error = rng.random(20_000) < 0.1
    assert excess_aurc(error, error + rng.random(len(error)) / 2) == pytest.approx(0, abs=1e-12)
    rate = error.mean()
    # Geifman et al. 2019, eq. 5: r + (1 − r) ln(1 − r) for many rows.
    assert best_aurc(error) == pytest.approx(rate + (1 - rate) * np.log(1 - rate), rel=1e-3)


def test_an_uncertainty_that_knows_nothing_has_the_error_rate():
    error = np.arange(50) % 5 == 0
    assert aurc(error, np.zeros(50)) == pytest.approx(0.2)


def test_ties_count_as_the_mean_of_their_orders():
    error, uncertainty = np.array([0, 1, 0, 0, 1]), np.array([1.0, 2, 2, 2, 3])
    orders = [[0, 1, 2, 3, 4], [0, 2, 1, 3, 4], [0, 2, 3, 1, 4]]
    mean = np.mean([aurc(error[o], np.arange(5)) for o in orders])
    assert aurc(error, uncertainty) == pytest.approx(mean)


def test_a_better_uncertainty_is_found_and_a_useless_one_is_not():
    rng = np.random.default_rng(1)
    doubt = rng.random(1200)
    error = rng.random(1200) < doubt**2 / 2
    group = np.arange(1200) // 2
    known = {"raw": doubt + rng.normal(0, 0.6, 1200), "better": doubt, "raw again": 0.0}
    known["raw again"] = known["raw"] * 3
    found = compare_uncertainties(error, known, group, "raw", resamples=300)
    assert found["better"]["high"] < 0 and found["better"]["aurc"] < found["raw"]["aurc"]
    assert found["raw again"]["low"] == found["raw again"]["high"] == 0
    assert found["raw"]["e_aurc"] == pytest.approx(excess_aurc(error, known["raw"]))


def test_intervals_hold_the_truth_in_most_studies():
    """95 % intervals of a difference of AURC, patients of two images that share their fate."""
    inside = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        doubt = np.repeat(rng.random(150), 2)
        error = np.repeat(rng.random(150) < 0.3, 2) | (rng.random(300) < doubt / 10)
        known = {"a": doubt + rng.normal(0, 1, 300), "b": doubt + rng.normal(0, 1, 300)}
        cell = compare_uncertainties(error, known, np.arange(300) // 2, "a", resamples=150, seed=seed)["b"]
        inside += cell["low"] <= 0 <= cell["high"]  # both are as good as each other
    assert 105 <= inside <= 119


@pytest.mark.parametrize(("error", "uncertainty"), [([0, 1], [0.1]), ([], []), ([0, 1], [0.1, np.nan])])
def test_what_does_not_fit_is_refused(error, uncertainty):
    with pytest.raises(DataError):
        aurc(error, uncertainty)
