"""Verdicts, against worked values and simulations where the truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from raresight.evidence.difference import Difference
from raresight.evidence.estimates import Evidence, weigh
from raresight.evidence.influence import Jackknife, interaction
from raresight.evidence.judgement import judge_balances, recommendation, verdict_sentence
from raresight.evidence.verdicts import holm, more_groups, verdicts

BASE, SMOTE = "svm@embedding+none", "svm@embedding+smote"


def study(
    *,
    seed: int,
    anomalous: int = 30,
    normal: int = 120,
    images: int = 3,
    folds: int = 5,
    repeats: int = 1,
    distance: float = 1.5,
    gain: float = 0.0,
    noise: float = 0.5,
    resamples: int = 2,
) -> Evidence:
    """Two recipes on the same patients; the second separates the classes by `gain` more."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(anomalous + normal), images)
    label = (group < anomalous).astype(int)
    shared = 0.7 * random.normal(size=anomalous + normal)[group] + 0.5 * random.normal(size=len(group))
    frames, thresholds = [], {}
    for repeat in range(repeats):
        fold = np.r_[random.permutation(anomalous), random.permutation(normal)] % folds
        for recipe, more in ((BASE, 0.0), (SMOTE, gain)):
            own = 0.5 * random.normal(size=anomalous + normal)[group] + random.normal(size=len(group))
            score = shared + (distance + more) * label + noise * own
            frames.append(
                pd.DataFrame(
                    {
                        "recipe": recipe,
                        "repeat": repeat,
                        "fold": fold[group],
                        "row": np.arange(len(group)),
                        "file": "x.png",
                        "group": group,
                        "label": label,
                        "score": score,
                        "probability": 1 / (1 + np.exp(-(score - distance / 2))),
                    }
                )
            )
            thresholds |= {(recipe, repeat, f): {"default": distance / 2} for f in range(folds)}
    return weigh(pd.concat(frames, ignore_index=True), thresholds, resamples=resamples)


def headline(evidence: Evidence) -> str:
    return verdicts(evidence, [(SMOTE, BASE)])[SMOTE, BASE]["auroc"].word


def test_holm_agrees_with_the_worked_example_of_r():
    # R: p.adjust(c(.01, .02, .03, .04, .05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.04, 0.01]) == pytest.approx([0.04, 0.02])
    assert np.isnan(holm([np.nan, 0.03])[0]) and holm([np.nan, 0.03])[1] == pytest.approx(0.03)


def test_satterthwaite_gives_welchs_degrees_of_freedom():
    # Two samples of 10 and 20 with variances 4 and 9: Welch's t-test.
    a, b = 4 / 10, 9 / 20
    expected = (a + b) ** 2 / (a**2 / 9 + b**2 / 19)
    found = Difference(1.0, ((a, 9.0), (b, 19.0)))
    assert found.freedom == pytest.approx(expected)
    assert found.p == pytest.approx(2 * stats.t.sf(1 / np.sqrt(a + b), expected))


def difference_of(contributions: np.ndarray) -> Difference:
    """What independent groups, of one kind, add up to."""
    squares = (contributions - contributions.mean()) ** 2
    n = len(contributions)
    return Difference(
        float(contributions.sum()),
        ((float(n / (n - 1) * squares.sum()), n - 1.0),),
        float((n / (n - 1)) ** 2 * (squares**2).sum()),
    )


def test_even_contributions_leave_students_t_as_it_is():
    random = np.random.default_rng(0)
    even = difference_of(random.choice([-1.0, 1.0], 60) + 0.1)
    assert even.effective == 60
    t = even.value / even.error
    assert even.p == pytest.approx(2 * stats.t.sf(t, 59))
    assert even.interval(0.95)[1] - even.value == pytest.approx(even.error * stats.t.ppf(0.975, 59))
    normal = [difference_of(random.normal(size=60)).effective for _ in range(300)]
    assert 50 < np.median(normal) <= 60


def test_where_few_groups_decide_the_interval_holds_as_often_as_it_says():
    random = np.random.default_rng(1)
    few = [difference_of(random.normal(size=60) * (random.random(60) < 0.15)) for _ in range(2000)]
    plain = np.mean([abs(d.value) <= d.error * stats.t.ppf(0.975, d.freedom) for d in few])
    held = np.mean([d.interval(0.95)[0] <= 0 <= d.interval(0.95)[1] for d in few])
    assert plain > held and 0.935 < held < 0.965
    assert np.median([d.effective for d in few]) < 20


def test_one_or_two_groups_alone_are_never_significant():
    for sizes in ([1.0], [1.0, 1.0], [1.0, 0.4]):
        alone = difference_of(np.r_[sizes, np.zeros(60 - len(sizes))])
        assert alone.p > 0.1 and alone.interval(0.95)[0] < 0


def test_p_and_interval_agree():
    for seed in range(20):
        random = np.random.default_rng(seed)
        found = difference_of((random.normal(size=40) + 0.4) * (random.random(40) < 0.3))
        assert 0 < found.p < 1
        assert min(np.abs(found.interval(1 - found.p))) == pytest.approx(0, abs=1e-6)


def test_the_interval_of_equivalence_leans_with_skewed_contributions():
    parts = ((0.02**2, 200.0),)
    even = Difference(0.0, parts)
    assert even.inner == even.interval(0.9)
    up, down = (Difference(0.0, parts, third=sign * 0.1 * 0.02**3) for sign in (1, -1))
    assert up.inner[0] == even.inner[0] and even.inner[1] < up.inner[1] < even.interval(0.95)[1]
    assert down.inner[1] == even.inner[1] and down.inner[0] == pytest.approx(-up.inner[1])
    far = Difference(0.0, parts, third=10 * 0.02**3)
    assert far.inner[1] == far.interval(0.95)[1]


def test_skewness_foretells_how_difference_and_variance_go_together():
    found = [
        Jackknife(study(seed=seed, images=1, folds=1, anomalous=40, normal=40, gain=0.6)).difference(
            SMOTE, BASE, "auroc"
        )
        for seed in range(250)
    ]
    together = np.cov([d.value for d in found], [d.error**2 for d in found])[0, 1]
    foretold = np.mean([d.third + 4 * d.cross for d in found])
    spread = np.std([d.value for d in found]) ** 3
    assert foretold / spread == pytest.approx(together / spread, abs=0.15)


def test_the_jackknife_of_one_fold_of_single_images_is_delongs_variance_less_the_interaction():
    evidence = study(seed=1, images=1, folds=1, anomalous=40, normal=60)
    found = Jackknife(evidence).difference(SMOTE, BASE, "auroc")
    components = []
    for name in (SMOTE, BASE):
        rows = evidence.rows[name]
        high, low = rows.score[rows.label], rows.score[~rows.label]
        above = (high[:, None] > low[None, :]) + 0.5 * (high[:, None] == low[None, :])
        components.append((above.mean(axis=1), above.mean(axis=0)))
    # DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988), 837–845, equation 4.
    variance = sum(
        np.var(components[0][k] - components[1][k], ddof=1) / len(components[0][k]) for k in (0, 1)
    )
    assert found.value == pytest.approx(components[0][0].mean() - components[1][0].mean())
    rows = [evidence.rows[name] for name in (SMOTE, BASE)]
    assert found.error**2 + interaction(*rows) == pytest.approx(variance, rel=1e-9)
    d = np.subtract.outer(rows[0].score[rows[0].label], rows[0].score[~rows[0].label]) > 0
    d = d * 1.0 - (np.subtract.outer(rows[1].score[rows[1].label], rows[1].score[~rows[1].label]) > 0)
    left = d - d.mean(axis=1, keepdims=True) - d.mean(axis=0) + d.mean()
    assert interaction(*rows) == pytest.approx((left**2).sum() / (39 * 59) / (40 * 60))


def test_the_error_of_a_brier_score_is_that_of_means_within_classes():
    evidence = study(seed=2, anomalous=10, normal=40)
    found = Jackknife(evidence).difference(SMOTE, BASE, "brier")
    gaps = [(evidence.rows[name].label - evidence.rows[name].probability) ** 2 for name in (SMOTE, BASE)]
    rows = evidence.rows[BASE]
    mean = np.bincount(rows.group, gaps[0] - gaps[1]) / 3
    holds = np.bincount(rows.group, rows.label) > 0
    variance = sum((k.sum() / 50) ** 2 * mean[k].var(ddof=1) / k.sum() for k in (holds, ~holds))
    assert found.error**2 == pytest.approx(variance, rel=1e-9)


def test_the_variance_of_a_difference_is_unbiased_where_few_pairs_decide():
    found = [
        Jackknife(study(seed=seed, anomalous=21, normal=21, images=2, folds=3, distance=3.0)).difference(
            SMOTE, BASE, "auroc"
        )
        for seed in range(300)
    ]
    spread = np.var([d.value for d in found], ddof=1)
    assert np.mean([d.error**2 for d in found]) == pytest.approx(spread, rel=0.25)


def test_where_nothing_differs_a_difference_is_said_rarely():
    words = [headline(study(seed=seed)) for seed in range(200)]
    assert sum(word in ("helps", "harms") for word in words) <= 20  # 5 % expected; 20 is p < .002 away


def test_the_error_is_that_of_repeated_studies():
    found = [Jackknife(study(seed=seed)).difference(SMOTE, BASE, "auroc") for seed in range(200)]
    ratio = np.sqrt(np.mean([d.error**2 for d in found])) / np.std([d.value for d in found])
    assert 0.85 < ratio < 1.2


def test_a_better_ranking_is_found():
    words = [headline(study(seed=seed, gain=0.8, distance=0.9)) for seed in range(40)]
    assert sum(word == "helps" for word in words) >= 28
    assert headline(study(seed=0, gain=-1.0, distance=2.0)) == "harms"


def test_two_that_are_the_same_are_equivalent_and_few_patients_never_are():
    assert headline(study(seed=0, noise=0.0)) == "equivalent"
    few = study(seed=0, noise=0.0, anomalous=9)
    verdict = verdicts(few, [(SMOTE, BASE)])[SMOTE, BASE]["auroc"]
    assert verdict.word == "inconclusive" and "9 groups" in verdict.reason


def test_a_stochastic_detector_needs_five_repeats():
    four, five = study(seed=0, noise=0.0, repeats=4), study(seed=0, noise=0.0, repeats=5)
    assert verdicts(four, [(SMOTE, BASE)], stochastic=[SMOTE])[SMOTE, BASE]["auroc"].word == "inconclusive"
    assert verdicts(five, [(SMOTE, BASE)], stochastic=[SMOTE])[SMOTE, BASE]["auroc"].word == "equivalent"


def test_the_spread_between_repeats_counts():
    one = Jackknife(study(seed=3, repeats=6)).difference(SMOTE, BASE, "auroc")
    assert len(one.parts) == 3 and one.parts[2][1] == 5 and one.parts[2][0] > 0


def test_blocks_of_groups_give_nearly_the_same_error(monkeypatch: pytest.MonkeyPatch):
    evidence = study(seed=0)
    whole = Jackknife(evidence).difference(SMOTE, BASE, "brier").error
    monkeypatch.setattr("raresight.evidence.influence.BLOCKS", 40)
    assert Jackknife(evidence).difference(SMOTE, BASE, "brier").error == pytest.approx(whole, rel=0.3)


def test_more_groups_by_the_square_of_the_error():
    difference = Difference(0.02, ((0.02**2, 100.0),))
    # 1.96² times as many are needed: 2.84 more for each.
    assert more_groups(difference, 0.01, 100) == 290
    assert more_groups(Difference(0.01, ((0.02**2, 100.0),)), 0.01, 100) is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"noise": 0.0}, ["SMOTE against no resampling, svm@embedding: equivalent", "lies within ±.01"]),
        ({"gain": 3.0}, ["svm@embedding: helps", "Holm's p"]),
        ({"anomalous": 8}, ["inconclusive, because a class has 8 groups"]),
    ],
)
def test_the_sentence_says_no_more_than_the_verdict(options: dict[str, float], words: list[str]):
    found = verdicts(study(seed=0, **options), [(SMOTE, BASE)])[SMOTE, BASE]  # type: ignore[arg-type]
    sentence = verdict_sentence("SMOTE against no resampling, svm@embedding", "auroc", found["auroc"])
    assert all(word in sentence for word in words), sentence


def test_balances_are_judged_against_none_and_against_class_weights():
    evidence = study(seed=0)
    for name in ("svm@embedding+class-weight", "rf@embedding+smote"):
        for table in (evidence.rows, evidence.point, evidence.draws):
            table[name] = table[BASE]  # type: ignore[assignment]
    ids = list(evidence.rows)
    recipes = [
        {"id": i, "model": i.split("@")[0], "representation": "embedding", "balance": i.split("+")[1]}
        for i in ids
    ]
    judged = judge_balances(evidence, recipes)
    pairs = {(found["recipe"], found["against"]) for found in judged}
    assert pairs == {
        (SMOTE, "none"),
        (SMOTE, "class-weight"),
        ("svm@embedding+class-weight", "none"),
    }
    own = next(row for row in judged if (row["recipe"], row["against"]) == (SMOTE, "none"))
    assert (own["model"], own["balance"], own["metric"]) == ("svm", "smote", "auroc")
    assert own["low"] <= own["low90"] <= own["difference"] <= own["high90"] <= own["high"]
    assert 0 <= own["p_rope"] <= 1 and own["p_adjusted"] >= own["p"]
    assert "no resampling" in recommendation(judged)


def test_what_helps_is_recommended():
    recipes = [
        {"id": name, "model": "svm", "representation": "embedding", "balance": balance}
        for name, balance in ((BASE, "none"), (SMOTE, "smote"))
    ]
    judged = judge_balances(study(seed=0, gain=3.0), recipes)
    assert judged[0]["decision"] == "helps"
    assert recommendation(judged).startswith("Recommended here: SMOTE with svm@embedding")
    assert recommendation([]) == ""
