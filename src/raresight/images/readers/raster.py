"""PNG, JPEG, TIFF and BMP through Pillow.

Grey stays grey and colour becomes RGB; 8 and 16 bits are kept. Palettes, CMYK, YCbCr and LAB become RGB,
1-bit images 0 and 255, alpha is composited over black, the EXIF orientation is applied. Pillow has no
16-bit colour: of 16-bit RGB, and of 16-bit grey with alpha, the upper 8 bits are kept. Floats and 32-bit
or signed integers (TIFF) are stretched from the image's own minimum … maximum to 0 … 65535.

The plugins are called directly rather than through ``Image.open``, whose limit on pixels is one variable
for the whole process: here each call has its own, checked before anything is decoded.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raresight.errors import ImageError
from raresight.images.readers.base import (
    Pixels,
    Source,
    check_finite,
    check_frame,
    check_size,
    open_source,
    row_blocks,
    stretch,
)

MOST_PAGES = 5000
"""Of a TIFF: to reach a page, Pillow reads those before it, a third of a millisecond each."""

_ORIENTATION = 0x0112
_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0


@dataclass(frozen=True, slots=True)
class Raster:
    """A format that Pillow decodes.

    Attributes
    ----------
    plugin : str
        Its class in Pillow, ``"module:Class"``.
    signatures : tuple of bytes
        What its files start with.
    suffixes : tuple of str
        The endings its files usually have.
    paged : bool
        Whether a file may hold several images.
    """

    plugin: str
    signatures: tuple[bytes, ...]
    suffixes: tuple[str, ...]
    paged: bool = False

    def recognises(self, head: bytes) -> bool:
        """Tell from a file's first bytes whether it is of this format."""
        return head.startswith(self.signatures)

    def may_lack_signature(self, head: bytes) -> bool:
        """None of these formats is without one."""
        return False

    def count(self, source: Source, *, axis: int) -> int:
        """Count the pages; 1 for a format without pages."""
        if not self.paged:
            return 1
        with open_source(source) as stream:
            self._open(stream)
            return _count_pages(stream)

    def read(self, source: Source, frame: int, *, max_pixels: int, axis: int) -> Pixels:
        """Decode one page."""
        with open_source(source) as stream:
            image = self._open(stream)
            if frame:
                check_frame(frame, _count_pages(stream) if self.paged else 1)
                image.seek(frame)
            check_size(image.size, max_pixels)
            grey = _is_grey_with_alpha(image)
            inverted = _is_white_zero(image)
            # Pillow turns TIFF pages by itself and leaves everything else as it lies in the file.
            orientation = 1 if self.paged else _orientation(image)
            _load(image)
            pixels = _to_array(image, inverted)
            return _turn(pixels[..., 0] if grey else pixels, orientation)

    def _open(self, stream: BinaryIO) -> Any:
        module, _, name = self.plugin.partition(":")
        try:
            return getattr(import_module(module), name)(stream)
        except Exception as error:
            raise ImageError("its header is damaged or incomplete") from error


PNG = Raster("PIL.PngImagePlugin:PngImageFile", (b"\x89PNG\r\n\x1a\n",), (".png",))
JPEG = Raster("PIL.JpegImagePlugin:JpegImageFile", (b"\xff\xd8\xff",), (".jpg", ".jpeg", ".jpe", ".jfif"))
TIFF = Raster(
    "PIL.TiffImagePlugin:TiffImageFile",
    (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    (".tif", ".tiff"),
    paged=True,
)
BMP = Raster("PIL.BmpImagePlugin:BmpImageFile", (b"BM",), (".bmp", ".dib"))


def _count_pages(stream: BinaryIO) -> int:
    """Follow a TIFF's chain of directories (TIFF 6.0, section 2): Pillow would parse each, a million too."""
    stream.seek(0)
    head = stream.read(16)
    order, big = "<" if head[:2] == b"II" else ">", b"+" in head[2:4]
    number, entries, size = ("Q", "Q", 20) if big else ("I", "H", 12)
    at = struct.unpack_from(order + number, head, 8 if big else 4)[0]
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        if len(seen) > MOST_PAGES:
            raise ImageError(f"it has more than {MOST_PAGES:,} pages")
        stream.seek(at)
        count = stream.read(struct.calcsize(entries))
        if len(count) < struct.calcsize(entries):
            break
        stream.seek(size * struct.unpack(order + entries, count)[0], os.SEEK_CUR)
        following = stream.read(struct.calcsize(number))
        at = struct.unpack(order + number, following)[0] if len(following) == struct.calcsize(number) else 0
    return max(1, len(seen))


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        truncated = "truncated" in str(error).lower()
        raise ImageError("it is truncated" if truncated else "its pixel data are damaged") from error


def _to_array(image: Image.Image, inverted: bool) -> Pixels:
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image).astype(np.uint16)
        return np.subtract(65535, pixels, dtype=np.uint16) if inverted else pixels
    if image.mode in ("I", "F"):
        return _stretched(np.asarray(image), inverted)
    if image.mode != "1" and image.has_transparency_data:
        return _over_black(image)
    wanted = "L" if image.mode in ("1", "L") else "RGB"
    return np.array(image if image.mode == wanted else image.convert(wanted), dtype=np.uint8)


def _stretched(values: NDArray[Any], inverted: bool) -> NDArray[np.uint16]:
    check_finite(values)
    pixels = stretch(values, float(values.min()), float(values.max()))
    return np.subtract(65535, pixels, dtype=np.uint16) if inverted else pixels


def _over_black(image: Image.Image) -> NDArray[np.uint8]:
    wanted = "LA" if image.mode in ("L", "LA", "La") else "RGBA"
    pixels = np.asarray(image if image.mode == wanted else image.convert(wanted))
    blended = np.empty((*pixels.shape[:2], pixels.shape[2] - 1), np.uint8)
    for rows in row_blocks(pixels):
        alpha = pixels[rows, :, -1:].astype(np.uint16)
        blended[rows] = (pixels[rows, :, :-1] * alpha + 127) // 255
    return blended[..., 0] if wanted == "LA" else blended


def _is_grey_with_alpha(image: Any) -> bool:
    """16-bit grey with alpha, which Pillow can only open as RGBA."""
    return image.mode == "RGBA" and any("LA" in str(tile[3]) for tile in image.tile)


def _is_white_zero(image: Any) -> bool:
    """Grey TIFF whose 0 is white: Pillow inverts it at 8 bits and below, and not above."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block is no reason to lose the pixels
        return 1


def _turn(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation (Exif 2.3, tag 0x0112; 1 and unknown values leave the image alone)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return cast(Pixels, np.ascontiguousarray(pixels))
