"""Metrics of several classes equal scikit-learn's; intervals over groups hold the truth; verdicts' words."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    f1_score,
    matthews_corrcoef,
    multilabel_confusion_matrix,
    recall_score,
    roc_auc_score,
)

from raresight.errors import DataError
from raresight.evidence.graded import summarise_classes
from raresight.evidence.multiclass import (
    GRADED,
    PER_CLASS,
    ClassRows,
    estimate_classes,
    weigh_classes,
)

CLASSES = 4


def draw_frame(
    rng: np.random.Generator,
    groups: int,
    noise: float = 1.0,
    recipe: str = "a@x+none",
    shift: float = 0.0,
    repeats: int = 1,
    folds: int = 2,
) -> pd.DataFrame:
    """Draw two correlated images a group; each class's score is high where it is the class."""
    group = np.repeat(np.arange(groups), 2)
    label = np.minimum(group % 7, CLASSES - 1)
    parts = []
    for repeat in range(repeats):
        own = rng.normal(size=(groups, CLASSES))[group] + rng.normal(size=(len(group), CLASSES))
        score = np.eye(CLASSES)[label] * 1.5 + noise * own / np.sqrt(2)
        score[:, 0] += shift
        frame = pd.DataFrame(
            {
                "recipe": recipe,
                "repeat": repeat,
                "fold": group // 7 % folds,
                "row": np.arange(len(group)),
                "file": [f"{i}.png" for i in range(len(group))],
                "group": group,
                "label": label,
                "predicted": score.argmax(axis=1),
                **{f"score_{c}": score[:, c] for c in range(CLASSES)},
            }
        )
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def rows_of(frame: pd.DataFrame) -> ClassRows:
    score = frame[[f"score_{c}" for c in range(CLASSES)]].to_numpy()
    arrays = (frame[name].to_numpy(np.int64) for name in ("label", "predicted", "group", "repeat", "fold"))
    label, predicted, group, repeat, fold = arrays
    return ClassRows(label, predicted, score, group, repeat, fold)


@pytest.mark.parametrize("weighting", ["once", "resampled"])
def test_every_metric_is_scikit_learns(weighting: str):
    rng = np.random.default_rng(0)
    frame = draw_frame(rng, 70)
    counts = np.ones((1, 70), np.uint16)
    if weighting == "resampled":
        counts = rng.multinomial(70, np.full(70, 1 / 70), size=1).astype(np.uint16)
    found = estimate_classes(rows_of(frame), counts, CLASSES)
    drawn = frame.loc[np.repeat(frame.index, counts[0][frame["group"]])]
    y, p = drawn["label"], drawn["predicted"]
    tn, fp = (multilabel_confusion_matrix(y, p)[:, 0, c] for c in (0, 1))
    expected = {
        "accuracy": accuracy_score(y, p),
        "balanced_accuracy": balanced_accuracy_score(y, p),
        "macro_sensitivity": recall_score(y, p, average="macro"),
        "macro_specificity": float(np.mean(tn / (tn + fp))),
        "macro_f1": f1_score(y, p, average="macro"),
        "mcc": matthews_corrcoef(y, p),
        "quadratic_kappa": cohen_kappa_score(y, p, weights="quadratic"),
        "macro_auroc": np.mean([macro_auroc(part) for _, part in drawn.groupby("fold")]),
    }
    assert list(found.whole) == list(GRADED) == list(expected)
    for name, value in expected.items():
        assert found.whole[name][0] == pytest.approx(value, abs=1e-12), name
    assert found.each["sensitivity"][0] == pytest.approx(recall_score(y, p, average=None))
    assert found.each["f1"][0] == pytest.approx(f1_score(y, p, average=None))


def macro_auroc(part: pd.DataFrame) -> float:
    score = part[[f"score_{c}" for c in range(CLASSES)]].to_numpy()
    shares = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    each = [roc_auc_score(part["label"] == c, score[:, c]) for c in range(CLASSES)]
    # scikit-learn's own takes shares only: the same where scores are their logarithms.
    log_shares = [roc_auc_score(part["label"] == c, np.log(shares[:, c])) for c in range(CLASSES)]
    own = roc_auc_score(part["label"], shares, multi_class="ovr", average="macro")
    assert np.mean(log_shares) == pytest.approx(own)
    return float(np.mean(each))


def test_kappa_heeds_how_far_off_a_grade_is():
    once = np.ones((1, 70), np.uint16)
    frame = draw_frame(np.random.default_rng(1), 70)
    for off in (1, 3):
        frame["predicted"] = np.where(frame["label"] == 0, off, frame["label"])
        value = estimate_classes(rows_of(frame), once, CLASSES).whole["quadratic_kappa"][0]
        assert value == pytest.approx(
            cohen_kappa_score(frame["label"], frame["predicted"], weights="quadratic")
        )
    assert value < 0.5


def test_a_class_missing_in_a_fold_is_left_out_there():
    frame = draw_frame(np.random.default_rng(2), 70)
    frame = frame[~((frame["fold"] == 0) & (frame["label"] == 2))]
    found = estimate_classes(rows_of(frame), np.ones((1, 70), np.uint16), CLASSES)
    other = frame[frame["fold"] == 1]
    assert found.each["auroc"][0, 2] == pytest.approx(roc_auc_score(other["label"] == 2, other["score_2"]))


@cache
def coverage(studies: int = 120, draws: int = 200, groups: int = 84) -> dict[str, float]:
    """Share of studies whose interval holds the truth, which one large study tells."""
    large = draw_frame(np.random.default_rng(3), 42_000)
    once = np.ones((1, 42_000), np.uint16)
    truth = estimate_classes(rows_of(large), once, CLASSES)
    held: dict[str, float] = dict.fromkeys((*GRADED, "class 2"), 0.0)
    rng = np.random.default_rng(4)
    for study in range(studies):
        evidence = weigh_classes(draw_frame(rng, groups), CLASSES, resamples=draws, seed=study)
        for name in GRADED:
            cell = evidence.cell("a@x+none", name)
            held[name] += cell["low"] <= truth.whole[name][0] <= cell["high"]
        cell = evidence.class_cell("a@x+none", "sensitivity", 2)
        held["class 2"] += cell["low"] <= truth.each["sensitivity"][0, 2] <= cell["high"]
    return {name: count / studies for name, count in held.items()}


@pytest.mark.parametrize("name", [*GRADED, "class 2"])
def test_intervals_hold_the_truth(name: str):
    # 12 groups of each rare class. ±3 standard errors of 120 studies below 95 %; not so wide as to be idle.
    assert coverage()[name] >= 0.89, coverage()


def test_intervals_are_about_groups_and_not_images():
    frame = draw_frame(np.random.default_rng(5), 84)
    copies = pd.concat([frame.assign(row=frame["row"] + 1000 * i) for i in range(6)])
    alone, copied = (weigh_classes(f, CLASSES, resamples=300) for f in (frame, copies))
    width = [
        np.diff([e.cell("a@x+none", "macro_f1")[k] for k in ("low", "high")])[0] for e in (alone, copied)
    ]
    assert width[0] == pytest.approx(width[1], rel=1e-6)


def settings(recipes: list[str], ordered: bool = True, stochastic: bool = False) -> dict[str, Any]:
    parts = [
        {"id": r, "model": "a", "representation": "x", "balance": r.split("+")[1], "stochastic": stochastic}
        for r in recipes
    ]
    classes = {f"grade {c}": 1 for c in range(CLASSES)}
    return {"data": {"classes": classes, "ordered": ordered}, "recipes": parts, "protocol": {"seed": 0}}


def receipts(recipes: list[str]) -> list[dict[str, Any]]:
    return [{"recipe": r, "seconds": {"fit": 1.0, "predict": 0.5}} for r in recipes]


def judged(other: pd.DataFrame, first: pd.DataFrame, **options: Any) -> dict[str, Any]:
    recipes = ["a@x+none", "a@x+smote"]
    both = pd.concat([first, other.assign(recipe="a@x+smote")], ignore_index=True)
    return summarise_classes(both, receipts(recipes), settings(recipes, **options), resamples=300)


def words(summary: dict[str, Any]) -> dict[str, str]:
    return {row["metric"]: row["decision"] for row in summary["verdicts"]}


def test_the_same_predictions_are_equivalent():
    frame = draw_frame(np.random.default_rng(6), 140)
    assert set(words(judged(frame, frame)).values()) == {"equivalent"}


def test_a_better_ranking_helps_and_a_worse_one_harms():
    rng = np.random.default_rng(7)
    good, bad = draw_frame(rng, 280, noise=0.5), draw_frame(rng, 280, noise=1.6)
    helped = judged(good, bad)
    assert set(words(helped).values()) == {"helps"}
    assert "better ranking of the images" in helped["effects"][0]["sentence"]
    assert helped["recommendation"].startswith("Recommended here: SMOTE")
    assert set(words(judged(bad, good)).values()) == {"harms"}


def test_moved_decisions_are_no_better_ranking():
    frame = draw_frame(np.random.default_rng(8), 280, noise=1.2)
    moved = frame.copy()
    score = frame[[f"score_{c}" for c in range(CLASSES)]].to_numpy() - 1.2 * np.array([0, 0, 0, 1.0])
    moved[[f"score_{c}" for c in range(CLASSES)]] = score
    moved["predicted"] = score.argmax(axis=1)
    found = judged(moved, frame)
    assert words(found)["macro_auroc"] == "equivalent" and words(found)["quadratic_kappa"] == "harms"
    assert found["effects"][0]["sentence"].endswith("other decisions, not a better ranking.")


def test_a_model_that_needs_no_balance_is_named_beside_one_that_gains_by_it():
    rng = np.random.default_rng(15)
    frames = {
        "a@x+none": draw_frame(rng, 280, noise=1.6),
        "a@x+smote": draw_frame(rng, 280, noise=1.0),
        "b@x+none": draw_frame(rng, 280, noise=0.5),
    }
    table = pd.concat([f.assign(recipe=name) for name, f in frames.items()], ignore_index=True)
    parts = settings([])
    found = summarise_classes(table, receipts(list(frames)), parts, resamples=200)
    assert "Without any, b@x reaches .9" in found["recommendation"]


def test_few_groups_or_few_repeats_of_random_training_decide_nothing():
    rng = np.random.default_rng(9)
    few = judged(draw_frame(rng, 35, noise=0.2), draw_frame(rng, 35, noise=2.0))
    assert set(words(few).values()) == {"inconclusive"} and "5 groups" in few["verdicts"][0]["reason"]
    drawn = judged(draw_frame(rng, 140), draw_frame(rng, 140), stochastic=True)
    assert set(words(drawn).values()) == {"inconclusive"} and "--repeats 5" in drawn["verdicts"][0]["reason"]


def test_classes_without_order_are_not_judged_by_kappa():
    rng = np.random.default_rng(10)
    found = judged(draw_frame(rng, 140), draw_frame(rng, 140), ordered=False)
    assert set(words(found)) == {"macro_auroc", "balanced_accuracy"}
    assert not any("kappa" in sentence for sentence in found["sentences"])


def test_rows_have_the_keys_of_the_contract():
    found = judged(draw_frame(np.random.default_rng(11), 70), draw_frame(np.random.default_rng(12), 70))
    row = found["recipes"][0]
    assert list(row["metrics"]) == list(GRADED)
    assert all(list(cells) == list(PER_CLASS) for cells in row["per_class"].values())
    assert list(row["per_class"]) == [f"grade {c}" for c in range(CLASSES)]
    assert np.sum(row["confusion"]) == row["n"] == sum(row["counts"].values()) == 140


def test_repeats_add_their_spread_to_a_difference():
    rng = np.random.default_rng(13)
    frames = [draw_frame(rng, 140, repeats=3, recipe=r) for r in ("a@x+none", "a@x+smote")]
    evidence = weigh_classes(pd.concat(frames, ignore_index=True), CLASSES, resamples=200)
    difference = evidence.difference("a@x+smote", "a@x+none", "macro_auroc")
    assert len(difference.parts) == 2 and difference.parts[1][1] == 2.0
    change = evidence.change("a@x+smote", "a@x+none", "macro_auroc")
    assert difference.value == pytest.approx(change["difference"])


def test_a_score_that_is_no_number_is_refused():
    frame = draw_frame(np.random.default_rng(14), 35)
    frame.loc[3, "score_1"] = np.nan
    with pytest.raises(DataError, match="no finite score for 3.png"):
        weigh_classes(frame, CLASSES)
    with pytest.raises(DataError, match="no column 'score_4'"):
        weigh_classes(frame, CLASSES + 1)
