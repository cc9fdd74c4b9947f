"""The grey-scale steps of DICOM as plain functions of arrays (PS3.3 C.11.1 and C.11.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from raresight.images.readers.base import Pixels, row_blocks

Floats = NDArray[np.float64]


class Voi(Protocol):
    """What maps the values of interest to 0 … 1."""

    def __call__(self, values: Floats) -> Floats:
        """Map values to 0 … 1."""
        ...


@dataclass(frozen=True, slots=True)
class Rescale:
    """The linear modality transformation (C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, stored: NDArray[Any]) -> Floats:
        """Turn stored values into output units, Hounsfield for instance."""
        return stored.astype(np.float64) * self.slope + self.intercept


@dataclass(frozen=True, slots=True)
class Window:
    """A window, as LINEAR, LINEAR_EXACT or SIGMOID function (C.11.2.1.2, C.11.2.1.3)."""

    centre: float
    width: float
    function: str = "LINEAR"

    def __call__(self, values: Floats) -> Floats:
        """Map the window to 0 … 1, what lies outside to the nearer end."""
        if self.function == "SIGMOID":
            exponent = np.clip(-4 * (values - self.centre) / self.width, -700, 700)
            return 1 / (1 + np.exp(exponent))
        centre, width = self.centre, self.width
        if self.function != "LINEAR_EXACT":
            centre, width = centre - 0.5, width - 1
        if width == 0:
            return (values > centre).astype(np.float64)
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)

    @property
    def ends(self) -> tuple[float, float]:
        """The values that are black and white; not of a sigmoid, which has none."""
        centre, width = self.centre, self.width
        if self.function != "LINEAR_EXACT":
            centre, width = centre - 0.5, width - 1
        return centre - width / 2, centre + width / 2


@dataclass(frozen=True, slots=True)
class Range:
    """A plain stretch from low to high; a range without extent shows nothing."""

    low: float
    high: float

    def __call__(self, values: Floats) -> Floats:
        """Map low … high to 0 … 1."""
        if not self.high > self.low:
            return np.zeros_like(values)
        return np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """A lookup table, for the modality or the VOI step (C.11.1.1.1, C.11.2.1.1).

    Attributes
    ----------
    entries : (n,) uint16 array
    first : int
        The value that the first entry is for; what lies below or above takes the first or last entry.
    bits : int
        How many bits an entry has.
    """

    entries: NDArray[np.uint16]
    first: int
    bits: int

    def look_up(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Give each value's entry."""
        place = np.clip(np.rint(values.astype(np.float64)) - self.first, 0, len(self.entries) - 1)
        found: NDArray[np.uint16] = self.entries[place.astype(np.int64)]
        return found

    def __call__(self, values: Floats) -> Floats:
        """Map values to 0 … 1 of what the table's bits can hold."""
        unit: Floats = np.clip(self.look_up(values) / (2**self.bits - 1), 0.0, 1.0)
        return unit


def render(values: NDArray[Any], rescale: Rescale, voi: Voi, top: int) -> Pixels:
    """Carry values through both steps to integers from 0 to `top`, 255 or 65535.

    Works through blocks of rows, so that no float64 copy of a large image is ever held.
    """
    out: Pixels = np.empty(values.shape, np.uint8 if top == 255 else np.uint16)
    for rows in row_blocks(values):
        out[rows] = np.rint(voi(rescale(values[rows])) * top)
    return out


def invert(pixels: Pixels) -> Pixels:
    """Swap black and white, as MONOCHROME1 asks for."""
    top = np.iinfo(pixels.dtype).max
    return np.subtract(top, pixels, dtype=pixels.dtype)
