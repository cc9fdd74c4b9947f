from __future__ import annotations

import numpy as np
import pytest

from raresight.explain.outside import heat_shares, hottest


def disc(side: int = 112) -> np.ndarray:
    """A grey disc on black, as (1, side, side, 1) pixels."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    image = np.where(np.hypot(y, x) < side * 0.35, 120, 0)
    image += np.random.default_rng(0).integers(0, 4, image.shape)
    return image.astype(np.uint8)[None, ..., None]


def spot(y: int, x: int, width: int, side: int = 112) -> np.ndarray:
    heat = np.zeros((1, side, side), np.float32)
    heat[0, y : y + width, x : x + width] = np.linspace(1, 2, width)
    return heat


def test_heat_on_the_anatomy_is_not_flagged_and_heat_in_the_corner_is():
    inside, corner = heat_shares(spot(50, 50, 20), disc()), heat_shares(spot(0, 0, 20), disc())
    assert inside.outside[0] == inside.border[0] == 0 and not inside.flagged[0]
    assert corner.outside[0] == 1 and 0.2 < corner.border[0] < 0.7 and corner.flagged[0]
    assert len(inside.sentences()) == 1
    told = corner.sentences(["a.png"])
    assert len(corner.sentences(called=np.zeros(1, bool))) == 1
    assert "100% of the heat" in told[0] and "1 of 1 maps" in told[1] and "a.png" in told[1]


def test_a_coarse_map_may_reach_half_a_place_beyond_the_outline():
    rim = spot(50, 92, 8)  # the disc ends at column 95
    fine, coarse = heat_shares(rim, disc()), heat_shares(rim, disc(), grid=7)
    assert fine.outside[0] > 0.3 and coarse.outside[0] == 0
    assert fine.peak[0] and not coarse.peak[0]


def test_a_peak_on_the_border_is_flagged_even_where_most_heat_is_elsewhere():
    heat = spot(40, 40, 25)
    heat[0, 1, 56] = 3
    found = heat_shares(heat, disc())
    assert found.border[0] < 0.1 and found.outside[0] < 0.1 and found.flagged[0]


def test_the_order_of_the_pixels_alone_counts():
    heat = np.random.default_rng(1).random((1, 112, 112)).astype(np.float32)
    assert heat_shares(heat, disc()).outside == heat_shares(np.exp(9 * heat) - 5, disc()).outside


@pytest.mark.parametrize(
    ("heat", "count"),
    [
        (np.arange(100.0).reshape(10, 10), 5),
        (np.where(np.arange(100).reshape(10, 10) < 2, 1.0, 0.0), 2),
        (np.ones((10, 10)), 100),
    ],
)
def test_a_twentieth_of_the_pixels_are_hot_and_a_dead_background_never_is(heat: np.ndarray, count: int):
    assert hottest(heat).sum() == count
