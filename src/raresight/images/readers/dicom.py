"""DICOM images through pydicom, compressed ones through python-gdcm.

Grey values pass through the steps of PS3.3 C.7.6.3.1.2 and PS3.4 N.2, in that order: modality LUT (or
rescale), VOI LUT (or the first window), inversion of MONOCHROME1. The result fills its type: uint8 for up
to 8 stored bits that no rescale changes, else uint16. Without a window the frame's own range of values is
stretched, padding left out; 8-bit values without a window stay as they are. Colour becomes RGB.

Only image elements are parsed, never the patient's, and no message quotes a value of the file.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from raresight.errors import ImageError, MissingExtraError
from raresight.images.readers import grayscale
from raresight.images.readers.base import (
    Pixels,
    Source,
    View,
    check_finite,
    check_frame,
    check_size,
    open_source,
)
from raresight.images.readers.codestream import size_in_codestream
from raresight.images.readers.dicom_grey import (
    find_in,
    full_range,
    layers_of,
    number_of,
    samples_of,
    table_of,
    voi_of,
)
from raresight.images.readers.isolated import read_isolated, seconds_for

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

_DEFLATED = "1.2.840.10008.1.2.1.99"
_GDCM = "gdcm"
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOURS = ("Red", "Green", "Blue")
_ELEMENTS = [
    # Image Pixel module
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    # Modality LUT and VOI LUT modules, also as functional groups of enhanced objects
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    # Palettes
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in _COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in _COLOURS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in _COLOURS),
    # Where the frames of compressed data start
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
]


@dataclass(frozen=True, slots=True)
class _Header:
    """What is known before a pixel is decoded."""

    dataset: Dataset
    syntax: UID
    rows: int
    columns: int
    frames: int
    value_at: int
    """Where in the file the value of the pixel data element starts."""


class Dicom:
    """The DICOM format."""

    suffixes = (".dcm", ".dicom", ".dic", ".ima")

    def recognises(self, head: bytes) -> bool:
        """Tell from a file's first bytes whether it is DICOM."""
        return head[128:132] == b"DICM"

    def may_lack_signature(self, head: bytes) -> bool:
        """Old files lack the preamble and start with an element of group 0002 or 0008."""
        return head[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x08")

    def count(self, source: Source, *, axis: int) -> int:
        """Count the frames from the header."""
        with open_source(source) as stream:
            return _read_header(stream).frames

    def read(self, source: Source, frame: int, *, max_pixels: int, axis: int) -> Pixels:
        """Decode one frame, and no other."""
        stored, dataset = _stored(source, frame, max_pixels=max_pixels)
        return _render(stored, dataset, frame)

    def view(self, source: Source, frame: int, *, max_pixels: int, axis: int) -> View:
        """Decode one frame, its window left out if what remains can be shown by a straight line."""
        stored, dataset = _stored(source, frame, max_pixels=max_pixels)
        grey = dataset.PhotometricInterpretation in _GREY
        plain = grey and stored.ndim == 2 and stored.dtype.kind in "iu"
        samples = samples_of(dataset, frame) if plain else None
        return View(_render(stored, dataset, frame), grey) if samples is None else samples.view(stored)


DICOM = Dicom()


def decode_dicom(source: Source, frame: int, *, max_pixels: int) -> NDArray[Any]:
    """Decode one frame's stored values, colour as RGB, in this process: damaged data may end it."""
    with open_source(source) as stream:
        return _decode(stream, _checked(stream, frame, max_pixels), frame)


def _stored(source: Source, frame: int, *, max_pixels: int) -> tuple[NDArray[Any], Dataset]:
    """Decode one frame's stored values, in a helper process if its codec may crash."""
    with open_source(source) as stream:
        header = _checked(stream, frame, max_pixels)
        if not _may_crash(header.syntax):
            return _decode(stream, header, frame), header.dataset
    seconds = seconds_for(header.rows * header.columns)
    return read_isolated(source, frame, max_pixels, seconds), header.dataset


def _checked(stream: BinaryIO, frame: int, max_pixels: int) -> _Header:
    header = _read_header(stream)
    check_size((header.columns, header.rows), max_pixels)
    check_frame(frame, header.frames)
    _check_decoder(header.syntax)
    return header


def _render(stored: NDArray[Any], dataset: Dataset, frame: int) -> Pixels:
    if dataset.PhotometricInterpretation in _GREY:
        return _render_grey(stored, dataset, frame)
    return _render_colour(stored, dataset)


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtraError("DICOM files need pydicom: pip install 'raresight[dicom]'") from error
    return pydicom


def _read_header(stream: BinaryIO) -> _Header:
    """Parse the image elements in front of the pixel data, and check that they can be true."""
    pydicom = _pydicom()
    _refuse_deflated(stream)
    stream.seek(0)
    try:
        dataset = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=_ELEMENTS, force=True)
        rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
        frames = int(dataset.get("NumberOfFrames") or 1)
        syntax = _transfer_syntax(dataset)
    except Exception as error:
        raise ImageError("its DICOM header is damaged or incomplete") from error
    value_at = _find_pixel_data(stream, syntax)
    if not value_at or not rows or not columns:
        raise ImageError("it is a DICOM object without pixel data")
    # Any frame takes some bytes: a count beyond that is a lie that would become as many rows.
    if not 1 <= frames <= stream.seek(0, os.SEEK_END):
        raise ImageError("its header says more frames than the file can hold")
    if dataset.get("PhotometricInterpretation") not in _GREY | _COLOUR | {"PALETTE COLOR"}:
        raise ImageError("its photometric interpretation is missing or not supported")
    return _Header(dataset, syntax, rows, columns, frames, value_at)


def _refuse_deflated(stream: BinaryIO) -> None:
    """Look at the file meta information alone: pydicom inflates such a file whole, to any size."""
    from pydicom.filereader import read_dataset, read_preamble

    try:
        read_preamble(stream, force=True)
        meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
        syntax = str(meta.get("TransferSyntaxUID", ""))
    except Exception as error:
        raise ImageError("its DICOM header is damaged or incomplete") from error
    if syntax == _DEFLATED:
        raise ImageError(
            "it is stored in the deflated transfer syntax, which is refused; convert it (dcmconv)"
        )


def _transfer_syntax(dataset: Dataset) -> UID:
    """Take the transfer syntax from the meta information, or from how the file was found to be encoded."""
    from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    named = dataset.file_meta.get("TransferSyntaxUID")
    if named:
        return UID(named)
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _find_pixel_data(stream: BinaryIO, syntax: UID) -> int:
    """Give where the value of the element that the stream stands at starts; 0 if there is none."""
    element = stream.read(8)
    return stream.tell() + (0 if syntax.is_implicit_VR else 4) if len(element) == 8 else 0


def _decode(stream: BinaryIO, header: _Header, frame: int) -> NDArray[Any]:
    """Decode one frame as stored, except that YBR has become RGB."""
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    if header.syntax.is_encapsulated:
        _check_codestream(stream, header, frame)
    try:
        # By one library alone: which others are installed must change no score, and brings more to attack.
        plugin = _GDCM if _may_crash(header.syntax) else ""
        stored: NDArray[Any] = pixel_array(
            stream, index=frame, transfer_syntax_uid=header.syntax, decoding_plugin=plugin
        )
        if header.dataset.PhotometricInterpretation == "PALETTE COLOR":
            stored = apply_color_lut(stored, header.dataset)
    except MemoryError:
        raise
    except Exception as error:
        raise ImageError("its pixel data are truncated, damaged or of an unsupported kind") from error
    check_finite(stored)
    return stored


def _check_decoder(syntax: UID) -> None:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise ImageError(f"its transfer syntax is not supported ({syntax.name})") from error
    if not _may_crash(syntax):
        return
    if any(_GDCM in needed for needed in decoder.missing_dependencies):
        raise MissingExtraError("compressed DICOM files need python-gdcm: pip install 'raresight[dicom]'")
    if _GDCM not in decoder.available_plugins:
        raise ImageError(f"its transfer syntax is not supported ({syntax.name})")


def _may_crash(syntax: UID) -> bool:
    """Tell whether a C++ library decodes; native and run-length data are pydicom's own, in Python."""
    from pydicom.uid import RLELossless

    return syntax.is_encapsulated and syntax != RLELossless


def _check_codestream(stream: BinaryIO, header: _Header, frame: int) -> None:
    """Hold the size in the compressed data to that in the header: the decoder believes the former."""
    from pydicom.encaps import get_frame

    stream.seek(header.value_at)
    offsets = (header.dataset.get("ExtendedOffsetTable"), header.dataset.get("ExtendedOffsetTableLengths"))
    try:
        data = get_frame(
            stream, frame, number_of_frames=header.frames, extended_offsets=offsets if all(offsets) else None
        )
    except Exception as error:
        raise ImageError("its compressed pixel data are truncated or damaged") from error
    size = size_in_codestream(io.BytesIO(data).getbuffer())
    if size not in (None, (header.columns, header.rows)):
        raise ImageError("its compressed data have another size than its header says")


def _render_grey(stored: NDArray[Any], dataset: Dataset, frame: int) -> Pixels:
    if stored.ndim != 2:
        raise ImageError("it says that it is grey and has several samples per pixel")
    layers = layers_of(dataset, frame)
    lut = find_in(layers, "ModalityLUTSequence")
    slope, intercept = (
        number_of(find_in(layers, "RescaleSlope")),
        number_of(find_in(layers, "RescaleIntercept")),
    )
    if lut:
        table = table_of(lut[0], dataset, signed=dataset.get("PixelRepresentation") == 1)
        values, bits, widened = table.look_up(stored), table.bits, table.bits > 8
        rescale = grayscale.Rescale()
    else:
        values, bits = stored, int(dataset.get("BitsStored") or 8 * stored.dtype.itemsize)
        rescale = grayscale.Rescale(1.0 if slope is None else slope, intercept or 0.0)
        widened = rescale != grayscale.Rescale()
    as_byte = bits <= 8 and stored.dtype.kind != "f" and not widened
    voi = voi_of(layers) or full_range(values, stored, rescale, dataset, bits if as_byte else None)
    pixels = grayscale.render(values, rescale, voi, 255 if as_byte else 65535)
    return pixels if dataset.PhotometricInterpretation == "MONOCHROME2" else grayscale.invert(pixels)


def _render_colour(stored: NDArray[Any], dataset: Dataset) -> Pixels:
    if stored.ndim != 3 or stored.shape[2] < 3 or stored.dtype.kind != "u":
        raise ImageError("it says that it is in colour and has not three samples per pixel")
    stored = stored[..., :3]
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        # Palettes of 16 bits hold 8-bit colours, in the upper byte or in both.
        return stored if stored.dtype.itemsize == 1 else (stored >> 8).astype(np.uint8)
    bits = int(dataset.get("BitsStored") or 8 * stored.dtype.itemsize)
    top = 255 if bits <= 8 else 65535
    return grayscale.render(stored, grayscale.Rescale(), grayscale.Range(0, 2**bits - 1), top)
