"""NIfTI volumes through nibabel, slice by slice.

A volume is turned to the closest canonical orientation (RAS+) first, so that a slice number means the same
in every file. Slices come out as radiologists see them: superior or anterior up, the patient's right on
the left of axial and coronal slices, anterior on the left of sagittal ones. Intensities are stretched from
the 0.5th … 99.5th percentile of the whole volume to 0 … 65535: one volume, one scale.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from raresight.errors import ImageError, MissingExtraError
from raresight.images.readers.base import (
    Pixels,
    Source,
    check_finite,
    check_frame,
    check_size,
    open_source,
    stretch,
)

ROBUST_PERCENTILES = (0.5, 99.5)
VOLUME_FACTOR = 2
"""A volume may hold this many times the pixels that an image may."""

MOST_HEADER = 16_000_000
"""Bytes that header and extensions may take."""

_GZIP = b"\x1f\x8b"
_NIFTI1 = b"n+1\x00"
_NIFTI2 = b"n+2\x00\r\n\x1a\n"


class Nifti:
    """The NIfTI format, versions 1 and 2, in one file, gzipped or not."""

    suffixes = (".nii", ".nii.gz")

    def recognises(self, head: bytes) -> bool:
        """Tell from a file's first bytes whether it is NIfTI."""
        return _version(head) != 0

    def may_lack_signature(self, head: bytes) -> bool:
        """No NIfTI file is without one."""
        return False

    def count(self, source: Source, *, axis: int) -> int:
        """Count the slices across an axis from the header."""
        with open_source(source) as stream:
            volume = _open_volume(stream)
            return _oriented_shape(volume)[axis]

    def read(self, source: Source, frame: int, *, max_pixels: int, axis: int) -> Pixels:
        """Give one slice; the volume it lies in is kept for the next one."""
        volume = _VOLUMES.get(source, max_pixels)
        check_frame(frame, volume.shape[axis])
        plane = np.take(volume, frame, axis=axis)
        check_size((plane.shape[0], plane.shape[1]), max_pixels)
        return np.ascontiguousarray(plane.T[::-1, ::-1])


NIFTI = Nifti()


class _VolumeCache:
    """The last volumes, scaled: the slices of one are asked for one after the other, by several threads."""

    def __init__(self, load: Callable[[Source, int], NDArray[np.uint16]], size: int = 2) -> None:
        self._load = load
        self._size = size
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, int, int, int], NDArray[np.uint16]] = OrderedDict()

    def get(self, source: Source, max_pixels: int) -> NDArray[np.uint16]:
        if isinstance(source, bytes):
            return self._load(source, max_pixels)
        status = source.stat()
        key = (str(Path(source).absolute()), status.st_mtime_ns, status.st_size, max_pixels)
        with self._lock:  # held while loading, so that no volume is decoded twice at once
            if key not in self._kept:
                self._kept[key] = self._load(source, max_pixels)
                while len(self._kept) > self._size:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def _load_volume(source: Source, max_pixels: int) -> NDArray[np.uint16]:
    """Decode a volume: canonical orientation, (x, y, z), robustly stretched to uint16."""
    from nibabel.orientations import apply_orientation, io_orientation

    with open_source(source) as stream:
        volume = _open_volume(stream)
        shape = _spatial_shape(volume)
        if int(np.prod(shape, dtype=object)) > VOLUME_FACTOR * max_pixels:
            sides = " × ".join(f"{side:,}" for side in shape)
            raise ImageError(
                f"its header says {sides} voxels, "
                f"more than the limit of {VOLUME_FACTOR * max_pixels / 1e6:g} million"
            )
        try:
            values: NDArray[Any] = volume.get_fdata(caching="unchanged", dtype=np.float32)
        except MemoryError:
            raise
        except Exception as error:
            raise ImageError("its voxel data are truncated or damaged") from error
        values = apply_orientation(values.reshape(shape), io_orientation(volume.affine))
    check_finite(values)
    low, high = np.percentile(values, ROBUST_PERCENTILES)
    if not high > low:  # nearly everything is background: whatever else there is must still be seen
        low, high = values.min(), values.max()
    return stretch(values, float(low), float(high))


_VOLUMES = _VolumeCache(_load_volume)


def _open_volume(stream: BinaryIO) -> Any:
    """Parse the header; the voxels stay where they are."""
    try:
        import nibabel
    except ImportError as error:
        raise MissingExtraError("NIfTI volumes need nibabel: pip install 'raresight[train]'") from error
    head = stream.read(4096)
    stream.seek(0)
    if _voxels_at(_unfolded(head)) > MOST_HEADER:
        raise ImageError("its header says that its voxels lie far behind it")
    kind = nibabel.Nifti2Image if _version(head) == 2 else nibabel.Nifti1Image
    try:
        return kind.from_stream(gzip.GzipFile(fileobj=stream) if head.startswith(_GZIP) else stream)
    except Exception as error:
        raise ImageError("its NIfTI header is damaged or incomplete") from error


def _version(head: bytes) -> int:
    """Tell NIfTI-1 from NIfTI-2; 0 for anything else."""
    head = _unfolded(head)
    if head[344:348] == _NIFTI1:
        return 1
    return 2 if head[4:12] == _NIFTI2 else 0


def _unfolded(head: bytes) -> bytes:
    """Give the header of a file, gzipped or not; nothing where it is damaged."""
    if not head.startswith(_GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 540)
    except zlib.error:
        return b""


def _voxels_at(head: bytes) -> float:
    """Give where the header says that the voxels start; what lies before them would be read whole."""
    order = "<" if head[:2] in (b"\x5c\x01", b"\x1c\x02") else ">"
    form, at = (f"{order}f", 108) if _version(head) == 1 else (f"{order}q", 168)
    found = head[at : at + struct.calcsize(form)]
    return float(struct.unpack(form, found)[0]) if len(found) == struct.calcsize(form) else 0.0


def _spatial_shape(volume: Any) -> tuple[int, int, int]:
    """Give (x, y, z) as stored: a plane counts as one slice, a series over time is refused."""
    shape = tuple(int(side) for side in volume.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if not 2 <= len(shape) <= 3 or min(shape) < 1:
        raise ImageError(f"it has {len(shape)} dimensions; only single 3-D volumes can be sliced")
    if volume.get_data_dtype().kind not in "iuf":
        raise ImageError("its voxels are colours or complex numbers; only single values can be sliced")
    x, y, z = (*shape, 1)[:3]
    return x, y, z


def _oriented_shape(volume: Any) -> tuple[int, int, int]:
    """Give (x, y, z) after the turn to canonical orientation."""
    from nibabel.orientations import io_orientation

    orientation = io_orientation(volume.affine)[:, 0].astype(int)
    shape = _spatial_shape(volume)
    x, y, z = (shape[list(orientation).index(axis)] for axis in range(3))
    return x, y, z
