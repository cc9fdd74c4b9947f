"""What preprocessing does to an image's geometry, and back."""

from __future__ import annotations

import numpy as np
import pytest

from raresight.images.placement import place
from raresight.images.preprocess import Preprocess


def head(height: int = 150, width: int = 210, dtype: type = np.uint8) -> np.ndarray:
    """An ellipse of noise in a black frame, off its centre."""
    y, x = np.mgrid[:height, :width]
    inside = ((y - 0.45 * height) / (0.35 * height)) ** 2 + ((x - 0.55 * width) / (0.3 * width)) ** 2 < 1
    noise = np.random.default_rng(0).integers(90, 200, (height, width))
    return (inside * noise * np.iinfo(dtype).max // 255).astype(dtype)


SETTINGS = [
    Preprocess(),
    Preprocess(resize="stretch"),
    Preprocess(size=96, preset="mri"),
    Preprocess(preset="mri", resize="stretch"),
    Preprocess(preset="xray"),
    Preprocess(preset="ct"),
    Preprocess(preset="mri", neutralise=("border",)),
    Preprocess(preset="mri", neutralise=("aspect",)),
    Preprocess(preset="fundus", neutralise=("aspect", "border")),
]


@pytest.mark.parametrize(
    "preprocess", SETTINGS, ids=lambda p: f"{p.preset}-{p.resize}-{'+'.join(p.neutralise)}"
)
@pytest.mark.parametrize("shape", [(150, 210), (260, 170)])
def test_a_known_place_is_found_in_the_square_and_back(preprocess: Preprocess, shape: tuple[int, int]):
    image = head(*shape)
    top, left = round(0.38 * shape[0]), round(0.5 * shape[1])
    mask = np.zeros(shape, bool)
    mask[top : top + 24, left : left + 30] = True
    square = preprocess.mask(mask, image) > 0
    rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
    seen = np.array([[rows[0], columns[0]], [rows[-1] + 1, columns[-1] + 1]], float)
    placement = place(preprocess, image)
    corners = np.array([[top, left], [top + 24, left + 30]], float)
    assert np.abs(placement.to_square(corners) - seen).max() <= 1.0
    np.testing.assert_allclose(placement.to_source(placement.to_square(corners)), corners)
    shown = placement.plane_in_source(square.astype(float), preprocess.size, shape)
    back = np.where(np.isfinite(shown), shown, 0) > 0.5
    assert (back & mask).sum() / (back | mask).sum() > 0.85


def test_what_the_square_does_not_show_is_not_known():
    image = head()
    shown = place(Preprocess(preset="mri"), image).plane_in_source(np.ones((7, 7)), 224, image.shape)
    assert np.isnan(shown[0]).all() and np.isnan(shown[:, 0]).all() and (shown[60, 100] == 1).all()


def test_heat_of_few_cells_lies_over_what_it_is_of():
    heat = np.zeros((7, 7))
    heat[1, 5] = 1
    shown = place(Preprocess(), np.ones((224, 448), np.uint8)).plane_in_source(heat, 224, (224, 448))
    # A letterboxed image twice as wide as high: the cell (1, 5) covers rows −48 … 16 and columns 320 … 384.
    row, column = np.unravel_index(int(np.nanargmax(shown)), shown.shape)
    assert row == 0 and 340 <= column <= 364
