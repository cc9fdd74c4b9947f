"""auto: the choice of a recipe within a budget, judged by nested folds; and stacking."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

import raresight as rs
from raresight.errors import DataError, OptionError
from raresight.experiment import auto
from raresight.experiment.auto import auto_compare
from raresight.experiment.chosen import favourite
from raresight.experiment.stacking import Stack, common_rows


@pytest.fixture(scope="module")
def images(small_set):
    return rs.load(str(small_set))


@pytest.fixture(scope="module")
def found(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("auto") / "run"
    return auto_compare(images, ["logistic", "svm"], ["none", "smote"], folds=3, budget=5, workers=1, out=out)


def test_each_fold_takes_the_recipe_that_its_training_rows_favour(found):
    run = found.run
    for fold in found.summary["chosen"]:
        inner = {r: run.inner(r, 0, fold["fold"]) for r in found.summary["finished"]}
        auroc = {r: roc_auc_score(t["label"], t["score"]) for r, t in inner.items()}
        assert auroc[fold["ranked"][0]] == max(auroc.values())
        table = run.predictions[run.predictions["fold"] == fold["fold"]]
        same = [table[table["recipe"] == r].sort_values("row")["score"] for r in ("auto", fold["ranked"][0])]
        assert np.array_equal(*same)


def test_the_choice_never_looks_at_test_rows(found):
    for receipt in found.run.receipts:
        if receipt["recipe"] in ("auto", "stack"):
            inner = found.run.inner(receipt["recipe"], 0, receipt["fold"])
            tested = found.run.predictions.query(f"fold == {receipt['fold']}")["row"]
            assert not set(inner["row"]) & set(tested)


def test_auto_and_stack_are_judged_like_any_recipe(found):
    rows = {row["recipe"]: row for row in found.run.metrics["recipes"]}
    assert set(rows) == {"auto", "stack", *found.summary["finished"]}
    assert rows["auto"]["metrics"]["auroc"]["mean"] > 0.8
    assert {v["recipe"] for v in found.summary["verdicts"]} == {"auto", "stack"}
    assert rs.write_report(found.run).is_file()


def test_the_winner_is_fitted_on_every_image_and_kept_as_a_bundle(found, images, tmp_path):
    made = rs.make_bundle(found.run, images)
    assert len(made.refit.fitted.rows) == len(images)
    folder = made.save(tmp_path / "winner")
    facts = json.loads((folder / "bundle.json").read_text())
    assert facts["recipe"]["id"] == found.winner.id
    rows = np.arange(4)
    scores = [one.score for one in rs.Predictor(folder).predict([images.read(row) for row in rows])]
    np.testing.assert_allclose(scores, made.refit.fitted.score(made.refit.store, rows), atol=1e-4)
    assert favourite(found.run) == found.winner.id


def test_no_time_leaves_recipes_out_and_more_time_goes_on(images, tmp_path, monkeypatch):
    told, settings = [], {"folds": 3, "workers": 1, "out": tmp_path / "run"}
    names = ["logistic", "svm"], ["none"]
    short = auto_compare(images, *names, budget=1e-6, say=told.append, **settings)
    assert short.summary["finished"] == ["logistic@embedding+none"]
    assert short.summary["unfinished"] == ["svm@embedding+none"]
    assert any("svm@embedding+none would not end" in line for line in told)
    assert "svm@embedding+none" not in set(short.run.predictions["recipe"])
    done = []
    real = auto.carry_out
    monkeypatch.setattr(auto, "carry_out", lambda work, *a, **k: (done.append(work), real(work, *a, **k))[1])
    longer = auto_compare(images, *names, budget=5, **settings)
    assert {task.recipe.model.name for work in done for task in work.tasks} == {"svm"}
    assert not longer.summary["unfinished"]


def test_a_budget_of_nothing_is_refused(images):
    with pytest.raises(OptionError, match="--budget 0"):
        auto_compare(images, budget=0)


def test_a_stack_weighs_what_tells_and_ignores_noise():
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 2000)
    good = np.stack([label + random.normal(0, 1.0, 2000) for _ in range(2)], axis=1)
    scores = np.column_stack([good, random.normal(0, 3, 2000), -good[:, 0]])
    stack = Stack.learn(scores, label)
    assert (stack.weights >= 0).all()
    assert stack.weights[2] < 0.15 * stack.weights[0]
    assert stack.weights[3] < 1e-3
    assert roc_auc_score(label, stack.score(scores)) > 0.01 + roc_auc_score(label, good[:, 0])
    assert abs(expit(stack.score(scores)).mean() - label.mean()) < 1e-3


def test_a_stack_of_few_rows_is_nearly_the_average():
    random = np.random.default_rng(1)
    label = np.array([0, 1, 0, 1, 0, 1])
    scores = label[:, None] + random.normal(0, 2, (6, 3))
    weights = Stack.learn(scores, label).weights
    assert weights.max() - weights.min() < 0.75 * weights.mean() + 0.25


def test_a_stack_needs_both_classes():
    with pytest.raises(DataError, match="one is missing"):
        Stack.learn(np.zeros((4, 2)), np.zeros(4, int))


def test_rows_that_one_member_lacks_are_not_learned_from():
    tables = [
        pd.DataFrame({"row": rows, "label": [row % 2 for row in rows], "score": [float(row) for row in rows]})
        for rows in ([3, 1, 2, 0], [2, 3, 9])
    ]
    row, scores, label = common_rows(tables)
    assert row.tolist() == [2, 3]
    assert scores.tolist() == [[2, 2], [3, 3]]
    assert label.tolist() == [0, 1]
