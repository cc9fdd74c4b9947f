"""Robustness: its value, its interval and its verdicts on studies whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from raresight.errors import DataError
from raresight.evidence.conditions import KEPT_RULE, spread_kept, threshold_shift, weigh_conditions
from raresight.evidence.names import split_id
from raresight.evidence.prevalence_change import across_prevalences, expected_cost
from raresight.evidence.robustness import judge_robustness, kept, robustness
from raresight.evidence.stressed import summarise_stress
from raresight.evidence.thresholds import least_cost

NONE, SMOTE = "svm@embedding+none", "svm@embedding+smote"
PARTS = [split_id(NONE), split_id(SMOTE)]
LEVELS = {("clean", 0): 2.0, ("blur", 1): 1.6, ("blur", 3): 0.8, ("noise", 1): 1.2, ("noise", 3): 0.3}
"""Distance of the classes in deviations, under each condition."""


def auroc(distance: float) -> float:
    return float(norm.cdf(distance / np.sqrt(2)))


def truth(levels: dict[tuple[str, int], float] = LEVELS) -> float:
    stressed = np.mean([auroc(d) for c, d in levels.items() if c[1]])
    return float((stressed - 0.5) / (auroc(levels["clean", 0]) - 0.5))


def study(
    seed: int,
    n: int = 200,
    recipes: tuple[str, ...] = (NONE, SMOTE),
    levels: dict[tuple[str, int], float] = LEVELS,
    gain: float = 0.0,
) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Draw scores of two recipes that agree in part, clean and corrupted, of one image a patient."""
    random = np.random.default_rng(seed)
    label, shared = np.arange(n) % 2, random.normal(size=n)
    parts = []
    for place, recipe in enumerate(recipes):
        own = 0.8 * shared + 0.6 * random.normal(size=n)
        for (corruption, severity), distance in levels.items():
            lift = gain if place and severity else 0.0
            score = 0.7 * own + np.sqrt(0.51) * random.normal(size=n) + (distance + lift) * label
            parts.append(
                pd.DataFrame(
                    {
                        "recipe": recipe,
                        "repeat": 0,
                        "fold": np.arange(n) // 2 % 2,
                        "row": np.arange(n),
                        "file": "",
                        "group": [f"g{i}" for i in range(n)],
                        "label": label,
                        "score": score,
                        "probability": 1 / (1 + np.exp(1 - score)),
                        "corruption": corruption,
                        "severity": severity,
                    }
                )
            )
    both = pd.concat(parts, ignore_index=True)
    clean = both["severity"] == 0
    thresholds = {(r, 0, f): {"default": 1.0, KEPT_RULE: 1.64} for r in recipes for f in range(2)}
    return both[clean].drop(columns=["corruption", "severity"]), both[~clean], thresholds


def test_the_share_that_is_kept():
    found = robustness(np.array([0.9, 0.9, 0.5]), np.array([0.9, 0.5, 0.7]))
    assert found[:2].tolist() == [1, 0] and np.isnan(found[2])


def test_robustness_comes_near_the_truth_on_many_images():
    found = weigh_conditions(*study(0, n=8_000, recipes=(NONE,)), resamples=5)
    assert kept(found, NONE, found.conditions)["robustness"]["mean"] == pytest.approx(truth(), abs=0.03)


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside, studies = 0, 40
    for seed in range(studies):
        found = weigh_conditions(*study(seed, recipes=(NONE,)), resamples=60, seed=seed)
        cell = kept(found, NONE, found.conditions)["robustness"]
        inside += cell["low"] <= truth() <= cell["high"]
    assert inside >= 33  # binomial(40, .95) falls below 33 with chance .1 %


def test_a_balance_that_changes_nothing_is_seldom_said_to():
    said = []
    for seed in range(25):
        found = weigh_conditions(*study(1000 + seed), resamples=60, seed=seed)
        said += [row["decision"] for row in judge_robustness(found, PARTS) if row["metric"] == "robustness"]
    assert len(said) == 25 and sum(word in ("helps", "harms") for word in said) <= 4


def test_a_balance_that_helps_is_found():
    found = weigh_conditions(*study(5, n=1500, gain=0.5), resamples=300)
    rows = {row["metric"]: row for row in judge_robustness(found, PARTS)}
    assert rows["robustness"]["decision"] == rows["stressed_auroc"]["decision"] == "helps"
    assert rows["robustness"]["sentence"].startswith("SMOTE against no resampling, svm@embedding: helps. Rob")


def test_random_training_repeated_once_decides_nothing():
    found = weigh_conditions(*study(5, n=1500, gain=0.5), resamples=50)
    rows = judge_robustness(found, [{**part, "stochastic": True} for part in PARTS])
    assert {row["decision"] for row in rows} == {"inconclusive"}
    assert "needs 5" in rows[0]["reason"]


def test_other_rows_are_no_pairs():
    clean, corrupted, thresholds = study(0)
    with pytest.raises(DataError, match="blur at severity 1 has other rows"):
        weigh_conditions(clean, corrupted.iloc[1:], thresholds)


def test_a_shifted_score_shifts_the_threshold_by_as_much():
    clean, corrupted, thresholds = study(3)
    mark = clean["recipe"] + clean["row"].astype(str)
    score = dict(zip(mark, clean["score"], strict=True))
    own = corrupted["recipe"] + corrupted["row"].astype(str)
    moved = corrupted.assign(score=own.map(score) + 0.7)
    found = weigh_conditions(clean, moved, thresholds, resamples=60)
    cell = found.threshold_drift(NONE, ("noise", 3))
    first = clean[(clean["recipe"] == NONE) & (clean["label"] == 0)]
    spread = np.mean([0.7 / part["score"].std(ddof=0) for _, part in first.groupby("fold")])
    assert cell["mean"] == pytest.approx(spread) and cell["low"] == pytest.approx(spread)
    assert found.drift(NONE, "auroc", ("noise", 3))["mean"] == pytest.approx(0, abs=1e-12)
    once = np.ones((1, 200), np.uint16)
    rows = found.rows(NONE)
    assert threshold_shift(rows, rows, once)[0] == 0
    assert spread_kept(rows, found.rows(NONE, ("noise", 3))) == pytest.approx(1)
    half = weigh_conditions(clean, moved.assign(score=moved["score"] / 2), thresholds, resamples=5)
    assert spread_kept(half.rows(NONE), half.rows(NONE, ("blur", 1))) == pytest.approx(0.5)


def test_costs_are_those_of_the_threshold_rule():
    """The rule `cost=10` minimises what `expected_cost` counts."""
    random = np.random.default_rng(0)
    label = np.arange(400) % 2
    score = random.normal(size=400) + 1.5 * label
    at = least_cost(score, label, 10.0, 0.1)

    def cost(cut: float) -> float:
        sensitivity = np.array([(score[label == 1] >= cut).mean()])
        specificity = np.array([(score[label == 0] < cut).mean()])
        return float(expected_cost(sensitivity, specificity, 0.1, 10.0)[0])

    assert all(cost(at) <= cost(cut) + 1e-12 for cut in np.linspace(-3, 4, 141))


def test_predictive_values_follow_bayes():
    found = weigh_conditions(*study(1, n=400), resamples=50)
    name = next(iter(found.evidence.rows))
    row = across_prevalences(found.evidence, name, prevalences=[0.1], ratio=10.0)[0]
    at = {m: found.evidence.point[name].at["default"][m][0] for m in ("sensitivity", "specificity")}
    hit, alarm = 0.1 * at["sensitivity"], 0.9 * (1 - at["specificity"])
    assert row["ppv"]["mean"] == pytest.approx(hit / (hit + alarm))
    assert row["cost"]["mean"] == pytest.approx(10 * 0.1 * (1 - at["sensitivity"]) + alarm)
    assert row["ppv"]["low"] < row["ppv"]["mean"] < row["ppv"]["high"]
    assert (row["nobody"], row["everybody"]) == (1.0, 0.9)


def test_a_recipe_without_a_ranking_has_no_robustness():
    levels = dict.fromkeys(LEVELS, 0.05)
    found = summarise_stress(*study(2, levels=levels), PARTS, resamples=30)
    assert found["recipes"][0]["robustness"]["mean"] is None
    assert "would mean nothing" in found["sentences"][0]
    verdict = next(v for v in found["verdicts"] if v["metric"] == "robustness")
    assert verdict["decision"] == "inconclusive" and verdict["difference"] is None
