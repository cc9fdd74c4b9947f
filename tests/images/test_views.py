"""An image to look at: the stored values, and a window that gives what the reader gives."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raresight.images.preprocess import Preprocess
from raresight.images.readers import read_image, read_view

pydicom = pytest.importorskip("pydicom")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, RLELossless  # noqa: E402

STEPS = np.arange(0, 4096, 7, dtype=np.uint16)[:576].reshape(24, 24)


def made(pixels: np.ndarray, bits: int, **elements: Any) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.4"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * pixels.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.add_new("PixelData", "OW", pixels.tobytes())
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def through_window(view: Any, top: int) -> np.ndarray:
    share = np.clip((view.pixels.astype(float) - view.low) / (view.high - view.low), 0, 1)
    return share * top


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("slope", [1, 2, -0.5])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 300, "WindowWidth": 800}])
def test_a_view_through_its_window_is_what_the_reader_gives(photometric, slope, signed, window):
    pixels = (STEPS.astype(np.int32) - 2048).astype(np.int16) if signed else STEPS
    rescale = {"RescaleSlope": slope, "RescaleIntercept": -100}
    content = made(pixels, 12, PhotometricInterpretation=photometric, **rescale, **window)
    view, read = read_view(content), read_image(content)
    assert view.windowed is False and view.pixels.dtype == np.uint16
    assert np.abs(through_window(view, 65535) - read).max() <= 1
    np.testing.assert_allclose(view.slope * view.pixels + view.intercept, slope * pixels.astype(float) - 100)


def test_no_stored_value_is_lost_that_the_window_hides():
    content = made(STEPS, 12, WindowCenter=300, WindowWidth=10)
    assert len(np.unique(read_image(content))) < 12
    assert len(np.unique(read_view(content).pixels)) == STEPS.size


def test_padding_does_not_widen_the_first_window():
    padded = STEPS.copy() + 1000
    padded[:4] = 0
    view = read_view(made(padded, 16, PixelPaddingValue=0))
    assert (view.low, view.high) == (padded[4:].min(), padded.max())


def test_a_window_that_is_no_straight_line_stays_in_the_pixels():
    content = made(STEPS, 12, WindowCenter=300, WindowWidth=800, VOILUTFunction="SIGMOID")
    view = read_view(content)
    assert view.windowed and view.low is None
    np.testing.assert_array_equal(view.pixels, read_image(content))


def test_a_scale_beyond_all_numbers_leaves_the_reader_its_way():
    content = made(STEPS, 12, RescaleSlope="1e-305", WindowCenter="1e9", WindowWidth="1e9")
    assert read_view(content).windowed


def test_compressed_data_are_viewed_as_others_are():
    content = made(STEPS, 12, WindowCenter=300, WindowWidth=800)
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.compress(RLELossless)
    stream = io.BytesIO()
    dataset.save_as(stream)
    plain, packed = read_view(content), read_view(stream.getvalue())
    np.testing.assert_array_equal(packed.pixels, plain.pixels)
    assert (packed.low, packed.high) == (plain.low, plain.high)


def test_other_formats_are_viewed_as_they_are_read():
    stream = io.BytesIO()
    Image.fromarray(STEPS).save(stream, format="PNG")
    view = read_view(stream.getvalue())
    assert (view.windowed, view.low) == (False, None)
    np.testing.assert_array_equal(view.pixels, STEPS)


@pytest.mark.parametrize("preset", [None, "mri"])
@pytest.mark.parametrize("neutralise", [(), ("aspect",)])
def test_what_is_placed_lies_where_preprocessing_puts_the_image(preset, neutralise):
    image = np.zeros((60, 90), np.uint8)
    image[12:50, 30:80] = 90
    image[20:30, 40:50] = 250
    preprocess = Preprocess(size=64, preset=preset, neutralise=neutralise)
    same, seen = preprocess.place(image, image), preprocess(image)
    np.testing.assert_array_equal(same[seen > 0], seen[seen > 0])
    fine = preprocess.place(image, image, 256)
    centres = [np.argwhere(each > 200).mean(axis=0) / len(each) for each in (same, fine)]
    np.testing.assert_allclose(centres[0], centres[1], atol=0.02)
