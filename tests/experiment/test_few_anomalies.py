"""One-class detectors beside supervised ones, with few labelled anomalies or none."""

from __future__ import annotations

import numpy as np
import pytest

import raresight as rs
from raresight.errors import OptionError
from raresight.images.splits import keep_anomalies

QUICK = {"folds": 3, "inner_folds": 2, "workers": 1}


@pytest.fixture(scope="module")
def images(small_set):
    return rs.load(str(small_set))


def test_without_an_anomaly_thresholds_come_from_normal_scores(images, tmp_path):
    models = ["knn", "deep-sad[epochs=5]", "ae[pixels=56,width=8,latent=8,epochs=2]"]
    run = rs.compare(images, models, ["none"], anomalies=0, out=tmp_path / "run", **QUICK)
    assert {receipt["train_anomalies"] for receipt in run.receipts} == {0}
    for (recipe, repeat, fold), rules in run.thresholds.items():
        assert set(rules) == {"default", "specificity=0.95"}
        inner = run.inner(recipe, repeat, fold)
        assert not inner["label"].any()
        assert (inner["score"] >= rules["default"]).mean() <= 0.1
    assert run.predictions["probability"].isna().all()
    assert run.metrics["recipes"][0]["metrics"]["auroc"]["mean"] > 0.6
    assert rs.write_report(run).is_file()


def test_a_supervised_model_needs_anomalies(images, tmp_path):
    with pytest.raises(OptionError, match="--anomalies 0 leaves svm nothing to learn from"):
        rs.compare(images, ["knn", "svm"], ["none"], anomalies=0, out=tmp_path / "run", **QUICK)
    with pytest.raises(OptionError, match="nothing to balance"):
        rs.compare(images, ["deep-sad"], ["smote"], anomalies=0, out=tmp_path / "run", **QUICK)


def test_one_class_detectors_stand_once_and_are_said_to_skip_balances(images, tmp_path):
    told: list[str] = []
    run = rs.compare(
        images, ["knn", "logistic"], ["none", "smote"], out=tmp_path / "run", say=told.append, **QUICK
    )
    recipes = [row["recipe"] for row in run.metrics["recipes"]]
    assert recipes == ["knn@embedding+none", "logistic@embedding+none", "logistic@embedding+smote"]
    assert any("learns from normal images only" in line for line in told)
    assert any("smote with knn was skipped" in line for line in told)


def test_fewer_labelled_anomalies_are_part_of_more(images):
    y, groups = images.y, images.groups()
    rows = np.arange(len(y))
    few, more = (keep_anomalies(y, groups, rows, wanted, 3) for wanted in (4, 9))
    assert (y[few].sum(), y[more].sum()) == (4, 9)
    assert set(few) <= set(more)
    assert (y[keep_anomalies(y, groups, rows, 0, 3)] == 0).all()


def test_with_few_anomalies_supervised_models_still_train(images, tmp_path):
    run = rs.compare(images, ["logistic", "knn"], ["none"], anomalies=6, out=tmp_path / "run", **QUICK)
    assert {receipt["train_anomalies"] for receipt in run.receipts} == {6}
    assert run.settings["protocol"]["anomalies"] == 6
    page = rs.write_report(run).read_text()
    assert "at most 6 anomalous training images" in page
