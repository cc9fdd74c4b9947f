"""``raresight train`` and ``raresight predict``."""

from __future__ import annotations

import csv
import json
import os

import pytest
from bundle_lab import SET, grey
from PIL import Image

from raresight.cli.app import app
from raresight.cli.console import guarded

QUICK = ["--model", "logistic", "--representation", "pca[components=8]", "--inner-folds", "2"]


def call(capsys, *arguments):
    """Give status, stdout and stderr."""
    capsys.readouterr()
    status = guarded(app, [str(each) for each in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_detector_is_trained_and_scores_files(capsys, pictures, tmp_path):
    options = ["--balance", "smote[k_neighbors=3]", "--preprocess", "mri", "--threshold", "youden,cost=10"]
    status, out, _ = call(capsys, "train", SET, *QUICK, *options, "--out", tmp_path / "b", "--json")
    made = json.loads(out)
    assert status == 0
    assert made["recipe"] == "logistic@pca[components=8]+smote[k_neighbors=3]"
    assert set(made["thresholds"]) == {"default", "youden", "cost=10"}
    assert made["metrics"]["auroc"]["mean"] > 0.5
    status, out, err = call(
        capsys,
        "predict",
        tmp_path / "b",
        pictures,
        "--csv",
        tmp_path / "t.csv",
        "--jsonl",
        tmp_path / "t.jsonl",
    )
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 6
    assert out.startswith(f"{pictures / '0.png'}  ")
    rows = table(tmp_path / "t.csv")
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == [line["file"] for line in lines]
    assert [float(row["score"]) for row in rows] == [line["score"] for line in lines]


def test_one_document_and_one_status_for_all_files(capsys, bundle, pictures, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    files = [pictures / "0.png", tmp_path / "broken.png", tmp_path / "gone.png", pictures / "*1.png"]
    status, out, err = call(
        capsys, "predict", bundle, *files, "--json", "--csv", tmp_path / "t.csv", "--threshold", "youden"
    )
    found = json.loads(out)["predictions"]
    assert (status, err) == (1, "")
    assert [set(one) == {"file", "error"} for one in found] == [False, True, True, False]
    assert found[1]["error"] == "the file is empty"
    rows = table(tmp_path / "t.csv")
    assert [row["error"] for row in rows] == ["", "the file is empty", "the file is missing", ""]
    status, out, err = call(capsys, "predict", bundle, *files)
    assert status == 1
    assert len(out.splitlines()) == 2
    assert err.count("error: ") == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{empty}"], "the folder .* holds no image"),
        (["{empty}/*.png"], "no file matches"),
        (["{file}", "--threshold", "magic"], "has no threshold 'magic'"),
        (["{file}", "--csv", "{empty}"], "cannot be written .* choose another file with --csv"),
        (["{file}", "--csv", "{empty}/no/t.csv"], "cannot be written .* choose another file with --csv"),
        (["{file}", "--jsonl", "{empty}"], "cannot be written .* choose another file with --jsonl"),
        (["{file}", "--heatmaps", "{empty}"], "has no heatmaps"),
    ],
)
def test_wrong_arguments_end_in_one_sentence_and_status_2(
    capsys, bundle, pictures, tmp_path, arguments, said
):
    (tmp_path / "empty").mkdir()
    known = {"empty": tmp_path / "empty", "file": pictures / "0.png"}
    status, out, err = call(capsys, "predict", bundle, *(each.format(**known) for each in arguments))
    assert (status, out) == (2, "")
    assert err.count("error: ") == 1
    assert len(err.strip().splitlines()) == 1
    import re

    assert re.search(said, err)


def test_a_wrong_bundle_ends_in_one_sentence(capsys, copy, pictures):
    (copy / "detector.onnx").write_bytes(b"")
    status, out, err = call(capsys, "predict", copy, pictures / "0.png")
    assert (status, out) == (2, "")
    assert "detector.onnx" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110
def test_a_full_disk_ends_in_one_sentence(capsys, bundle, pictures):
    status, _, err = call(capsys, "predict", bundle, pictures / "0.png", "--csv", "/dev/full")
    assert status == 2
    assert "the disk of /dev/full is full" in err


def test_a_files_name_is_no_formula(capsys, bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(grey()).save(tmp_path / "=1+1.png")
    assert call(capsys, "predict", bundle, "=1+1.png", "--csv", "t.csv")[0] == 0
    assert (tmp_path / "t.csv").read_text().splitlines()[1].startswith("'=1+1.png,")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the images to train on, or a run"),
        ([SET, "--recipe", "svm"], "--recipe names a recipe of a run"),
        ([SET, "--model", "magic"], "unknown detector 'magic'"),
        ([SET, "--representation", "pixels,pca"], "cannot read|unknown representation"),
        (["--run", "{empty}"], "is not a run"),
        ([SET, "--threshold", "best"], "unknown threshold rule 'best'"),
        ([SET, "--balance", "focal"], "focal needs a detector"),
        ([SET, "--model", "fusion"], "several images"),
    ],
)
def test_wrong_options_of_train_end_in_one_sentence(capsys, tmp_path, arguments, said):
    import re

    (tmp_path / "empty").mkdir()
    given = [each.format(empty=tmp_path / "empty") for each in arguments]
    status, out, err = call(capsys, "train", *given, "--out", tmp_path / "b")
    assert (status, out) == (2, "")
    assert re.search(said, err.splitlines()[-1]), err
    assert not (tmp_path / "b").exists()


def test_train_says_first_that_the_folder_is_taken(capsys, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").write_text("")
    status, _, err = call(capsys, "train", "nowhere", "--out", tmp_path / "b")
    assert status == 2
    assert "is not empty" in err
