"""``--external``: another set, scored and never learned from, without the images that stand in both."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import raresight as rs
from raresight.errors import DataError
from raresight.experiment.external import prepare_external
from raresight.images.store import build_store

FAST = {"models": ["logistic"], "balance": ["none", "random-over"], "folds": 2, "inner_folds": 2}
SHARED = 5


@pytest.fixture(scope="module")
def others(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other images in colour under other names, and copies of five that recipes learn from."""
    folder = tmp_path_factory.mktemp("others")
    random = np.random.default_rng(11)
    for label, bright in (("benign", 0), ("lesion", 110)):
        (folder / label).mkdir()
        for i in range(12):
            image = random.normal(90, 20, (40, 40, 3))
            image[4 + i : 13 + i, 10:19] += bright
            Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / label / f"{i}.png")
    for i in range(SHARED):
        shutil.copy(small_set / "normal" / f"{i:03d}.png", folder / "benign" / f"copy{i}.png")
    return folder


@pytest.fixture(scope="module")
def run(small_set: Path, others: Path, tmp_path_factory: pytest.TempPathFactory) -> rs.Run:
    images = rs.load(small_set)
    out = tmp_path_factory.mktemp("e") / "r"
    return rs.compare(images, **FAST, external=rs.load_external(others, images), out=out)


def test_twins_across_the_sets_are_left_out_and_counted(run: rs.Run):
    assert run.settings["external"]["twins_removed"] == SHARED
    assert run.settings["external"]["images"] == 24
    assert not run.external["file"].str.contains("copy").any()


def test_every_fold_s_model_scores_every_external_image(run: rs.Run):
    counts = run.external.groupby(["recipe", "repeat", "fold"])["row"].nunique()
    assert len(counts) == 4 and (counts == 24).all()
    assert not set(run.external["group"]) & set(run.predictions["group"])
    assert list(run.external.columns) == list(run.predictions.columns)


def test_metrics_are_means_over_the_folds_models(run: rs.Run):
    from sklearn.metrics import brier_score_loss, roc_auc_score

    (row,) = (r for r in run.metrics["external"]["recipes"] if r["balance"] == "none")
    parts = [p for _, p in run.external[run.external["recipe"] == row["recipe"]].groupby("fold")]
    auroc = np.mean([roc_auc_score(p["label"], p["score"]) for p in parts])
    brier = np.mean([brier_score_loss(p["label"], p["probability"]) for p in parts])
    assert row["metrics"]["auroc"]["mean"] == pytest.approx(auroc)
    assert row["metrics"]["brier"]["mean"] == pytest.approx(brier)
    assert row["models"] == 2 and row["n"] == 24 and row["positives"] == 12


def test_the_own_predictions_are_those_of_a_run_without_it(run: rs.Run, small_set: Path, tmp_path: Path):
    plain = rs.compare(rs.load(small_set), **FAST, out=tmp_path / "plain")
    assert plain.settings["identity"] != run.settings["identity"] and "external" not in plain.metrics
    for part in (plain.path / "predictions").iterdir():
        assert part.read_bytes() == (run.path / "predictions" / part.name).read_bytes()


def test_a_lost_task_brings_its_external_scores_back(run: rs.Run, small_set: Path, others: Path):
    lost = [run.path / room / "logistic@embedding+none-r0-f1.parquet" for room in ("predictions", "external")]
    contents = [path.read_bytes() for path in lost]
    for path in lost:
        path.unlink()
    images = rs.load(small_set)
    rs.compare(images, **FAST, external=rs.load_external(others, images), workers=1, out=run.path)
    assert [path.read_bytes() for path in lost] == contents


def test_the_report_has_a_table_of_it(run: rs.Run, others: Path):
    page = rs.write_report(run).read_text()
    assert "On another set" in page and "5 further images of it have a twin in the training set" in page
    assert str(others) not in page and others.name in page
    for form in ("md", "tex"):
        assert "On another set" in rs.write_report(run, format=form).read_text()


@pytest.mark.parametrize("model", ["logistic", "cnn[epochs=1,members=1]"])
def test_a_set_in_colour_is_seen_as_the_own_grey_one(model: str, small_set: Path, others: Path):
    from raresight.experiment.recipe import make_recipes

    images = rs.load(small_set)
    store = build_store(images)
    external = prepare_external(rs.load_external(others, images), store)
    assert (store.pixels.shape[3], external.store.pixels.shape[3]) == (1, 3)
    for space in ("pixels[size=56]", "pca"):
        recipe = make_recipes([model], ["none"], space)[0]
        held = np.arange(1, 64, 2) if recipe.network else None
        fitted = recipe.fit(store, np.arange(0, 64, 2), 0, validation=held)
        score, raw = external.predict(fitted)
        assert np.isfinite(score).all() and np.isfinite(raw).all() and len(score) == 24


def test_normal_classes_are_taken_from_the_set_the_user_or_their_names(tmp_path: Path, small_set: Path):
    def write(*labels: str) -> Path:
        table = pd.read_csv(small_set / "labels.csv")
        table["file"] = [str(small_set / file) for file in table["file"]]
        table["label"] = [labels[i % len(labels)] for i in range(len(table))]
        table.to_csv(tmp_path / "other.csv", index=False)
        return tmp_path / "other.csv"

    images = rs.load(small_set)
    assert rs.load_external(write("normal", "a", "b"), images).normal == ("normal",)
    assert rs.load_external(write("no", "yes"), images).normal == ("no",)
    assert rs.load_external(write("x", "y"), images, normal=["y"]).normal == ("y",)
    with pytest.raises(DataError, match="--external-normal; the classes are: x, y"):
        rs.load_external(write("x", "y"), images)


def test_a_set_of_twins_alone_is_refused(small_set: Path):
    images = rs.load(small_set)
    with pytest.raises(DataError, match=r"every normal image of .* has a twin"):
        prepare_external(rs.load_external(small_set, images), build_store(images))
