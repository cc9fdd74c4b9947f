"""From a decoded image to the square that every detector sees, in training and in serving alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from raresight.errors import ImageError, OptionError

Image = NDArray[Any]
Resize = Literal["letterbox", "stretch"]

DARK = 0.06
"""Share of the brightest level below which a pixel counts as background."""


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How an image is cropped and resized.

    Attributes
    ----------
    size : int
        Side of the square in pixels.
    resize : {"letterbox", "stretch"}
        Keep the aspect ratio and pad with black, or fill the square.
    preset : str or None
        A modality of `PRESETS`, applied before resizing; None leaves the image as it is.
    """

    size: int = 224
    resize: Resize = "letterbox"
    preset: str | None = None

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 4096:
            raise OptionError(f"--size {self.size} is out of range; choose 16 to 4096 pixels")
        if self.resize not in ("letterbox", "stretch"):
            raise OptionError(f"unknown --resize {self.resize!r}; choose letterbox or stretch")
        if self.preset is not None and self.preset not in PRESETS:
            raise OptionError(f"unknown --preprocess {self.preset!r}; choose one of: {', '.join(PRESETS)}")

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, for hashes and for `run.json`."""
        return {**asdict(self), "version": 1}

    def __call__(self, image: Image) -> Image:
        """Preprocess one image.

        Parameters
        ----------
        image : (h, w) or (h, w, 3) array, uint8 or uint16

        Returns
        -------
        (size, size) or (size, size, 3) array of the same dtype

        Raises
        ------
        ImageError
            If the image has no extent or is not uint8 or uint16.
        """
        if image.dtype not in (np.uint8, np.uint16) or image.ndim not in (2, 3):
            raise ImageError(f"cannot preprocess an array of {image.dtype} and shape {image.shape}")
        if 0 in image.shape:
            raise ImageError("the image has no pixels")
        if self.preset is not None:
            image = PRESETS[self.preset](image)
        if self.resize == "stretch":
            return _resample(image, self.size, self.size)
        return _letterbox(image, self.size)


def crop_to_content(image: Image) -> Image:
    """Crop to the box that holds what is not background: a head, an eye's disc, a film's exposed field."""
    brightness = image.max(axis=2) if image.ndim == 3 else image
    top = float(np.percentile(brightness, 99.5))
    bright = brightness > DARK * top if top > 0 else np.zeros_like(brightness, dtype=bool)
    rows = np.flatnonzero(bright.mean(axis=1) > 0.02)
    columns = np.flatnonzero(bright.mean(axis=0) > 0.02)
    if not len(rows) or not len(columns):
        return image
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def stretch_window(image: Image) -> Image:
    """Spread the 0.5th to the 99.5th percentile of the content over the full range of the dtype."""
    full = np.iinfo(image.dtype).max
    content = image[image > 0]
    if not content.size:
        return image
    low, high = np.percentile(content, (0.5, 99.5))
    if high <= low:
        return image
    spread = (image.astype(np.float32) - low) * (full / (high - low))
    windowed: Image = np.clip(np.rint(spread), 0, full).astype(image.dtype)
    return windowed


def _film(image: Image) -> Image:
    return stretch_window(crop_to_content(image))


PRESETS: dict[str, Callable[[Image], Image]] = {
    "fundus": crop_to_content,
    "mri": crop_to_content,
    "ct": stretch_window,
    "xray": _film,
}
"""Modality → what is done before resizing."""


def _letterbox(image: Image, size: int) -> Image:
    height, width = image.shape[:2]
    scale = size / max(height, width)
    inner_height, inner_width = max(1, round(height * scale)), max(1, round(width * scale))
    square = np.zeros((size, size, *image.shape[2:]), image.dtype)
    top, left = (size - inner_height) // 2, (size - inner_width) // 2
    square[top : top + inner_height, left : left + inner_width] = _resample(image, inner_height, inner_width)
    return square


def _resample(image: Image, height: int, width: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    if image.dtype == np.uint8:
        resized = PillowImage.fromarray(image).resize((width, height), PillowImage.Resampling.BILINEAR)
        return np.asarray(resized)
    planes = image[..., None] if image.ndim == 2 else image
    resized_planes = [
        PillowImage.fromarray(planes[..., c].astype(np.float32)).resize(
            (width, height), PillowImage.Resampling.BILINEAR
        )
        for c in range(planes.shape[2])
    ]
    stacked = np.stack([np.asarray(plane) for plane in resized_planes], axis=-1)
    result: Image = np.clip(np.rint(stacked), 0, 65535).astype(np.uint16)
    return result[..., 0] if image.ndim == 2 else result
