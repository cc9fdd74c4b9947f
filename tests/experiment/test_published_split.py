"""``--split published``: the manifest's own split, without the training images that would leak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import raresight as rs
from raresight.errors import DataError, OptionError
from raresight.experiment.protocol import Protocol
from raresight.images.splits import published_split

FAST = {"models": ["logistic"], "balance": ["none", "smote"], "inner_folds": 2, "split": "published"}


def with_split(folder: Path, target: Path, parts: list[str], patients: list[str] | None = None) -> Path:
    table = pd.read_csv(folder / "labels.csv")
    table["file"] = [str(folder / file) for file in table["file"]]
    table["split"] = parts
    if patients is not None:
        table["patient"] = patients
    table.to_csv(target, index=False)
    return target


@pytest.fixture(scope="module")
def twin_run(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> rs.Run:
    """Every third image tests; two patients stand on both sides, with two training images each."""
    folder = tmp_path_factory.mktemp("published")
    parts = ["Test" if i % 3 == 0 else "train" if i % 3 == 1 else "val" for i in range(64)]
    patients = [f"p{3 * (i // 3)}" if i in (0, 1, 2, 60, 61, 62) else f"p{i}" for i in range(64)]
    images = rs.load(with_split(small_set, folder / "set.csv", parts, patients), normal=["normal"])
    return rs.compare(images, **FAST, repeats=2, out=folder / "run")


def test_the_test_rows_are_the_published_ones_in_every_repeat(twin_run: rs.Run):
    for _, part in twin_run.predictions.groupby(["recipe", "repeat"]):
        assert part["row"].tolist() == list(range(0, 64, 3)) and set(part["fold"]) == {0}
    assert twin_run.predictions["repeat"].nunique() == 2


def test_training_twins_are_dropped_and_counted_everywhere(twin_run: rs.Run):
    counts = {"train": 38, "test": 22, "train_dropped": 4, "test_with_twin": 2}
    assert twin_run.settings["published_split"] == counts
    assert all(r["dropped_rows"] == 4 and r["train_rows"] == 38 for r in twin_run.receipts)
    assert all(r["shared_groups"] == 0 for r in twin_run.receipts)
    page = rs.write_report(twin_run).read_text()
    assert "Of the test images, 2 share a group" in page and "those 4 were left out of training" in page
    assert "published split" in page and "on the split that the set was published with" in page


def test_a_row_of_no_group_is_never_dropped():
    parts, y = np.array(["train"] * 4 + ["test"] * 4), np.array([0, 1] * 4)
    split = published_split(parts, y, np.arange(8))
    assert split.train.tolist() == [0, 1, 2, 3] and split.test.tolist() == [4, 5, 6, 7]
    assert split.dropped == split.twins == 0


@pytest.mark.parametrize(
    ("parts", "y", "groups", "message"),
    [
        ("train train test test", [0, 1, 0, 0], [0, 1, 2, 3], "published test part has no anomalous image"),
        ("train train test test", [0, 0, 0, 1], [0, 1, 2, 3], "published training part has no anomalous"),
        ("train train test test", [0, 1, 0, 1], [0, 3, 2, 3], "without the groups that are tested has no an"),
        ("train train test holdout", [0, 1, 0, 1], [0, 1, 2, 3], "holds 'holdout'"),
    ],
)
def test_a_split_that_cannot_be_used_is_refused(parts: str, y: list[int], groups: list[int], message: str):
    with pytest.raises(DataError, match=message):
        published_split(np.array(parts.split()), np.array(y), np.array(groups))


def test_without_a_split_column_it_is_refused(small_set: Path, tmp_path: Path):
    with pytest.raises(DataError, match="has no column split"):
        rs.compare(rs.load(small_set), **FAST, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_an_unknown_split_is_refused():
    with pytest.raises(OptionError, match="folds, published"):
        Protocol(split="holdout")
