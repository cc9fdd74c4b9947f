"""Where a DICOM object says how its stored values become grey levels, and what it says there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import ImageError
from raresight.images.readers import grayscale
from raresight.images.readers.base import Pixels, View

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, slots=True)
class Samples:
    """How stored grey values become samples that a window has not touched, and back to output units.

    A sample is the stored value, counted from the least that its bits can hold; or, where black and white
    would be the wrong way round, counted down from the greatest.

    Attributes
    ----------
    bits : int
    table : Table or None
        The modality LUT, applied to stored values before all else.
    offset : int
        Added to a value.
    inverted : bool
    slope, intercept : float
        ``value = slope · sample + intercept`` in output units.
    window : (float, float) or None
        Values of `samples` that the object's window shows as black and as white.
    padding : float or None
        The stored value that is no measurement.
    """

    bits: int
    table: grayscale.Table | None
    offset: int
    inverted: bool
    slope: float
    intercept: float
    window: tuple[float, float] | None
    padding: float | None

    def view(self, stored: NDArray[Any]) -> View:
        """Give a decoded frame, (h, w) integers, as it is to be shown."""
        values = stored if self.table is None else self.table.look_up(stored)
        top = 2**self.bits - 1
        counted = np.clip(values.astype(np.int32) + self.offset, 0, top)
        sample = top - counted if self.inverted else counted
        pixels: Pixels = sample.astype(np.uint8) if self.bits <= 8 else sample.astype(np.uint16)
        low, high = self.window or self._range(pixels, stored)
        return View(pixels, False, low, high, self.slope, self.intercept)

    def _range(self, pixels: Pixels, stored: NDArray[Any]) -> tuple[float, float]:
        if self.bits <= 8:
            return 0.0, float(2**self.bits - 1)
        shown = pixels[stored != self.padding] if self.padding is not None else pixels
        shown = shown if shown.size else pixels
        return float(shown.min()), float(shown.max())


def samples_of(dataset: Dataset, frame: int) -> Samples | None:
    """Say how a grey frame is shown without its window; None where that is not one straight line.

    That is so for a VOI LUT, a sigmoid window, and values of more than 16 bits.
    """
    layers = layers_of(dataset, frame)
    if int(dataset.get("BitsAllocated") or 0) not in (8, 16):
        return None
    voi = voi_of(layers)
    if not (voi is None or (isinstance(voi, grayscale.Window) and voi.function != "SIGMOID")):
        return None
    lut = find_in(layers, "ModalityLUTSequence")
    signed = dataset.get("PixelRepresentation") == 1
    table = table_of(lut[0], dataset, signed=signed) if lut else None
    given, start = (number_of(find_in(layers, name)) for name in ("RescaleSlope", "RescaleIntercept"))
    slope, intercept = (1.0, 0.0) if lut else (1.0 if given is None else given, start or 0.0)
    bits = table.bits if table else int(dataset.get("BitsStored") or dataset.BitsAllocated)
    if slope == 0 or not 1 <= bits <= 16:
        return None
    offset = 2 ** (bits - 1) if signed and table is None else 0
    inverted = (dataset.get("PhotometricInterpretation") == "MONOCHROME1") != (slope < 0)
    # value = slope · (counted − offset) + intercept, and counted = top − sample where it is inverted
    intercept -= slope * offset
    if inverted:
        slope, intercept = -slope, intercept + slope * (2**bits - 1)
    window = None
    if voi is not None:
        low, high = sorted((value - intercept) / slope for value in voi.ends)
        window = (low, high)
    if not np.isfinite([slope, intercept, *(window or ())]).all():
        return None
    padding = number_of(dataset.get("PixelPaddingValue"))
    return Samples(bits, table, offset, inverted, slope, intercept, window, padding)


def voi_of(layers: list[Dataset]) -> grayscale.Voi | None:
    """Take the first VOI LUT, else the first window that makes sense, else nothing."""
    luts = find_in(layers, "VOILUTSequence")
    if luts and luts[0].get("LUTDescriptor") and luts[0].get("LUTData"):
        return table_of(luts[0], layers[-1], signed=False)
    centre, width = number_of(find_in(layers, "WindowCenter")), number_of(find_in(layers, "WindowWidth"))
    if centre is None or width is None:
        return None
    function = str(find_in(layers, "VOILUTFunction") or "LINEAR").upper()
    if width < 1 if function == "LINEAR" else width <= 0:
        return None  # PS3.3 C.11.2.1.2 forbids it, and yet it is common: as good as no window
    return grayscale.Window(centre, width, function)


def full_range(
    values: NDArray[Any], stored: NDArray[Any], rescale: grayscale.Rescale, dataset: Dataset, bits: int | None
) -> grayscale.Range:
    """Choose what is shown when no window says so: all that 8 bits can hold, else the values that occur."""
    if bits is not None:
        low = -(2 ** (bits - 1)) if values.dtype.kind == "i" else 0
        return grayscale.Range(low, low + 2**bits - 1)
    padding = number_of(dataset.get("PixelPaddingValue"))
    shown = values[stored != padding] if padding is not None else values
    shown = shown if shown.size else values
    ends = rescale(np.array([shown.min(), shown.max()]))
    return grayscale.Range(float(ends.min()), float(ends.max()))


def layers_of(dataset: Dataset, frame: int) -> list[Dataset]:
    """Where a grey-scale element may stand: this frame's functional groups, the shared ones, the object."""
    groups = [
        *list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1],
        *list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1],
    ]
    names = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
    items = [group.get(name) for group in groups for name in names]
    return [*(item[0] for item in items if item), dataset]


def find_in(layers: list[Dataset], keyword: str) -> Any:
    """Give the first value that is not empty; None if there is none."""
    found = (layer.get(keyword) for layer in layers)
    return next((value for value in found if value not in (None, "", [])), None)


def number_of(value: Any) -> float | None:
    """Give a finite number, the first of several; None for anything else."""
    if isinstance(value, (list, tuple)) or (
        hasattr(value, "__getitem__") and not isinstance(value, (str, bytes))
    ):
        value = value[0] if len(value) else None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) else None


def table_of(item: Dataset, dataset: Dataset, *, signed: bool) -> grayscale.Table:
    """Read a lookup table (PS3.3 C.11.1.1)."""
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    entries = entries or 65536
    data = item.LUTData
    if isinstance(data, bytes):
        wide = "<u2" if dataset.original_encoding[1] else ">u2"
        # Only the length tells one byte an entry from two (PS3.3 C.7.6.3.1.5).
        numbers = np.frombuffer(data, np.uint8 if len(data) < 2 * entries else wide)
    else:
        numbers = np.atleast_1d(np.asarray(data)).astype(np.int64) & 0xFFFF
    if signed and first > 32767:
        first -= 65536
    if not 1 <= bits <= 16 or not numbers.size:
        raise ImageError("it has a lookup table that cannot be right")
    return grayscale.Table(numbers.astype(np.uint16)[:entries], first, bits)
