"""From a decoded image to the square that every detector sees, in training and in serving alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from raresight.errors import ImageError, OptionError
from raresight.images.levels import count_levels, percentiles_of
from raresight.images.neutralise import check_neutralisers, cut_alike, match_intensity, neutralise
from raresight.images.resample import resample

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
    neutralise : tuple of str
        What is made the same for every image, any of `raresight.images.neutralise.NEUTRALISERS`; kept
        sorted, without repeats, as their order means nothing.
    """

    size: int = 224
    resize: Resize = "letterbox"
    preset: str | None = None
    neutralise: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 4096:
            raise OptionError(f"--size {self.size} is out of range; choose 16 to 4096 pixels")
        if self.resize not in ("letterbox", "stretch"):
            raise OptionError(f"unknown --resize {self.resize!r}; choose letterbox or stretch")
        if self.preset is not None and self.preset not in PRESETS:
            raise OptionError(f"unknown --preprocess {self.preset!r}; choose one of: {', '.join(PRESETS)}")
        check_neutralisers(self.neutralise)
        object.__setattr__(self, "neutralise", tuple(sorted(set(self.neutralise))))

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, for hashes and for `run.json`."""
        found = {**asdict(self), "neutralise": list(self.neutralise), "version": 1}
        if not self.neutralise:
            # Stores and runs made before there was a choice are still found.
            del found["neutralise"]
        return found

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
        if not self.neutralise:
            return self._resized(image)
        image, mask = neutralise(image, self.neutralise, self.preset, self.size)
        image = self._resized(image)
        if "intensity" in self.neutralise:
            image = match_intensity(image, self._resized(mask.astype(np.uint8) * 255) > 127)
        return image

    def mask(self, mask: NDArray[np.bool_], image: Image) -> NDArray[np.uint8]:
        """Give a lesion's mask the geometry that preprocessing gives its image.

        Parameters
        ----------
        mask : (h, w) bool array
        image : (h, w) or (h, w, 3) array
            As it was read; it decides what is cropped.

        Returns
        -------
        (size, size) uint8 array
            255 where at least half of a pixel is marked, else 0. A lesion too small for that keeps the pixels
            that it covers most, so that only cropping can take a lesion away.
        """
        share = self.place(mask.astype(np.uint8) * 255, image)
        return np.where(share >= min(128, max(1, int(share.max()))), 255, 0).astype(np.uint8)

    def place(self, plane: Image, image: Image, size: int | None = None) -> Image:
        """Crop and resize what goes with an image as the image itself is, its values left as they are.

        Parameters
        ----------
        plane : (h, w) or (h, w, 3) array, uint8 or uint16
            A mask, or the image in other grey levels.
        image : (h, w) or (h, w, 3) array
            As it was read; it decides what is cropped.
        size : int, optional
            Side of the result; by default `size`.

        Returns
        -------
        (size, size) or (size, size, 3) array of the plane's dtype
        """
        if self.preset in CROPPING:
            box = content_box(image)
            image, plane = image[box], plane[box]
        if self.neutralise:
            plane = cut_alike(plane, image, self.neutralise, self.preset, self.size)
        return replace(self, size=size or self.size)._resized(plane)

    def _resized(self, image: Image) -> Image:
        if self.resize == "stretch":
            return resample(image, self.size, self.size)
        return _letterbox(image, self.size)


def crop_to_content(image: Image) -> Image:
    """Crop to the box that holds what is not background: a head, an eye's disc, a film's exposed field."""
    return image[content_box(image)]


def content_box(image: Image) -> tuple[slice, slice]:
    """Find the rows and columns that `crop_to_content` keeps; all of them where there is no content."""
    brightness = image if image.ndim == 2 else reduce(np.maximum, np.moveaxis(image, 2, 0))
    (top,) = percentiles_of(count_levels(brightness), [99.5])
    bright = (brightness > DARK * top if top > 0 else np.zeros_like(brightness, dtype=bool)).view(np.uint8)
    height, width = bright.shape
    rows = np.flatnonzero(bright.sum(axis=1, dtype=np.uint32) / width > 0.02)
    columns = np.flatnonzero(bright.sum(axis=0, dtype=np.uint32) / height > 0.02)
    if not len(rows) or not len(columns):
        return slice(None), slice(None)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def stretch_window(image: Image) -> Image:
    """Spread the 0.5th to the 99.5th percentile of the content over the full range of the dtype."""
    full = np.iinfo(image.dtype).max
    counts = count_levels(image)
    counts[0] = 0
    if not counts.any():
        return image
    low, high = percentiles_of(counts, (0.5, 99.5))
    if high <= low:
        return image
    levels = np.arange(full + 1, dtype=np.float64)
    table = np.clip(np.rint((levels - low) * (full / (high - low))), 0, full).astype(image.dtype)
    windowed: Image = table[image]
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

CROPPING = ("fundus", "mri", "xray")
"""Those of `PRESETS` that begin with `crop_to_content`."""


def letterboxed(shape: tuple[int, int], size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Give height and width of an image inside its square, and the rows and columns in front of it."""
    height, width = shape
    scale = size / max(height, width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    return inner, ((size - inner[0]) // 2, (size - inner[1]) // 2)


def _letterbox(image: Image, size: int) -> Image:
    (inner_height, inner_width), (top, left) = letterboxed(image.shape[:2], size)
    square = np.zeros((size, size, *image.shape[2:]), image.dtype)
    square[top : top + inner_height, left : left + inner_width] = resample(image, inner_height, inner_width)
    return square
