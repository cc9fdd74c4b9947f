"""Valid files of every kind, and what is done to them: the same seed, the same input."""

from __future__ import annotations

import gzip
import io
import struct
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from raresight.errors import ImageError
from raresight.images.readers import count_frames, read_image

Random = np.random.Generator
MOST_PIXELS = 50_000_000
"""As the service has it."""

SECONDS = 5.0

INTERESTING = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)

DICOM = {
    "dicom plain": "MR_small.dcm",
    "dicom implicit": "rtdose_1frame.dcm",
    "dicom big-endian": "MR_small_bigendian.dcm",
    "dicom run-length": "MR_small_RLE.dcm",
    "dicom jpeg": "SC_rgb_jpeg_gdcm.dcm",
    "dicom jpeg-ls": "MR_small_jpeg_ls_lossless.dcm",
    "dicom jpeg 2000": "MR_small_jp2klossless.dcm",
    "dicom deflated": "image_dfl.dcm",
    "dicom frames": "rtdose.dcm",
    "dicom jpeg 12 bits": "JPEG-lossy.dcm",
    "dicom ybr": "SC_ybr_full_422_uncompressed.dcm",
}
"""What pydicom brings for its own tests."""


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _pictures() -> dict[str, Callable[[], bytes]]:
    random = np.random.default_rng(0)
    grey = Image.fromarray(random.integers(0, 256, (20, 24), np.uint8))
    colour = Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8))
    clear = Image.fromarray(random.integers(0, 256, (20, 24, 4), np.uint8))
    deep = Image.fromarray(random.integers(0, 65536, (20, 24)).astype(np.uint16))
    real = Image.fromarray(random.normal(0, 1, (20, 24)).astype(np.float32))
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "png grey": lambda: _saved(grey, "PNG"),
        "png colour": lambda: _saved(colour, "PNG", exif=exif),
        "png alpha": lambda: _saved(clear, "PNG"),
        "png 16 bits": lambda: _saved(deep, "PNG"),
        "png palette": lambda: _saved(colour.quantize(16), "PNG", transparency=3),
        "jpeg": lambda: _saved(colour, "JPEG", exif=exif),
        "jpeg progressive": lambda: _saved(grey, "JPEG", progressive=True),
        "jpeg cmyk": lambda: _saved(colour.convert("CMYK"), "JPEG"),
        "tiff": lambda: _saved(colour, "TIFF"),
        "tiff pages": lambda: _saved(grey, "TIFF", save_all=True, append_images=[grey, grey]),
        "tiff lzw": lambda: _saved(colour, "TIFF", compression="tiff_lzw"),
        "tiff deflate": lambda: _saved(deep, "TIFF", compression="tiff_adobe_deflate"),
        "tiff jpeg": lambda: _saved(colour, "TIFF", compression="jpeg"),
        "tiff packbits": lambda: _saved(grey, "TIFF", compression="packbits"),
        "tiff fax": lambda: _saved(grey.convert("1"), "TIFF", compression="group4"),
        "tiff float": lambda: _saved(real, "TIFF"),
        "bmp": lambda: _saved(colour, "BMP"),
        "bmp palette": lambda: _saved(colour.quantize(16), "BMP"),
    }


def _volume(kind: str) -> bytes:
    values = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
    made = nibabel.Nifti2Image if "2" in kind else nibabel.Nifti1Image
    content = bytes(made(values, np.eye(4)).to_bytes())
    return gzip.compress(content, 1) if kind.endswith("gz") else content


def _dicom(name: str) -> bytes:
    return Path(str(get_testdata_file(name, download=False))).read_bytes()


@cache
def valid_files() -> dict[str, bytes]:
    """Kind → a file of it."""
    files = {kind: make() for kind, make in _pictures().items()}
    files |= {kind: _volume(kind) for kind in ("nifti 1", "nifti 2", "nifti 1 gz")}
    files |= {kind: _dicom(name) for kind, name in DICOM.items()}
    return files | {kind: _own_dicom(kind) for kind in ("dicom enhanced", "dicom float", "dicom palette")}


def _item(**elements: Any) -> Dataset:
    found = Dataset()
    for keyword, value in elements.items():
        setattr(found, keyword, value)
    return found


def _own_dicom(kind: str) -> bytes:
    """Make two small frames with functional groups, with floats, or with a palette."""
    values = np.arange(512, dtype=np.uint16).reshape(2, 16, 16)
    dataset = _item(SOPClassUID="1.2.840.10008.5.1.4.1.1.7", SOPInstanceUID="1.2.3.4", Rows=16, Columns=16)
    dataset.update(_item(NumberOfFrames=2, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2"))
    dataset.update(_item(BitsAllocated=16, BitsStored=12, HighBit=11, PixelRepresentation=0))
    if kind == "dicom float":
        dataset.BitsAllocated, dataset.FloatPixelData = 32, values.astype(np.float32).tobytes()
    else:
        dataset.add_new("PixelData", "OW", values.tobytes())
    if kind == "dicom palette":
        dataset.PhotometricInterpretation = "PALETTE COLOR"
        for colour in ("Red", "Green", "Blue"):
            dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
            dataset.add_new(f"{colour}PaletteColorLookupTableData", "OW", values[0].tobytes())
    if kind == "dicom enhanced":
        shift = _item(RescaleSlope=2, RescaleIntercept=-100)
        dataset.SharedFunctionalGroupsSequence = [_item(PixelValueTransformationSequence=[shift])]
        windows = [_item(WindowCenter=centre, WindowWidth=500) for centre in (100, 300)]
        dataset.PerFrameFunctionalGroupsSequence = [_item(FrameVOILUTSequence=[each]) for each in windows]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def spoil(kind: str, random: Random) -> bytes:
    """Give a file of a kind with one to four things done to it."""
    content = valid_files()[kind]
    if kind.startswith("dicom") and random.random() < 0.5:
        content = _other_elements(content, random)
    if kind.startswith("png") and random.random() < 0.5:
        content = _other_chunks(content, random)
    changed = bytearray(content)
    for _ in range(random.integers(1, 5) if random.random() < 0.9 else 0):
        changed = CHANGES[random.integers(len(CHANGES))](changed, random)
    done = bytes(changed)
    if kind.endswith("gz") and random.random() < 0.5:  # else nearly all would stop at gzip's own check
        done = gzip.compress(bytes(_numbers(bytearray(_volume("nifti 1")), random)), 1)
    return done


def _place(content: bytearray, random: Random) -> int:
    """Choose a place, a header's more often than the pixels'."""
    most = min(len(content), 1200) if random.random() < 0.7 else len(content)
    return int(random.integers(0, max(1, most)))


def _bytes(content: bytearray, random: Random) -> bytearray:
    for _ in range(random.integers(1, 9)):
        at = _place(content, random)
        content[at : at + 1] = bytes([random.integers(256)])
    return content


def _bits(content: bytearray, random: Random) -> bytearray:
    at = _place(content, random)
    if at < len(content):
        content[at] ^= 1 << random.integers(8)
    return content


def _numbers(content: bytearray, random: Random) -> bytearray:
    at, size = _place(content, random) & ~1, (2, 4, 8)[random.integers(3)]
    value = INTERESTING[random.integers(len(INTERESTING))] % 256**size
    content[at : at + size] = value.to_bytes(size, ("little", "big")[random.integers(2)])
    return content


def _cut(content: bytearray, random: Random) -> bytearray:
    return content[: random.integers(0, len(content) + 1)]


def _without(content: bytearray, random: Random) -> bytearray:
    at = _place(content, random)
    del content[at : at + int(random.integers(1, 64))]
    return content


def _twice(content: bytearray, random: Random) -> bytearray:
    at, size = _place(content, random), int(random.integers(1, 256))
    return content[: at + size] + content[at : at + size] * int(random.integers(1, 20)) + content[at + size :]


def _grafted(content: bytearray, random: Random) -> bytearray:
    others = list(valid_files().values())
    other = others[random.integers(len(others))]
    return content[: _place(content, random)] + bytearray(other[random.integers(len(other)) :][:5000])


CHANGES = (_bytes, _bytes, _bits, _numbers, _numbers, _cut, _without, _twice, _grafted)


def _other_chunks(content: bytes, random: Random) -> bytes:
    """Change a PNG's chunks and make their checksums right again."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], bytearray(content[at + 8 : at + 8 + size])))
        at += 12 + size
    which = int(random.integers(len(chunks)))
    name, body = chunks[which]
    if random.random() < 0.3:
        chunks.insert(int(random.integers(len(chunks))), chunks[which])
    elif name == b"IDAT" and random.random() < 0.5:
        chunks[which] = (name, bytearray(zlib.compress(bytes(_numbers(bytearray(2000), random)))))
    elif body:
        chunks[which] = (name, _numbers(body, random))
    out = content[:8]
    for name, body in chunks:
        out += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + bytes(body)))
    return out


VALUES: dict[str, tuple[Any, ...]] = {
    "Rows": (0, 1, 65535),
    "Columns": (0, 1, 65535),
    "NumberOfFrames": (0, -1, 10_000, 2**31 - 1),
    "SamplesPerPixel": (0, 1, 2, 3, 4, 65535),
    "PhotometricInterpretation": ("MONOCHROME1", "RGB", "YBR_FULL_422", "PALETTE COLOR", "YBR_ICT", "X"),
    "PlanarConfiguration": (0, 1, 2),
    "BitsAllocated": (0, 1, 8, 12, 16, 32, 64, 65535),
    "BitsStored": (0, 1, 8, 12, 16, 17, 65535),
    "HighBit": (0, 7, 15, 65535),
    "PixelRepresentation": (0, 1, 2),
    "RescaleSlope": ("0", "-1", "1e308", "-1e308", "1e-308"),
    "RescaleIntercept": ("0", "1e308", "-1e308"),
    "WindowCenter": ("0", "1e308", "-1e308"),
    "WindowWidth": ("0", "1", "-5", "1e308", "1e-308"),
    "VOILUTFunction": ("SIGMOID", "LINEAR_EXACT", "X"),
    "PixelPaddingValue": (0, 65535),
}


def _other_elements(content: bytes, random: Random) -> bytes:
    """Change the elements of a DICOM object that say what its pixels are."""
    dataset = dcmread(io.BytesIO(content))
    for _ in range(random.integers(1, 4)):
        name = list(VALUES)[random.integers(len(VALUES))]
        if random.random() < 0.15:
            dataset.pop(name, None)
        else:
            setattr(dataset, name, VALUES[name][random.integers(len(VALUES[name]))])
    if random.random() < 0.2:
        dataset.VOILUTSequence = Sequence([_table(random)])
    stream = io.BytesIO()
    try:
        dataset.save_as(stream)
    except Exception:  # pydicom itself refuses to write some of them
        return content
    return stream.getvalue()


def _table(random: Random) -> Dataset:
    entries, bits = (0, 1, 256, 65535)[random.integers(4)], (0, 8, 16, 65535)[random.integers(4)]
    item = _item(
        LUTDescriptor=[entries, int(random.integers(65536)), bits], LUTData=bytes(random.integers(0, 600))
    )
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    return item


def look(content: bytes) -> str:
    """Read a file, its last frame too: "read", or "refused" by an `ImageError` in one short clause."""
    start = time.perf_counter()
    try:
        frames = count_frames(content)
        for frame in {0, frames - 1}:
            found = read_image(content, frame, max_pixels=MOST_PIXELS)
            assert found.dtype in (np.uint8, np.uint16)
            assert found.ndim == 2 or found.shape[2:] == (3,)
            assert found.size
        outcome = "read"
    except ImageError as error:
        assert 0 < len(str(error)) < 200
        assert "\n" not in str(error)
        outcome = "refused"
    assert time.perf_counter() - start < SECONDS
    return outcome
