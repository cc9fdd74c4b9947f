"""From a predictions table to metrics: what is pooled, what is averaged, what is paired."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from raresight.errors import DataError
from raresight.evidence.estimates import estimate, folds_left_out, weigh
from raresight.evidence.intervals import draw_groups


def test_ranking_is_judged_within_folds_although_scores_shift_between_them(made_up):
    predictions, thresholds = made_up()
    found = weigh(predictions, thresholds, resamples=5)
    folds = [roc_auc_score(part["label"], part["score"]) for _, part in predictions.groupby("fold")]
    pooled = roc_auc_score(predictions["label"], predictions["score"])
    value = found.point["svm@embedding+none"].value("auroc")[0]
    assert value == pytest.approx(np.mean(folds), abs=1e-12)
    assert value > pooled + 0.05


def test_decisions_of_a_repeat_make_one_confusion_matrix_each_fold_at_its_own_threshold(made_up):
    predictions, thresholds = made_up(repeats=2)
    found = weigh(predictions, thresholds, resamples=5).point["svm@embedding+none"].value("mcc")[0]
    cut = [
        thresholds[k]["default"] for k in predictions[["recipe", "repeat", "fold"]].itertuples(index=False)
    ]
    flagged = (predictions["score"] >= cut).to_numpy()
    each = [
        matthews_corrcoef(predictions["label"][part], flagged[part])
        for part in (predictions["repeat"] == 0, predictions["repeat"] == 1)
    ]
    assert found == pytest.approx(np.mean(each), abs=1e-12)


def test_draws_move_whole_groups_so_duplicating_every_image_changes_no_interval(made_up):
    one, thresholds = made_up(size=1, shared=0.0)
    twice = one.loc[one.index.repeat(2)].reset_index(drop=True)
    recipe = "svm@embedding+none"
    cells = [weigh(p, thresholds, resamples=300).cell(recipe, "auroc") for p in (one, twice)]
    assert cells[0] == pytest.approx(cells[1], abs=1e-12)


def test_all_recipes_see_the_same_draws_so_identical_recipes_differ_by_exactly_nothing(made_up):
    predictions, thresholds = made_up(recipes={"svm@embedding+none": 0.7, "svm@embedding+smote": 0.7})
    found = weigh(predictions, thresholds, resamples=50)
    difference = found.difference("svm@embedding+smote", "svm@embedding+none", "sensitivity")
    assert difference["difference"] == difference["low"] == difference["high"] == 0


def test_row_order_does_not_change_a_single_draw(made_up):
    predictions, thresholds = made_up()
    shuffled = predictions.sample(frac=1, random_state=1).reset_index(drop=True)
    recipe = "svm@embedding+none"
    one, other = (weigh(p, thresholds, resamples=40).draws[recipe] for p in (predictions, shuffled))
    np.testing.assert_allclose(one.value("auprc"), other.value("auprc"), atol=1e-12)
    np.testing.assert_allclose(one.value("f1"), other.value("f1"), atol=1e-12)


def test_a_one_step_slope_is_close_to_the_full_fit_on_each_draw(made_up):
    predictions, thresholds = made_up(groups=400)
    found = (
        weigh(predictions, thresholds, resamples=60).draws["svm@embedding+none"].value("calibration_slope")
    )
    rows = weigh(predictions, thresholds, resamples=1).rows["svm@embedding+none"]
    anomalous = np.zeros(400, bool)
    anomalous[rows.group[rows.label]] = True
    full = estimate(rows, draw_groups(anomalous, 60, 0)).value("calibration_slope")
    assert np.abs(found - full).max() < 0.15 * full.std() + 0.05
    assert found.std() == pytest.approx(full.std(), rel=0.15)


def test_folds_without_both_classes_are_left_out_and_counted(made_up):
    predictions, thresholds = made_up()
    lacking = predictions[(predictions["fold"] != 0) | (predictions["label"] == 0)].reset_index(drop=True)
    found = weigh(lacking, thresholds, resamples=5)
    recipe = "svm@embedding+none"
    rest = [roc_auc_score(p["label"], p["score"]) for f, p in lacking.groupby("fold") if f != 0]
    assert folds_left_out(found.rows[recipe]) == 1
    assert found.point[recipe].value("auroc")[0] == pytest.approx(np.mean(rest), abs=1e-12)


def test_a_rule_that_one_fold_lacks_is_not_judged(made_up):
    predictions, thresholds = made_up()
    del thresholds["svm@embedding+none", 0, 1]["youden"]
    assert list(weigh(predictions, thresholds, resamples=2).rows["svm@embedding+none"].flagged) == ["default"]


def test_bad_tables_are_refused_in_one_sentence(made_up):
    predictions, thresholds = made_up()
    with pytest.raises(DataError, match="no column 'group'"):
        weigh(predictions.drop(columns="group"), thresholds)
    with pytest.raises(DataError, match="no prediction"):
        weigh(predictions.iloc[:0], thresholds)
    broken = predictions.assign(score=predictions["score"].where(predictions["row"] != 7))
    with pytest.raises(DataError, match=r"no finite score for 7\.png"):
        weigh(broken, thresholds)
    del thresholds["svm@embedding+none", 0, 2]
    with pytest.raises(DataError, match="no default threshold for svm@embedding\\+none, repeat 0, fold 2"):
        weigh(predictions, thresholds)
