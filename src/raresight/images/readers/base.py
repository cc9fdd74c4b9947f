"""What every format's reader needs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from raresight.errors import ImageError

Source = Path | bytes
Pixels = NDArray[np.uint8] | NDArray[np.uint16]

DEFAULT_MAX_PIXELS = 100_000_000
HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class View:
    """An image for a person to look at.

    Attributes
    ----------
    pixels : (h, w) or (h, w, 3) array of uint8 or uint16
    windowed : bool
        Whether a window of the file is in the pixels already.
    low, high : float or None
        Pixel values to be shown as black and as white at first; None where the file asks for no window.
    slope, intercept : float
        ``slope · pixel + intercept`` is the value in the file's units, Hounsfield for instance.
    """

    pixels: Pixels
    windowed: bool
    low: float | None = None
    high: float | None = None
    slope: float = 1.0
    intercept: float = 0.0


class Format(Protocol):
    """What a format's module offers; other packages register theirs under ``raresight.formats``.

    It may offer ``view(source, frame, max_pixels, axis) -> View`` too, if its files say how they are shown.
    """

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The endings its files usually have, in lower case: ``(".tif", ".tiff")``."""
        ...

    def recognises(self, head: bytes) -> bool:
        """Tell from the first `HEAD_BYTES` bytes of a file whether it is of this format."""
        ...

    def may_lack_signature(self, head: bytes) -> bool:
        """Tell whether a file with one of `suffixes` may be read although it is not recognised."""
        ...

    def count(self, source: Source, *, axis: int) -> int:
        """Count the frames."""
        ...

    def read(self, source: Source, frame: int, *, max_pixels: int, axis: int) -> Pixels:
        """Decode one frame."""
        ...


def open_source(source: Source) -> BinaryIO:
    """Open a file, or bytes as if they were one."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def first_bytes(source: Source) -> bytes:
    """Read the beginning of a file; raises `ImageError` if there is none."""
    try:
        with open_source(source) as stream:
            head = stream.read(HEAD_BYTES)
    except FileNotFoundError as error:
        raise ImageError("the file is missing") from error
    except IsADirectoryError as error:
        raise ImageError("it is a folder, not a file") from error
    except (OSError, ValueError) as error:
        raise ImageError(f"the file cannot be opened ({type(error).__name__})") from error
    if not head:
        raise ImageError("the file is empty")
    return head


def suffix_of(source: Source) -> str:
    """Give a file's ending in lower case, ``.nii.gz`` as one; empty for bytes."""
    if isinstance(source, bytes):
        return ""
    name = source.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else Path(name).suffix


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Refuse an image without pixels, or with more than are allowed, before anything is decoded."""
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"its header says {width} × {height} pixels")
    if width * height > max_pixels:
        raise ImageError(
            f"its header says {width:,} × {height:,} pixels, "
            f"more than the limit of {max_pixels / 1e6:g} megapixels"
        )


def check_frame(frame: int, frames: int) -> None:
    """Refuse a frame that is not there."""
    if not 0 <= frame < frames:
        raise ImageError(f"it has no frame {frame} (it has {frames}, counted from 0)")


def stretch(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    """Map low … high to 0 … 65535, what lies outside to the nearer end; a flat image becomes zeros.

    Works through blocks of rows, so that no float64 copy of a large image is ever held.
    """
    out = np.zeros(values.shape, np.uint16)
    if not high > low:
        return out
    for rows in row_blocks(values):
        unit = np.clip((values[rows].astype(np.float64) - low) / (high - low), 0.0, 1.0)
        out[rows] = np.rint(unit * 65535)
    return out


def row_blocks(values: NDArray[Any], size: int = 1_000_000) -> list[slice]:
    """Cut an array's first axis into slices of about `size` values each."""
    step = max(1, size // max(1, values[:1].size))
    return [slice(start, start + step) for start in range(0, len(values), step)]


def check_finite(values: NDArray[Any]) -> None:
    """Refuse NaN and infinity."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ImageError("it holds NaN or infinite values")
