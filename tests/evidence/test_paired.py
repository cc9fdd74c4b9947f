"""Paired tests against published values, other implementations, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from raresight.errors import DataError
from raresight.evidence.paired import (
    correlated_bayes,
    delong,
    friedman_nemenyi,
    mcnemar,
    nadeau_bengio,
    signed_bayes,
)


def test_nadeau_and_bengio_widen_the_ordinary_t_test():
    d = np.random.default_rng(0).normal(0.01, 0.02, 50)
    found = nadeau_bengio(d, 1 / 9)
    plain = stats.ttest_1samp(d, 0)
    # (1/50 + 1/9) s² against s²/50
    assert found.difference / found.error == pytest.approx(plain.statistic / math.sqrt(1 + 50 / 9))
    assert nadeau_bengio(d, 0).p == pytest.approx(plain.pvalue)
    assert found.low < d.mean() < found.high


def test_nadeau_and_bengio_are_not_fooled_by_shared_training_rows():
    random, wrong = np.random.default_rng(1), {"corrected": 0, "plain": 0}
    for _ in range(2000):
        # Ten folds that share a part of their error: correlation 1/10, as the correction assumes.
        d = math.sqrt(0.1) * random.normal() + math.sqrt(0.9) * random.normal(size=10)
        wrong["corrected"] += nadeau_bengio(d, 1 / 9).p < 0.05
        wrong["plain"] += stats.ttest_1samp(d, 0).pvalue < 0.05
    assert wrong["corrected"] < 0.06 * 2000 < 0.10 * 2000 < wrong["plain"]


def test_the_correlated_bayesian_test_is_a_shifted_t():
    d = np.array([0.01, 0.03, 0.02, 0.00, 0.04])
    found = correlated_bayes(d, 0.2, 0.01)
    scale = math.sqrt((1 / 5 + 0.2 / 0.8) * d.var(ddof=1))
    assert found.below == pytest.approx(stats.t(4, 0.02, scale).cdf(-0.01))
    assert found.above == pytest.approx(stats.t(4, 0.02, scale).sf(0.01))
    assert found.below + found.rope + found.above == pytest.approx(1)
    # Without a region, twice the smaller tail is the p of the corrected t-test: n_test/n_train = ρ/(1−ρ).
    tail = correlated_bayes(d, 0.2, 0.0).below
    assert 2 * tail == pytest.approx(nadeau_bengio(d, 0.25).p)


def test_equal_differences_are_certain():
    assert correlated_bayes([0.0, 0.0, 0.0], 0.2, 0.01).rope == 1
    assert correlated_bayes([0.02, 0.02], 0.2, 0.01).above == 1
    assert nadeau_bengio([0.0, 0.0], 0.25).p == 1


def test_the_signed_test_counts_sets():
    better = signed_bayes([0.05] * 10, 0.01)
    assert better.above > 0.99
    even = signed_bayes([0.05] * 5 + [-0.05] * 5, 0.01)
    assert even.above == pytest.approx(even.below, abs=0.02) and even.rope < 0.05
    assert signed_bayes([0.001] * 5, 0.01).rope > 0.98


def test_delong_agrees_with_the_formula_written_out():
    random = np.random.default_rng(3)
    y = np.arange(60) % 3 == 0
    one, other = random.normal(size=(2, 60)).round(1) + 1.2 * y
    found = delong(y, one, other)
    assert found.difference == pytest.approx(roc_auc_score(y, one) - roc_auc_score(y, other))

    def kernel(s: np.ndarray) -> np.ndarray:
        gap = s[y][:, None] - s[~y][None, :]
        return (gap > 0) + 0.5 * (gap == 0)

    d = kernel(one) - kernel(other)
    variance = d.mean(axis=1).var(ddof=1) / y.sum() + d.mean(axis=0).var(ddof=1) / (~y).sum()
    assert found.error == pytest.approx(math.sqrt(variance))
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.difference) / math.sqrt(variance)))
    with pytest.raises(DataError, match="two images of each class"):
        delong([1, 0, 0], [1, 2, 3], [1, 2, 3])


def test_delong_holds_its_level():
    random, wrong = np.random.default_rng(4), 0
    y = np.arange(150) < 50
    for _ in range(1000):
        shared = random.normal(size=150) + 1.5 * y
        wrong += delong(y, shared + random.normal(size=150), shared + random.normal(size=150)).p < 0.05
    assert 0.03 * 1000 < wrong < 0.07 * 1000


def test_mcnemar_agrees_with_statsmodels():
    random = np.random.default_rng(5)
    a, b = random.random((2, 80)) < [[0.8], [0.6]]
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    found = mcnemar(a, b)
    assert found["p"] == pytest.approx(statsmodels_mcnemar(table, exact=True).pvalue)
    assert (found["gained"], found["lost"]) == (table[0][1], table[1][0])
    assert mcnemar(a, a)["p"] == 1


# Four methods on 14 sets with the mean ranks of the worked example in Demšar 2006, section 3.2.2.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.875, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.975, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_friedman_and_nemenyi_agree_with_demsars_worked_example():
    found = friedman_nemenyi(DEMSAR)
    assert found.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=1e-3)
    assert found.p == pytest.approx(stats.f.sf(3.69, 3, 39), abs=5e-4)  # F_F = 3.69
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)  # CD = 2.569 √(4·5 / 6·14)
    with pytest.raises(DataError, match="at least two sets"):
        friedman_nemenyi([[1.0, 2.0]])


def test_one_fold_is_not_enough():
    with pytest.raises(DataError, match="at least two"):
        nadeau_bengio([0.1], 0.25)
