from __future__ import annotations

import numpy as np
import pytest

from raresight.errors import DataError
from raresight.explain.measures import (
    best_overlap,
    measure_heatmaps,
    null_maps,
    pixel_average_precision,
    pointing_hits,
    pointing_null,
)


def lesions(n: int = 3, side: int = 56, at: int = 20, width: int = 8) -> np.ndarray:
    masks = np.zeros((n, side, side), np.uint8)
    masks[:, at : at + width, at : at + width] = 255
    return masks


def peak(y: int, x: int, side: int = 56) -> np.ndarray:
    heat = np.zeros((1, side, side), np.float32)
    heat[0, y, x] = 1
    return heat


def test_the_highest_point_hits_a_lesion_or_what_is_near_it():
    masks = lesions(1)
    assert pointing_hits(peak(24, 24), masks, 0) == 1 and pointing_hits(peak(28, 24), masks, 0) == 0
    # 4 pixels of an image of 224 are 1 of 56.
    assert pointing_hits(peak(28, 24), masks, 4) == 1 and pointing_hits(peak(29, 24), masks, 4) == 0


def test_a_map_that_is_the_same_everywhere_hits_by_chance():
    assert pointing_hits(np.zeros((3, 56, 56)), lesions(), 0) == pytest.approx(np.full(3, 64 / 56**2))


def test_a_perfect_map_measures_one_and_a_random_one_what_chance_gives():
    masks = lesions()
    perfect = measure_heatmaps(masks.astype(float), masks)
    assert (perfect.images, perfect.pointing, perfect.pointing_strict) == (3, 1, 1)
    assert [perfect.aupro, perfect.auprc, perfect.iou] == pytest.approx([1, 1, 1])
    noise = measure_heatmaps(np.random.default_rng(3).random((3, 56, 56)), masks)
    assert noise.aupro == pytest.approx(0.15, abs=0.05)
    assert noise.auprc == pytest.approx(64 / 56**2, abs=0.01) and noise.iou < 0.06
    assert noise.as_dict()["auprc"] == noise.auprc


def test_the_best_overlap_is_found_at_its_threshold():
    masks = lesions(1)
    heat = np.zeros(masks.shape)
    heat[0, 20:28, 20:28] = 2
    heat[0, 40:48, 40:48] = 1
    overlap, threshold = best_overlap(heat, masks)
    assert overlap == pytest.approx(1) and 1 < threshold <= 2
    wide = np.where(heat == 1, 3, heat)
    assert best_overlap(wide, masks)[0] == pytest.approx(0.5)


def test_average_precision_is_worked_by_hand():
    # In order of heat: hit, miss, hit: precision 1 and 2/3 at the hits.
    heat = np.array([[[3.0, 2.0, 1.0]]])
    assert pixel_average_precision(heat, np.array([[[1, 0, 1]]])) == pytest.approx((1 + 2 / 3) / 2)


def test_maps_that_know_nothing_are_what_they_are_called():
    pixels = np.zeros((2, 56, 56, 1), np.uint8)
    pixels[:, 10:46, 10:46] = 90
    pixels[:, 22:25, 22:25] = 250
    known = null_maps(pixels)
    assert np.unravel_index(known["centre"][0].argmax(), (56, 56)) in [(27, 27), (27, 28), (28, 27)]
    assert known["brightness"][0, 23, 23] == 250 and np.ptp(known["random point"]) == 0
    assert 0 < known["in the anatomy"].mean() < 1
    # The brightest point lies on the lesion, so that is what a heatmap must beat.
    assert pointing_null(pixels, lesions(2)) == 1


@pytest.mark.parametrize(
    ("heat", "masks", "words"),
    [
        (np.zeros((2, 8, 8)), np.ones((2, 8, 9)), "must both be"),
        (np.zeros((2, 8, 8)), np.stack([np.ones((8, 8)), np.zeros((8, 8))]), "a lesion in every image"),
    ],
)
def test_what_cannot_be_measured_says_so(heat: np.ndarray, masks: np.ndarray, words: str):
    with pytest.raises(DataError, match=words):
        pointing_hits(heat, masks)
