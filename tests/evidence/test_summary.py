"""The content of metrics.json, the sentences, and the published table beside it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from raresight.evidence.format import decimal, span
from raresight.evidence.metrics import METRICS, names_of
from raresight.evidence.names import titles
from raresight.evidence.published import TABLE, beside
from raresight.evidence.sentences import conclusion
from raresight.evidence.summary import summarise

NONE, SMOTE = "svm@embedding+none", "svm@embedding+smote"


def settings_of(*recipes: str) -> dict:
    parts = [
        (r, r.partition("@")[0], r.partition("@")[2].partition("+")[0], r.partition("+")[2]) for r in recipes
    ]
    keys = ("id", "model", "representation", "balance")
    return {"protocol": {"seed": 3}, "recipes": [dict(zip(keys, p, strict=True)) for p in parts]}


def receipts_of(*recipes: str) -> list[dict]:
    return [{"recipe": r, "seconds": {"fit": 2.0, "predict": 0.5}} for r in recipes for _ in range(3)]


@pytest.fixture
def moved(made_up):
    """Two recipes with the same ranking; the second cuts lower."""
    predictions, thresholds = made_up(groups=400, distance=3.0, recipes={NONE: 2.6, SMOTE: 1.8})
    return summarise(
        predictions, thresholds, receipts_of(NONE, SMOTE), settings_of(NONE, SMOTE), resamples=400
    )


def test_rows_hold_every_metric_with_an_interval_around_it(moved):
    row = moved["recipes"][0]
    assert (row["recipe"], row["model"], row["balance"], row["representation"]) == (
        NONE,
        "svm",
        "none",
        "embedding",
    )
    assert (row["n"], row["positives"]) == (800, 400)
    assert row["seconds"] == {"fit": 6.0, "predict": 1.5}
    assert list(row["metrics"]) == list(METRICS)
    assert all(cell["low"] <= cell["mean"] <= cell["high"] for cell in row["metrics"].values())


def test_metrics_estimate_the_truth_they_were_made_from(moved):
    cells = moved["recipes"][0]["metrics"]
    assert cells["auroc"]["low"] <= stats.norm.cdf(3 / np.sqrt(2)) <= cells["auroc"]["high"]
    assert cells["sensitivity"]["low"] <= stats.norm.cdf(3 - 2.6) <= cells["sensitivity"]["high"]
    assert cells["specificity"]["low"] <= stats.norm.cdf(2.6) <= cells["specificity"]["high"]
    assert cells["calibration_slope"]["low"] <= 1 <= cells["calibration_slope"]["high"]


def test_a_learned_threshold_stands_beside_the_default_one(moved):
    row = moved["recipes"][0]
    assert list(row["at"]) == ["default", "youden"]
    assert set(row["at"]["youden"]) == set(names_of("decision"))
    assert row["at"]["default"]["f1"] == row["metrics"]["f1"]
    assert row["at"]["youden"]["sensitivity"]["mean"] > row["metrics"]["sensitivity"]["mean"] + 0.2


def test_a_lower_cut_is_called_a_moved_threshold_not_a_better_ranking(moved):
    (effect,) = moved["effects"]
    change = effect["changes"]["sensitivity"]
    assert effect["against"] == NONE and change["low"] > 0
    assert effect["changes"]["auroc"]["difference"] == 0
    sentence = effect["sentence"]
    assert f"With SMOTE, svm@embedding's sensitivity rose from {decimal(change['from'])} to" in sentence
    assert "while AUROC stayed at" in sentence and "a moved threshold, not a better ranking." in sentence
    assert "Youden" in sentence and sentence in moved["sentences"]


def test_better_scores_are_called_a_better_ranking(made_up):
    predictions, thresholds = made_up(groups=300, distance=1.0, recipes={NONE: 0.5, SMOTE: 0.5})
    better = (predictions["recipe"] == SMOTE) & (predictions["label"] == 1)
    predictions.loc[better, "score"] += 1.0
    made = summarise(predictions, thresholds, [], settings_of(NONE, SMOTE), resamples=300)
    assert made["effects"][0]["sentence"].endswith("a better ranking of the images.")
    predictions.loc[better, "score"] -= 1.6
    made = summarise(predictions, thresholds, [], settings_of(NONE, SMOTE), resamples=300)
    assert made["effects"][0]["sentence"].endswith("a worse ranking of the images.")


def change(low: float, high: float) -> dict[str, float]:
    return {"from": 0.5, "to": 0.5, "difference": (low + high) / 2, "low": low, "high": high}


@pytest.mark.parametrize(
    ("sensitivity", "auroc", "said"),
    [
        ((0.05, 0.2), (-0.004, 0.004), "a moved threshold, not a better ranking"),
        ((0.05, 0.2), (0.001, 0.004), "a moved threshold, not a better ranking"),
        ((0.05, 0.2), (0.02, 0.06), "a better ranking of the images"),
        ((0.05, 0.2), (-0.06, -0.02), "a worse ranking of the images"),
        (
            (0.05, 0.2),
            (-0.05, 0.05),
            "the decisions moved; whether the ranking did, these images cannot tell",
        ),
        ((-0.05, 0.05), (-0.004, 0.004), "no clear change"),
        ((-0.05, 0.05), (0.001, 0.004), "a small change of the ranking alone"),
        ((-0.05, 0.05), (-0.05, 0.05), "no clear change, and too few images to rule one out"),
    ],
)
def test_the_conclusion_goes_no_further_than_the_intervals(sensitivity, auroc, said):
    changes = {
        "sensitivity": change(*sensitivity),
        "specificity": change(-0.01, 0.01),
        "auroc": change(*auroc),
    }
    assert conclusion(changes) == said


def test_a_half_finished_recipe_is_not_compared_with_a_finished_one(made_up):
    predictions, thresholds = made_up(recipes={NONE: 0.7, SMOTE: 0.7})
    cut = predictions[(predictions["recipe"] == NONE) | (predictions["fold"] == 0)].reset_index(drop=True)
    assert summarise(cut, thresholds, [], settings_of(NONE, SMOTE), resamples=20)["effects"] == []


def test_undefined_values_become_null_in_strict_json(made_up):
    predictions, thresholds = made_up()
    nothing = predictions.assign(probability=np.nan, label=0)
    made = summarise(nothing, thresholds, [], settings_of(NONE), resamples=20)
    cells = json.loads(json.dumps(made, allow_nan=False))["recipes"][0]["metrics"]
    assert cells["brier"] == cells["auroc"] == {"mean": None, "low": None, "high": None}
    assert made["recipes"][0]["folds_left_out"] == 3


def test_the_same_input_gives_the_same_metrics_and_another_seed_other_intervals(made_up):
    predictions, thresholds = made_up()
    settings = settings_of(NONE)
    one, two = (summarise(predictions, thresholds, [], settings, resamples=50) for _ in range(2))
    other = summarise(predictions, thresholds, [], {**settings, "protocol": {"seed": 4}}, resamples=50)
    assert json.dumps(one) == json.dumps(two)
    cells = [made["recipes"][0]["metrics"]["auroc"] for made in (one, other)]
    assert cells[0]["mean"] == cells[1]["mean"] and cells[0]["low"] != cells[1]["low"]


@pytest.mark.parametrize("name", ["../shared/data/brain_tumor_yesno", "Brain-Tumour-MRI"])
def test_the_papers_cnn_rows_stand_beside_a_cnn_on_brain_tumours(made_up, name):
    recipes = {"cnn@pixels+none": 0.7, "cnn@pixels+smote": 0.7, NONE: 0.7}
    predictions, thresholds = made_up(recipes=recipes)
    made = summarise(predictions, thresholds, [], settings_of(*recipes), resamples=50)
    rows = beside(made, name)
    assert [(row["title"], row["recipe"]) for row in rows] == [
        ("CNN (Original)", "cnn@pixels+none"),
        ("CNN (SMOTE)", "cnn@pixels+smote"),
    ]
    cell = rows[0]["cells"]["sensitivity"]
    ours = made["recipes"][0]["metrics"]["sensitivity"]
    assert cell["published"] == 0.805 and cell["ours"] == ours["mean"]
    assert cell["difference"] == pytest.approx(ours["mean"] - 0.805)
    assert cell["inside"] == (ours["low"] <= 0.805 <= ours["high"])


def test_nothing_was_published_on_other_sets_or_other_models(moved):
    assert [row["recipe"] for row in beside(moved, "data/APTOS2019/")] == [NONE, SMOTE]
    assert (
        beside(moved, "phantom:brain") == beside(moved, "brain_tumor_yesno") == beside(moved, "scans") == []
    )


def test_the_published_table_is_the_papers():
    assert len(TABLE) == 4
    assert TABLE[3].values == {"accuracy": 0.843, "sensitivity": 0.815, "specificity": 0.871, "f1": 0.829}
    # In every row accuracy is exactly the mean of sensitivity and specificity: a check on the copying.
    for row in TABLE:
        v = row.values
        assert v["accuracy"] == pytest.approx((v["sensitivity"] + v["specificity"]) / 2, abs=1e-9)


def test_numbers_are_written_as_statistics_are():
    assert [decimal(v) for v in (0.9634, 1.0, -0.25, None, 1.25)] == [".963", "1.000", "−.250", "–", "1.250"]
    assert [decimal(v, sign=True) for v in (0.1, -0.0001, 0.0)] == ["+.100", ".000", ".000"]
    assert span({"mean": 0.5, "low": 0.4, "high": 0.6}) == ".400–.600"
    assert span({"low": -0.4, "high": 0.6}) == "−.400 to .600"
    assert span({"low": None, "high": None}) == ""


def test_titles_follow_the_paper_and_tell_apart_what_would_be_the_same():
    recipes = settings_of("svm@embedding+none", "svm@pca+none", "cnn@pixels+smote[k_neighbors=3]")["recipes"]
    assert list(titles(recipes).values()) == [
        "SVM on embedding (original)",
        "SVM on pca (original)",
        "CNN (SMOTE[k_neighbors=3])",
    ]


def test_no_ranking_is_claimed_of_random_training_with_too_few_repeats(made_up):
    plain, smote = "cnn@pixels+none", "cnn@pixels+smote"
    predictions, thresholds = made_up(recipes={plain: 0.7, smote: 0.7})
    predictions.loc[(predictions["recipe"] == smote) & (predictions["label"] == 1), "score"] += 1.0
    settings = settings_of(plain, smote)
    for recipe in settings["recipes"]:
        recipe["stochastic"] = True
    made = summarise(predictions, thresholds, [], settings, resamples=300)
    assert {v["decision"] for v in made["verdicts"]} == {"inconclusive"}
    assert "ranking that is not decided, because" in made["effects"][0]["sentence"]


def test_signs_within_brackets_do_not_split_a_recipes_name():
    from raresight.evidence.names import split_id

    found = split_id("vote[members=svm+rf]@cases[table=age+sex]+smote[neighbours=pixels]")
    assert found["model"] == "vote[members=svm+rf]"
    assert found["representation"] == "cases[table=age+sex]"
    assert found["balance"] == "smote[neighbours=pixels]"
    assert split_id("mine") == {"id": "mine", "model": "mine", "representation": "", "balance": ""}
