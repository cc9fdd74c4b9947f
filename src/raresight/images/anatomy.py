"""What of an image is anatomy - a fundus's disc, a head - and what is the frame around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import OptionError

Mask = NDArray[np.bool_]

WORKING_SIDE = 128
"""Longer side in pixels at which the anatomy is told from other bright things; its outline is exact."""

FAINTEST = 0.12
"""Share of the way from the corners' darkness to bright tissue at which a head begins."""

DIMMEST_DISC = 0.06
"""The same for a fundus's disc, whose badly lit part may be much dimmer than the rest."""

CONTRAST = 0.03
"""Least difference, as a share of the brightest, between background and anatomy."""

RULE = 0.25
"""Share of a side by which a line of the image must be fuller than the third one further in to be a rule."""

SMALLEST = 0.02
"""Share of the image below which what was found is not an anatomy but a speck."""

FEWEST_POINTS = 12
"""Points of outline, inside the frame, that an ellipse is fitted to at the least."""


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An upright ellipse in pixels; a pixel's centre has whole coordinates.

    Attributes
    ----------
    x, y : float
        Centre: column and row.
    width, height : float
        Half axes along columns and rows.
    """

    x: float
    y: float
    width: float
    height: float

    def inside(self, shape: tuple[int, int]) -> Mask:
        """Tell which pixels of an image of (h, w) lie inside: (h, w) bool."""
        y, x = np.ogrid[: shape[0], : shape[1]]
        inside: Mask = ((x - self.x) / self.width) ** 2 + ((y - self.y) / self.height) ** 2 <= 1
        return inside


def anatomy_mask(image: NDArray[Any], preset: str | None = None) -> Mask:
    """Tell anatomy from the frame around it.

    Brightness above the background, the component with the most solid part, gaps closed between its
    outermost pixels. Burned-in text, a patient's tag or a scale beside the anatomy are left out.

    Parameters
    ----------
    image : (h, w) or (h, w, 3) array, uint8 or uint16
        Decoded, before or after resizing.
    preset : {"fundus", "mri", "ct", "xray"}, optional
        Modality. Of a fundus the brightest channel counts - its disc is red, and dim in green and blue -
        of all others the mean.

    Returns
    -------
    (h, w) bool array
        True where there is anatomy; True everywhere when nothing can be told apart (an image without a
        background, black, or blank).

    Raises
    ------
    OptionError
        If the array is not a grey or RGB image.
    """
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise OptionError(f"an anatomy is sought in images of (h, w) or (h, w, 3), not {image.shape}")
    brightness = _brightness(image, preset)
    step = -(-max(brightness.shape) // WORKING_SIDE)
    coarse = _reduced(brightness, step)
    panels = _panels(coarse)
    level = _background_level(np.where(panels, coarse.min(), coarse), preset)
    everything = np.ones(image.shape[:2], bool)
    if level is None:
        return everything
    solid = _main_component(_opened(_filled(_without_rules((coarse > level) & ~panels))))
    near = (
        _grow(solid).repeat(step, axis=0).repeat(step, axis=1)[: brightness.shape[0], : brightness.shape[1]]
    )
    mask = _filled((brightness > level) & near)
    return mask if mask.mean() >= SMALLEST else everything


def disc_ellipse(mask: Mask) -> Ellipse | None:
    """Fit an upright ellipse to an anatomy's outline, least squares, outliers trimmed.

    Only outline inside the frame counts, so that a disc which the frame cuts off is found as the whole
    disc it was.

    Parameters
    ----------
    mask : (h, w) bool array
        From `anatomy_mask`.

    Returns
    -------
    Ellipse or None
        None if too little outline lies inside the frame, or none that an ellipse can follow.

    References
    ----------
    Fitzgibbon, Pilu, Fisher: Direct least square fitting of ellipses. IEEE TPAMI 21 (1999); here upright,
    which makes the fit linear.
    """
    points = _outline(mask)
    found = None
    for _ in range(5):
        if len(points) < FEWEST_POINTS:
            return None
        found = _fit(points)
        if found is None:
            return None
        off = np.abs(
            np.hypot((points[:, 0] - found.x) / found.width, (points[:, 1] - found.y) / found.height) - 1
        )
        # A notch, a tab or an eyelid is no part of the ellipse.
        kept = points[off <= max(0.015, 2.5 * float(np.median(off)))]
        if len(kept) == len(points):
            break
        points = kept
    return found


def _brightness(image: NDArray[Any], preset: str | None) -> NDArray[np.float32]:
    if image.ndim == 3:
        image = image.max(axis=2) if preset == "fundus" else image.mean(axis=2, dtype=np.float32)
    return np.asarray(image, np.float32)


def _background_level(brightness: NDArray[np.float32], preset: str | None) -> float | None:
    """Find the brightness at which anatomy begins; None where nothing is darker than the rest."""
    floor, top = (float(v) for v in np.percentile(brightness, (0.5, 99)))
    if top - floor < CONTRAST * max(1.0, top):
        return None
    if preset == "fundus":
        return floor + DIMMEST_DISC * (top - floor)
    dark, noise = _corner(brightness)
    return dark + max(3 * noise, FAINTEST * (float(np.percentile(brightness, 90)) - dark))


def _corner(brightness: NDArray[np.float32]) -> tuple[float, float]:
    """Level and noise of the second darkest corner: a head leaves two free, or more.

    Median and absolute deviation, since a letter often stands in a corner.
    """
    height, width = (max(1, side // 12) for side in brightness.shape)
    rows, columns = (slice(height), slice(-height, None)), (slice(width), slice(-width, None))
    patches = sorted((brightness[r, c] for r in rows for c in columns), key=lambda p: float(np.median(p)))
    level = float(np.median(patches[1]))
    return level, 1.4826 * float(np.median(np.abs(patches[1] - level)))


def _reduced(brightness: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Average blocks of step × step pixels; the frame's last blocks repeat its edge."""
    height, width = brightness.shape
    padded = np.pad(brightness, ((0, -height % step), (0, -width % step)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _panels(brightness: NDArray[np.float32]) -> Mask:
    """Find white panels and printed frames: lines at the sides that are as bright as anything."""
    white = brightness > 0.85 * float(brightness.max())
    panels = np.zeros_like(white)
    for lines, marked in ((white, panels), (white.T, panels.T)):
        full = lines.mean(axis=1) > 0.9
        if not full.all():
            marked[: int(full.argmin())] = True
            marked[len(full) - int(full[::-1].argmin()) :] = True
    return panels


def _without_rules(mask: Mask) -> Mask:
    """Take out the lines of a printed frame or a bar beside the image.

    Coming from the side, anatomy grows wider line by line; a rule is widest at once, then gone.
    """
    kept = mask.copy()
    for lines in (kept, kept[::-1], kept.T, kept.T[::-1]):
        share = lines.mean(axis=1)
        outer = len(share) // 10
        falls = np.flatnonzero(share[:outer] - share[3 : outer + 3] > RULE)
        if len(falls):
            lines[: falls[-1] + 3] = False
    return kept


def _opened(mask: Mask) -> Mask:
    """Cut off what is thinner than five pixels of the working size: spurs, lines, letters."""
    eroded = ~_grow(_grow(~mask))
    opened: Mask = _grow(_grow(eroded)) & mask
    return opened if opened.any() else mask


def _main_component(mask: Mask) -> Mask:
    """Keep what hangs together with the place around which most is True."""
    around = _box_mean(mask, max(3, max(mask.shape) // 4))
    seed = np.unravel_index(int(np.where(mask, around, -1).argmax()), mask.shape)
    grown = np.zeros_like(mask)
    grown[seed] = mask[seed]
    while True:
        next_grown = _grow(grown) & mask
        if (next_grown == grown).all():
            return grown
        grown = next_grown


def _box_mean(mask: Mask, side: int) -> NDArray[np.float64]:
    before, after = side // 2, side - side // 2
    sums = np.pad(mask, ((before + 1, after), (before + 1, after))).cumsum(axis=0).cumsum(axis=1)
    sums = sums.astype(np.float64)
    height, width = mask.shape
    total = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.asarray(total[:height, :width])


def _grow(mask: Mask) -> Mask:
    """Dilate by one pixel, diagonals included."""
    tall = mask.copy()
    tall[1:] |= mask[:-1]
    tall[:-1] |= mask[1:]
    wide = tall.copy()
    wide[:, 1:] |= tall[:, :-1]
    wide[:, :-1] |= tall[:, 1:]
    return wide


def _filled(mask: Mask) -> Mask:
    """Close holes and gaps: what has anatomy on both sides along its row and along its column."""
    along_rows = np.maximum.accumulate(mask, axis=1) & np.maximum.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    along_columns = np.maximum.accumulate(mask, axis=0) & np.maximum.accumulate(mask[::-1], axis=0)[::-1]
    filled: Mask = mask | (along_rows & along_columns)
    return filled


def _outline(mask: Mask) -> NDArray[np.float64]:
    """First and last True pixel of each row and column, as (x, y), where that is not at the frame."""
    height, width = mask.shape
    margin = 1 + max(height, width) // 200
    points: list[NDArray[np.float64]] = []
    for lines, turned in ((mask, False), (mask.T, True)):
        rows = np.flatnonzero(lines.any(axis=1))
        for edge in (
            lines[rows].argmax(axis=1) - 0.5,
            lines.shape[1] - 0.5 - lines[rows, ::-1].argmax(axis=1),
        ):
            pair = (rows, edge) if turned else (edge, rows)
            points.append(np.stack(pair, axis=1).astype(np.float64))
    found = np.concatenate(points)
    free = (found[:, 0] > margin) & (found[:, 0] < width - 1 - margin)
    free &= (found[:, 1] > margin) & (found[:, 1] < height - 1 - margin)
    return np.asarray(found[free])


def _fit(points: NDArray[np.float64]) -> Ellipse | None:
    """Solve a x² + b y² + c x + d y = 1 about the points' centre."""
    middle = points.mean(axis=0)
    scale = float(np.abs(points - middle).max())
    if scale <= 0:
        return None
    x, y = ((points - middle) / scale).T
    (a, b, c, d), _, rank, _ = np.linalg.lstsq(
        np.stack([x * x, y * y, x, y], axis=1), np.ones(len(x)), rcond=None
    )
    if rank < 4 or a <= 0 or b <= 0:
        return None
    x0, y0 = -c / (2 * a), -d / (2 * b)
    radius = 1 + a * x0 * x0 + b * y0 * y0
    width, height = np.sqrt(radius / a), np.sqrt(radius / b)
    if max(width, height) > 4:
        return None
    return Ellipse(
        float(x0 * scale + middle[0]),
        float(y0 * scale + middle[1]),
        float(width * scale),
        float(height * scale),
    )
