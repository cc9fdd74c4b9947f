"""Recipes under stress: the protocol of compare, resumed to the byte, with everything told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.errors import DataError, OptionError, RunError
from raresight.evidence.stressed import summarise_stress
from raresight.experiment.recipe import make_recipes
from raresight.images.store import build_store
from raresight.stress.corruptions import conditions_of
from raresight.stress.runner import choose_rows, stress_recipes
from raresight.stress.scorer import FoldScorer, score_condition, stress_scorer

OPTIONS = {
    "models": ["svm"],
    "balance": ["none", "smote"],
    "representation": "pixels[size=16]",
    "size": 32,
    "folds": 2,
    "workers": 1,
}
STRESS = {**OPTIONS, "corruptions": ["blur", "gaussian-noise"], "severities": [1, 5], "most": 40}


@pytest.fixture(scope="module")
def scans(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Put a column for the site beside the labels."""
    folder = tmp_path_factory.mktemp("scans")
    table = pd.read_csv(small_set / "labels.csv")
    table["file"] = [str(small_set / file) for file in table["file"]]
    table["site"] = ["north", "south", ""][0:2] * (len(table) // 2)
    table.loc[:2, "site"] = None
    table.to_csv(folder / "scans.csv", index=False)
    return folder / "scans.csv"


@pytest.fixture(scope="module")
def stressed(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> rs.Stress:
    out = tmp_path_factory.mktemp("stress") / "one"
    other = rs.load("phantom:brain?n=24&anomalies=0.5&size=64&seed=1")
    return stress_recipes(rs.load(scans), **STRESS, external=other, by=["site"], out=out)


def contents(folder: Path, *, without: str = "seconds") -> dict[str, bytes]:
    """Read a folder, but for what takes another time each time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("run.lock", "run.json"):
            data = path.read_bytes()
            if path.parent.name == "receipts":
                facts = json.loads(data)
                facts.pop(without)
                data = json.dumps(facts).encode()
            found[str(path.relative_to(folder))] = data
    return found


def test_clean_predictions_are_those_of_compare(scans, stressed, tmp_path):
    run = rs.compare(rs.load(scans), **OPTIONS, out=tmp_path / "run")
    pd.testing.assert_frame_equal(run.predictions, stressed.predictions)
    assert run.thresholds == stressed.run.thresholds


def test_every_condition_sees_the_same_rows(stressed):
    corrupted = stressed.corrupted
    chosen = set(corrupted["row"])
    assert len(chosen) == 40
    for _, part in corrupted.groupby(["recipe", "corruption", "severity"]):
        assert set(part["row"]) == chosen and len(part) == len(chosen)
    assert len(stressed.clean) == 2 * len(chosen)
    marks = ["recipe", "repeat", "fold", "row"]
    own = stressed.predictions.set_index(marks).index
    assert corrupted.set_index(marks).index.isin(own).all()  # tested by the model that had not seen them


def test_a_worse_image_is_scored_otherwise_and_told(stressed):
    row = stressed.summary["recipes"][0]
    by = {(c["corruption"], c["severity"]): c for c in row["conditions"]}
    assert list(by) == [("blur", 1), ("blur", 5), ("gaussian-noise", 1), ("gaussian-noise", 5)]
    mild, strong = by["blur", 1]["metrics"]["auroc"]["mean"], by["blur", 5]["metrics"]["auroc"]["mean"]
    assert row["clean"]["auroc"]["mean"] > 0.8 and mild >= strong
    mean = np.mean([c["metrics"]["auroc"]["mean"] for c in row["conditions"]])
    assert row["stressed_auroc"]["mean"] == pytest.approx(mean)
    assert row["robustness"]["mean"] == pytest.approx((mean - 0.5) / (row["clean"]["auroc"]["mean"] - 0.5))
    assert {v["metric"] for v in stressed.verdicts} == {"robustness", "stressed_auroc"}
    assert {v["balance"] for v in stressed.verdicts} == {"smote"}


def test_the_other_set_and_the_subgroups_are_in_it(stressed):
    external = stressed.summary["external"]
    assert external["images"] == 24 and external["recipes"][0]["models"] == 2
    assert stressed.elsewhere["file"].str.startswith("brain-").all()
    assert set(stressed.elsewhere["row"]) == set(range(24))
    levels = stressed.summary["subgroups"]["columns"][0]["levels"]
    assert [level["level"] for level in levels] == ["north", "south", "unknown"]
    assert list(stressed.run.subgroups) == ["row", "site"]


def test_a_test_that_was_cut_short_goes_on_to_the_same_bytes(scans, stressed, tmp_path):
    out = tmp_path / "two"
    again = {**STRESS, "external": rs.load("phantom:brain?n=24&anomalies=0.5&size=64&seed=1"), "by": ["site"]}
    first = stress_recipes(rs.load(scans), **again, out=out)
    assert contents(first.path) == contents(stressed.path)
    for room in ("predictions", "external"):
        sorted((out / room).glob("*.parquet"))[1].unlink()
    kept = {p: p.stat().st_mtime_ns for p in (out / "predictions").glob("*.parquet")}
    resumed = stress_recipes(rs.load(scans), **again, out=out)
    assert contents(resumed.path) == contents(stressed.path)
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    with pytest.raises(RunError, match="made by another command"):
        stress_recipes(rs.load(scans), **{**again, "severities": [2]}, out=out)


def test_a_fold_scores_pixels_as_it_scores_its_store(scans):
    store = build_store(rs.load(scans), rs_preprocess())
    rows = np.arange(len(store))
    for recipe in make_recipes(["svm", "rf"], ["none"], ["pixels[size=16]", "pca[components=5,size=16]"]):
        fitted = recipe.fit(store, rows[::2], seed=0)
        expected = fitted.predict(store, rows[1::2])
        found = FoldScorer(fitted).score(np.asarray(store.pixels[rows[1::2]]))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def rs_preprocess():
    from raresight.images.preprocess import Preprocess

    return Preprocess(32)


class Brightness:
    """Scores an image by its mean: a detector that needs no training."""

    def score(self, pixels):
        mean = pixels.mean(axis=(1, 2, 3)) / 255
        return mean, np.full(len(pixels), np.nan)


def test_any_scorer_can_be_stressed():
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = random.normal(100 + 12 * labels[:, None, None, None], 20, (60, 16, 16, 1))
    images = images.clip(0, 255).astype(np.uint8)
    conditions = conditions_of(["brightness", "blur"], [5])
    clean, corrupted = stress_scorer(Brightness(), images, labels, np.arange(60), conditions)
    found = summarise_stress(clean, corrupted, {("detector", 0, 0): {"default": 0.42}}, [], resamples=50)
    row = found["recipes"][0]
    auroc = {c["corruption"]: c["metrics"]["auroc"]["mean"] for c in row["conditions"]}
    assert row["clean"]["auroc"]["mean"] > 0.99 and auroc["blur"] > 0.99 and auroc["brightness"] < 0.8
    assert row["clean"]["brier"]["mean"] is None and found["verdicts"] == []
    score, _ = score_condition(Brightness(), images, conditions[0])
    assert (corrupted.loc[corrupted["corruption"] == "brightness", "score"] == score).all()


def test_rows_are_chosen_in_proportion():
    y = np.r_[np.zeros(900, int), np.ones(100, int)]
    rows = choose_rows(y, 200, seed=0)
    assert len(rows) == 200 and y[rows].sum() == 20 and (np.diff(rows) > 0).all()
    assert y[choose_rows(y, 50, seed=0)].sum() == 10  # not fewer than ten
    assert len(choose_rows(y, 0, seed=0)) == 1000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"corruptions": ["fog"]}, "unknown corruption 'fog'"),
        ({"severities": [0]}, "severity 0 is out of range"),
        ({"most": -1}, "--most -1 is below 0"),
        ({"cost": 0}, "--cost 0 is not above 0"),
        ({"by": ["ward"]}, "no column 'ward'"),
    ],
)
def test_what_cannot_be_asked_is_refused(scans, options, said):
    with pytest.raises((OptionError, DataError), match=said):
        stress_recipes(rs.load(scans), **{**STRESS, **options})


def test_several_classes_and_several_images_are_refused(scans):
    with pytest.raises(OptionError, match="stress judges normal against anomalous"):
        stress_recipes(rs.load(scans, task="multiclass"), **STRESS)
    with pytest.raises(OptionError, match="has several images"):
        stress_recipes(rs.load("phantom:brain?n=40&size=64&modalities=t1,flair"), **STRESS)


def test_the_page_holds_everything_and_names_no_other_place(stressed, tmp_path):
    path = rs.write_stress(stressed, tmp_path / "page.html")
    text = path.read_text()
    for word in ("gaussian-noise", "Robustness", "On another set", "Subgroups", "Where anomalies are rarer"):
        assert word in text
    assert "<img" not in text and "http" not in text.replace("http://www.w3.org", "")
    plain = rs.write_stress(stressed, tmp_path / "page.md").read_text()
    assert "## Does a balance make it more robust?" in plain and "None" not in plain
    assert (tmp_path / "figures" / "stress.png").stat().st_size > 5000
    with pytest.raises(OptionError, match="there are: html, md"):
        rs.write_stress(stressed, tmp_path / "page.tex")


def test_the_command(scans, tmp_path, capsys):
    command = ["stress", str(scans), "--models", "svm", "--representation", "pixels[size=16]", "--size", "32"]
    command += [
        "--folds",
        "2",
        "--workers",
        "1",
        "--corruptions",
        "blur",
        "--severities",
        "5",
        "--most",
        "30",
    ]
    command += ["--out", str(tmp_path / "st")]
    assert guarded(app, [*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recipes"][0]["conditions"][0]["corruption"] == "blur"
    assert guarded(app, command) == 0
    printed = capsys.readouterr().out
    assert "robustness" in printed and "report.html" in printed
    assert guarded(app, ["report", str(tmp_path / "st"), "--format", "md"]) == 0
    assert guarded(app, ["report", str(tmp_path / "st"), str(tmp_path / "st")]) == 2
    assert guarded(app, [*command, "--severities", "x"]) == 2
    with pytest.raises(RunError, match="holds no stress test"):
        rs.Stress(tmp_path)
