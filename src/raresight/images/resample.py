"""Resizing, the same for 8 and 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

Box = tuple[float, float, float, float]


def resample(image: NDArray[Any], height: int, width: int, box: Box | None = None) -> NDArray[Any]:
    """Resize an image or a part of it, bilinear, averaging where it shrinks.

    Parameters
    ----------
    image : (h, w) or (h, w, c) array, uint8 or uint16
    height, width : int
        Of the result.
    box : (left, top, right, bottom), optional
        The part, in pixels and fractions of them, inside the image; all of it by default.

    Returns
    -------
    (height, width) or (height, width, c) array of the same dtype
    """
    whole = (0, 0, image.shape[1], image.shape[0])
    if image.shape[:2] == (height, width) and (box is None or box == whole):
        return image
    if image.dtype == np.uint8:
        return _resized(image, height, width, box)
    planes = image[..., None] if image.ndim == 2 else image
    resized = [
        _resized(planes[..., c].astype(np.float32), height, width, box) for c in range(planes.shape[2])
    ]
    stacked: NDArray[Any] = np.clip(np.rint(np.stack(resized, axis=-1)), 0, 65535).astype(np.uint16)
    return stacked[..., 0] if image.ndim == 2 else stacked


def _resized(image: NDArray[Any], height: int, width: int, box: Box | None) -> NDArray[Any]:
    bilinear = PillowImage.Resampling.BILINEAR
    return np.asarray(PillowImage.fromarray(image).resize((width, height), bilinear, box))
