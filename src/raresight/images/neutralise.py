"""Take what no pathology is in out of an image: frame, background, proportions, exposure.

A model may read the label off the camera: its frame, its background, how its pictures were squashed, how
bright they are. Each function here makes one of these the same for every image, so that a comparison
shows what is left of a result without it. All of it is fixed beforehand - shapes, boxes, the distribution
of intensities: nothing is learned from a set, so nothing from test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import OptionError
from raresight.images.anatomy import Ellipse, Mask, anatomy_mask, disc_ellipse
from raresight.images.resample import Box, resample

NEUTRALISERS = {
    "border": "every image cut to the same inner part, without the frame's shape",
    "background": "what is outside the anatomy made black",
    "aspect": "disc stretched back to a circle, head to one box, the same place and size in every image",
    "intensity": "the anatomy given the same histogram in every image, what is outside made black",
}
"""What `neutralise` and `match_intensity` can take out of an image."""

INNER = 0.65
"""Half side of a disc's inner part, in radii: the square whose corners still lie inside the disc, with room
for an uneven rim; discs cut off by their frame mostly reach .7."""

COMMON = (0.85, 0.7, 0.95)
"""What nearly every rectified disc shows: half width, half height, radius, in radii."""

DISC_LIKE = 0.9
"""Overlap (intersection over union) of anatomy and ellipse at which the ellipse is believed."""

HEAD = (4, 5)
"""Width to height of the box that heads are scaled to, an axial slice's usual one."""

MARGIN = 0.05
"""Background left on each side of a head's box, in boxes, where only its aspect is neutralised."""

MIDDLE, SPREAD = 0.5, 0.15
"""Mean and standard deviation of the intensities' common distribution, a normal one, of the full range."""


def check_neutralisers(names: Sequence[str]) -> None:
    """Refuse names that are not in `NEUTRALISERS`.

    Raises
    ------
    OptionError
    """
    for name in names:
        if name not in NEUTRALISERS:
            raise OptionError(f"unknown --neutralise {name!r}; choose from: {', '.join(NEUTRALISERS)}")


def neutralise(
    image: NDArray[Any], names: Sequence[str], preset: str | None = None, side: int | None = None
) -> tuple[NDArray[Any], Mask]:
    """Take border, background and aspect out of one image; for intensity see `match_intensity`.

    Parameters
    ----------
    image : (h, w) or (h, w, 3) array, uint8 or uint16
    names : sequence of str
        Any of `NEUTRALISERS`, in any order.
    preset : {"fundus", "mri", "ct", "xray"}, optional
        Of a fundus, ``border`` keeps the square inside the disc; ``aspect`` makes the disc's ellipse a
        circle, and what not every disc shows black. Of a head or body, ``border`` keeps the box around it,
        and ``aspect`` scales that box to 4 : 5. None: as a fundus, with the anatomy's box where it is no
        ellipse; anatomy at the rim is then lost, so name the modality where there is one.
    side : int, optional
        Longer side in pixels of a result whose geometry was changed; by default that of the part kept.

    Returns
    -------
    image : (h', w') or (h', w', 3) array of the same dtype
    mask : (h', w') bool array
        What of it is anatomy.

    Raises
    ------
    OptionError
        If a name is unknown.
    """
    check_neutralisers(names)
    mask = anatomy_mask(image, preset)
    part = _part(mask, names, preset, side)
    if "background" in names:
        image = _blackened(image, mask)
    if part is not None:
        image, mask = _cut(image, *part), _cut(mask.astype(np.uint8) * 255, *part) > 127
    if "aspect" in names and "border" not in names and preset in ("fundus", None):
        common = _common_shape(image.shape[:2])
        image, mask = _blackened(image, common), mask & common
    return image, mask


def cut_alike(
    plane: NDArray[Any], image: NDArray[Any], names: Sequence[str], preset: str | None, side: int | None
) -> NDArray[Any]:
    """Give a plane that goes with an image, such as a lesion's mask, the geometry of `neutralise`.

    Parameters
    ----------
    plane : (h, w) uint8 array
    image : (h, w) or (h, w, 3) array
    names, preset, side
        As for `neutralise`.

    Returns
    -------
    (h', w') uint8 array
    """
    part = _part(anatomy_mask(image, preset), names, preset, side)
    return plane if part is None else _cut(plane, *part)


def part_kept(
    image: NDArray[Any], names: Sequence[str], preset: str | None, side: int | None
) -> tuple[Box, tuple[int, int]] | None:
    """Tell which part of an image `neutralise` keeps, and the height and width that it gives it.

    Returns
    -------
    box : (left, top, right, bottom)
        In pixels and fractions of them; it may reach beyond the image.
    shape : (int, int)
        Both missing, None in their place, where the geometry stays.
    """
    if "border" not in names and "aspect" not in names:
        return None
    return _part(anatomy_mask(image, preset), names, preset, side)


def match_intensity(image: NDArray[Any], mask: Mask) -> NDArray[Any]:
    """Give the anatomy of every image the same histogram: a normal one, mean .5, standard deviation .15.

    The reference is fixed, not learned from a set. Each channel is matched for itself, so that a camera's
    colour goes as well. Pixels of equal value are ordered by their surroundings, which makes the
    histogram exact whatever the bits or contrast of the original; those equal in that too stay equal.

    Parameters
    ----------
    image : (h, w) or (h, w, 3) array, uint8 or uint16
        At its final size: resizing averages pixels, and so narrows a histogram.
    mask : (h, w) bool array
        The anatomy. Outside, where noise and glare tell the exposure as well, the result is black.

    Returns
    -------
    (h, w) or (h, w, 3) array of the same dtype

    References
    ----------
    Coltuc, Bolon, Chassery: Exact histogram specification. IEEE Transactions on Image Processing 15 (2006).
    """
    if not mask.any():
        return np.zeros_like(image)
    if image.ndim == 2:
        return _matched(image, mask)
    if int(np.ptp(image.astype(np.int32), axis=2).max()) * 100 <= np.iinfo(image.dtype).max:
        # Grey in three channels, up to a codec's rounding, stays grey.
        return np.repeat(_matched(image[..., 1], mask)[..., None], image.shape[2], axis=2)
    return np.stack([_matched(image[..., c], mask) for c in range(image.shape[2])], axis=-1)


def _part(
    mask: Mask, names: Sequence[str], preset: str | None, side: int | None
) -> tuple[Box, tuple[int, int]] | None:
    """Which part of an image is kept, and its new height and width; None where its geometry stays."""
    if "border" not in names and "aspect" not in names:
        return None
    find = _disc_box if preset in ("fundus", None) else _head_box
    box, (wide, high) = find(mask, preset, names)
    longer = side or max(1, round(max(box[2] - box[0], box[3] - box[1])))
    largest = max(wide, high)
    return box, (max(1, round(longer * high / largest)), max(1, round(longer * wide / largest)))


def _disc_box(mask: Mask, preset: str | None, names: Sequence[str]) -> tuple[Box, tuple[float, float]]:
    """Part of a disc to keep, and the proportions to give it."""
    disc = _disc(mask, preset)
    wide, high = disc.width, disc.height
    if "aspect" not in names:
        # The square inscribed in the ellipse: without a change of proportions, no bar beside it.
        wide = high = np.sqrt(2) * wide * high / np.hypot(wide, high)
    if "border" not in names:
        return _box_around(disc.x, disc.y, wide, high), (1, 1)
    return _inside(_box_around(disc.x, disc.y, INNER * wide, INNER * high), mask.shape), (1, 1)


def _head_box(mask: Mask, preset: str | None, names: Sequence[str]) -> tuple[Box, tuple[float, float]]:
    """Box of a head or body, and the proportions to give it."""
    (left, right), (top, bottom) = _extent(mask.sum(axis=0)), _extent(mask.sum(axis=1))
    margin = 0 if "border" in names else MARGIN
    beside, above = margin * (right - left), margin * (bottom - top)
    box = (left - beside, top - above, right + beside, bottom + above)
    return box, HEAD if "aspect" in names else (box[2] - box[0], box[3] - box[1])


def _extent(profile: NDArray[Any]) -> tuple[float, float]:
    """Where an anatomy's profile rises above a twentieth of its height, to a fraction of a pixel.

    Whole pixels are not enough: those of an image squashed by its publisher are wider than others.
    """
    level = 0.05 * float(profile.max())
    above = np.flatnonzero(profile > level)
    padded = np.pad(profile.astype(float), 1)

    def crossing(inner: int, outer: int) -> float:
        return float((level - padded[outer]) / (padded[inner] - padded[outer]))

    first, last = int(above[0]), int(above[-1])
    return first - 0.5 + crossing(first + 1, first), last + 1.5 - crossing(last + 1, last + 2)


def _disc(mask: Mask, preset: str | None) -> Ellipse:
    """Ellipse of a disc, or inside the anatomy's box where there is none to be found."""
    found = disc_ellipse(mask)
    if found is not None:
        inside = found.inside(mask.shape)
        if preset == "fundus" or (inside & mask).sum() >= DISC_LIKE * (inside | mask).sum():
            return found
    (left, top, right, bottom), _ = _head_box(mask, preset, ("border",))
    return Ellipse((left + right - 1) / 2, (top + bottom - 1) / 2, (right - left) / 2, (bottom - top) / 2)


def _box_around(x: float, y: float, half_width: float, half_height: float) -> Box:
    """Box in Pillow's coordinates, in which a pixel's centre lies half a pixel from its edges."""
    return x + 0.5 - half_width, y + 0.5 - half_height, x + 0.5 + half_width, y + 0.5 + half_height


def _inside(box: Box, shape: tuple[int, ...]) -> Box:
    """Move a box into the frame; cut it only where it is larger."""
    (left, right), (top, bottom) = _moved(box[0], box[2], shape[1]), _moved(box[1], box[3], shape[0])
    return left, top, right, bottom


def _moved(low: float, high: float, length: int) -> tuple[float, float]:
    if high - low >= length:
        return 0.0, float(length)
    shift = max(0.0, -low) - max(0.0, high - length)
    return low + shift, high + shift


def _cut(image: NDArray[Any], box: Box, shape: tuple[int, int]) -> NDArray[Any]:
    """Resize a box of the image, black where it reaches beyond the frame."""
    height, width = image.shape[:2]
    left, top = max(0, int(np.ceil(-box[0]))), max(0, int(np.ceil(-box[1])))
    right, bottom = max(0, int(np.ceil(box[2] - width))), max(0, int(np.ceil(box[3] - height)))
    padded = np.pad(image, ((top, bottom), (left, right), *[(0, 0)] * (image.ndim - 2)))
    high, wide = padded.shape[:2]
    part = (box[0] + left, box[1] + top, min(box[2] + left, wide), min(box[3] + top, high))
    return resample(padded, *shape, part)


def _common_shape(shape: tuple[int, ...]) -> Mask:
    half_width, half_height, radius = COMMON
    y, x = (((np.arange(n) + 0.5) * 2 / n - 1) for n in shape[:2])
    across: Mask = (np.abs(x) <= half_width)[None, :] & (np.abs(y) <= half_height)[:, None]
    return across & (x[None, :] ** 2 + y[:, None] ** 2 <= radius**2)


def _blackened(image: NDArray[Any], mask: Mask) -> NDArray[Any]:
    return np.where(mask if image.ndim == 2 else mask[..., None], image, image.dtype.type(0))


def _matched(plane: NDArray[Any], mask: Mask) -> NDArray[Any]:
    full = np.iinfo(plane.dtype).max
    key = plane.astype(np.int64) * (25 * (full + 1)) + _surroundings(plane)
    values = key[mask]
    order = np.argsort(values)
    new = np.diff(values[order], prepend=-1) > 0
    ends = np.append(np.flatnonzero(new), len(values))
    quantiles, normal = _normal_scores()
    levels = np.rint(full * np.interp((ends[:-1] + ends[1:]) / (2 * len(values)), quantiles, normal))
    inside = np.empty(len(values), plane.dtype)
    inside[order] = levels[new.cumsum() - 1]
    matched = np.zeros_like(plane)
    matched[mask] = inside
    return matched


def _surroundings(plane: NDArray[Any]) -> NDArray[np.int64]:
    """Sum of each pixel's 5 × 5 surroundings."""
    sums = np.pad(np.pad(plane.astype(np.int64), 2, mode="edge"), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return np.asarray(sums[5:, 5:] - sums[:-5, 5:] - sums[5:, :-5] + sums[:-5, :-5])


@cache
def _normal_scores() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    quantiles = (np.arange(4096) + 0.5) / 4096
    values = [NormalDist(MIDDLE, SPREAD).inv_cdf(q) for q in quantiles]
    return quantiles, np.clip(values, 0, 1)
