"""Corruptions: pure, graded, and what their names say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from raresight.errors import OptionError
from raresight.images.load import load
from raresight.stress import CORRUPTIONS
from raresight.stress.corruptions import (
    SEVERITIES,
    Condition,
    conditions_of,
    corrupt,
    corrupt_images,
    default_corruptions,
)


@pytest.fixture(scope="module")
def brains() -> np.ndarray:
    images = load("phantom:brain?n=4&anomalies=0.5&size=96&seed=3")
    return np.stack([images.read(row) for row in range(4)])[..., None]


@pytest.fixture(scope="module")
def eyes() -> np.ndarray:
    images = load("phantom:fundus?n=4&anomalies=0.5&size=96&seed=3")
    return np.stack([images.read(row) for row in range(4)])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_dtype_and_shape_are_kept_and_the_image_is_left_alone(name, brains, eyes):
    for image in (brains[0], eyes[0], brains[0].astype(np.uint16) * 257, eyes[0].astype(np.uint16) * 257):
        before = image.copy()
        found = corrupt(image, name, 5)
        assert found.dtype == image.dtype and found.shape == image.shape
        assert (image == before).all()
        assert (found != image).any()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_mean_change_grows_with_severity(name, brains, eyes):
    for images in (brains, eyes):
        changes = [
            np.abs(corrupt_images(images, Condition(name, severity)).astype(float) - images).mean()
            for severity in (0, *SEVERITIES)
        ]
        assert changes[0] == 0
        assert (np.diff(changes) > 0).all(), changes


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_depth_makes_no_difference(name, brains):
    """A 16-bit image is corrupted as the 8-bit one is, to the nearest level."""
    one = Condition(name, 3)
    # Content seeds what is random, and 16-bit content differs: compare what has no chance in it.
    if name in ("contrast", "blur", "jpeg", "down-sampling"):
        deep = corrupt_images(brains.astype(np.uint16) * 257, one) / 257
        assert np.abs(deep - corrupt_images(brains, one)).max() <= 1


def test_the_same_image_suffers_the_same_wherever_it_stands(brains):
    one = Condition("occlusion", 3)
    assert (corrupt_images(brains[::-1], one)[::-1] == corrupt_images(brains, one)).all()
    assert (corrupt(brains[0], "occlusion", 3, seed=1) != corrupt(brains[0], "occlusion", 3, seed=0)).any()


def test_a_larger_occlusion_covers_a_smaller_one():
    white = np.full((64, 64, 1), 255, np.uint8)
    hidden = [corrupt(white, "occlusion", severity) == 0 for severity in SEVERITIES]
    for small, large in itertools.pairwise(hidden):
        assert (large | ~small).all()
    assert [h.mean() for h in hidden] == pytest.approx(CORRUPTIONS["occlusion"].load().strengths, abs=0.01)


def test_noise_has_the_deviation_that_is_stated():
    grey = np.full((200, 200, 1), 30000, np.uint16)
    spread = [corrupt(grey, "gaussian-noise", s).astype(float).std() / 65535 for s in SEVERITIES]
    assert spread == pytest.approx(CORRUPTIONS["gaussian-noise"].load().strengths, rel=0.02)


def test_contrast_keeps_the_mean():
    image = np.linspace(0, 255, 96 * 96).reshape(96, 96, 1).astype(np.uint8)
    found = corrupt(image, "contrast", 4)
    assert found.mean() == pytest.approx(image.mean(), abs=0.6)
    assert found.std() == pytest.approx(0.3 * image.std(), rel=0.02)


def test_artefacts_leave_black_black(eyes):
    black = (eyes == 0).all(axis=-1)
    assert black.any()
    for name in ("bias-field", "illumination", "gamma"):
        assert (corrupt_images(eyes, Condition(name, 5))[black] == 0).all()


def test_ghosts_stand_at_even_distances():
    """A bright dot has its copies where k-space sampling puts them."""
    dot = np.zeros((60, 60, 1), np.uint8)
    dot[30, 30] = 255
    found = corrupt(dot, "ghosting", 5)[..., 0]
    rows, columns = np.nonzero(found > 20)
    line = rows if len(set(columns)) == 1 else columns
    assert len(line) >= 2 and len({*np.diff(np.sort(line))} | {60 - np.ptp(line)}) == 1


def test_a_modality_has_its_own():
    assert "bias-field" in default_corruptions("mri") and "illumination" not in default_corruptions("mri")
    assert "illumination" in default_corruptions("fundus") and "ghosting" not in default_corruptions("fundus")
    assert len(default_corruptions(None)) == 10


def test_what_is_not_there_is_refused():
    with pytest.raises(OptionError, match="did you mean 'blur'"):
        conditions_of(["blurr"], [1])
    with pytest.raises(OptionError, match="write 1 to 5"):
        conditions_of(["blur"], [6])
    with pytest.raises(OptionError, match="at least one"):
        conditions_of([], [1])
    with pytest.raises(OptionError, match="out of range"):
        corrupt(np.zeros((4, 4, 1), np.uint8), "blur", -1)
