from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import raresight as rs
from raresight.errors import DataError, ImageError, RunError
from raresight.images.manifest import make_manifest
from raresight.images.preprocess import Preprocess
from raresight.images.store import build_store


class Made:
    """Images held in memory, some of them broken."""

    def __init__(self, images: list, mark: str = "") -> None:
        self.images, self.mark, self.reads = images, mark, 0

    def read(self, row: int) -> np.ndarray:
        self.reads += 1
        if self.images[row] is None:
            raise ImageError("truncated")
        return self.images[row]

    def digest(self, row: int) -> str:
        return f"{self.mark}{row}"


def manifest(images: list, mark: str):
    labels = ["normal" if i % 2 else "tumour" for i in range(len(images))]
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(len(images))], "label": labels})
    return make_manifest(table, Made(images, mark), "made", normal=["normal"])


def test_images_are_decoded_once(small_set: Path):
    images = rs.load(small_set)
    first = build_store(images, Preprocess(32))
    again = build_store(images, Preprocess(32))
    assert first.key == again.key and first.pixels.shape == (64, 32, 32, 1)
    made = manifest([np.full((9, 9), i, np.uint8) for i in range(4)], "once")
    build_store(made, Preprocess(16))
    build_store(made, Preprocess(16))
    assert made.source.reads == 4


def test_settings_and_content_make_another_store(small_set: Path):
    images = rs.load(small_set)
    keys = {build_store(images, p).key for p in (Preprocess(32), Preprocess(32, "stretch"), Preprocess(48))}
    assert len(keys) == 3


def test_rows_keep_their_order_however_many_threads():
    images = [np.full((20, 20), i, np.uint8) for i in range(60)]
    store = build_store(manifest(images, "order"), Preprocess(20), threads=7)
    assert store.pixels[:, 0, 0, 0].tolist() == list(range(60))


def test_grey_stays_grey_and_one_colour_image_makes_all_rgb():
    grey = [np.full((20, 20, 3), i, np.uint8) for i in range(6)]
    assert build_store(manifest(grey, "grey"), Preprocess(20)).pixels.shape == (6, 20, 20, 1)
    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 0] = 200
    store = build_store(manifest([*grey[:4], red, np.full((20, 20), 9, np.uint8)], "mixed"), Preprocess(20))
    assert store.pixels.shape == (6, 20, 20, 3)
    assert (
        (store.pixels[3] == 3).all()
        and (store.pixels[4, ..., 0] == 200).all()
        and (store.pixels[5] == 9).all()
    )


def test_8_bit_is_widened_when_a_16_bit_image_comes():
    images = [np.full((20, 20), 255, np.uint8), np.full((20, 20), 40_000, np.uint16)]
    store = build_store(manifest(images, "deep"), Preprocess(20))
    assert store.pixels.dtype == np.uint16
    assert (store.pixels[0] == 65535).all() and (store.pixels[1] == 40_000).all()


def test_a_broken_image_is_listed_and_the_rest_carried_on():
    images = [np.full((20, 20), i, np.uint8) for i in range(6)]
    images[2] = None
    store = build_store(manifest(images, "broken"), Preprocess(20))
    assert len(store) == 5 and store.pixels[:, 0, 0, 0].tolist() == [0, 1, 3, 4, 5]
    assert [(r.file, r.reason) for r in store.manifest.rejected] == [("2.png", "truncated")]


def test_a_class_that_cannot_be_read_at_all_is_an_error():
    images = [None if i % 2 == 0 else np.full((20, 20), i, np.uint8) for i in range(6)]
    with pytest.raises(DataError, match="no image of class 'tumour'.*truncated"):
        build_store(manifest(images, "lost"), Preprocess(20))


def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(monkeypatch, own_cache: Path):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("raresight.images.store._PixelFile.append", full)
    with pytest.raises(RunError, match="disk of .* is full"):
        build_store(manifest([np.zeros((9, 9), np.uint8)] * 2, "full"), Preprocess(16))
    assert not [p for p in (own_cache / "stores").iterdir() if p.name.startswith(".")]


def test_derived_arrays_are_made_once(small_set: Path):
    store = build_store(rs.load(small_set), Preprocess(32))
    calls = []

    def make() -> np.ndarray:
        calls.append(1)
        return np.arange(64)

    assert (store.derived("test-once", make) == store.derived("test-once", make)).all()
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["pixels.npy", "rows-twice.npy"])
@pytest.mark.parametrize("left", [0, 40, 400])
def test_a_damaged_file_of_the_cache_is_named(name: str, left: int):
    made = manifest([np.full((32, 32), i, np.uint8) for i in range(4)], f"damaged-{name}-{left}")
    store = build_store(made, Preprocess(32))
    store.derived("rows-twice", lambda: np.arange(4000))
    with (store.folder / name).open("r+b") as stream:
        stream.truncate(left)
    again = build_store(made, Preprocess(32))
    with pytest.raises(RunError, match=rf"{name} of the cache is damaged or gone; remove the folder"):
        _ = again.pixels if name == "pixels.npy" else again.derived("rows-twice", lambda: np.arange(4000))
