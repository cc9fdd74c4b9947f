"""Groups: patient ∪ near-duplicate cluster, in the rows of any store, and in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import raresight as rs
from raresight.errors import ImageError, OptionError
from raresight.images import preprocess as preprocess_module
from raresight.images.grouping import (
    group_images,
    grouping_sentences,
    grouping_warnings,
    twins_as_they_are,
)
from raresight.images.preprocess import Preprocess
from raresight.images.store import build_store
from raresight.images.twins import find_twins

FOUND = {
    "groups": 3,
    "exact": 1,
    "near": 2,
    "images": 7,
    "contradictory": 0,
    "normal_and_anomalous": 0,
    "joined": 3,
    "largest_joined": 3,
    "unmerged": [],
}


def facts(patients: int | None = None, of: int = 400, **duplicates: object) -> dict:
    return {"images": of, "patients": patients, "duplicates": FOUND | duplicates}


class _Placed:
    """Gives every row a place of its own, where `take` named one twice."""

    def __init__(self, images: rs.Manifest) -> None:
        self.images = images

    def read(self, row: int) -> np.ndarray:
        return self.images.read(row)

    def digest(self, row: int) -> str:
        return self.images.digest(row)


@pytest.fixture(scope="module")
def doubled(small_set: Path) -> rs.Manifest:
    """Rows 64 to 66 are rows 0, 1 and 40 again."""
    twice = rs.load(small_set).take([*range(64), 0, 1, 40])
    table = twice.table.assign(file=[f"{i}-{file}" for i, file in enumerate(twice.files)])
    return replace(twice, table=table, source=_Placed(twice), positions=np.arange(len(twice)))


def test_a_plain_store_is_looked_at_itself(doubled: rs.Manifest):
    store = build_store(doubled)
    grouping = group_images(doubled, store)
    assert grouping.names[[64, 65, 66]].tolist() == grouping.names[[0, 1, 40]].tolist()
    assert len(np.unique(grouping.names)) == 64
    assert list(store.folder.glob("twins*"))


def test_rows_that_one_store_rejected_are_lined_up(doubled: rs.Manifest, monkeypatch: pytest.MonkeyPatch):
    broken = doubled.read(3)

    def picky(image: np.ndarray) -> np.ndarray:
        if np.array_equal(image, broken):
            raise ImageError("the picky preset does not like it")
        return image

    monkeypatch.setitem(preprocess_module.PRESETS, "picky", picky)
    store = build_store(doubled, Preprocess(preset="picky"))
    assert len(store) == 66 and len(store.manifest.rejected) == 1
    twins = twins_as_they_are(doubled, store)
    pairs = {tuple(store.manifest.files[row] for row in pair) for pair in twins.pairs.tolist()}
    files = doubled.files
    assert pairs == {(files[0], files[64]), (files[1], files[65]), (files[40], files[66])}
    assert len(np.unique(twins.cluster)) == 63
    _, first = np.unique(twins.cluster, return_index=True)
    assert (np.diff(first) > 0).all() and twins.exact.all()
    assert group_images(doubled, store).facts(store.manifest)["groups"] == 63


def test_an_unknown_column_is_refused(small_set: Path):
    images = rs.load(small_set)
    with pytest.raises(OptionError, match="no column 'nosuch' to group by"):
        group_images(images, build_store(images), "nosuch")


def test_what_was_found_in_words():
    told = grouping_sentences("auto", facts())
    assert told == [
        "3 groups of duplicates stay on one side of every split (7 images; 1 exact, 2 near).",
        "The set names no patients.",
    ]
    one = {"groups": 1, "exact": 1, "near": 0, "images": 2, "contradictory": 1, "joined": 1}
    told = grouping_sentences("auto", facts(patients=9, **one))
    assert told == [
        "1 group of duplicates stays on one side of every split (2 images; 1 exact, 0 near); 1 of them has "
        "contradictory labels.",
        "Images of one patient stay together (9 in all); duplicates across them made one group of several.",
    ]
    none = {"groups": 0, "exact": 0, "near": 0, "images": 0, "joined": 0, "largest_joined": 0}
    told = grouping_sentences("ward", facts(patients=9, **none))
    assert told == [
        "No two images were found to be duplicates.",
        "Images of one group of the column ward stay together (9 in all).",
    ]


def test_what_groups_cannot_rule_out_in_words():
    assert grouping_warnings("auto", facts()) == []
    (told,) = grouping_warnings("off", {"images": 400, "patients": None, "duplicates": None})
    assert told.startswith("Groups are off")
    (told,) = grouping_warnings("auto", facts(unmerged=[60, 24]))
    assert told.startswith("Clusters of 60 and 24 similar images (21 % of the set) were not merged")
    (told,) = grouping_warnings("auto", facts(largest_joined=80))
    assert told.startswith("Duplicates join 80 images (20 % of the set) to one group")
    assert grouping_warnings("auto", facts(of=20, largest_joined=4)) == []


def test_a_run_from_before_duplicates_were_sought_says_nothing():
    assert grouping_sentences("auto", {"images": 400}) == grouping_warnings("auto", {"images": 400}) == []


def test_neighbouring_slices_of_one_patient_are_no_duplicates():
    images = rs.load("phantom:brain?n=80&anomalies=0.3&seed=5")
    store = build_store(images)
    assert len(find_twins(store).groups()) > 0
    grouping = group_images(images, store)
    assert grouping.facts(store.manifest)["duplicates"]["groups"] == 0
    assert (grouping.names == store.manifest.groups()).all()
