"""What an image is like before any network sees it: its size, shape, colour, contrast, sharpness.

Only numpy is imported, so that a bundle can measure an image where nothing else is installed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raresight.errors import ImageError

Image = NDArray[np.uint8] | NDArray[np.uint16]

SIDE = 224
"""Pixels to which the longer side is averaged down before anything but size and shape is measured."""

TILES = 8
"""Rows and columns of tiles, in each of which colour is averaged, so that compression's fringes don't
count."""


def measure_image(image: Image) -> dict[str, float]:
    """Measure an image as it was read, before preprocessing.

    Parameters
    ----------
    image : (h, w) or (h, w, 3) uint8 or uint16 array

    Returns
    -------
    dict of str to float
        ``side``: the shorter one in pixels, as a power of two; ``shape``: width against height, as a power of
        two; ``brightness``: mean grey level, 0 … 1; ``colour``: the largest difference of red, green and
        blue, averaged in tiles, 0 … 1; ``contrast``: standard deviation of the grey level, as a power of two
        of full scale, from −10 on; ``sharpness``: the Laplacian's standard deviation against the grey
        level's, as a power of two, from −10 on; ``white``: share of pixels within 2 % of the brightest level
        of all; ``levels``: entropy of a histogram of 64 grey levels, 0 … 6 bits.

    Raises
    ------
    ImageError
        If it is no such array.
    """
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3) or 0 in image.shape:
        raise ImageError(f"cannot measure an array of {image.dtype} and shape {image.shape}")
    height, width = image.shape[:2]
    small = _averaged(image) / np.iinfo(image.dtype).max
    grey = sum(np.moveaxis(small, 2, 0)) / small.shape[2]
    deviation = float(grey.std())
    padded = np.pad(grey, 1, mode="edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    detail = float((4 * grey - around).std())
    counts = np.bincount(np.minimum((grey * 64).astype(np.int64), 63).ravel(), minlength=64)
    share = counts[counts > 0] / grey.size
    return {
        "side": float(np.log2(min(height, width))),
        "shape": float(np.log2(width / height)),
        "brightness": float(grey.mean()),
        "colour": _colour(small),
        "contrast": _power(deviation),
        "sharpness": _power(detail / max(deviation, 1e-9)),
        "white": float((grey >= 0.98).mean()),
        "levels": float(-(share * np.log2(share)).sum()),
    }


def _averaged(image: Image) -> NDArray[np.float64]:
    """Average squares of pixels, (h, w, 1 or 3) float64, so that the longer side is at most about `SIDE`."""
    planes = image[..., None] if image.ndim == 2 else image
    by = max(1, round(max(image.shape[:2]) / SIDE))
    by = min(by, *image.shape[:2])
    if by == 1:
        return planes.astype(np.float64)
    height, width = image.shape[0] // by * by, image.shape[1] // by * by
    cells = planes[:height, :width].reshape(height // by, by, width // by, by, -1)
    found: NDArray[np.float64] = cells.mean(axis=(1, 3), dtype=np.float64)
    return found


def _colour(small: NDArray[np.float64]) -> float:
    if small.shape[2] == 1:
        return 0.0
    rows, columns = (_starts(length, min(TILES, length)) for length in small.shape[:2])
    tiles = np.add.reduceat(np.add.reduceat(small, rows, axis=0), columns, axis=1)
    areas = np.outer(np.diff(rows, append=small.shape[0]), np.diff(columns, append=small.shape[1]))
    return float((np.ptp(tiles, axis=2) / areas).max())


def _starts(length: int, parts: int) -> NDArray[np.int64]:
    """Give where parts begin that are as equal as can be, the longer ones first."""
    part = np.arange(parts)
    starts: NDArray[np.int64] = part * (length // parts) + np.minimum(part, length % parts)
    return starts


def _power(value: float) -> float:
    return float(np.log2(max(value, 2.0**-10)))
