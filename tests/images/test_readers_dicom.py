"""The DICOM value pipeline against PS3.3 computed here by hand, on files that pydicom ships."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raresight.errors import ImageError, MissingExtraError
from raresight.images.readers import count_frames, read_image

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("gdcm")

from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian  # noqa: E402

# The rows of the colour bars in pydicom's SC_rgb_* files, and their colours.
BARS = {
    5: (255, 0, 0),
    15: (255, 128, 128),
    25: (0, 255, 0),
    45: (0, 0, 255),
    75: (64, 64, 64),
    95: (255,) * 3,
}


def shipped(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


def stored_values(name: str, kind: str) -> np.ndarray:
    """Give what an uncompressed file holds, without pydicom's decoders."""
    dataset = pydicom.dcmread(shipped(name))
    return np.frombuffer(dataset.PixelData, kind)[: dataset.Rows * dataset.Columns].reshape(
        dataset.Rows, dataset.Columns
    )


def linear_window(values: np.ndarray, centre: float, width: float, top: int) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, case by case."""
    values = values.astype(float)
    inside = ((values - (centre - 0.5)) / (width - 1) + 0.5) * top
    below, above = values <= centre - 0.5 - (width - 1) / 2, values > centre - 0.5 + (width - 1) / 2
    return np.rint(np.where(below, 0, np.where(above, top, inside)))


def stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint((values.astype(float) - low) / (high - low) * 65535)


def saved(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def changed(name: str, change: Callable[[Dataset], None]) -> bytes:
    dataset = pydicom.dcmread(shipped(name))
    change(dataset)
    return saved(dataset)


def made(pixels: np.ndarray, bits: int | None = None, **elements: Any) -> bytes:
    """Make a grey image of our own."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    if pixels.dtype.kind == "f":
        dataset.FloatPixelData = pixels.tobytes()
    else:
        dataset.add_new("PixelData", "OW", pixels.tobytes() + b"\0" * (pixels.nbytes % 2))
    return saved(dataset)


def words(*values: int) -> bytes:
    return np.array(values, "<u2").tobytes()


def item(**elements: Any) -> Dataset:
    found = Dataset()
    for keyword, value in elements.items():
        setattr(found, keyword, value)
    return found


RAMP8 = np.arange(256, dtype=np.uint8).reshape(16, 16)
RAMP12 = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)


# --- grey values -----------------------------------------------------------------------------------


def test_signed_windowed_monochrome2() -> None:
    found = read_image(shipped("MR_small.dcm"))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(
        found, linear_window(stored_values("MR_small.dcm", "<i2"), 600, 1600, 65535)
    )


def test_monochrome1_is_inverted_after_the_window() -> None:
    content = changed("MR_small.dcm", lambda d: setattr(d, "PhotometricInterpretation", "MONOCHROME1"))
    expected = 65535 - linear_window(stored_values("MR_small.dcm", "<i2"), 600, 1600, 65535)
    np.testing.assert_array_equal(read_image(content), expected)


def test_signed_rescaled_without_a_window_fills_the_range_of_its_values() -> None:
    stored = stored_values("CT_small.dcm", "<i2")
    expected = stretched(stored - 1024.0, stored.min() - 1024.0, stored.max() - 1024.0)
    np.testing.assert_array_equal(read_image(shipped("CT_small.dcm")), expected)


def test_window_applies_to_rescaled_values() -> None:
    def window(dataset: Dataset) -> None:
        dataset.WindowCenter, dataset.WindowWidth = 40, 400

    found = read_image(changed("CT_small.dcm", window))
    expected = linear_window(stored_values("CT_small.dcm", "<i2") * 1.0 - 1024, 40, 400, 65535)
    np.testing.assert_array_equal(found, expected)
    assert 0 < (found > 0).mean() < 1  # a window that shows something: the order of the steps matters


def test_the_first_of_several_windows_is_taken() -> None:
    found = read_image(shipped("examples_overlay.dcm"))
    # 12 bits are stored of 16; the others may hold an overlay.
    stored = stored_values("examples_overlay.dcm", "<u2") & 0x0FFF
    np.testing.assert_array_equal(found, linear_window(stored, 450, 790, 65535))


def test_window_functions_linear_exact_and_sigmoid() -> None:
    values = RAMP12.astype(float)
    exact = np.clip((values - 2000) / 1000 + 0.5, 0, 1)
    sigmoid = 1 / (1 + np.exp(-4 * (values - 2000) / 1000))
    for function, expected in (("LINEAR_EXACT", exact), ("SIGMOID", sigmoid)):
        content = made(RAMP12, 12, WindowCenter=2000, WindowWidth=1000, VOILUTFunction=function)
        np.testing.assert_array_equal(read_image(content), np.rint(expected * 65535))


def test_window_of_width_one_is_a_step_and_an_impossible_one_is_none() -> None:
    step = read_image(made(RAMP12, 12, WindowCenter=1600.5, WindowWidth=1))
    np.testing.assert_array_equal(step, np.where(RAMP12 > 1600, 65535, 0))
    nothing = read_image(made(RAMP12, 12, WindowCenter=1600, WindowWidth=0))
    np.testing.assert_array_equal(nothing, stretched(RAMP12, 0, RAMP12.max()))


def test_8_bits_stay_8_bits() -> None:
    found = read_image(made(RAMP8))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, RAMP8)
    windowed = read_image(made(RAMP8, WindowCenter=100, WindowWidth=50))
    assert windowed.dtype == np.uint8
    np.testing.assert_array_equal(windowed, linear_window(RAMP8, 100, 50, 255))
    np.testing.assert_array_equal(
        read_image(made(RAMP8, PhotometricInterpretation="MONOCHROME1")), 255 - RAMP8
    )


def test_8_bits_that_a_rescale_changes_become_16() -> None:
    found = read_image(made(RAMP8, RescaleSlope=2, RescaleIntercept=-10, WindowCenter=100, WindowWidth=101))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, linear_window(RAMP8 * 2.0 - 10, 100, 101, 65535))
    assert read_image(made(RAMP8, RescaleSlope=1, RescaleIntercept=0)).dtype == np.uint8


def test_negative_slope_turns_the_range_round() -> None:
    found = read_image(made(RAMP12, 12, RescaleSlope=-1, RescaleIntercept=0))
    np.testing.assert_array_equal(found, 65535 - stretched(RAMP12, 0, RAMP12.max()))


def test_one_bit_becomes_0_and_255() -> None:
    dataset = pydicom.dcmread(shipped("liver_1frame.dcm"))
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")[: 512 * 512]
    np.testing.assert_array_equal(read_image(shipped("liver_1frame.dcm")), bits.reshape(512, 512) * 255)


def test_padding_does_not_stretch_the_range() -> None:
    values = RAMP12.astype(np.int16) + 1000
    values[0, :4] = -2000
    found = read_image(made(values, PixelPaddingValue=-2000))
    expected = stretched(values, 1064, values.max())
    np.testing.assert_array_equal(found[1:], expected[1:])
    assert (found[0, :4] == 0).all()


def test_flat_image_is_black_and_not_a_division_by_zero() -> None:
    assert not read_image(made(np.full((4, 4), 7, np.uint16))).any()


def test_modality_lut_comes_before_the_voi_lut() -> None:
    # Stored 0…3 → 10, 20, 30, 40 → the VOI table, which starts at 20 and clamps what lies outside it.
    stored = np.array([[0, 1], [2, 3]], np.uint16)
    modality = item(LUTDescriptor=[4, 0, 16], LUTData=words(10, 20, 30, 40), ModalityLUTType="US")
    voi = item(LUTDescriptor=[11, 20, 12], LUTData=words(*(100 * i for i in range(11))))
    found = read_image(made(stored, 12, ModalityLUTSequence=[modality], VOILUTSequence=[voi]))
    expected = np.rint(np.array([[0, 0], [1000, 1000]]) / 4095 * 65535)
    np.testing.assert_array_equal(found, expected)


def test_voi_lut_is_preferred_to_a_window_and_works_after_a_rescale() -> None:
    voi = item(LUTDescriptor=[4, 10, 8], LUTData=bytes([0, 50, 200, 255]))
    content = made(
        np.array([[0, 1], [2, 9]], np.uint16),
        RescaleSlope=1,
        RescaleIntercept=10,
        VOILUTSequence=[voi],
        WindowCenter=5,
        WindowWidth=3,
    )
    np.testing.assert_array_equal(read_image(content), np.rint(np.array([[0, 50], [200, 255]]) / 255 * 65535))


def test_enhanced_objects_have_a_window_for_each_frame() -> None:
    frames = np.stack([RAMP12, RAMP12])
    shared = item(PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=-100)])
    each = [item(FrameVOILUTSequence=[item(WindowCenter=c, WindowWidth=500)]) for c in (1000, 3000)]
    content = made(frames, 12, SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=each)
    for frame, centre in enumerate((1000, 3000)):
        expected = linear_window(RAMP12 * 2.0 - 100, centre, 500, 65535)
        np.testing.assert_array_equal(read_image(content, frame), expected)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE",
        "MR_small_jp2klossless",
        "MR_small_jpeg_ls_lossless",
        "MR_small_bigendian",
        "MR_small_implicit",
    ],
)
def test_lossless_syntaxes_agree_with_the_uncompressed_file(name: str) -> None:
    np.testing.assert_array_equal(read_image(shipped(f"{name}.dcm")), read_image(shipped("MR_small.dcm")))


def test_jpeg_2000_with_rescale_and_window() -> None:
    from pydicom.pixels import pixel_array

    stored = pixel_array(shipped("693_J2KI.dcm"), decoding_plugin="pillow")  # another decoder than GDCM
    expected = linear_window(stored * 1.0 - 1024, 40, 100, 65535)
    assert np.abs(read_image(shipped("693_J2KI.dcm")) - expected).max() <= 1


# --- colour ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("SC_rgb_rle.dcm", 0),
        ("SC_rgb_jpeg_gdcm.dcm", 0),  # JPEG lossless
        ("SC_rgb_gdcm_KY.dcm", 0),  # JPEG 2000
        ("SC_rgb_jls_lossy_line.dcm", 2),
        ("SC_ybr_full_422_uncompressed.dcm", 6),
        ("SC_rgb_jpeg_dcmtk.dcm", 6),  # YBR_FULL
        ("SC_rgb_dcmtk_+eb+cy+np.dcm", 6),  # YBR_FULL_422
    ],
)
def test_colour_comes_out_as_rgb(name: str, tolerance: int) -> None:
    found = read_image(shipped(name))
    assert found.dtype == np.uint8 and found.shape == (100, 100, 3)
    for row, colour in BARS.items():
        assert np.abs(found[row, 50].astype(int) - colour).max() <= tolerance, row


def test_16_bit_colour_stays_16_bit() -> None:
    found = read_image(shipped("SC_rgb_rle_16bit.dcm"))
    assert found.dtype == np.uint16
    assert found[5, 50].tolist() == [65535, 0, 0]


def test_palette_colour_is_looked_up() -> None:
    dataset = pydicom.dcmread(shipped("examples_palette.dcm"))
    stored = np.frombuffer(dataset.PixelData, np.uint8).reshape(dataset.Rows, dataset.Columns)
    tables = [
        np.frombuffer(dataset[f"{name}PaletteColorLookupTableData"].value, "<u2")
        for name in ("Red", "Green", "Blue")
    ]
    expected = np.stack([table[stored] >> 8 for table in tables], axis=-1)
    np.testing.assert_array_equal(read_image(shipped("examples_palette.dcm")), expected)


# --- frames ----------------------------------------------------------------------------------------


def test_frames_are_counted_from_the_header_and_read_by_number() -> None:
    path = shipped("SC_rgb_rle_2frame.dcm")
    assert count_frames(path) == 2
    np.testing.assert_array_equal(read_image(path, 1), 255 - read_image(path, 0))
    assert count_frames(shipped("MR_small.dcm")) == 1
    with pytest.raises(ImageError, match="no frame 2"):
        read_image(path, 2)


def test_only_the_frame_that_is_asked_for_is_decoded() -> None:
    frames = np.stack([RAMP8, RAMP8[::-1], RAMP8.T])
    np.testing.assert_array_equal(read_image(made(frames), 1), RAMP8[::-1])
    content = bytearray(shipped("SC_rgb_rle_2frame.dcm").read_bytes())
    second = content.rindex(b"\xfe\xff\x00\xe0")
    content[second + 8 : second + 200] = b"\xff" * 192
    assert read_image(bytes(content), 0)[5, 50].tolist() == [255, 0, 0]
    with pytest.raises(ImageError):
        read_image(bytes(content), 1)


# --- refusals --------------------------------------------------------------------------------------


def test_deflated_files_are_refused_before_they_are_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    def inflate(*_: object) -> None:
        pytest.fail("the file was inflated")

    monkeypatch.setattr("pydicom.filereader.zlib.decompress", inflate)
    for look in (read_image, count_frames):
        with pytest.raises(ImageError, match="deflated transfer syntax"):
            look(shipped("image_dfl.dcm"))


def test_pixel_counts_beyond_the_limit_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object, **__: object) -> None:
        pytest.fail("the pixels were decoded")

    monkeypatch.setattr("raresight.images.readers.dicom._decode", decode)

    def enlarge(dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = 65535

    with pytest.raises(ImageError, match=r"65,535 × 65,535 pixels, more than the limit"):
        read_image(changed("MR_small.dcm", enlarge))
    with pytest.raises(ImageError, match="more than the limit"):
        read_image(shipped("MR_small.dcm"), max_pixels=64 * 64 - 1)


def test_frame_counts_that_cannot_be_true_are_refused() -> None:
    content = changed("MR_small.dcm", lambda d: setattr(d, "NumberOfFrames", 2**31 - 1))
    with pytest.raises(ImageError, match="more frames than the file can hold"):
        count_frames(content)


@pytest.mark.parametrize("name", ["test-SR.dcm", "rtplan.dcm", "waveform_ecg.dcm"])
def test_objects_without_pixel_data_are_refused(name: str) -> None:
    for look in (read_image, count_frames):
        with pytest.raises(ImageError, match="without pixel data"):
            look(shipped(name))


def test_float_pixels_are_stretched_and_nan_is_refused() -> None:
    values = np.linspace(-1, 3, 16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(read_image(made(values)), stretched(values, -1, 3))
    values[2, 2] = np.nan
    with pytest.raises(ImageError, match="NaN or infinite"):
        read_image(made(values))


def test_truncated_pixels_are_refused() -> None:
    with pytest.raises(ImageError, match="truncated"):
        read_image(shipped("MR_truncated.dcm"))


def test_compressed_data_of_another_size_than_the_header_are_refused() -> None:
    content = changed("MR_small_jp2klossless.dcm", lambda d: setattr(d, "Rows", 32))
    with pytest.raises(ImageError, match="another size"):
        read_image(content)


def test_unsupported_colour_space_is_refused() -> None:
    content = changed("SC_rgb_rle.dcm", lambda d: setattr(d, "PhotometricInterpretation", "CMYK"))
    with pytest.raises(ImageError, match="photometric interpretation"):
        read_image(content)


def test_no_message_holds_a_patients_name() -> None:
    def damage(kind: int) -> Callable[[Dataset], None]:
        def change(dataset: Dataset) -> None:
            dataset.PatientName, dataset.PatientID = "SECRET^NAME", "SECRET-17"
            if kind == 0:
                del dataset.PixelData
            if kind == 1:
                dataset.PhotometricInterpretation = "SECRET"
            if kind == 2:
                dataset.PixelData = dataset.PixelData[:100]
            if kind == 3:
                dataset.BitsAllocated = 24

        return change

    for kind in range(4):
        with pytest.raises(ImageError) as caught:
            read_image(changed("MR_small.dcm", damage(kind)))
        assert "SECRET" not in str(caught.value)


def test_data_that_crash_the_decoder_cost_one_image_and_nothing_else() -> None:
    # Without a process of its own GDCM takes the interpreter down with std::terminate on this file.
    path = shipped("SC_rgb_small_odd_jpeg.dcm")
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\xd8\xff") + 2] = 0
    before = read_image(path)
    with pytest.raises(ImageError, match="crash the decoder"):
        read_image(bytes(content))
    np.testing.assert_array_equal(read_image(path), before)


def test_decoder_that_hangs_is_stopped() -> None:
    from raresight.images.readers.isolated import read_isolated

    with pytest.raises(ImageError, match="took more than"):
        read_isolated(shipped("693_J2KI.dcm"), 0, 10**8, seconds=0.0)
    assert read_image(shipped("693_J2KI.dcm")).shape == (512, 512)


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_jp2klossless.dcm"])
def test_missing_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'raresight\[dicom\]'"):
        read_image(shipped(name))
