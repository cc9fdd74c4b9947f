"""Files made to hurt: refused, or read, within seconds and with bounded memory."""

from __future__ import annotations

import gzip
import io
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raresight.errors import ImageError
from raresight.images.readers import count_frames, read_image

nibabel = pytest.importorskip("nibabel")
pytest.importorskip("pydicom")
pytest.importorskip("gdcm")

from pydicom import dcmread  # noqa: E402
from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate, generate_frames  # noqa: E402
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless  # noqa: E402

# Outside of tests these libraries only warn of damage, and reading goes on.
pytestmark = pytest.mark.filterwarnings("ignore")

MOST_PIXELS = 1_000_000
SECONDS = 5.0
MEGABYTES = 300


@contextmanager
def bounded() -> Iterator[None]:
    """Hold what happens to seconds and, on Linux, to memory."""
    start, linux = time.perf_counter(), sys.platform == "linux"
    if linux:
        Path("/proc/self/clear_refs").write_text("5")  # the most memory ever is counted from now on
        before = most_memory()
    yield
    assert time.perf_counter() - start < SECONDS
    assert not linux or most_memory() - before < MEGABYTES


def most_memory() -> int:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024


def refused(content: bytes, reason: str) -> None:
    with bounded(), pytest.raises(ImageError, match=reason):
        count_frames(content)
        read_image(content, max_pixels=MOST_PIXELS)


def survived(content: bytes) -> None:
    """Read it or refuse it."""
    with bounded():
        try:
            count_frames(content)
            read_image(content, max_pixels=MOST_PIXELS)
        except ImageError:
            pass


def zeros(megabytes: int) -> bytes:
    """Deflated zeros, a thousandth of their size."""
    packer = zlib.compressobj(9)
    first, next_one = (packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in "ab")
    return first + next_one * (megabytes - 1) + packer.flush()


def chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(*chunks: bytes, width: int = 4, height: int = 4) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def dicom(pixels: bytes = bytes(32), syntax: str = ExplicitVRLittleEndian, **elements: object) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.4"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 4, 4, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.add_new("PixelData", "OB" if syntax == RLELossless else "OW", pixels)
    return dataset


def saved(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


# --- what unfolds ----------------------------------------------------------------------------------


def test_png_that_unfolds_to_far_more_than_its_header_says():
    survived(png(chunk(b"IDAT", zeros(2000))))


@pytest.mark.parametrize("name", [b"zTXt", b"iCCP", b"iTXt"])
def test_png_with_a_text_or_profile_that_unfolds(name):
    flag = b"\0\1\0\0\0" if name == b"iTXt" else b"\0\0"
    image = chunk(b"IDAT", zlib.compress(bytes(20)))
    survived(png(chunk(name, b"x" + flag + zeros(1000)), image))


def test_png_of_more_pixels_than_allowed_within_a_small_file():
    refused(png(chunk(b"IDAT", zeros(10)), width=100_000, height=100_000), "more than the limit")


def test_tiff_whose_strip_unfolds():
    stream = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(stream, "TIFF", compression="tiff_adobe_deflate")
    content, bomb = bytearray(stream.getvalue()), zeros(1000)
    with Image.open(io.BytesIO(content)) as image:
        offset, size = image.tag_v2[273][0], image.tag_v2[279][0]
    at, length = len(content), len(bomb)
    for old, new in ((offset, at), (size, length)):
        place = content.rfind(struct.pack("<I", old))
        assert place >= 0
        content[place : place + 4] = struct.pack("<I", new)
    survived(bytes(content) + bomb)


def test_gzipped_volume_that_unfolds_to_far_more_than_its_header_says():
    volume = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_bytes()
    survived(gzip.compress(volume + bytes(300_000_000), 1))


def test_gzipped_volume_whose_voxels_are_said_to_lie_gigabytes_on():
    volume = bytearray(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_bytes())
    volume[108:112] = struct.pack("<f", 2e9)  # vox_offset
    refused(gzip.compress(bytes(volume)), "voxels lie far behind")
    newer = bytearray(nibabel.Nifti2Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_bytes())
    newer[168:176] = struct.pack("<q", 2**40)
    refused(bytes(newer), "voxels lie far behind")


def test_deflated_dicom_is_refused_from_its_file_meta():
    head = saved(dicom(syntax=DeflatedExplicitVRLittleEndian))
    refused(head[:600] + zeros(3000), "deflated transfer syntax, which is refused")


def test_run_lengths_that_unfold_to_far_more_than_the_frame():
    segment = bytes([129, 0]) * 1_000_000  # 128 zeros each
    header = struct.pack("<16I", 2, 64, 64 + len(segment), *[0] * 13)
    survived(saved(dicom(encapsulate([header + segment + segment]), RLELossless)))


# --- what lies about its size ----------------------------------------------------------------------


def test_jpeg_2000_with_false_dimensions():
    dataset = dcmread(str(get_testdata_file("MR_small_jp2klossless.dcm", download=False)))
    frame = bytearray(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    at = frame.find(b"\xff\x4f\xff\x51") + 8
    frame[at : at + 8] = struct.pack(">II", 60_000, 60_000)
    dataset.PixelData = encapsulate([bytes(frame)])
    refused(saved(dataset), "another size than its header says")
    dataset.Rows = dataset.Columns = 60_000
    refused(saved(dataset), "more than the limit")


def test_jpeg_2000_whose_tiles_lie():
    """The header's size is right, the tiles' is not: GDCM alone sees it, in its helper."""
    dataset = dcmread(str(get_testdata_file("MR_small_jp2klossless.dcm", download=False)))
    frame = bytearray(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    at = frame.find(b"\xff\x4f\xff\x51")
    for tile in (1, 2**31 - 1):
        frame[at + 24 : at + 32] = struct.pack(">II", tile, tile)  # XTsiz, YTsiz
        dataset.PixelData = encapsulate([bytes(frame)])
        survived(saved(dataset))


@pytest.mark.parametrize(("rows", "columns"), [(0, 4), (4, 0), (0, 0)])
def test_zero_by_n(rows, columns):
    refused(saved(dicom(Rows=rows, Columns=columns)), "without pixel data|0 ×|× 0")
    if (rows, columns) != (0, 0):
        refused(png(chunk(b"IDAT", zlib.compress(b"")), width=columns, height=rows), "header")


def test_zero_by_n_volume():
    volume = bytearray(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_bytes())
    volume[42:44] = struct.pack("<h", 0)
    survived(bytes(volume))


def test_ten_thousand_frames():
    refused(saved(dicom(NumberOfFrames=10_000)), "more frames than the file can hold|truncated")
    true = saved(dicom(bytes(32 * 10_000), NumberOfFrames=10_000))
    with bounded():
        assert count_frames(true) == 10_000
        assert read_image(true, 9_999).shape == (4, 4)


def test_ten_thousand_functional_groups():
    group = Dataset()
    group.FrameVOILUTSequence = [Dataset()]
    group.FrameVOILUTSequence[0].WindowCenter, group.FrameVOILUTSequence[0].WindowWidth = 5, 10
    content = saved(
        dicom(bytes(64), NumberOfFrames=2, PerFrameFunctionalGroupsSequence=[group for _ in range(10_000)])
    )
    with bounded():
        assert read_image(content, 1).shape == (4, 4)


def chain(pages: int) -> bytes:
    """A TIFF of one grey pixel a page, all of them the same one, its directories one after the other."""
    stream = io.BytesIO()
    Image.fromarray(np.full((1, 1), 7, np.uint8)).save(stream, "TIFF")
    content = stream.getvalue()
    first = struct.unpack("<I", content[4:8])[0]
    size = 2 + 12 * struct.unpack("<H", content[first : first + 2])[0]
    parts, at = [content + bytes(-len(content) % 2)], len(content) + len(content) % 2
    for page in range(pages):
        following = at + (page + 1) * (size + 4) if page < pages - 1 else 0
        parts.append(content[first : first + size] + struct.pack("<I", following))
    return parts[0][:4] + struct.pack("<I", at) + parts[0][8:] + b"".join(parts[1:])


def test_tiffs_of_very_many_pages():
    content = chain(5000)
    with bounded():
        assert count_frames(content) == 5000 and read_image(content, 4999)[0, 0] == 7
    refused(chain(100_000), "more than 5,000 pages")


def test_tiff_whose_pages_go_round():
    stream, page = io.BytesIO(), Image.fromarray(np.zeros((2, 2), np.uint8))
    page.save(stream, "TIFF", save_all=True, append_images=[page])
    content = bytearray(stream.getvalue())
    first = struct.unpack("<I", content[4:8])[0]
    entries = struct.unpack("<H", content[first : first + 2])[0]
    next_page = first + 2 + 12 * entries
    second = struct.unpack("<I", content[next_page : next_page + 4])[0]
    entries = struct.unpack("<H", content[second : second + 2])[0]
    content[second + 2 + 12 * entries : second + 6 + 12 * entries] = struct.pack("<I", first)
    survived(bytes(content))


# --- what is no number, and what is too deep -------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_in_float_pixels(bad):
    values = np.zeros((4, 4), np.float32)
    values[1, 1] = bad
    dataset = dicom()
    del dataset.PixelData
    dataset.BitsAllocated, dataset.FloatPixelData = 32, values.tobytes()
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "TIFF")
    volume = bytes(nibabel.Nifti1Image(np.stack([values] * 4), np.eye(4)).to_bytes())
    for content in (saved(dataset), stream.getvalue(), volume):
        refused(content, "NaN or infinite")


def nested(depth: int, tag: bytes) -> bytes:
    """Sequences in sequences, each of undefined length (PS3.5 7.5)."""
    start = tag + b"SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return start * depth + end * depth


@pytest.mark.parametrize("depth", [100, 100_000])
@pytest.mark.parametrize(
    "tag", [b"\x08\x00\x40\x11", b"\x00\x52\x29\x92"], ids=["one left aside", "one that is read"]
)
def test_deeply_nested_sequences(depth, tag):
    content = saved(dicom())
    place = content.index(b"\x28\x00\x02\x00") if tag[:1] == b"\x08" else content.index(b"\xe0\x7f\x10\x00")
    survived(content[:place] + nested(depth, tag) + content[place:])
    with pytest.raises(ImageError):
        read_image(content[:place] + nested(depth, tag)[:-4])
