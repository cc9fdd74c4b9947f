"""A phantom of a colour fundus photograph.

A round field of view in a black frame, orange background with uneven light, optic disc with its cup,
macula, arteries and veins that branch from the disc; colour, framing and sensor noise as from three
cameras. Lengths are fractions of the image's side; x runs from the disc towards the macula.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .cohort import Patient, eye
from .fields import Field, draw_coefficients, length, mix, power, ramp, smooth_field
from .lesions import Scene

RETINA, VESSEL, DISC, MACULA = 1, 2, 3, 4
_SITE_NOISE = (0.008, 0.014, 0.02)
_SITE_STRETCH = (1.0, 1.0, 1.12)
_SITE_FLAT = (1.0, 0.86, 1.0)
_STEPS = 22
_FINE = 3
"""Vessels are drawn this many times larger, then averaged: smooth edges for lines thinner than a pixel."""

Paths = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Retina:
    """What a patient's two eyes share."""

    colour: NDArray[np.float32]
    pigment: float
    disc: float
    cup: float
    crescent: float
    calibre: float
    wish: tuple[float, float]


def draw_retina(patient: Patient, rng: np.random.Generator) -> Retina:
    """Draw what both eyes of a patient share."""
    dark = rng.uniform(0, 1)
    light, brown = np.array([0.74, 0.40, 0.23]), np.array([0.58, 0.27, 0.11])
    angle, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
    return Retina(
        colour=(light + (brown - light) * dark).astype(np.float32),
        pigment=dark,
        disc=rng.uniform(0.044, 0.07),
        cup=rng.uniform(0.25, 0.75),
        crescent=max(rng.uniform(-0.4, 0.6), 0.0),
        calibre=rng.uniform(0.75, 1.3),
        wish=(far * np.sin(angle), far * np.cos(angle)),
    )


def draw_fundus(retina: Retina, patient: Patient, part: int, size: int, rng: np.random.Generator) -> Scene:
    """Draw one eye without noise; `rng` is the eye's own."""
    # In a right eye's photograph the disc lies to the right of the macula.
    side = -1.0 if eye(patient, part) == "right" else 1.0
    axis = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    x, y = axis[None, :], axis[:, None]
    disc = (-side * rng.uniform(0.2, 0.33), rng.normal(0, 0.025))
    macula = (disc[0] + side * rng.uniform(0.27, 0.31), disc[1] + rng.uniform(0.0, 0.045))
    field = _field_of_view(x, y, patient, rng)
    disc_depth = _disc_depth(x, y, disc, retina.disc * rng.normal(1, 0.03), rng)
    veins, arteries = _vessels(disc, side, size, retina, rng)

    image = _background(x, y, macula, retina, size, rng)
    # A pale crescent beside the disc is common and normal.
    shift = side * retina.disc * retina.crescent
    beside = _disc_depth(x, y, (disc[0] + shift, disc[1]), retina.disc * (1 + 0.4 * retina.crescent), rng)
    image = mix(image, _rgb(0.86, 0.60, 0.36), ramp(beside * size, 4.0) * np.float32(0.55))
    image = mix(image, _rgb(0.93, 0.70, 0.42), ramp(disc_depth * size, 3.0) * np.float32(0.9))
    cup = ramp((disc_depth - retina.disc * (1 - retina.cup)) * size, 5.0)
    image = mix(image, _rgb(1.0, 0.87, 0.64), cup * np.float32(0.85))
    image *= 1 - veins * _rgb(0.30, 0.52, 0.45)
    image *= 1 - arteries * _rgb(0.12, 0.38, 0.38)
    image = _expose(image, x, y, field, patient, size, rng)

    tissue = np.full((size, size), RETINA, np.int8)
    tissue[length(x - macula[0], y - macula[1]) < 0.055] = MACULA
    tissue[np.maximum(veins, arteries) > 0.5] = VESSEL
    tissue[disc_depth > 0] = DISC
    tissue[field * size < 2] = 0
    return Scene(np.ascontiguousarray(image.transpose(1, 2, 0)), tissue)


def add_sensor_noise(image: Field, patient: Patient, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add shot and read-out noise: (h, w, 3) float32 to uint8."""
    spread = np.float32(_SITE_NOISE[patient.site] * rng.uniform(0.75, 1.3))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noisy = image + noise * (spread * np.sqrt(image + np.float32(0.05)))
    pixels: NDArray[np.uint8] = (np.clip(noisy, 0, 1) * 255 + 0.5).astype(np.uint8)
    return pixels


def _rgb(red: float, green: float, blue: float) -> Field:
    """One colour as (3, 1, 1): channels lead while drawing, which is several times as fast."""
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1)


def _field_of_view(x: Field, y: Field, patient: Patient, rng: np.random.Generator) -> Field:
    """Signed distance inside the camera's aperture; some cameras cut its top and bottom off."""
    radius = rng.uniform(0.43, 0.495)
    right, down = rng.normal(0, 0.008, 2).tolist()
    stretch = _SITE_STRETCH[patient.site] * rng.uniform(0.99, 1.01)
    inside = radius - length((x - right) * stretch, y - down)
    flat = radius * _SITE_FLAT[patient.site] * rng.uniform(0.98, 1.0)
    if _SITE_FLAT[patient.site] < 1:
        inside = np.minimum(inside, flat - np.abs(y - down))
    signed: Field = inside.astype(np.float32)
    return signed


def _disc_depth(
    x: Field, y: Field, centre: tuple[float, float], radius: float, rng: np.random.Generator
) -> Field:
    """Signed distance inside the optic disc, a little higher than wide."""
    tall, tilt = rng.uniform(1.0, 1.15), rng.normal(0, 0.2)
    c, s = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    dx, dy = x - centre[0], y - centre[1]
    depth: Field = (radius - length((c * dx + s * dy) * tall, (c * dy - s * dx))).astype(np.float32)
    return depth


def _background(
    x: Field, y: Field, macula: tuple[float, float], retina: Retina, size: int, rng: np.random.Generator
) -> Field:
    """Retina without vessels: pigment, choroid showing through, the dark macula."""
    coarse = smooth_field(draw_coefficients(rng, 5), size) * np.float32(rng.uniform(0.02, 0.08))
    grain = smooth_field(draw_coefficients(rng, 44), size) * np.float32(0.01 + 0.012 * (1 - retina.pigment))
    image = _rgb(*(retina.colour * np.exp(rng.normal(0, 0.06, 3)))) * np.exp(coarse + grain)
    away = length(x - macula[0], y - macula[1])
    depth = np.float32(rng.uniform(0.22, 0.4))
    dark = depth * np.exp(-((away / 0.06) ** 2)) + np.float32(0.12) * np.exp(-((away / 0.15) ** 2))
    shade: Field = image * (1 - dark * _rgb(0.8, 1.0, 0.9))
    # The nerve fibres' sheen around the macula, strong in some eyes: as bright as many a lesion, and normal.
    around = np.exp(-(((away - rng.uniform(0.15, 0.22)) / 0.06) ** 2))
    patches = np.maximum(smooth_field(draw_coefficients(rng, 7), size), 0)
    sheen = around * patches * np.float32(rng.gamma(1.2, 0.1))
    shade = shade * (1 + np.minimum(sheen, np.float32(0.5)) * _rgb(0.6, 1.0, 1.5))
    return shade


def _expose(
    image: Field, x: Field, y: Field, field: Field, patient: Patient, size: int, rng: np.random.Generator
) -> Field:
    """Light that falls off, its colour, the aperture's soft edge, the camera's contrast."""
    across, down = rng.normal(0, 0.28, 2).tolist()
    fall = rng.uniform(0.5, 1.6)
    light = 1 + across * x + down * y - fall * (x * x + y * y)
    warmth = _rgb(*np.exp(rng.normal(0, 0.05, 3) + rng.normal(0, 0.1)))
    gamma = float(np.exp(rng.normal(0, 0.1)))
    shown = power(np.clip(image * (light * warmth), 0, 1), gamma)
    # Some lenses leave a pale crescent of stray light along the edge.
    stray = np.float32(max(rng.normal(0, 0.1), 0)) * np.exp(np.maximum(field, 0) / np.float32(-0.025))
    angle = rng.uniform(0, 2 * np.pi)
    stray = stray * np.maximum(x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)), 0) * 2
    shown = shown + stray * _rgb(1.0, 0.75, 0.4)
    frame = np.float32(rng.uniform(0.0, 0.02))
    clean: Field = np.clip(frame + (shown - frame) * ramp(field * size, 2.0), 0, 1)
    return clean


def _vessels(
    disc: tuple[float, float], side: float, size: int, retina: Retina, rng: np.random.Generator
) -> tuple[Field, Field]:
    """Cover of veins and of arteries, each (size, size), 0 to 1."""
    covers = []
    for width in (0.0125, 0.009):
        paths, widths = _tree(width * retina.calibre, rng)
        paths[..., 0] = disc[0] + side * paths[..., 0]
        paths[..., 1] += disc[1]
        covers.append(_rasterise(paths, widths, size))
    return covers[0], covers[1]


def _tree(width: float, rng: np.random.Generator) -> tuple[Paths, NDArray[np.float64]]:
    """Grow one vascular tree from the disc at (0, 0), macula along +x.

    Four arcades leave the disc; the temporal pair bends around the macula. Two generations branch off.

    Returns
    -------
    paths : (vessels, points, 2) float64 array
    widths : (vessels, points) float64 array
    """
    up = np.array([1.0, -1.0, 1.0, -1.0])
    heading = up * np.pi / 2 + np.array([-0.15, 0.15, 0.75, -0.75]) + rng.normal(0, 0.12, 4)
    # Total turn along the way: temporal arcades towards the macula's far side, nasal ones hardly.
    turn = -up * np.array([1.5, 1.5, -0.35, -0.35]) * rng.uniform(0.85, 1.15, 4)
    length = np.array([0.78, 0.78, 0.5, 0.5]) * rng.uniform(0.9, 1.1, 4)
    start = rng.normal(0, 0.006, (4, 2))
    calibre = width * np.array([1.0, 1.0, 0.75, 0.75])
    generation = _grow(start, heading, turn, length, calibre, rng)
    kept = [generation]
    for branches, shorter in ((6, 0.5), (2, 0.5)):
        generation = _branch(generation, branches, shorter, rng)
        kept.append(generation)
    return np.concatenate([p for p, _ in kept]), np.concatenate([w for _, w in kept])


def _grow(
    start: NDArray[np.float64],
    heading: NDArray[np.float64],
    turn: NDArray[np.float64],
    length: NDArray[np.float64],
    width: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[Paths, NDArray[np.float64]]:
    """Walk from each start; the course bends by `turn`, wavers, and tapers to two fifths."""
    along = np.linspace(0, 1, _STEPS)
    waver = np.cumsum(rng.normal(0, 0.09, (len(start), _STEPS)), axis=1)
    waver -= along * waver[:, -1:]
    course = heading[:, None] + turn[:, None] * along + waver
    step = length[:, None] / _STEPS
    paths = np.stack([np.cumsum(np.cos(course) * step, 1), np.cumsum(np.sin(course) * step, 1)], -1)
    return paths - paths[:, :1] + start[:, None], width[:, None] * (1 - 0.6 * along)


def _branch(
    parents: tuple[Paths, NDArray[np.float64]], each: int, shorter: float, rng: np.random.Generator
) -> tuple[Paths, NDArray[np.float64]]:
    """Let `each` side branches leave every parent, to alternating sides."""
    paths, widths = parents
    owner = np.repeat(np.arange(len(paths)), each)
    spaced = np.tile(np.linspace(0.12, 0.85, each), len(paths)) + rng.normal(0, 0.05, len(owner))
    at = np.clip((spaced * _STEPS).astype(int), 1, _STEPS - 2)
    ahead = paths[owner, at + 1] - paths[owner, at]
    hand = np.tile(np.where(np.arange(each) % 2, 1.0, -1.0), len(paths))
    angle = np.arctan2(ahead[:, 1], ahead[:, 0]) + hand * rng.uniform(0.4, 0.85, len(owner))
    whole = np.linalg.norm(np.diff(paths, axis=1), axis=-1).sum(1)[owner]
    length = whole * shorter * rng.uniform(0.5, 1.1, len(owner))
    bend = -hand * rng.uniform(0.2, 0.8, len(owner))
    return _grow(paths[owner, at], angle, bend, length, widths[owner, at] * 0.62, rng)


def _rasterise(paths: Paths, widths: NDArray[np.float64], size: int) -> Field:
    """Draw tapering vessels as polygons, finer than the image, and average."""
    fine = size * _FINE
    ahead = np.gradient(paths, axis=1)
    normal = np.stack([-ahead[..., 1], ahead[..., 0]], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
    # Nothing thinner than a drawn pixel: it would break into dashes.
    half = np.maximum(widths, 1.6 / fine)[..., None] / 2 * normal
    outlines = (np.concatenate([paths + half, (paths - half)[:, ::-1]], axis=1) + 0.5) * fine
    canvas = Image.new("L", (fine, fine))
    pencil = ImageDraw.Draw(canvas)
    # Thin vessels hold less blood: they are paler, not only narrower.
    shades = (255 * np.clip(0.35 + 70 * widths[:, 0], 0, 1)).astype(int).tolist()
    for outline, shade in sorted(
        zip(outlines.reshape(len(outlines), -1).tolist(), shades, strict=True), key=itemgetter(1)
    ):
        pencil.polygon(outline, fill=shade)
    cover: Field = np.asarray(canvas.reduce(_FINE), np.float32) / np.float32(255)
    return cover
