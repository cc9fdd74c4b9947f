"""Lesions' masks: from the manifest's column or a phantom, with the geometry of their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import raresight as rs
from raresight.errors import DataError
from raresight.images.cache import content_hash
from raresight.images.load import load
from raresight.images.masks import reduced_masks, shrink_masks
from raresight.images.preprocess import Preprocess
from raresight.images.store import STORE_VERSION, build_store

SIDE = 40


def write(folder: Path, **odd: object) -> Path:
    """Write six images, the last three anomalous, with masks; `odd` replaces or drops single masks."""
    random = np.random.default_rng(int.from_bytes(folder.name.encode()[:4]))
    rows = []
    for i in range(6):
        image = random.integers(60, 90, (SIDE, SIDE), dtype=np.uint8)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        if i >= 3:
            mask[10:20, 5:15] = 255
            image[mask > 0] = 200
        Image.fromarray(image).save(folder / f"{i}.png")
        Image.fromarray(odd.get(f"m{i}", mask)).save(folder / f"mask{i}.png")
        rows.append({"file": f"{i}.png", "label": "no" if i < 3 else "yes", "mask": f"mask{i}.png"})
    table = pd.DataFrame(rows)
    table.loc[:2, "mask"] = odd.get("normal_masks")
    table.to_csv(folder / "labels.csv", index=False)
    return folder


def test_masks_of_a_manifest_have_their_images_geometry(tmp_path):
    store = build_store(load(write(tmp_path)), Preprocess(80))
    assert store.masks.shape == (6, 80, 80) and store.masks.dtype == np.uint8
    assert not store.masks[:3].any() and store.has_mask.all()
    for image, mask in zip(store.pixels[3:, ..., 0], store.masks[3:], strict=True):
        bright = image > 140
        assert (bright & (mask > 0)).sum() / (bright | (mask > 0)).sum() > 0.9


@pytest.mark.parametrize("preset", ["mri", "fundus"])
@pytest.mark.parametrize("names", [(), ("border",), ("aspect",), ("border", "aspect", "background")])
def test_a_mask_goes_wherever_its_image_goes(preset, names):
    # The image itself, thresholded, is the mask: after preprocessing both must still agree.
    y, x = np.mgrid[:120, :160]
    image = (((y - 55) / 45) ** 2 + ((x - 90) / 60) ** 2 <= 1).astype(np.uint8) * 90
    mask = (y - 50) ** 2 + (x - 95) ** 2 <= 15**2
    image[mask] = 250
    prepare = Preprocess(96, preset=preset, neutralise=names)
    seen, found = prepare(image) > 170, prepare.mask(mask, image) > 0
    assert found.any()
    assert (seen & found).sum() / (seen | found).sum() > 0.95


def test_a_lesion_of_one_pixel_survives_shrinking():
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[0, 5, 2] = 255
    masks[1, :4, :4] = 255
    small = shrink_masks(masks, 2)
    assert small[0].tolist() == [[0, 0], [255, 0]]
    assert small[1].tolist() == [[255, 0], [0, 0]]
    tiny = np.zeros((320, 320), bool)
    tiny[100, 200] = True
    kept = Preprocess(32).mask(tiny, np.full((320, 320), 9, np.uint8))
    assert kept[10, 20] == 255 and 1 <= (kept > 0).sum() <= 4


def test_phantoms_know_their_lesions_and_keep_their_stores_key():
    manifest = load("phantom:brain?n=12&anomalies=0.5&difficulty=0&seed=3")
    store = build_store(manifest)
    digests = [manifest.digest(row) for row in range(12)]
    assert store.key == content_hash("store", STORE_VERSION, store.preprocess.settings(), digests)
    assert (store.masks.any(axis=(1, 2)) == (store.manifest.y == 1)).all() and store.has_mask.all()
    ill = np.flatnonzero(store.manifest.y)[0]
    assert np.array_equal(store.masks[ill] > 0, manifest.source.mask(int(ill)))
    assert reduced_masks(store, 112).shape == (12, 112, 112)


def test_only_a_column_of_masks_changes_the_key(tmp_path):
    folder = write(tmp_path)
    with_masks = build_store(load(folder), Preprocess(32)).key
    Image.fromarray(np.eye(SIDE, dtype=np.uint8)).save(folder / "mask4.png")
    changed = build_store(load(folder), Preprocess(32)).key
    table = pd.read_csv(folder / "labels.csv")
    table["mask"] = None
    table.to_csv(folder / "labels.csv", index=False)
    empty = build_store(load(folder), Preprocess(32)).key
    table.drop(columns="mask").to_csv(folder / "labels.csv", index=False)
    without = build_store(load(folder), Preprocess(32)).key
    assert len({with_masks, changed, empty}) == 3 and empty == without


def test_anomalies_without_a_mask_are_told_apart(tmp_path):
    folder = write(tmp_path, m4=np.zeros((SIDE, SIDE), np.uint8))
    table = pd.read_csv(folder / "labels.csv")
    table.loc[5, "mask"] = None
    table.to_csv(folder / "labels.csv", index=False)
    store = build_store(load(folder), Preprocess(32))
    assert store.has_mask.tolist() == [True, True, True, True, False, False]


def test_a_set_without_masks_says_so(small_set):
    store = build_store(rs.load(small_set), Preprocess(32))
    with pytest.raises(DataError, match="column mask"):
        _ = store.masks
    with pytest.raises(DataError, match="column mask"):
        _ = store.has_mask


BROKEN = {
    "wrong size": ({"m3": np.zeros((9, 9), np.uint8) | np.eye(9, dtype=np.uint8)}, "3.png.*9 × 9.*40 × 40"),
    "not binary": ({"m4": np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)}, "4.png.*values"),
    "on a normal image": (
        {"normal_masks": ["mask3.png", None, None]},
        "labelled normal have a lesion marked.*0.png",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_mask_that_cannot_be_used_is_named(fault, tmp_path):
    odd, message = BROKEN[fault]
    store = build_store(load(write(tmp_path, **odd)), Preprocess(32))
    assert len(store) == 6 and not store.manifest.rejected
    with pytest.raises(DataError, match=message):
        _ = store.masks


def test_missing_foreign_and_lossy_masks_are_counted(tmp_path):
    folder = write(tmp_path)
    (folder / "mask3.png").unlink()
    Image.open(folder / "4.png").save(folder / "4.jpg")
    table = pd.read_csv(folder / "labels.csv")
    table.loc[4, "mask"], table.loc[5, "mask"] = "4.jpg", "../elsewhere.png"
    table.to_csv(folder / "labels.csv", index=False)
    store = build_store(load(folder), Preprocess(32))
    with pytest.raises(DataError, match=r"3 mask\(s\).*3.png: the file is missing; repair.*column mask"):
        _ = store.masks
    table.drop([3, 4]).to_csv(folder / "labels.csv", index=False)
    with pytest.raises(DataError, match="outside the label file's folder"):
        _ = build_store(load(folder), Preprocess(32)).masks
    table.drop([3, 5]).to_csv(folder / "labels.csv", index=False)
    with pytest.raises(DataError, match="JPEG"):
        _ = build_store(load(folder), Preprocess(32)).masks
