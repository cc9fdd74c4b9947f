from __future__ import annotations

import numpy as np
import pytest

from raresight.errors import ImageError, OptionError
from raresight.images.preprocess import Preprocess, crop_to_content, stretch_window


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(50, 100), (100, 50), (100, 50, 3), (1, 300)])
def test_letterbox_keeps_the_aspect_ratio_on_black(dtype, shape):
    square = Preprocess(64)(np.full(shape, 200, dtype))
    assert square.shape == (64, 64, *shape[2:]) and square.dtype == dtype
    lit = square.max(axis=2) > 0 if square.ndim == 3 else square > 0
    height, width = (
        max(1, round(64 * shape[0] / max(shape[:2]))),
        max(1, round(64 * shape[1] / max(shape[:2]))),
    )
    assert lit.sum() == height * width
    assert square.max() == 200


def test_stretch_fills_the_square():
    assert (Preprocess(64, "stretch")(np.full((50, 100), 9, np.uint8)) == 9).all()


def test_an_image_of_the_right_size_is_left_alone():
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert (Preprocess(64)(image) == image).all()


def test_16_bit_is_resized_in_its_own_range():
    image = np.random.default_rng(0).integers(0, 65535, (200, 200)).astype(np.uint16)
    small = Preprocess(50)(image)
    assert abs(float(small.mean()) - float(image.mean())) < 500 and small.std() < image.std()


def test_crop_finds_the_disc():
    image = np.zeros((100, 160, 3), np.uint8)
    y, x = np.ogrid[:100, :160]
    image[(y - 50) ** 2 + (x - 90) ** 2 < 40**2] = (180, 90, 40)
    cropped = crop_to_content(image)
    assert abs(cropped.shape[0] - 79) <= 4 and abs(cropped.shape[1] - 79) <= 4


def test_crop_leaves_a_black_image_alone():
    assert crop_to_content(np.zeros((9, 9), np.uint8)).shape == (9, 9)


def test_window_spreads_the_content():
    image = np.linspace(0, 40, 10_000).reshape(100, 100).astype(np.uint8)
    spread = stretch_window(image)
    assert spread.max() == 255 and spread.min() == 0


@pytest.mark.parametrize("options", [{"size": 8}, {"resize": "crop"}, {"preset": "pet"}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError):
        Preprocess(**options)


def test_floats_are_refused():
    with pytest.raises(ImageError, match="float64"):
        Preprocess(64)(np.zeros((9, 9)))
