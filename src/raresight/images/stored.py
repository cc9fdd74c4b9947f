"""One depth and one number of channels for every image of a set, in its store and in serving alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from raresight.errors import ImageError

Image = NDArray[Any]

GREY_TOLERANCE = 2
"""Largest difference between channels (of 255) at which an image still counts as grey."""

COLOURED = 16
"""Difference between channels (of 255) from which a detector of grey images refuses an image."""

DEEPER = 257
"""From 8 to 16 bits: 255 becomes 65,535."""


def is_grey(image: Image, tolerance: int = GREY_TOLERANCE) -> bool:
    """Tell whether no pixel's channels differ by more than a tolerance (of 255).

    Parameters
    ----------
    image : (h, w) or (h, w, c) array, uint8 or uint16
    tolerance : int
    """
    if image.ndim == 2 or image.shape[2] == 1:
        return True
    scale = DEEPER if image.dtype == np.uint16 else 1
    return bool(np.ptp(image.astype(np.int32), axis=2).max() <= tolerance * scale)


def as_stored(image: Image, channels: int, dtype: DTypeLike) -> Image:
    """Give an image the channels and depth of its set, neither less than its own unless it is grey.

    Parameters
    ----------
    image : (h, w) or (h, w, c) array, uint8 or uint16
    channels : {1, 3}
    dtype : dtype
        uint8, or uint16, to which 8 bits are spread.

    Returns
    -------
    (h, w, channels) array
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[2] < channels:
        image = np.repeat(image, channels, axis=2)
    elif image.shape[2] > channels:
        image = image[..., 1:2]  # grey within tolerance: green is the luminance closest to all three
    if image.dtype != dtype:
        image = image.astype(dtype) * np.asarray(DEEPER, dtype)
    return image


def as_served(image: Image, channels: int, dtype: DTypeLike) -> Image:
    """Give a new image the channels and depth of the set that a detector was trained on.

    Parameters
    ----------
    image : (h, w) or (h, w, c) array, uint8 or uint16
        Preprocessed.
    channels : {1, 3}
    dtype : dtype
        uint8, to which 16 bits are rounded, or uint16.

    Returns
    -------
    (h, w, channels) array

    Raises
    ------
    ImageError
        If the image is in colour and the set was grey.
    """
    if channels == 1 and not is_grey(image, COLOURED):
        raise ImageError("it is in colour, and the detector was trained on grey images")
    if image.dtype == np.uint16 and np.dtype(dtype) == np.uint8:
        image = np.rint(image.astype(np.float32) / np.float32(DEEPER)).astype(np.uint8)
    return as_stored(image, channels, dtype)
