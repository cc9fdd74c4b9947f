"""Near duplicates stay together in every comparison, and what could not be kept together is said."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from copies import PLANTED, write_copies, write_likeness

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.images.twins import find_twins

FAST = {"models": ["logistic"], "balance": ["none", "random-over"], "folds": 3, "inner_folds": 2}
QUICK = ["--models", "logistic", "--balance", "none,random-over", "--folds", "3", "--inner-folds", "2"]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copies(tmp_path_factory.mktemp("copied") / "set")


@pytest.fixture(scope="module")
def run(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> rs.Run:
    return rs.compare(rs.load(copied), **FAST, repeats=2, out=tmp_path_factory.mktemp("run") / "a")


def folds(run: rs.Run) -> pd.Series:
    """Give the fold of each file in each repeat."""
    first = run.predictions[run.predictions["recipe"] == run.predictions["recipe"][0]]
    return first.set_index(["repeat", "file"])["fold"]


def test_copies_never_straddle_folds_whatever_their_class(run: rs.Run):
    fold = folds(run)
    for repeat in (0, 1):
        for original, copy in PLANTED.items():
            assert fold[repeat, original] == fold[repeat, copy]
    assert all(receipt["shared_groups"] == 0 for receipt in run.receipts)


def test_run_json_counts_the_duplicates_and_lists_those_that_disagree(run: rs.Run):
    data = json.loads((run.path / "run.json").read_text())["data"]
    against = data["duplicates"].pop("contradictions")
    assert [part["files"] for part in against] == [
        ["normal/02.png", "tumour/against.png"],
        ["normal/04.png", "tumour/against.jpg"],
    ]
    assert all(part["labels"] == ["normal", "tumour"] for part in against)
    assert data["duplicates"] == {
        "groups": 4,
        "exact": 2,
        "near": 2,
        "images": 8,
        "contradictory": 2,
        "normal_and_anomalous": 2,
        "joined": 4,
        "largest_joined": 2,
        "unmerged": [],
    }
    assert (data["groups"], data["largest_group"], data["mixed_groups"]) == (40, 2, 2)
    assert data["patients"] is None


def test_every_form_of_the_report_says_what_stays_together(run: rs.Run):
    for form in ("html", "md", "tex"):
        text = rs.write_report(run, format=form).read_text()
        assert "4 groups of duplicates stay on one side of every split (8 images; 2 exact, 2 near)" in text
        assert "2 of them have contradictory labels, 2 both normal and anomalous" in text
        assert "Warning" not in text and "local structure is the same" in text
    page = (run.path / "report.html").read_text()
    contradictions = page[page.index("Duplicates with contradictory labels") :]
    assert "tumour/against.jpg" in contradictions[: contradictions.index("</section>")]
    assert "no model can be right about all of them" in page
    assert "| 2 | normal/04.png | normal |" in (run.path / "report.md").read_text().replace("\\", "")


def test_a_lost_task_comes_back_byte_for_byte(run: rs.Run, copied: Path):
    lost = run.path / "predictions" / "logistic@embedding+random-over-r1-f1.parquet"
    content = lost.read_bytes()
    lost.unlink()
    again = rs.compare(rs.load(copied), **FAST, repeats=2, workers=1, out=run.path)
    assert lost.read_bytes() == content and again.settings == run.settings


@pytest.mark.parametrize("seen", [{"neutralise": ["border"]}, {"resize": "stretch"}, {"preprocess": "mri"}])
def test_whatever_models_see_the_folds_are_the_same(seen: dict, run: rs.Run, copied: Path, tmp_path: Path):
    other = rs.compare(rs.load(copied), **FAST, repeats=2, **seen, out=tmp_path / "r")
    assert folds(other).equals(folds(run))
    assert other.settings["data"] == run.settings["data"]
    assert other.settings["identity"] != run.settings["identity"]


def test_patients_and_duplicates_join(tmp_path: Path):
    images = rs.load(write_copies(tmp_path / "set", patients=True))
    run = rs.compare(images, **FAST, out=tmp_path / "r")
    fold = folds(run)[0]
    patients = images.table.set_index("file")["group"]
    for original, copy in PLANTED.items():
        own = patients.index[patients == patients[original]]
        assert len(own) == 2 and set(fold[[*own, copy]]) == {fold[original]}
    data = run.settings["data"]
    assert (data["patients"], data["groups"], data["largest_group"]) == (20, 20, 3)
    text = rs.write_report(run).read_text()
    assert "Images of one patient stay together (20 in all); duplicates across them made 4 groups" in text


def test_a_column_is_joined_with_duplicates_too(tmp_path: Path):
    folder = write_copies(tmp_path / "set", patients=True)
    table = pd.read_csv(folder / "labels.csv").rename(columns={"patient": "ward"})
    table.to_csv(folder / "labels.csv", index=False)
    run = rs.compare(rs.load(folder), **FAST, groups="ward", out=tmp_path / "r")
    assert run.settings["data"]["groups"] == 20 and run.settings["data"]["duplicates"]["groups"] == 4
    assert "Images of one group of the column ward stay together" in rs.write_report(run).read_text()


def test_off_leaves_every_image_by_itself_and_warns(
    copied: Path, run: rs.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("raresight.images.grouping.find_twins", None)
    alone = rs.compare(rs.load(copied), **FAST, groups="off", out=tmp_path / "r")
    assert alone.predictions["group"].nunique() == 44
    assert alone.settings["data"]["duplicates"] is None
    assert alone.settings["identity"] != run.settings["identity"]
    for form in ("html", "md", "tex"):
        text = rs.write_report(alone, format=form).read_text()
        assert text.index("Groups are off") < text.index("Verdicts")
        assert "may look better than it is" in text and "were not kept apart" in text


def test_the_command_says_before_training_what_it_found(copied: Path, tmp_path: Path, capsys):
    command = ["compare", str(copied), *QUICK, "--out", str(tmp_path / "r")]
    assert guarded(app, [*command, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["recipes"]
    told = captured.err.replace("\n", " ")
    assert told.index("4 groups of duplicates stay") < told.index("training and testing")
    assert "2 of them have contradictory labels" in told and "warning: Groups" not in told


def test_the_command_warns_where_groups_are_off(copied: Path, tmp_path: Path, capsys):
    command = ["compare", str(copied), *QUICK, "--groups", "off", "--out", str(tmp_path / "r")]
    assert guarded(app, command) == 0
    errors = capsys.readouterr().err
    assert errors.index("warning: Groups are off: near duplicates") < errors.index("training and testing")
    assert "looking at images" not in errors


def test_a_sweep_says_it_once_and_searches_once(
    copied: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RARESIGHT_CACHE", str(tmp_path / "cache"))
    options = ["--imbalance", "2,4", "--out", str(tmp_path / "s")]
    assert guarded(app, ["compare", str(copied), *QUICK, *options]) == 0
    errors = capsys.readouterr().err
    assert errors.count("groups of duplicates stay") == errors.count("looking at images") == 1
    runs = [rs.Run(tmp_path / "s" / f"imbalance-{ratio}") for ratio in (2, 4)]
    assert folds(runs[0]).equals(folds(runs[1]))


@pytest.fixture(scope="module")
def likeness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_likeness(tmp_path_factory.mktemp("likeness") / "set")


def test_a_cluster_that_grows_too_large_is_reported_and_not_merged(likeness: Path, tmp_path: Path, capsys):
    command = ["compare", str(likeness), *QUICK, "--out", str(tmp_path / "r")]
    assert guarded(app, command) == 0
    sentence = "A cluster of 14 similar images (23 % of the set) was not merged"
    errors = capsys.readouterr().err
    assert errors.index(f"warning: {sentence}") < errors.index("training and testing")
    run = rs.Run(tmp_path / "r")
    data = run.settings["data"]
    assert data["groups"] == 60 and data["duplicates"]["unmerged"] == [14]
    for form in ("html", "md", "tex"):
        text = rs.write_report(run, format=form).read_text().replace("\\", "")
        assert text.index(sentence) < text.index("Verdicts")


def test_a_sweep_s_report_has_the_warnings(likeness: Path, tmp_path: Path):
    sweep = rs.compare_imbalances(rs.load(likeness), **FAST, imbalance=[2], out=tmp_path / "s")
    for form in ("html", "md"):
        assert "14 similar images" in rs.write_sweep(sweep, format=form).read_text()


def test_a_published_split_loses_the_training_images_that_are_tested(copied: Path, tmp_path: Path):
    table = pd.read_csv(copied / "labels.csv")
    copy_of = {copy: original for original, copy in PLANTED.items()}
    tested = {*copy_of, *table["file"][1::3]} - set(PLANTED)
    table["split"] = ["test" if file in tested else "train" for file in table["file"]]
    table["file"] = [str(copied / file) for file in table["file"]]
    table.to_csv(tmp_path / "set.csv", index=False)
    images = rs.load(tmp_path / "set.csv", normal=["normal"])
    options = {**FAST, "split": "published"}
    found = rs.compare(images, **options, out=tmp_path / "r").settings["published_split"]
    assert (found["train_dropped"], found["test_with_twin"]) == (4, 4)
    alone = rs.compare(images, **options, groups="off", out=tmp_path / "off")
    assert alone.settings["published_split"]["train_dropped"] == 0
    assert "No test image shares" not in rs.write_report(alone).read_text()


def test_twins_of_an_external_set_are_known_whatever_models_see(copied: Path, tmp_path: Path):
    images = rs.load(copied)
    other = rs.load_external(write_copies(tmp_path / "other"), images)
    looked: list[str] = []

    def noting(store, progress):
        looked.append(store.preprocess.neutralise)
        return find_twins(store, progress)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(rs.DataError, match="has a twin in"):
        patch.setattr("raresight.images.grouping.find_twins", noting)
        rs.compare(images, **FAST, external=other, neutralise=["intensity"], out=tmp_path / "r")
    assert looked == [(), ()]


def test_the_audit_finds_the_same_groups(copied: Path, run: rs.Run):
    audit = rs.audit_images(rs.load(copied), probes=False, preprocess="mri")
    first = run.predictions[run.predictions["recipe"] == run.predictions["recipe"][0]]
    by_row = first[first["repeat"] == 0].sort_values("row")["group"]
    assert audit.groups.tolist() == by_row.tolist()
