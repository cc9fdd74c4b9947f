"""Threshold rules, against every possible cut and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from raresight.errors import OptionError
from raresight.evidence.thresholds import (
    DEFAULT_RULES,
    RULES,
    at_sensitivity,
    at_specificity,
    best_f1,
    least_cost,
    parse_rule,
    parse_rules,
    rule_title,
    youden,
)


def sample(seed: int, n: int = 150, *, prevalence: float = 0.3):
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < prevalence).astype(int)
    return np.round(2 * rng.normal(size=n) + 3 * label, 1), label


def rates(score, label, threshold):
    flagged = score >= threshold
    return flagged[label == 1].mean(), 1 - flagged[label == 0].mean()


def every_cut(score):
    return np.r_[np.unique(score), score.max() + 1]


@pytest.mark.parametrize("seed", range(5))
def test_no_cut_is_better_than_the_one_a_rule_chooses(seed):
    score, label = sample(seed)
    values = {
        youden: lambda t: sum(rates(score, label, t)),
        best_f1: lambda t: sk.f1_score(label, score >= t, zero_division=0),
    }
    for rule, value in values.items():
        assert value(rule(score, label)) == pytest.approx(max(value(t) for t in every_cut(score)))
    for ratio, prevalence in ((10, 0.05), (0.2, 0.5), (1000, 0.5), (1e-3, 0.01)):

        def cost(t, ratio=ratio, prevalence=prevalence):
            sensitivity, specificity = rates(score, label, t)
            return ratio * prevalence * (1 - sensitivity) + (1 - prevalence) * (1 - specificity)

        chosen = least_cost(score, label, ratio, prevalence)
        assert cost(chosen) == pytest.approx(min(cost(t) for t in every_cut(score)))


def test_dear_misses_leave_none_out_and_dear_alarms_raise_none():
    score, label = np.arange(6.0), np.array([0, 1, 0, 1, 1, 0])
    assert rates(score, label, least_cost(score, label, 1e9, 0.5)) == (1, pytest.approx(1 / 3))
    assert rates(score, label, least_cost(score, label, 1e-9, 0.5)) == (0, 1)


@pytest.mark.parametrize("least", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_the_share_asked_for_is_reached_and_not_overshot_by_more_than_it_must(seed, least):
    score, label = sample(seed, 600)
    score = score + 1e-3 * np.random.default_rng(seed).random(600)
    n1, n0 = label.sum(), (1 - label).sum()
    sensitivity, _ = rates(score, label, at_sensitivity(score, label, least))
    _, specificity = rates(score, label, at_specificity(score, label, least))
    assert least <= sensitivity <= least + 2 / n1 and least <= specificity <= least + 2 / n0


def test_on_average_new_images_get_the_sensitivity_and_the_specificity_promised():
    """19 of a class are the fewest that can promise .95; the plain empirical quantile would give .90."""
    rng = np.random.default_rng(0)
    label = np.repeat([1, 0], [19, 19])
    found = []
    for _ in range(3000):
        score = rng.normal(size=38) + 2 * label
        new = rng.normal(size=50)
        found.append(
            (
                (new + 2 >= at_sensitivity(score, label, 0.95)).mean(),
                (new < at_specificity(score, label, 0.95)).mean(),
            )
        )
    mean = np.mean(found, axis=0)
    # The cut lies half-way to the next score, a little on the safe side.
    assert (mean > 0.95 - 0.003).all() and (mean < 0.98).all()


def test_too_few_rows_to_promise_it_are_all_caught_or_all_spared():
    score, label = np.arange(8.0), np.array([0, 0, 1, 0, 1, 0, 1, 0])
    assert rates(score, label, at_sensitivity(score, label, 0.95)) == (1, 2 / 5)
    assert at_sensitivity(score, label, 0.95) == 1.5
    # The highest score is a normal image's: nothing is flagged.
    assert rates(score, label, at_specificity(score, label, 0.95)) == (0, 1)


def test_equal_scores_are_cut_at_one_end():
    score, label = np.ones(20), np.repeat([0, 1], 10)
    assert at_sensitivity(score, label, 0.9) == 1.0
    assert at_specificity(score, label, 0.9) > 1.0


def test_rules_are_read_by_name_and_value():
    assert parse_rules(["youden", " specificity=.950 ", "cost=10.0", "default", "youden"]) == (
        "youden",
        "specificity=0.95",
        "cost=10",
    )
    assert parse_rules(DEFAULT_RULES) == DEFAULT_RULES
    titles = [rule_title(rule) for rule in ("youden", "specificity=0.95", "cost=10")]
    assert titles == ["youden", "specificity ≥ 0.95", "cost 10 : 1"]


@pytest.mark.parametrize("rule", ["youden", "f1", "sensitivity=0.9", "specificity=0.9", "cost=3"])
def test_a_rule_learns_what_its_function_finds(rule):
    score, label = sample(1)
    expected = {
        "youden": youden(score, label),
        "f1": best_f1(score, label),
        "sensitivity=0.9": at_sensitivity(score, label, 0.9),
        "specificity=0.9": at_specificity(score, label, 0.9),
        "cost=3": least_cost(score, label, 3, 0.2),
    }
    assert parse_rule(rule).learn(score, label, 0.2) == expected[rule]
    assert len(expected) == len(RULES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yuoden", "unknown threshold rule 'yuoden'; there are: youden, f1, sensitivity=0.95"),
        ("youden=0.5", "takes no value; write youden"),
        ("sensitivity", "needs a value above 0 and below 1; write sensitivity=0.95"),
        ("specificity=1", "above 0 and below 1"),
        ("specificity=95", "above 0 and below 1"),
        ("sensitivity=nan", "above 0 and below 1"),
        ("cost=0", "needs a value above 0; write cost=10"),
        ("cost=inf", "above 0"),
        ("cost=ten", "above 0"),
    ],
)
def test_a_rule_that_cannot_be_is_one_sentence(text, message):
    with pytest.raises(OptionError, match=message):
        parse_rule(text)
