"""Lesions: how large, how strong, where, and how they are painted into an image.

Diameter is that of a circle of the lesion's area (of its whole patch, for a cluster of exudates), as a
fraction of the image's side. Contrast is the mean change of brightness over the mask, as a fraction of
what the tissue under it had: positive for bright kinds, negative for dark ones; a ring has a bright rim
and a core darker by the same fraction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .fields import Field, ramp

Range = tuple[float, float]
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601: what counts as a colour's brightness, here and in Pillow."""

_DIAMETERS: tuple[Range, Range, Range] = ((0.25, 0.25), (0.06, 0.14), (0.03, 0.03))
_CONTRASTS: tuple[Range, Range, Range] = ((1.0, 1.0), (0.15, 0.35), (0.05, 0.05))
"""Ranges at difficulty 0, .5 and 1."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion in one image.

    Attributes
    ----------
    kind : str
        A name of `cohort.LESION_KINDS`.
    diameter : float
        Fraction of the image's side.
    contrast : float
        Size of the change, a fraction of the local tissue's brightness; its sign goes with the kind.
    place : {"border", "interior"}
        Border: the centre is at most half the lesion's radius away from where two tissues meet.
    """

    kind: str
    diameter: float
    contrast: float
    place: str


@dataclass(frozen=True, slots=True)
class Scene:
    """A healthy image before noise, and what may be done to it.

    Attributes
    ----------
    clean : (h, w) or (h, w, 3) float32 array
        Brightness, 0 to 1.
    tissue : (h, w) int8 array
        0 where no lesion can be; other numbers are tissues, and borders lie where they change.
    """

    clean: Field
    tissue: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Paint:
    """How a kind of lesion looks.

    Attributes
    ----------
    sign : {1, -1}
    outline : float
        How far the outline departs from a circle, a fraction of the radius.
    softness : float
        Width of the edge, a fraction of the radius; it is never sharper than a pixel.
    form : {"solid", "ring", "cluster"}
    colour : tuple of three floats
        How much of the change each of red, green and blue takes; only their ratios matter.
    solid : float
        0 to 1: how far the lesion hides the structures under it.
    """

    sign: int
    outline: float = 0.1
    softness: float = 0.25
    form: str = "solid"
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    solid: float = 0.6


PAINTS = {
    "enhancing-mass": Paint(+1, 0.08, 0.2),
    "ring-enhancing": Paint(+1, 0.1, 0.2, "ring"),
    "oedema": Paint(-1, 0.2, 0.5, solid=0.4),
    "hard-exudates": Paint(+1, 0.25, 0.1, "cluster", (0.75, 1.3, 0.6), 0.0),
    "haemorrhage": Paint(-1, 0.16, 0.25, colour=(0.75, 1.25, 1.0), solid=0.3),
    "cotton-wool": Paint(+1, 0.16, 0.7, colour=(0.6, 1.15, 2.0), solid=0.3),
}


def sizes(difficulty: float) -> tuple[Range, Range]:
    """Give the ranges that diameters and contrasts are drawn from.

    Between the fixed points 0, .5 and 1 each end of a range moves geometrically: equal steps of
    difficulty divide size and contrast by equal factors.

    Returns
    -------
    tuple of (low, high), (low, high)
        Diameter as a fraction of the side, contrast as a fraction of the tissue's brightness.
    """
    return _interpolate(_DIAMETERS, difficulty), _interpolate(_CONTRASTS, difficulty)


def _interpolate(points: tuple[Range, Range, Range], difficulty: float) -> Range:
    low, high = (
        np.exp(np.interp(difficulty, (0, 0.5, 1), np.log(ends))) for ends in zip(*points, strict=True)
    )
    return float(low), float(high)


def place_lesion(scene: Scene, lesion: Lesion, wish: tuple[float, float]) -> tuple[int, int]:
    """Find the row and column for a lesion's centre, as near as can be to where it is wished.

    The lesion stays inside the organ where there is room for it. `wish` is (down, right) from the
    organ's centre, in half-extents; a patient's images share it, so a lesion stays where it is from
    slice to slice.
    """
    size = scene.tissue.shape[0]
    step = max(1, size // 112)
    tissue = scene.tissue[::step, ::step]
    radius = lesion.diameter * size / 2 / step
    to_edge = ndimage.distance_transform_edt(np.pad(tissue > 0, 1))[1:-1, 1:-1]
    feasible = to_edge >= min(1.15 * radius + 1, to_edge.max())
    to_border = ndimage.distance_transform_edt(~borders(tissue))
    if lesion.place == "border":
        # A pixel less than half the radius: the centre was sought on a coarse grid.
        limit = max(radius / 2 - 1, 0.0)
        wanted = feasible & (to_border <= max(limit, to_border[feasible].min()))
    else:
        wanted = feasible & (to_border >= min(radius, 0.9 * to_border[feasible].max()))
    rows, columns = np.nonzero(wanted)
    down, right = np.nonzero(tissue > 0)
    aim = [c.mean() + w * np.ptp(c) / 2 for c, w in zip((down, right), wish, strict=True)]
    best = int(np.argmin((rows - aim[0]) ** 2 + (columns - aim[1]) ** 2))
    return int(rows[best]) * step, int(columns[best]) * step


def borders(tissue: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Mark the pixels of `tissue` (h, w) whose right or lower neighbour is another tissue."""
    marked = np.zeros(tissue.shape, bool)
    marked[:-1] |= tissue[:-1] != tissue[1:]
    marked[:, :-1] |= tissue[:, :-1] != tissue[:, 1:]
    return marked


def paint_lesion(
    scene: Scene, lesion: Lesion, wish: tuple[float, float], rng: np.random.Generator
) -> tuple[Field, NDArray[np.bool_]]:
    """Put a lesion into a scene.

    Returns
    -------
    image : like ``scene.clean``, float32, 0 to 1
        Brightness outside that range is cut off, which happens near difficulty 0 only.
    mask : (h, w) bool array
        What the lesion covers.
    """
    paint = PAINTS[lesion.kind]
    size = scene.tissue.shape[0]
    radius = lesion.diameter * size / 2
    row, column = place_lesion(scene, lesion, wish)
    reach = int(np.ceil(radius * (1 + 3 * paint.outline + paint.softness))) + 2
    window = (
        slice(max(row - reach, 0), min(row + reach + 1, size)),
        slice(max(column - reach, 0), min(column + reach + 1, size)),
    )
    y, x = np.mgrid[window].astype(np.float32)
    inside, reach_here = _outline(y - row, x - column, radius, paint.outline, rng)
    cover = ramp(inside, max(1.0, paint.softness * radius))
    if paint.form == "cluster":
        cover = cover * _specks(inside, max(0.8, size / 224), rng)
    # Whatever lies outside the organ stays as it is: a background that tells the label would be a shortcut.
    organ = scene.tissue[window] > 0
    cover = cover * organ * ndimage.uniform_filter(organ.astype(np.float32), 3)
    # Soft edges lie half outside the outline, so that the mask has the outline's area.
    patch = cover >= 0.5
    if not patch.any():
        patch = cover == cover.max()
    profile = _profile(paint.form, inside / reach_here, patch)
    image = scene.clean.copy()
    image[window] = _change(scene.clean[window], cover, patch, profile, lesion, paint)
    mask = np.zeros(scene.tissue.shape, bool)
    mask[window] = patch
    return image, mask


def _outline(
    y: Field, x: Field, radius: float, rough: float, rng: np.random.Generator
) -> tuple[Field, Field]:
    """Signed distance inside an irregular outline of area π·radius², and the outline's own radius there."""
    angle = np.arctan2(y, x)
    # Slow waves lead, so that outlines are lobed, never star-shaped.
    bumps = np.clip(rng.normal(0, rough, 6), -1.5 * rough, 1.5 * rough) / np.arange(1, 7) ** 0.8
    phases = rng.uniform(0, 2 * np.pi, 6)
    waves = zip(bumps, phases, range(2, 8), strict=True)
    shape = 1 + sum(b * np.cos(k * angle + p) for b, p, k in waves)
    # Mean of shape² over the angle: what the bumps add to the area.
    reach = radius * np.maximum(shape, 0.3) / np.sqrt(1 + (bumps**2).sum() / 2)
    return (reach - np.hypot(y, x)).astype(np.float32), reach.astype(np.float32)


def _specks(inside: Field, fine: float, rng: np.random.Generator) -> Field:
    """Cover half of what is `inside` (positive) with specks of unlike sizes, about `fine` pixels and more."""
    white = rng.standard_normal(inside.shape, dtype=np.float32)
    # Blurred by σ, white noise keeps a deviation of 1 / (2σ√π): both scales weigh the same.
    scales = (fine, 2.5 * fine)
    noise = sum(ndimage.gaussian_filter(white, s) * np.float32(2 * s * np.sqrt(np.pi)) for s in scales)
    within = inside > 0 if (inside > 0).any() else np.ones(inside.shape, bool)
    return ramp(noise - np.float32(np.median(noise[within])), 0.8)


def _profile(form: str, inside: Field, patch: NDArray[np.bool_]) -> Field:
    """Give the sign of the change: a ring's outer third rises, its core falls."""
    if form != "ring":
        return np.ones_like(inside)
    rim = inside < 0.34
    # A lesion of a few pixels still has a core only where it has room for one.
    return np.where(rim | ~patch, 1, -1).astype(np.float32)


def _change(
    clean: Field, cover: Field, patch: NDArray[np.bool_], profile: Field, lesion: Lesion, paint: Paint
) -> Field:
    """Brighten or darken `clean` under `cover`, by exactly the contrast on average over the patch."""
    colour = clean if clean.ndim == 3 else clean[..., None]
    local = colour[patch].mean(axis=0)
    base = colour + (local - colour) * (paint.solid * cover[..., None])
    tint = np.asarray(paint.colour, np.float32)[: colour.shape[-1]]
    if len(tint) == 3:
        tint = tint * (LUMA @ local) / (LUMA @ (tint * local))
    # Shares of the whole cover: what is spread by them adds up to the stated mean over the patch.
    share = cover / max(float(cover[patch].mean()), 0.25)
    lost = local - base[patch].mean(axis=0)
    amount = paint.sign * lesion.contrast * profile * share
    painted = np.clip(base + share[..., None] * lost + amount[..., None] * tint * local, 0, 1)
    result: Field = painted.reshape(clean.shape).astype(np.float32)
    return result
