"""Damaged files of every format: an ImageError or an image, and nothing else."""

from __future__ import annotations

import gzip
import io
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from raresight.errors import ImageError
from raresight.images.readers import count_frames, read_image

nibabel = pytest.importorskip("nibabel")
pytest.importorskip("pydicom")
pytest.importorskip("gdcm")

from pydicom.data import get_testdata_file  # noqa: E402

# Outside of tests these libraries only warn of damage, and reading goes on.
pytestmark = pytest.mark.filterwarnings("ignore")

DICOM = ["MR_small", "MR_small_RLE", "MR_small_jpeg_ls_lossless", "MR_small_jp2klossless", "SC_rgb_jpeg_gdcm"]
RASTER = ["PNG", "JPEG", "TIFF", "BMP"]
SOME = settings(max_examples=60, deadline=2000, suppress_health_check=list(HealthCheck))


@cache
def valid(kind: str) -> bytes:
    if kind in RASTER:
        stream = io.BytesIO()
        pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(stream, kind)
        return stream.getvalue()
    if kind.startswith("NIfTI"):
        values = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
        content = bytes(nibabel.Nifti1Image(values, np.eye(4)).to_bytes())
        return gzip.compress(content) if kind == "NIfTI.gz" else content
    return Path(str(get_testdata_file(f"{kind}.dcm", download=False))).read_bytes()


def read_or_refuse(content: bytes) -> None:
    for look in (lambda: read_image(content, max_pixels=1_000_000), lambda: count_frames(content)):
        try:
            found = look()
        except ImageError as error:
            assert 0 < len(str(error)) < 200 and "\n" not in str(error)
        else:
            if isinstance(found, np.ndarray):
                assert found.dtype in (np.uint8, np.uint16)
                assert found.ndim == 2 or found.shape[2:] == (3,)


@SOME
@given(st.binary(max_size=2000))
def test_random_bytes_are_refused(content: bytes) -> None:
    read_or_refuse(content)


@SOME
@given(
    st.sampled_from(
        [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"BM", bytes(128) + b"DICM"]
    ),
    st.binary(max_size=600),
)
def test_random_bytes_behind_a_signature_are_refused(signature: bytes, rest: bytes) -> None:
    read_or_refuse(signature + rest)


@pytest.mark.parametrize("kind", [*RASTER, "NIfTI", "NIfTI.gz", *DICOM])
@settings(SOME, max_examples=25)
@given(data=st.data())
def test_mutated_and_truncated_files_are_read_or_refused(kind: str, data: st.DataObject) -> None:
    content = bytearray(valid(kind))
    places = st.one_of(st.integers(0, min(1500, len(content) - 1)), st.integers(0, len(content) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = value
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    read_or_refuse(bytes(content))


@pytest.mark.parametrize("kind", ["PNG", "MR_small_jp2klossless", "NIfTI.gz"])
def test_threads_read_at_once_and_get_what_one_would(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(valid(kind))
    expected = read_image(path)
    agreed: list[bool] = []

    def work() -> None:
        agreed.extend(np.array_equal(read_image(path), expected) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert agreed == [True] * 40
