"""Bounds of the mean F1 over folds, against folds drawn at random and against a general optimiser."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from raresight.evidence.foldmeans import Rates, largest_f1, least_f1, spread_needed

CASES = [
    (Rates(0.8, 0.1, 0.5), 5, 1.0),
    (Rates(0.8, 0.1, 0.5), 5, 0.15),
    (Rates(0.35, 0.3, 0.1), 4, 0.3),
    (Rates(0.95, 0.6, 0.8), 3, 0.5),
    (Rates(0.5, 0.02, 0.02), 10, 0.2),
]


def mean_f1(rates: Rates, values: np.ndarray) -> float:
    s, f = np.split(values, 2)
    return float(np.mean([rates.f1(x, y) for x, y in zip(s, f, strict=True)]))


@pytest.mark.parametrize(("rates", "folds", "spread"), CASES)
def test_no_folds_drawn_at_random_go_beyond_the_bounds(rates, folds, spread):
    rng = np.random.default_rng(0)
    low, high = least_f1(rates, folds, spread), largest_f1(rates, folds, spread)
    assert low <= rates.f1(rates.sensitivity, rates.alarms) <= high
    for _ in range(2000):
        s, f = (drawn(rng, mean, folds, spread) for mean in (rates.sensitivity, rates.alarms))
        assert low - 1e-9 <= mean_f1(rates, np.concatenate([s, f])) <= high + 1e-9


def drawn(rng: np.random.Generator, mean: float, folds: int, spread: float) -> np.ndarray:
    """Draw values of a mean, one of which lies at an end of its range."""
    away = rng.exponential(size=folds) * rng.choice([-1, 1])
    away -= away.mean()
    low, high = max(0.0, mean - spread) - mean, min(1.0, mean + spread) - mean
    return mean + away * min(low / away.min(), high / away.max())


@pytest.mark.parametrize(("rates", "folds", "spread"), CASES)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_general_optimiser_reaches_the_bounds_and_not_further(rates, folds, spread, sign):
    rng = np.random.default_rng(1)
    means = np.repeat([rates.sensitivity, rates.alarms], folds)
    ends = [(max(0.0, m - spread), min(1.0, m + spread)) for m in means]
    fixed = [
        {"type": "eq", "fun": lambda v: v[:folds].mean() - rates.sensitivity},
        {"type": "eq", "fun": lambda v: v[folds:].mean() - rates.alarms},
    ]
    reached = []
    for _ in range(40):
        start = np.clip(means + spread * rng.uniform(-1, 1, means.size), *np.transpose(ends))
        done = minimize(
            lambda v: sign * mean_f1(rates, v), start, method="SLSQP", bounds=ends, constraints=fixed
        )
        if done.success and max(abs(part["fun"](done.x)) for part in fixed) < 1e-7:
            reached.append(done.fun)
    ours = sign * (least_f1 if sign > 0 else largest_f1)(rates, folds, spread)
    assert min(reached) == pytest.approx(ours, abs=2e-3)
    assert min(reached) >= ours - 1e-6


def test_the_spread_needed_is_the_least_that_reaches_the_figure():
    rates = Rates(0.805, 0.101, 0.5)
    spread = spread_needed(rates, rates, (0.8225, 0.8235), 5)
    assert spread is not None
    assert least_f1(rates, 5, spread) <= 0.8235 < least_f1(rates, 5, spread - 0.001)
    assert spread_needed(rates, rates, (0.8445, 0.8455), 5) == 0
    assert spread_needed(rates, rates, (0.2, 0.21), 5) is None
