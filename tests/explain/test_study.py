from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.errors import OptionError
from raresight.explain.study import choose_rows, explain_set
from raresight.report.explained import OUTLINE, heat_over

PHANTOM = "phantom:brain?n=48&anomalies=0.5&difficulty=0&seed=0"


def test_one_command_explains_images_that_the_recipe_did_not_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "explained"
    arguments = ["explain", PHANTOM, "--model", "logistic", "--n", "4", "--folds", "3", "--out", str(out)]
    assert guarded(app, [*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"folder": str(out), **json.loads((out / "explained.json").read_text())}
    assert told["method"] == "integrated-maps" and told["neighbours_in"] == "embedding"
    assert set(told["measures"]) == {
        "heatmap",
        "random point",
        "in the anatomy",
        "centre",
        "brightness",
        "unusual brightness",
    }
    assert told["measures"]["heatmap"]["pointing"] > told["measures"]["random point"]["pointing"]
    assert any("highest point lies on the lesion" in sentence for sentence in told["sentences"])
    table = pd.read_csv(out / "images.csv")
    assert table["label"].tolist() == ["anomalous"] * 2 + ["normal"] * 2
    assert ((table["score"] >= table["threshold"]) == (table["decision"] == "anomalous")).all()
    assert table["nearest_normal_distance"].gt(0).all() and table["heat_outside_anatomy"].between(0, 1).all()
    with Image.open(out / "sheet.jpg") as sheet:
        assert sheet.width > 1500 and sheet.height > 300


def test_a_set_without_masks_is_explained_and_not_measured(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ["explain", str(small_set), "--model", "rf[n_estimators=10]", "--n", "1", "--folds", "3"]
    assert guarded(app, [*arguments, "--out", str(tmp_path / "x")]) == 0
    told = capsys.readouterr()
    assert "not measured" in told.err and "no masks" in told.err
    assert "map-occlusion" in told.out and "lesion" not in told.out and "sheet:" in told.out


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--n", "0"], "--n 0 is too small"), (["--method", "mask"], "mask cannot explain svm")],
)
def test_what_cannot_be_explained_says_so(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert guarded(app, ["explain", PHANTOM, "--folds", "3", "--out", str(tmp_path), *options]) == 2
    assert words in capsys.readouterr().err


def test_an_unknown_method_is_refused_before_anything_is_trained():
    started: list[str] = []

    @contextmanager
    def progress(title: str, total: int):
        started.append(title)
        yield lambda count: None

    with pytest.raises(OptionError, match="crystal-ball"):
        explain_set(rs.load(PHANTOM), method="crystal-ball", progress=progress)
    assert started == []


def test_half_of_the_images_shown_are_anomalous_where_there_are_so_many():
    y = np.array([0] * 10 + [1] * 3)
    rows = choose_rows(y, np.arange(13), 4, 0)
    assert y[rows].tolist() == [1, 1, 0, 0]
    assert (
        y[choose_rows(y, np.arange(13), 10, 0)].sum() == 3 and len(choose_rows(y, np.arange(13), 10, 0)) == 10
    )
    assert y[choose_rows(y, np.arange(8, 13), 5, 0)].sum() == 3


def test_cold_places_show_the_image_and_a_mask_is_outlined():
    image = np.full((40, 40, 1), 100, np.uint8)
    heat, mask = np.zeros((40, 40)), np.zeros((40, 40))
    heat[30:35, 30:35], mask[10:20, 10:20] = 1, 255
    laid = heat_over(image, heat, mask)
    assert (laid[15, 15] == 100).all() and (laid[0, 0] == 100).all()
    assert tuple(laid[9, 15]) == OUTLINE and (laid[32, 32] != 100).any()
