"""NIfTI volumes: orientation, slices, the volume's own scale."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from raresight.errors import ImageError
from raresight.images.readers import count_frames, format_of, read_image

nibabel = pytest.importorskip("nibabel")
RNG = np.random.default_rng(1)
RAS = np.eye(4)


def volume(values: np.ndarray, affine: np.ndarray = RAS, version: int = 1) -> bytes:
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    return bytes(kind(values, affine).to_bytes())


def scaled(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values.astype(np.float32), [0.5, 99.5])
    return np.rint(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 65535)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_show_the_patient_upright_on_the_volumes_scale(axis: int, version: int) -> None:
    values = RNG.integers(-500, 2000, (5, 6, 7)).astype(np.int16)
    content = volume(values, version=version)
    assert count_frames(content, axis=axis) == values.shape[axis]
    expected = scaled(values)
    for frame in (0, 2):
        plane = np.take(expected, frame, axis=axis)
        found = read_image(content, frame, axis=axis)
        assert found.dtype == np.uint16
        assert np.abs(found.astype(int) - plane.T[::-1, ::-1]).max() <= 1


def test_a_slice_number_means_the_same_however_the_volume_is_stored() -> None:
    values = RNG.integers(0, 1000, (5, 6, 7)).astype(np.int16)
    upright = [read_image(volume(values), frame, axis=2) for frame in range(7)]
    # The same patient, stored as (z, y, x) with x and z reversed.
    stored = values.transpose(2, 1, 0)[::-1, :, ::-1]
    affine = np.array([[0, 0, -1, 4], [0, 1, 0, 0], [-1, 0, 0, 6], [0, 0, 0, 1]], float)
    content = volume(np.ascontiguousarray(stored), affine)
    assert [count_frames(content, axis=axis) for axis in range(3)] == [5, 6, 7]
    for frame in range(7):
        np.testing.assert_array_equal(read_image(content, frame, axis=2), upright[frame])


def test_scl_slope_and_a_negative_one_are_honoured(tmp_path: Path) -> None:
    values = RNG.integers(0, 100, (4, 4, 4)).astype(np.int16)
    image = nibabel.Nifti1Image(values, RAS)
    image.header.set_slope_inter(-2.0, 50.0)
    content = bytearray(image.to_bytes())
    # nibabel writes the slope that it used itself; put ours into scl_slope and scl_inter.
    content[112:120] = np.array([-2.0, 50.0], "<f4").tobytes()
    expected = scaled(values * -2.0 + 50)[:, :, 1].T[::-1, ::-1]
    assert np.abs(read_image(bytes(content), 1).astype(int) - expected).max() <= 1


def test_gzipped_file_and_path_give_the_same_and_changes_are_seen(tmp_path: Path) -> None:
    values = RNG.random((4, 5, 6)).astype(np.float32)
    path = tmp_path / "brain.nii.gz"
    path.write_bytes(gzip.compress(volume(values)))
    assert format_of(path) == "nifti"
    np.testing.assert_array_equal(read_image(path, 3), read_image(volume(values), 3))
    other = np.flip(values, 2).copy() + np.arange(6, dtype=np.float32)
    path.write_bytes(gzip.compress(volume(other)) + b"")
    np.testing.assert_array_equal(read_image(path, 3), read_image(volume(other), 3))


def test_single_slice_and_trailing_unit_axes_are_volumes_too() -> None:
    plane = RNG.random((4, 5)).astype(np.float32)
    assert count_frames(volume(plane)) == 1
    assert read_image(volume(plane)).shape == (5, 4)
    assert count_frames(volume(plane[..., None, None])) == 1


def test_mostly_empty_volume_still_shows_what_it_holds() -> None:
    values = np.zeros((20, 20, 20), np.int16)
    values[10, 10, 10] = 100  # above the 99.5th percentile all by itself
    assert read_image(volume(values), 10).max() == 65535


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused(bad: float) -> None:
    values = np.ones((4, 4, 4), np.float32)
    values[1, 2, 3] = bad
    with pytest.raises(ImageError, match="NaN or infinite"):
        read_image(volume(values))


def test_series_over_time_and_colours_are_refused() -> None:
    with pytest.raises(ImageError, match="4 dimensions"):
        count_frames(volume(np.zeros((3, 3, 3, 2), np.int16)))
    with pytest.raises(ImageError, match="colours or complex"):
        count_frames(volume(np.zeros((3, 3, 3), np.complex64)))


def test_truncated_and_gigantic_volumes_are_refused() -> None:
    content = volume(RNG.random((6, 6, 6)))
    with pytest.raises(ImageError, match="truncated or damaged"):
        read_image(content[:-100])
    with pytest.raises(ImageError):
        read_image(gzip.compress(content)[:300])
    huge = bytearray(content)
    huge[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    with pytest.raises(ImageError, match="more than the limit"):
        read_image(bytes(huge))


def test_limit_counts_a_slices_pixels() -> None:
    content = volume(RNG.random((6, 6, 2)))
    assert read_image(content, 0, max_pixels=36).shape == (6, 6)
    with pytest.raises(ImageError, match="more than the limit"):
        read_image(content, 0, max_pixels=35)


def test_slice_that_is_not_there_is_refused() -> None:
    with pytest.raises(ImageError, match="no frame 6"):
        read_image(volume(RNG.random((6, 6, 6))), 6)
