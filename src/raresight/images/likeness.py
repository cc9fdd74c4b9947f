"""What two copies of one picture have in common: local structure, whatever its contrast, frame or turn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

SIDE = 64
"""Side of a canvas in pixels: fine enough to tell neighbouring slices apart, coarse enough for any copy."""

TURNS = 8
"""The symmetries of the square: four quarter turns, each as it is and mirrored."""

FRAMES = ("whole", "content")
"""What of an image fills its canvas: all of it, or the box that holds more than background."""

DIFFERENT = 0.08
"""Share of an image's range by which a pixel differs from the background when it counts as content."""

ITERATIONS = 6
LEAST_OVERLAP = 0.6
LARGEST_SCALE = 1.3


def grey(image: NDArray[Any]) -> Floats:
    """Give the luminance of an (h, w, c) uint8 or uint16 image, 0 … 255."""
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.asarray(PillowImage.fromarray(image).convert("L"), dtype=np.float32)
    full = 257.0 if image.dtype == np.uint16 else 1.0
    mean: Floats = image.mean(axis=2, dtype=np.float32) / np.float32(full)
    return mean


def canvases(image: NDArray[Any]) -> Floats:
    """Fill one canvas a frame of `FRAMES`.

    Parameters
    ----------
    image : (h, w, c) uint8 or uint16 array

    Returns
    -------
    (2, SIDE, SIDE) float32 array
    """
    whole = _without_bars(grey(image))
    shown = np.abs(whole - _background(whole)) > DIFFERENT * float(np.ptp(whole))
    return np.stack([_squashed(whole), _squashed(_cropped(whole, shown))])


def _without_bars(shades: Floats) -> Floats:
    """Take off the bars that letterboxing put at two opposite sides: a brighter copy's stay black."""
    rows = np.flatnonzero(shades.any(axis=1))
    columns = np.flatnonzero(shades.any(axis=0))
    if not len(rows):
        return shades
    height, width = shades.shape
    bars = min(rows[0], height - 1 - rows[-1]), min(columns[0], width - 1 - columns[-1])
    if bars[0] >= bars[1]:
        return shades[bars[0] : height - bars[0]]
    return shades[:, bars[1] : width - bars[1]]


def _background(shades: Floats) -> float:
    """Take the corners' darkest: of a head or a disc nothing reaches all four."""
    deep = max(1, min(shades.shape) // 16)
    corners = (shades[:deep, :deep], shades[:deep, -deep:], shades[-deep:, :deep], shades[-deep:, -deep:])
    return float(min(np.median(corner) for corner in corners))


def _cropped(shades: Floats, shown: NDArray[np.bool_]) -> Floats:
    rows = np.flatnonzero(shown.mean(axis=1) > 0.02)
    columns = np.flatnonzero(shown.mean(axis=0) > 0.02)
    if len(rows) < 8 or len(columns) < 8:
        return shades
    return shades[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _squashed(shades: Floats) -> Floats:
    picture = PillowImage.fromarray(np.ascontiguousarray(shades))
    return np.asarray(picture.resize((SIDE, SIDE), PillowImage.Resampling.BILINEAR), dtype=np.float32)


def structure(pictures: Floats) -> Floats:
    """Keep what is neither brightness nor contrast: detail around the local mean, over its local strength.

    Parameters
    ----------
    pictures : (n, p, p) float32 array

    Returns
    -------
    (n, p, p) float32 array, about −3 … 3; all zero for a blank picture
    """
    side = pictures.shape[1]
    smooth = _blurred(pictures, side / 80)
    detail = smooth - _blurred(smooth, side / 20)
    strength = np.sqrt(np.maximum(_blurred(detail**2, side / 12), 0))
    floor = 0.25 * detail.std(axis=(1, 2), keepdims=True) + 0.05
    found: Floats = (detail / (strength + floor)).astype(np.float32)
    return found


def _blurred(pictures: Floats, sigma: float) -> Floats:
    blurred: Floats = gaussian_filter(pictures, (0, sigma, sigma), mode="nearest")
    return blurred


def turned(pictures: Floats, turn: int) -> Floats:
    """Turn pictures by ``turn % 4`` quarters, from 4 on mirrored first."""
    if turn >= 4:
        pictures = pictures[:, :, ::-1]
    return np.ascontiguousarray(np.rot90(pictures, turn % 4, axes=(1, 2)))


def turned_back(turn: int) -> int:
    """Give the turn that undoes one; a mirrored one undoes itself."""
    return turn if turn >= 4 else -turn % 4


def resampled(pictures: Floats, scale: NDArray[Any], shift: NDArray[Any], side: int) -> tuple[Floats, Floats]:
    """Look at pictures through frames of another size and place.

    Parameters
    ----------
    pictures : (n, p, p) float32 array
    scale, shift : (n, 2) arrays
        Of rows and columns: point u of the result, −1 … 1, shows ``scale * u + shift``.
    side : int
        Of the result.

    Returns
    -------
    seen : (n, side, side) float32 array
        0 beyond the picture's edge.
    inside : (n, side, side) float32 array
        1 where the picture has something to show, else 0.
    """
    size = pictures.shape[1]
    u = ((np.arange(side) + 0.5) * 2 / side - 1).astype(np.float32)
    seen = pictures
    masks = []
    for axis in (0, 1):
        at = scale[:, axis, None] * u + shift[:, axis, None]
        at = ((at + 1) * size - 1) / 2
        masks.append((at >= -0.5) & (at <= size - 0.5))
        at = np.clip(at, 0, size - 1)
        low = np.minimum(at.astype(np.int64), size - 2)
        part = (at - low).astype(np.float32)
        wide = (slice(None), slice(None), None) if axis == 0 else (slice(None), None, slice(None))
        first = np.take_along_axis(seen, low[wide], axis=1 + axis)
        second = np.take_along_axis(seen, low[wide] + 1, axis=1 + axis)
        seen = first + (second - first) * part[wide]
    inside = (masks[0][:, :, None] & masks[1][:, None, :]).astype(np.float32)
    return seen * inside, inside


def likeness(
    first: Floats, second: Floats, scale: NDArray[Any], shift: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Correlate structures after laying the second over the first, from a first guess on.

    Scale and shift of rows and columns are refined by the inverse compositional algorithm (Baker and
    Matthews, Lucas–Kanade 20 years on, 2004), all pairs at once.

    Parameters
    ----------
    first, second : (m, p, p) float32 arrays
        From `structure`.
    scale, shift : (m, 2) arrays
        The guess, as in `resampled`.

    Returns
    -------
    correlation : (m,) float64 array, −1 … 1
        0 where too little overlaps or the frames differ too much.
    scale, shift : (m, 2) float64 arrays
    """
    side = first.shape[1]
    u = ((np.arange(side) + 0.5) * 2 / side - 1).astype(np.float32)
    down, across = np.gradient(first, 2 / side, axis=(1, 2))
    slopes = np.stack([down * u[:, None], across * u, down, across], axis=1).reshape(len(first), 4, -1)
    scale, shift = scale.astype(np.float64), shift.astype(np.float64)
    for _ in range(ITERATIONS):
        seen, inside = resampled(second, scale, shift, side)
        gap = (seen - first) * inside
        masked = slopes * inside.reshape(len(first), 1, -1)
        normal = masked @ slopes.transpose(0, 2, 1)
        force = masked @ gap.reshape(len(first), -1, 1)
        ridge = 1e-3 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(4) + 1e-6 * np.eye(4)
        step = np.clip(
            np.linalg.solve((normal + ridge).astype(np.float64), force.astype(np.float64))[..., 0], -0.1, 0.1
        )
        scale = scale / (1 + step[:, :2])
        shift = shift - scale * step[:, 2:]
        scale = np.clip(scale, 0.6, 1.6)
        shift = np.clip(shift, -0.5, 0.5)
    seen, inside = resampled(second, scale, shift, side)
    return _correlation(first, seen, inside, scale), scale, shift


def _correlation(first: Floats, seen: Floats, inside: Floats, scale: NDArray[Any]) -> NDArray[Any]:
    count = inside.sum(axis=(1, 2))
    least = np.maximum(count, 1)[:, None, None]
    a = (first - (first * inside).sum(axis=(1, 2), keepdims=True) / least) * inside
    b = (seen - seen.sum(axis=(1, 2), keepdims=True) / least) * inside
    power = (a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2))
    value = (a * b).sum(axis=(1, 2)) / np.sqrt(np.maximum(power, 1e-12))
    fits = (count >= LEAST_OVERLAP * first[0].size) & (
        np.abs(np.log(scale)).max(axis=1) <= np.log(LARGEST_SCALE)
    )
    return np.where(fits, value, 0.0).astype(np.float64)
