"""Subgroups: their metrics, and how often the worst of alike ones is called worse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from raresight.evidence.subgroups import level_key, summarise_subgroups

RECIPE = "svm@embedding+none"
THRESHOLDS = {(RECIPE, 0, fold): {"default": 1.0} for fold in range(2)}


def study(
    seed: int, levels: int = 6, patients: int = 60, worse: float = 0.0, images: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw scores of patients in alike subgroups, of which the first may be harder."""
    random = np.random.default_rng(seed)
    n = levels * patients
    level, label = np.repeat(np.arange(levels), patients), np.arange(n) % 2
    shift = 2.0 - worse * (level == 0)
    own = random.normal(size=n)
    rows = np.repeat(np.arange(n), images)
    score = own[rows] + 0.3 * random.normal(size=len(rows)) + (shift * label)[rows]
    frame = pd.DataFrame(
        {
            "recipe": RECIPE,
            "repeat": 0,
            "fold": (np.arange(n) // 2 % 2)[rows],
            "row": np.arange(len(rows)),
            "file": "",
            "group": [f"g{i}" for i in rows],
            "label": label[rows],
            "score": score,
            "probability": 1 / (1 + np.exp(-2 * score + 2)),
        }
    )
    table = pd.DataFrame({"row": np.arange(len(rows)), "site": [f"s{i}" for i in level[rows]]})
    return frame, table


def test_values_are_those_of_the_rows_inside():
    frame, table = study(0, levels=3, images=2)
    found = summarise_subgroups(frame, THRESHOLDS, table, resamples=50)
    for level in found["columns"][0]["levels"]:
        own = frame[(table["site"] == level["level"]).to_numpy()]
        metrics = level["recipes"][0]["metrics"]
        auroc = np.mean([roc_auc_score(f["label"], f["score"]) for _, f in own.groupby("fold")])
        assert metrics["auroc"]["mean"] == pytest.approx(auroc)
        sick = own[own["label"] == 1]
        assert metrics["sensitivity"]["mean"] == pytest.approx((sick["score"] >= 1).mean())
        assert metrics["auroc"]["low"] < metrics["auroc"]["mean"] < metrics["auroc"]["high"]
        assert level["images"] == len(own) and level["groups"] == {"anomalous": 30, "normal": 30}


def test_the_worst_is_named_beside_all_the_others():
    frame, table = study(1, worse=1.6, patients=80)
    found = summarise_subgroups(frame, THRESHOLDS, table, resamples=300)
    by = {w["metric"]: w for w in found["worst"]}
    assert by["auroc"]["level"] == "s0" and by["auroc"]["decision"] == "worse"
    assert by["auroc"]["high"] < 0 and by["auroc"]["tests"] == 6
    assert by["auroc"]["sentence"] in found["sentences"]
    assert by["specificity"]["decision"] == "not told apart"


def test_the_worst_of_alike_subgroups_is_seldom_called_worse():
    """Of six alike subgroups the lowest lies well below the others; that is no finding."""
    called, gaps, studies = 0, [], 25
    for seed in range(studies):
        frame, table = study(seed)
        worst = summarise_subgroups(frame, THRESHOLDS, table, resamples=2, permutations=199, seed=seed)[
            "worst"
        ]
        auroc = next(w for w in worst if w["metric"] == "auroc")
        called += auroc["decision"] == "worse"
        gaps.append(auroc["difference"])
    assert np.mean(gaps) < -0.03  # the trap is there
    assert called <= 4  # binomial(25, .05) exceeds 4 with chance .7 %


def test_small_subgroups_are_warned_of_and_never_picked():
    frame, table = study(2, levels=3)
    few = table["row"] < 12
    table.loc[few, "site"] = "unknown"
    found = summarise_subgroups(frame, THRESHOLDS, table, resamples=50)
    levels = found["columns"][0]["levels"]
    assert [level["level"] for level in levels] == ["s0", "s1", "s2", "unknown"]
    assert levels[-1]["warning"].startswith("site = unknown has only 6 anomalous and 6 normal group(s)")
    assert found["warnings"] == [levels[-1]["warning"]]
    assert all(w["level"] != "unknown" and w["tests"] == 3 for w in found["worst"])


def test_one_against_the_other_is_one_test():
    frame, table = study(3, levels=2)
    found = summarise_subgroups(frame, THRESHOLDS, table, resamples=80)
    assert {w["tests"] for w in found["worst"]} == {1}
    for worst in found["worst"]:
        assert worst["p_adjusted"] == pytest.approx(worst["p"])
    assert "none is clearly worse" in found["sentences"][0] or found["worst"]


def test_a_subgroup_with_one_class_has_no_ranking():
    frame, table = study(4, levels=2)
    frame.loc[(table["site"] == "s1").to_numpy(), "label"] = 0
    found = summarise_subgroups(frame, THRESHOLDS, table, resamples=30)
    metrics = found["columns"][0]["levels"][1]["recipes"][0]["metrics"]
    assert metrics["auroc"] == {"mean": None, "low": None, "high": None}
    assert metrics["sensitivity"]["mean"] is None and metrics["specificity"]["mean"] is not None


def test_levels_stand_in_order():
    levels = ["unknown", "100–109", "20–29", "west", "3", "north", "0.5 to 1"]
    assert sorted(levels, key=level_key) == ["0.5 to 1", "3", "20–29", "100–109", "north", "west", "unknown"]
