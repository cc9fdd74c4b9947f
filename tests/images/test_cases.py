"""Cases of several images: file columns, missing and unreadable ones, twins in any of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import raresight as rs
from raresight.errors import DataError
from raresight.images.grouping import group_images
from raresight.images.preprocess import Preprocess
from raresight.images.store import build_store

SMALL = Preprocess(32, "letterbox", None, ())


def picture(path: Path, seed: int) -> str:
    """Write smooth noise of its own."""
    noise = np.random.default_rng(seed).integers(0, 255, (6, 6), np.uint8)
    Image.fromarray(noise).resize((48, 48), Image.Resampling.BICUBIC).save(path)
    return path.name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight cases of two images: 2 lacks one, of 3 the second, of 4 the first, of 5 both are broken."""
    rows = [
        {
            "file_t1": picture(tmp_path / f"{case}-t1.png", 2 * case),
            "file_flair": picture(tmp_path / f"{case}-flair.png", 2 * case + 1),
            "label": "normal" if case % 2 else "tumour",
            "age": 30 + case,
        }
        for case in range(8)
    ]
    rows[2]["file_flair"] = ""
    for broken in ("3-flair", "4-t1", "5-t1", "5-flair"):
        (tmp_path / f"{broken}.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def test_a_case_goes_on_without_an_image_and_is_rejected_without_any(folder: Path):
    store = build_store(rs.load(str(folder)), SMALL)
    assert len(store) == 7
    assert store.modalities == ("t1", "flair")
    told = {entry.file: entry.reason for entry in store.manifest.rejected}
    assert len(told) >= 3
    assert sum("goes on without it" in reason for reason in told.values()) == 2
    present = np.stack([store.modality(name)[1] for name in store.modalities], axis=1)
    case = [int(str(file)[0]) for file in store.manifest.files]
    assert 5 not in case
    lacking = {c: tuple(p) for c, p in zip(case, present.tolist(), strict=True) if not all(p)}
    assert lacking == {2: (True, False), 3: (True, False), 4: (False, True)}


def test_the_first_image_there_is_stands_for_the_case(folder: Path):
    store = build_store(rs.load(str(folder)), SMALL)
    row = [str(file)[0] for file in store.manifest.files].index("4")
    assert np.array_equal(store.pixels[row], store.modality("flair")[0][row])
    assert not store.modality("t1")[0][row].any()


def test_another_file_makes_another_store(folder: Path):
    before = build_store(rs.load(str(folder)), SMALL).key
    picture(folder / "6-flair.png", 99)
    assert build_store(rs.load(str(folder)), SMALL).key != before


def test_cases_that_share_any_image_stay_together(folder: Path):
    (folder / "7-flair.png").write_bytes((folder / "0-flair.png").read_bytes())
    images = rs.load(str(folder))
    store = build_store(images)
    names = group_images(images, store, "auto").names
    groups = dict(zip([str(file)[0] for file in store.manifest.files], names, strict=True))
    assert groups["7"] == groups["0"]
    assert len(set(groups.values())) == len(groups) - 1


def test_a_set_without_a_readable_image_says_so(folder: Path):
    for path in folder.glob("*.png"):
        path.write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(DataError, match=r"can be read|no usable image"):
        build_store(rs.load(str(folder)), SMALL)
