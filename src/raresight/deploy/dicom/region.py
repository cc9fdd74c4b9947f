"""The hottest place of a heatmap, in the coordinates of the image that was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HALF = 0.5
"""Share of the peak, above what counts as none, down to which the surroundings belong to the region."""


@dataclass(frozen=True, slots=True)
class Region:
    """An ellipse with level axes around the hottest place.

    Attributes
    ----------
    left, top, right, bottom : float
        In columns and rows from the outer edge of the image's first pixel, as DICOM counts them.
    """

    left: float
    top: float
    right: float
    bottom: float

    def ellipse(self) -> NDArray[np.float64]:
        """Give the ends of the longer axis, then of the shorter: (4, 2), columns and rows (PS3.3 C.18.6)."""
        x, y = (self.left + self.right) / 2, (self.top + self.bottom) / 2
        level = [[self.left, y], [self.right, y]]
        upright = [[x, self.top], [x, self.bottom]]
        wide = self.right - self.left >= self.bottom - self.top
        return np.array(level + upright if wide else upright + level)


def hottest_region(
    heat: NDArray[Any], shape: tuple[int, int], low: float, high: float | None = None
) -> Region | None:
    """Find the connected region around the peak of a heatmap.

    Parameters
    ----------
    heat : (h, w) float array
        In the frame of the image; NaN where nothing is known of it.
    shape : (int, int)
        Height and width of the image.
    low : float
        Heat that counts as none.
    high : float, optional
        Heat that counts as the most; what is above is as hot.

    Returns
    -------
    Region or None
        None where no place is warmer than `low`.
    """
    known = np.where(np.isfinite(heat), heat, -np.inf)
    top, left = np.unravel_index(int(known.argmax()), known.shape)
    peak = float(known[top, left])
    if not peak > low:
        return None
    peak = peak if high is None or high <= low else min(peak, high)
    warm = known >= low + HALF * (peak - low)
    rows, columns = _connected(warm, int(top), int(left))
    down, across = shape[0] / heat.shape[0], shape[1] / heat.shape[1]
    return Region(columns[0] * across, rows[0] * down, columns[1] * across, rows[1] * down)


def _connected(warm: NDArray[np.bool_], top: int, left: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and one past the last row and column of the 4-connected part that holds a pixel."""
    part = np.zeros_like(warm)
    part[top, left] = True
    while True:
        # Whole runs at a time along both axes, so that few rounds are needed whatever the size.
        grown = _runs(_runs(part, warm).T, warm.T).T
        if (grown == part).all():
            break
        part = grown
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def _runs(part: NDArray[np.bool_], warm: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Grow a part to the whole of each row's runs of warm pixels that it touches."""
    edges = np.diff(warm.astype(np.int8), axis=1, prepend=0) == 1
    number = np.cumsum(edges, axis=1) + np.arange(warm.shape[0])[:, None] * (warm.shape[1] + 1)
    touched = np.zeros(warm.shape[0] * (warm.shape[1] + 1) + 1, np.bool_)
    touched[number[part & warm]] = True
    grown: NDArray[np.bool_] = touched[number] & warm
    return grown
