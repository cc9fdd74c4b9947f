"""One file a format: from an image file to its pixels.

A format is chosen by what the file starts with, never by its name alone; `read_image` raises `ImageError`
for every file that cannot be read, whatever the library below it raised. The frames of a multi-page TIFF
or a multi-frame DICOM object and the slices of a NIfTI volume are counted from 0.
"""

from __future__ import annotations

from functools import cache

from raresight.errors import ImageError, MissingExtraError
from raresight.images.readers.base import (
    DEFAULT_MAX_PIXELS,
    Format,
    Pixels,
    Source,
    View,
    first_bytes,
    suffix_of,
)
from raresight.registry import Entry, Registry

__all__ = ["DEFAULT_MAX_PIXELS", "READERS", "View", "count_frames", "format_of", "read_image", "read_view"]

_HERE = "raresight.images.readers"

READERS = Registry(
    "format",
    {
        # First, since the preamble of a DICOM file may be a TIFF header (PS3.10 7.1).
        "dicom": Entry(
            f"{_HERE}.dicom:DICOM", "DICOM image objects, one or more frames", "DICOM PS3.3, PS3.5"
        ),
        "png": Entry(f"{_HERE}.raster:PNG", "Portable Network Graphics, 1 to 16 bits", "ISO/IEC 15948"),
        "jpeg": Entry(f"{_HERE}.raster:JPEG", "JPEG, grey, colour or CMYK, 8 bits", "ISO/IEC 10918"),
        "tiff": Entry(f"{_HERE}.raster:TIFF", "TIFF, one or more pages, integers or floats", "TIFF 6.0"),
        "bmp": Entry(f"{_HERE}.raster:BMP", "Windows bitmap", "Microsoft"),
        "nifti": Entry(
            f"{_HERE}.nifti:NIFTI", "NIfTI-1 and NIfTI-2 volumes, slice by slice", "nifti.nimh.nih.gov"
        ),
    },
)


def read_image(
    source: Source, frame: int = 0, *, max_pixels: int = DEFAULT_MAX_PIXELS, axis: int = 2
) -> Pixels:
    """Decode one image.

    Parameters
    ----------
    source : Path or bytes
        The file, or what it contains.
    frame : int, default 0
        Which frame, page or slice, counted from 0.
    max_pixels : int, default 100_000_000
        An image whose header claims more pixels than this is refused before it is decoded.
    axis : {0, 1, 2}, default 2
        For volumes, the direction that is sliced: 0 sagittal, 1 coronal, 2 axial.

    Returns
    -------
    (h, w) or (h, w, 3) array of uint8 or uint16
        Grey or RGB, as the file has it; how each format's values are mapped stands in its module.

    Raises
    ------
    ImageError
        If the file cannot be read; the message is the reason, in one clause, without the file's name.
    MissingExtraError
        If the format's library is not installed.
    """
    try:
        return _format(source).read(source, frame, max_pixels=max_pixels, axis=axis)
    except (ImageError, MissingExtraError):
        raise
    except Exception as error:
        raise _as_image_error(error) from error


def read_view(source: Source, frame: int = 0, *, max_pixels: int = DEFAULT_MAX_PIXELS, axis: int = 2) -> View:
    """Decode one image for a person to look at: as `read_image` does, but without a window of the file in it.

    Parameters and what is raised: see `read_image`.

    Returns
    -------
    View
        Grey DICOM images have their stored values, in steps of one, and the window that they ask for.
    """
    try:
        format = _format(source)
        view = getattr(format, "view", None)
        if view is None:
            return View(format.read(source, frame, max_pixels=max_pixels, axis=axis), False)
        found: View = view(source, frame, max_pixels=max_pixels, axis=axis)
        return found
    except (ImageError, MissingExtraError):
        raise
    except Exception as error:
        raise _as_image_error(error) from error


def count_frames(source: Source, *, axis: int = 2) -> int:
    """Count the frames, pages or slices of a file from its header, without decoding any.

    Parameters
    ----------
    source : Path or bytes
    axis : {0, 1, 2}, default 2
        For volumes, the direction that is sliced.

    Raises
    ------
    ImageError
        If the file is no image.
    MissingExtraError
        If the format's library is not installed.
    """
    try:
        return _format(source).count(source, axis=axis)
    except (ImageError, MissingExtraError):
        raise
    except Exception as error:
        raise _as_image_error(error) from error


def format_of(source: Source) -> str:
    """Name the format of a file, a key of `READERS`; raises `ImageError` if it has none of them."""
    head = first_bytes(source)
    suffix = suffix_of(source)
    formats = _formats()
    for name, reader in formats.items():
        if reader.recognises(head):
            return name
    hinted = next((name for name, reader in formats.items() if suffix in reader.suffixes), None)
    if hinted and formats[hinted].may_lack_signature(head):
        return hinted
    if hinted:
        raise ImageError(f"it is called {suffix} but does not hold {hinted.upper()} data")
    raise ImageError(f"it is none of the formats that can be read ({', '.join(formats)})")


def _format(source: Source) -> Format:
    return _formats()[format_of(source)]


@cache
def _formats() -> dict[str, Format]:
    return {name: entry.load() for name, entry in READERS.items()}


def _as_image_error(error: Exception) -> ImageError:
    """Say what happened without quoting a library: its message may hold paths or parts of the file."""
    if isinstance(error, FileNotFoundError):
        return ImageError("the file is missing")
    if isinstance(error, PermissionError):
        return ImageError("the file may not be read (permission denied)")
    if isinstance(error, MemoryError):
        return ImageError("there is not enough memory to decode it")
    return ImageError(f"its data are damaged or of an unsupported kind ({type(error).__name__})")
