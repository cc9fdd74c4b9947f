"""What two copies of one picture have in common: local structure, whatever its contrast, frame or turn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

SIDE = 128
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

CELLS = 16
"""Cells a side that agreement is counted in; two by two of them make a window."""

FLAT = 0.3
"""Strength of detail, in grey levels of 255, below which a window shows nothing."""

WEAKEST = 0.1
"""Share of the windows, by weight, that may agree less: text, arrows and lines drawn on one of two copies."""


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


def shrunk(pictures: NDArray[Any], factor: int) -> Floats:
    """Average squares of ``factor`` × ``factor`` pixels: (n, p, p) → (n, p / factor, p / factor) float32."""
    n, side, _ = pictures.shape
    cells = pictures.reshape(n, side // factor, factor, side // factor, factor)
    return np.asarray(cells.mean(axis=(2, 4), dtype=np.float32))


def structure(pictures: Floats, floor: tuple[float, float] = (0.25, 0.05)) -> Floats:
    """Keep what is neither brightness nor contrast: detail around the local mean, over its local strength.

    Parameters
    ----------
    pictures : (n, p, p) float32 array
    floor : (float, float)
        What is added to the local strength: a share of the whole picture's, and grey levels. The lower the
        share, the more does faint texture count beside an outline.

    Returns
    -------
    (n, p, p) float32 array, about −3 … 3; all zero for a blank picture
    """
    side = pictures.shape[1]
    smooth = blurred(pictures, side / 80)
    detail = smooth - blurred(smooth, side / 20)
    strength = np.sqrt(np.maximum(blurred(detail**2, side / 12), 0))
    least = floor[0] * detail.std(axis=(1, 2), keepdims=True) + floor[1]
    found: Floats = (detail / (strength + least)).astype(np.float32)
    return found


def blurred(pictures: Floats, sigma: float) -> Floats:
    """Smooth each picture by a Gaussian of `sigma` pixels."""
    smooth: Floats = gaussian_filter(pictures, (0, sigma, sigma), mode="nearest")
    return smooth


def turned(pictures: NDArray[Any], turn: int) -> NDArray[Any]:
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


def detail(pictures: NDArray[Any]) -> Floats:
    """Keep edges and texture a few pixels wide: what two pictures of alike outline do not share.

    Parameters
    ----------
    pictures : (n, p, p) uint8 or float32 array

    Returns
    -------
    (n, p, p) float32 array, in grey levels
    """
    floats = pictures.astype(np.float32)
    side = floats.shape[1]
    found: Floats = blurred(floats, side / 160) - blurred(floats, side / 32)
    return found


def agreement(first: Floats, second: Floats, scale: NDArray[Any], shift: NDArray[Any]) -> NDArray[Any]:
    """Tell how well the detail of two pictures agrees in nearly every window that has any.

    In each window the two are correlated; a window counts by its stronger detail, up to the picture's
    median, so that neither an outline nor a flat background decides. The result is the correlation that
    all but `WEAKEST` of the windows reach: copies agree everywhere, while pictures of one kind, or
    neighbouring slices, agree in their outlines and differ within.

    Parameters
    ----------
    first, second : (m, p, p) float32 arrays
        From `detail`.
    scale, shift : (m, 2) arrays
        What lays the second over the first, from `likeness`.

    Returns
    -------
    (m,) float64 array, −1 … 1
        0 where neither picture shows anything.
    """
    side = first.shape[1]
    seen, inside = resampled(second, scale, shift, side)
    first = first * inside
    count, a, b, aa, bb, ab = (
        _windows(x) for x in (inside, first, seen, first * first, seen * seen, first * seen)
    )
    size = np.maximum(count, 1)
    strength = [np.sqrt(np.maximum(q / size - (s / size) ** 2, 0)) for s, q in ((a, aa), (b, bb))]
    shared = ab / size - a * b / size**2
    value = shared / (strength[0] * strength[1] + 1e-3)
    weight = np.maximum(*(_relative(part) for part in strength))
    weight = np.minimum(weight, 1) * (np.maximum(*strength) > FLAT) * (count >= count.max() / 2)
    order = np.argsort(value, axis=1)
    summed = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    place = (summed < WEAKEST * summed[:, -1:]).sum(axis=1)
    found = np.take_along_axis(np.take_along_axis(value, order, axis=1), place[:, None], axis=1)[:, 0]
    return np.where(summed[:, -1] > 1, found, 0.0).astype(np.float64)


def _windows(pictures: Floats) -> Floats:
    """Sum over overlapping windows of two by two cells: (m, windows)."""
    m, side, _ = pictures.shape
    cells = pictures.reshape(m, CELLS, side // CELLS, CELLS, side // CELLS).sum(axis=(2, 4))
    sums = cells[:, 1:] + cells[:, :-1]
    windows: Floats = (sums[:, :, 1:] + sums[:, :, :-1]).reshape(m, -1)
    return windows


def _relative(strength: Floats) -> Floats:
    """Divide by the median of the windows that show something."""
    shown = np.where(strength > FLAT, strength, np.nan)
    shown[np.isnan(shown).all(axis=1)] = 1.0
    relative = strength / np.nanmedian(shown, axis=1, keepdims=True)
    return relative.astype(np.float32)
