"""PNG, JPEG, TIFF and BMP: what comes out is what was put in."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raresight.errors import ImageError
from raresight.images.readers import READERS, count_frames, format_of, read_image

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (13, 17), np.uint8)
GREY16 = RNG.integers(0, 65536, (13, 17), np.uint16)
RGB8 = RNG.integers(0, 256, (13, 17, 3), np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """Make a PNG by hand, for kinds that Pillow cannot write."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_8_bit_grey_and_colour_come_back_exactly(kind: str) -> None:
    for pixels in (GREY8, RGB8):
        found = read_image(encoded(Image.fromarray(pixels), kind))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_values(kind: str) -> None:
    found = read_image(encoded(Image.fromarray(GREY16), kind))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, GREY16)


def test_big_endian_16_bit_tiff_keeps_its_values() -> None:
    image = Image.frombytes("I;16B", (17, 13), GREY16.astype(">u2").tobytes())
    content = encoded(image, "TIFF")
    assert content[:2] == b"MM"
    found = read_image(content)
    np.testing.assert_array_equal(found, GREY16)
    assert found.dtype == np.dtype("u2") and found.dtype.isnative


def tiff(pixels: np.ndarray, photometric: int) -> bytes:
    """Make a little-endian grey TIFF by hand, to choose its photometric interpretation."""
    height, width = pixels.shape
    bits = pixels.dtype.itemsize * 8
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8)]
    tags += [(277, 1), (278, height), (279, pixels.nbytes)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\x00" + struct.pack("<I", 8 + pixels.nbytes) + pixels.tobytes() + directory


@pytest.mark.parametrize("pixels", [GREY8, GREY16], ids=["8 bits", "16 bits"])
def test_tiff_whose_zero_is_white_is_inverted(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(read_image(tiff(pixels, 1)), pixels)
    np.testing.assert_array_equal(read_image(tiff(pixels, 0)), np.iinfo(pixels.dtype).max - pixels)


def test_16_bit_colour_png_keeps_its_upper_8_bits() -> None:
    values = RNG.integers(0, 65536, (4, 5, 3), np.uint16)
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in values)
    found = read_image(png(5, 4, 16, 2, rows))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, values >> 8)


def test_16_bit_grey_with_alpha_stays_grey() -> None:
    grey = RNG.integers(0, 65536, (4, 5), np.uint16)
    both = np.stack([grey, np.full_like(grey, 65535)], axis=-1)
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in both)
    np.testing.assert_array_equal(read_image(png(5, 4, 16, 4, rows)), grey >> 8)


def test_palette_becomes_rgb_with_the_palettes_colours() -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50, 0, 255, 128])
    expected = [[[10, 20, 30], [200, 100, 50]], [[0, 255, 128], [200, 100, 50]]]
    np.testing.assert_array_equal(read_image(encoded(image, "PNG")), expected)


def test_one_bit_becomes_0_and_255() -> None:
    bits = GREY8 > 127
    for kind in ("PNG", "TIFF", "BMP"):
        np.testing.assert_array_equal(read_image(encoded(Image.fromarray(bits), kind)), bits * 255)


def test_alpha_is_composited_over_black() -> None:
    alpha = RNG.integers(0, 256, (13, 17), np.uint8)
    expected = np.rint(RGB8 * (alpha[..., None] / 255))
    colour = encoded(Image.fromarray(np.dstack([RGB8, alpha])), "PNG")
    np.testing.assert_array_equal(read_image(colour), expected)
    grey = encoded(Image.merge("LA", [Image.fromarray(GREY8), Image.fromarray(alpha)]), "PNG")
    np.testing.assert_array_equal(read_image(grey), np.rint(GREY8 * (alpha / 255)))


def test_transparent_palette_entry_becomes_black() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    np.testing.assert_array_equal(
        read_image(encoded(image, "PNG", transparency=0)), [[[0, 0, 0], [200, 100, 50]]]
    )


def test_cmyk_jpeg_becomes_rgb() -> None:
    flat = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, full magenta and yellow: red
    found = read_image(encoded(flat, "JPEG", quality=95))
    assert found.shape == (16, 16, 3)
    np.testing.assert_allclose(found.reshape(-1, 3).mean(axis=0), [255, 0, 0], atol=3)


def test_grey_jpeg_stays_grey_and_colour_jpeg_colour() -> None:
    smooth = np.tile(np.arange(0, 240, 5, dtype=np.uint8), (40, 1))
    grey = read_image(encoded(Image.fromarray(smooth), "JPEG", quality=95))
    assert grey.shape == (40, 48)
    assert np.abs(grey.astype(int) - smooth).max() <= 4
    assert read_image(encoded(Image.fromarray(RGB8), "JPEG")).shape == (13, 17, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_is_undone(orientation: int, kind: str) -> None:
    # Exif 2.3, tag 0x0112: where the 0th row and the 0th column of the stored image are seen.
    as_seen = np.arange(6, dtype=np.uint8).reshape(2, 3)
    stored = {
        1: as_seen,
        2: as_seen[:, ::-1],
        3: as_seen[::-1, ::-1],
        4: as_seen[::-1],
        5: as_seen.T,
        6: np.rot90(as_seen, 1),
        7: as_seen[::-1, ::-1].T,
        8: np.rot90(as_seen, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    np.testing.assert_array_equal(read_image(content), as_seen)


def test_float_tiff_is_stretched_over_its_own_range_and_nan_is_refused() -> None:
    values = np.linspace(-2, 6, 12, dtype=np.float32).reshape(3, 4)
    found = read_image(encoded(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(found, np.rint((values.astype(float) + 2) / 8 * 65535))
    for bad in (np.nan, np.inf):
        values[1, 1] = bad
        with pytest.raises(ImageError, match="NaN or infinite"):
            read_image(encoded(Image.fromarray(values), "TIFF"))


def test_tiff_pages_are_counted_and_read_one_by_one() -> None:
    pages = [Image.fromarray(np.full((4, 5), value, np.uint8)) for value in (10, 20, 30)]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert count_frames(content) == 3
    assert [int(read_image(content, frame)[0, 0]) for frame in range(3)] == [10, 20, 30]
    with pytest.raises(ImageError, match="no frame 3"):
        read_image(content, 3)


def test_formats_without_pages_have_one_frame() -> None:
    content = encoded(Image.fromarray(GREY8), "PNG")
    assert count_frames(content) == 1
    with pytest.raises(ImageError, match="no frame 1"):
        read_image(content, 1)


def test_the_name_does_not_decide_the_format(tmp_path: Path) -> None:
    path = tmp_path / "misnamed.jpg"
    path.write_bytes(encoded(Image.fromarray(GREY8), "PNG"))
    np.testing.assert_array_equal(read_image(path), GREY8)
    assert format_of(path) == "png"
    assert set(READERS) >= {"png", "jpeg", "tiff", "bmp", "dicom", "nifti"}


def test_text_called_png_is_refused_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "note.png"
    path.write_text("this is not an image")
    with pytest.raises(ImageError, match=r"called \.png but does not hold PNG data"):
        read_image(path)


def test_empty_missing_and_foreign_files_are_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "moving.gif").write_bytes(b"GIF89a" + bytes(20))
    with pytest.raises(ImageError, match="the file is empty"):
        read_image(tmp_path / "empty.png")
    with pytest.raises(ImageError, match="the file is missing"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match="it is a folder"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="none of the formats"):
        read_image(tmp_path / "moving.gif")


def test_truncated_jpeg_is_refused() -> None:
    content = encoded(Image.fromarray(RNG.integers(0, 256, (200, 200), np.uint8)), "JPEG")
    with pytest.raises(ImageError, match="truncated"):
        read_image(content[: len(content) // 2])
    with pytest.raises(ImageError):
        read_image(content[:30])


def test_gigantic_png_header_is_refused_before_decoding() -> None:
    with pytest.raises(ImageError, match=r"100,000 × 100,000 pixels, more than the limit of 100 megapixels"):
        read_image(png(100_000, 100_000, 8, 0, b""))


def test_pixel_limit_is_the_callers_and_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(Image.fromarray(GREY8), "PNG")
    with pytest.raises(ImageError, match="more than the limit"):
        read_image(content, max_pixels=13 * 17 - 1)
    assert read_image(content, max_pixels=13 * 17).shape == (13, 17)
    # Pillow's own process-wide limit plays no part, neither as an error nor as a warning.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert read_image(content).shape == (13, 17)


def test_limit_holds_for_later_pages_too() -> None:
    pages = [Image.new("L", (4, 4)), Image.new("L", (40, 40))]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert read_image(content, 0, max_pixels=100).shape == (4, 4)
    with pytest.raises(ImageError, match="more than the limit"):
        read_image(content, 1, max_pixels=100)
