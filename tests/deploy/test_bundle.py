"""Making bundles: from a set, from a run, and what stands in them."""

from __future__ import annotations

import json
from dataclasses import replace
from shutil import copytree
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import raresight as rs
from raresight.deploy.card import bundle_card
from raresight.deploy.reference import feature_statistics
from raresight.errors import DataError, OptionError
from raresight.experiment.chosen import favourite

QUICK = {"representation": "pca[components=8]", "preprocess": "mri"}


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return rs.compare(
        images,
        ["logistic", "knn"],
        ["none", "random-over"],
        folds=2,
        inner_folds=2,
        workers=1,
        out=out,
        **QUICK,
    )


def facts(folder):
    return json.loads((folder / "bundle.json").read_text())


def test_a_bundle_says_what_it_is_and_how_well_it_did(bundle, made, images):
    found = facts(bundle)
    assert found["recipe"]["id"] == "logistic@pca[components=8]+smote"
    assert found["labels"] == {"normal": ["normal"], "anomalous": ["anomalous"]}
    assert found["input"] | {"preprocess": None} == {
        "modality": "mri",
        "size": 224,
        "channels": 1,
        "bits": 8,
        "preprocess": None,
    }
    assert found["data"]["images"] == found["data"]["trained_on"] == len(images)
    assert found["thresholds"] == made.refit.thresholds
    assert {"default", "youden", "f1", "specificity=0.95"} == set(found["thresholds"])
    evidence = found["evidence"]
    assert evidence["from"] == "inner"
    assert evidence["metrics"]["auroc"]["low"] < evidence["metrics"]["auroc"]["mean"] <= 1
    assert evidence["metrics"]["brier"]["mean"] is None  # calibration cannot judge itself
    assert found["hashes"]["images"] == made.refit.store.key
    assert len(found["hashes"]["code"]) == 64
    assert found["calibration"]["stated_at"] == pytest.approx(images.y.mean())


def test_the_card_names_use_data_figures_and_limits(bundle):
    card = (bundle / "model_card.md").read_text()
    for heading in ("Model", "Intended use", "Input", "Decisions", "Data", "Performance", "Limits"):
        assert f"\n## {heading}\n" in card
    assert "Not a medical device" in card
    assert "AUROC" in card


def test_the_reference_describes_scores_and_features(bundle, made):
    found = json.loads((bundle / "reference.json").read_text())
    y = made.refit.store.manifest.y
    assert [found["scores"][kind]["n"] for kind in ("normal", "anomalous")] == [
        (y == 0).sum(),
        (y == 1).sum(),
    ]
    assert len(found["scores"]["normal"]["quantiles"]) == 101
    features = made.refit.fitted.space.transform(made.refit.store, np.arange(len(y)))
    np.testing.assert_allclose(found["features"]["mean"], features.mean(axis=0), rtol=1e-3, atol=1e-3)


def test_feature_statistics_give_the_covariance_back():
    random = np.random.default_rng(0)
    rows = random.normal(size=(400, 60)) @ np.diag([5.0, 3.0, 2.0, *([0.1] * 57)])
    found = feature_statistics(rows.astype(np.float32))
    axes, variances = np.array(found["axes"]), np.array(found["variances"])
    rebuilt = axes.T @ np.diag(variances - found["rest"]) @ axes + found["rest"] * np.eye(60)
    np.testing.assert_allclose(rebuilt, np.cov(rows.T), atol=0.02)


def test_nothing_of_a_patient_or_a_path_is_in_a_bundle(tmp_path):
    random = np.random.default_rng(0)
    lines = ["file,label,patient"]
    home = tmp_path / "secret-home" / "scans"
    home.mkdir(parents=True)
    for i in range(32):
        bright = 120 if i % 2 else 0
        pixels = random.integers(0, 100, (32, 32)) + bright * (np.arange(32) < 12)
        Image.fromarray(pixels.astype(np.uint8)).save(home / f"Doe-{i}.png")
        lines.append(f"Doe-{i}.png,{'ill' if i % 2 else 'no'},MRN-{i // 2}")
    (home / "labels.csv").write_text("\n".join(lines))
    made = rs.train(rs.load(home, normal=["no"], group="patient"), "logistic", representation="pca[size=28]")
    folder = made.save(tmp_path / "bundle", include_examples=True)
    pictures = sorted((folder / "examples").glob("*.png"))
    assert len(pictures) == 32
    assert pictures[0].name == "000.png"
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in (b"Doe-", b"MRN-", b"secret-home", str(tmp_path).encode()):
                assert secret not in content, (path, secret)
    listed = json.loads((folder / "examples.json").read_text())
    assert {each["label"] for each in listed} == {"no", "ill"}
    cases = {each["id"]: each["label"] for each in json.loads((folder / "cases.json").read_text())}
    assert cases == {each["id"]: each["label"] for each in listed}
    found = rs.Predictor(folder).predict(sorted(home.glob("*.png")))
    assert [one.decision == "anomalous" for one in found].count(True) == 16


def test_training_images_stay_out_unless_they_are_asked_for(bundle):
    assert not list(bundle.rglob("*.png"))


def test_a_runs_favourite_goes_with_the_runs_evidence(run):
    best = favourite(run)
    made = rs.make_bundle(run)
    found = made.facts({}, 0.0)
    row = next(r for r in run.metrics["recipes"] if r["recipe"] == best)
    assert found["recipe"]["id"] == best
    assert found["evidence"]["from"] == "run"
    assert found["evidence"]["metrics"] == row["metrics"]
    assert found["evidence"]["run"] == run.settings["identity"]
    assert {v["balance"] for v in found["evidence"]["verdicts"]} <= {row["balance"]}
    assert "this detector has seen every image since" in bundle_card(found, made.judged, made.refit)
    assert "without a look at test rows" in found["evidence"]["sentence"]
    # A choice by inner scores: no fold's test rows are looked at.
    mean = {}
    for recipe in {r["recipe"] for r in run.receipts}:
        from raresight.experiment.chosen import inner_auroc

        mean[recipe] = np.mean([inner_auroc(run, recipe, 0, fold) for fold in range(2)])
    assert mean[best] == max(mean.values())


def test_a_run_may_be_asked_for_one_of_its_recipes(run, images):
    made = rs.make_bundle(run, images, "knn@pca[components=8]+none")
    assert made.refit.fitted.recipe.model.name == "knn"
    assert made.judged.verdicts == []
    assert "chosen by hand" in made.judged.sentence
    with pytest.raises(OptionError, match=r"has no recipe 'svm'.*knn@pca"):
        rs.make_bundle(run, images, "svm")


def test_other_images_than_the_runs_are_refused(run, images):
    with pytest.raises(DataError, match="not the images and groups"):
        rs.make_bundle(run, images.take(np.arange(40)), "knn@pca[components=8]+none")


def test_a_one_class_detector_has_no_probability_without_one(images, changed):
    made = rs.train(images, "knn", "smote", say=(told := []).append, calibration="none", **QUICK)
    assert any("smote with knn was skipped" in line for line in told)
    assert made.facts({}, 0.0)["calibration"] is None
    (one,) = rs.Predictor(changed(calibration=None)).predict(images.read(0))
    assert one.probability is None
    assert one.decision in ("normal", "anomalous")


def test_a_moved_score_is_moved_in_the_bundle_too(made, changed, images):
    moved = replace(made.refit, fitted=replace(made.refit.fitted, shift=0.75))
    assert replace(made, refit=moved).facts({}, 0.0)["score_shift"] == 0.75
    (one,) = rs.Predictor(changed(score_shift=0.75)).predict(images.read(3))
    expected = moved.fitted.score(moved.store, np.array([3]))[0]
    assert one.score == pytest.approx(expected, abs=1e-4)


def test_a_folder_that_is_taken_is_left_alone(made, bundle, tmp_path):
    with pytest.raises(OptionError, match="is not empty"):
        made.save(bundle)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OptionError, match="is not empty"):
        made.save(tmp_path, replace=True)  # not a bundle
    with pytest.raises(OptionError, match="is a file"):
        made.save(tmp_path / "mine.txt")
    with pytest.raises(OptionError, match="cannot be written, because of .*mine.txt"):
        made.save(tmp_path / "mine.txt" / "bundle")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_bundle_may_give_way_to_another(made, bundle, tmp_path):
    copytree(bundle, tmp_path / "b")
    (tmp_path / "b" / "old.json").write_text("{}")
    made.save(tmp_path / "b", replace=True)
    rs.Predictor(tmp_path / "b").self_test()
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_graded_and_compound_sets_are_refused(images):
    graded = rs.load("phantom:brain?n=48&anomalies=0.4&seed=0", task="multiclass")
    with pytest.raises(OptionError, match="name the normal classes"):
        rs.train(graded, "logistic", **QUICK)
    with pytest.raises(OptionError, match="graded several classes"):
        rs.make_bundle(SimpleNamespace(graded=True, path="runs/x"))
    with pytest.raises(OptionError, match="several images and a table"):
        rs.train(images, "svm", representation="cases")
