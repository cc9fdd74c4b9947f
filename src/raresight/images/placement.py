"""Where a place of the preprocessed square lies in the image that it was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.images.neutralise import part_kept
from raresight.images.preprocess import CROPPING, PRESETS, Preprocess, content_box, letterboxed

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Placement:
    """Scale and offset of each axis, rows first: square = scale · source + offset.

    Coordinates count from the outer edge of the first pixel, so that a pixel's centre is at its number plus
    a half, as DICOM counts them (PS3.3 C.18.6.1.1).

    Attributes
    ----------
    scale, offset : (float, float)
    shape : (int, int)
        Of the source: height, width.
    """

    scale: tuple[float, float]
    offset: tuple[float, float]
    shape: tuple[int, int]

    def to_square(self, points: Floats) -> Floats:
        """Bring (n, 2) points, row and column, from the source image to the square."""
        square: Floats = points * np.array(self.scale) + np.array(self.offset)
        return square

    def to_source(self, points: Floats) -> Floats:
        """Bring (n, 2) points, row and column, from the square to the source image."""
        source: Floats = (points - np.array(self.offset)) / np.array(self.scale)
        return source

    def plane_in_source(self, plane: NDArray[Any], size: int, shape: tuple[int, int]) -> Floats:
        """Show a plane that covers the square, such as a heatmap, in the source's frame.

        Parameters
        ----------
        plane : (h, w) float array
            Interpolated between its pixels' centres, bilinearly.
        size : int
            Side of the square.
        shape : (int, int)
            Height and width of the result, which covers all of the source image.

        Returns
        -------
        (*shape) float64 array
            NaN where the square shows nothing of the source.
        """
        axes = []
        for axis in (0, 1):
            centres = (np.arange(shape[axis]) + 0.5) * self.shape[axis] / shape[axis]
            square = centres * self.scale[axis] + self.offset[axis]
            inside = (square >= 0) & (square <= size)
            place = np.clip(square * plane.shape[axis] / size - 0.5, 0, plane.shape[axis] - 1)
            axes.append((place, inside))
        (rows, rows_in), (columns, columns_in) = axes
        found = _bilinear(plane.astype(np.float64), rows, columns)
        found[~rows_in, :] = np.nan
        found[:, ~columns_in] = np.nan
        return found


def place(preprocess: Preprocess, image: NDArray[Any]) -> Placement:
    """Find out what preprocessing does to an image's geometry.

    Parameters
    ----------
    preprocess : Preprocess
    image : (h, w) or (h, w, 3) array
        As it was read.

    Returns
    -------
    Placement
    """
    height, width = image.shape[:2]
    scale, offset = np.ones(2), np.zeros(2)
    if preprocess.preset in CROPPING:
        box = content_box(image)
        offset = -np.array([side.start or 0 for side in box], np.float64)
    if preprocess.preset is not None:
        image = PRESETS[preprocess.preset](image)
    part = part_kept(image, preprocess.neutralise, preprocess.preset, preprocess.size)
    inner: tuple[int, int] = image.shape[:2]
    if part is not None:
        (left, top, right, bottom), inner = part
        grown = np.array([inner[0] / (bottom - top), inner[1] / (right - left)])
        scale, offset = scale * grown, (offset - np.array([top, left])) * grown
    size = preprocess.size
    if preprocess.resize == "stretch":
        (high, wide), (above, beside) = (size, size), (0, 0)
    else:
        (high, wide), (above, beside) = letterboxed(inner, size)
    fit = np.array([high / inner[0], wide / inner[1]])
    scale, offset = scale * fit, offset * fit + np.array([above, beside])
    return Placement((scale[0], scale[1]), (offset[0], offset[1]), (height, width))


def _bilinear(plane: Floats, rows: Floats, columns: Floats) -> Floats:
    down = np.minimum(rows.astype(int), max(0, plane.shape[0] - 2))
    right = np.minimum(columns.astype(int), max(0, plane.shape[1] - 2))
    below, beside = np.minimum(down + 1, plane.shape[0] - 1), np.minimum(right + 1, plane.shape[1] - 1)
    y, x = (rows - down)[:, None], (columns - right)[None, :]
    upper = plane[down][:, right] * (1 - x) + plane[down][:, beside] * x
    lower = plane[below][:, right] * (1 - x) + plane[below][:, beside] * x
    found: Floats = upper * (1 - y) + lower * y
    return found
