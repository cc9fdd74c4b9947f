"""The hottest region of a heatmap."""

from __future__ import annotations

import numpy as np
import pytest

from raresight.deploy.dicom.region import Region, hottest_region


def test_the_peak_and_what_is_connected_with_it_at_half_its_height():
    heat = np.zeros((20, 30))
    heat[4:8, 10:16] = 0.6
    heat[5, 12] = 1.0
    heat[15:18, 2:6] = 0.9  # warm, and elsewhere
    assert hottest_region(heat, (20, 30), 0.0) == Region(10, 4, 16, 8)
    assert hottest_region(heat, (40, 60), 0.0) == Region(20, 8, 32, 16)


def test_a_part_that_winds_is_one_part():
    heat = np.zeros((9, 9))
    heat[1, 1:8] = heat[1:8, 7] = heat[7, 1:8] = heat[3:8, 1] = 1
    assert hottest_region(heat, (9, 9), 0.0) == Region(1, 1, 8, 8)


def test_nothing_is_hot_where_all_is_cool_or_unknown():
    assert hottest_region(np.full((5, 5), 0.2), (5, 5), 0.3) is None
    assert hottest_region(np.full((5, 5), np.nan), (5, 5), 0.0) is None


def test_heat_beyond_the_scale_counts_as_its_end():
    heat = np.zeros((9, 9))
    heat[2:6, 2:6] = 0.8
    heat[4, 4] = 50
    assert hottest_region(heat, (9, 9), 0.0, 1.0) == Region(2, 2, 6, 6)


@pytest.mark.parametrize(("box", "first"), [((2, 4, 12, 8), [2, 6]), ((2, 4, 5, 20), [3.5, 4])])
def test_an_ellipse_is_told_by_its_longer_axis_first(box: tuple[float, ...], first: list[float]):
    points = Region(*box).ellipse()
    assert points.shape == (4, 2) and points[0].tolist() == first
    longer, shorter = np.linalg.norm(points[1] - points[0]), np.linalg.norm(points[3] - points[2])
    assert longer >= shorter and (points[1] - points[0]) @ (points[3] - points[2]) == 0
