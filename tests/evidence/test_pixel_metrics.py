"""Dice, pixel AUROC and per-region overlap against values by hand."""

from __future__ import annotations

import numpy as np
import pytest

from raresight.errors import DataError
from raresight.evidence.pixels import dice, per_region_overlap, pixel_auroc


def test_dice_by_hand():
    masks = np.zeros((3, 2, 4), np.uint8)
    masks[0, 0] = 255  # four pixels ill, of which two are found, and two others
    masks[1, 0, 0] = 255
    maps = np.zeros((3, 2, 4))
    maps[0, :, :2] = 0.5
    np.testing.assert_allclose(dice(maps, masks), [2 * 2 / (4 + 4), 0, np.nan])
    assert dice(maps, masks, threshold=0.6)[0] == 0


def test_pixel_auroc_by_hand():
    masks = np.array([[[1, 1, 0, 0]]])
    # Of the four pairs three are in order and one is a tie: 3.5 / 4.
    assert pixel_auroc(np.array([[[0.9, 0.4, 0.4, 0.1]]]), masks) == pytest.approx(3.5 / 4)


def test_per_region_overlap_by_hand():
    # A region of one pixel and one of three, ten healthy pixels between them.
    masks = np.zeros((1, 1, 14), int)
    masks[0, 0, [0, 11, 12, 13]] = 1
    values = np.zeros(14)
    values[0] = 9  # the small region is found first: half of the overlap at once
    values[1] = 8  # then one healthy pixel: a false-positive rate of .1
    values[11] = 7  # then a third of the large region
    maps = values.reshape(1, 1, 14)
    # The curve: (0, 0) (0, 1/2) (.1, 1/2) (.1, 2/3), then all the rest as one tie to (1, 1).
    end = 2 / 3 + (1 / 3) * 0.2 / 0.9
    area = 0.1 * 1 / 2 + 0.2 * (2 / 3 + end) / 2
    assert per_region_overlap(maps, masks) == pytest.approx(area / 0.3)
    whole = 0.1 * 1 / 2 + 0.9 * (2 / 3 + 1) / 2
    assert per_region_overlap(maps, masks, fpr_limit=1) == pytest.approx(whole)


def test_a_perfect_map_overlaps_wholly_and_an_empty_one_by_half_the_limit():
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[0, 1:3, 1:3] = masks[1, 4:, 4:] = 255
    assert per_region_overlap(masks / 255, masks) == pytest.approx(1)
    assert per_region_overlap(np.zeros((2, 8, 8)), masks) == pytest.approx(0.15)


def test_regions_that_touch_by_a_corner_are_one():
    masks = np.zeros((1, 4, 4), int)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[0, 3, 3] = 1
    maps = np.zeros((1, 4, 4))
    maps[0, 3, 3] = 1
    # Two regions, of which the lone pixel is found whole; were the corner not to join, there would be three.
    found = per_region_overlap(maps, masks, fpr_limit=1)
    assert found == pytest.approx((0.5 + 1) / 2)


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.zeros((1, 2, 2)), np.zeros((1, 2, 3)), "must both be"),
        (np.full((1, 2, 2), np.nan), np.eye(2)[None], "NaN"),
        (np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), "mark no pixel"),
        (np.zeros((1, 2, 2)), np.ones((1, 2, 2)), "mark no pixel"),
    ],
)
def test_what_does_not_fit_is_refused(maps, masks, message):
    for metric in (pixel_auroc, per_region_overlap):
        with pytest.raises(DataError, match=message):
            metric(maps, masks)


def test_a_limit_out_of_range_is_refused():
    with pytest.raises(DataError, match="limit"):
        per_region_overlap(np.eye(2)[None], np.eye(2)[None], fpr_limit=0)
