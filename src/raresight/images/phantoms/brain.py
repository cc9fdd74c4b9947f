"""A phantom of an axial brain slice: T1-weighted, or the same head T2-weighted or as FLAIR.

Scalp, skull, cerebrospinal fluid, a folded cortex, white matter, ventricles, deep grey nuclei; bias
field, contrast and Rician noise as from three scanners. Lengths are in half-lengths of the brain: v
runs from −1 (occipital) to 1 (frontal), u from left to right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .cohort import Patient
from .fields import (
    Field,
    between,
    capsule,
    draw_coefficients,
    ellipse,
    length,
    mix,
    power,
    ramp,
    smooth_field,
)
from .lesions import Lesion, Scene

CSF, GREY, WHITE, DEEP = 1, 2, 3, 4
_SULCI_CELLS, _WARP_CELLS, _BEND_CELLS = 18, 5, 6
_SITE_NOISE = (0.012, 0.02, 0.028)
_SITE_GAMMA = (0.9, 1.0, 1.12)


@dataclass(frozen=True, slots=True)
class Head:
    """One patient's anatomy and framing, shared by the slices."""

    half_length: float
    ratio: float
    egg: float
    turn: float
    centre: tuple[float, float]
    gap: float
    skull: float
    scalp: float
    sulci: float
    cortex: float
    ventricles: float
    lean: float
    level: float
    spacing: float
    fat: float
    grey: float
    white: float
    wish: tuple[float, float]
    folds: tuple[Field, Field]
    warp: tuple[Field, Field]
    bend: tuple[Field, Field]
    gyri: int
    phase: float
    fluid: float = 0.15


_VISIBLE = {
    "t1": {"enhancing-mass": 1, "ring-enhancing": 1},
    "t2": {"enhancing-mass": 1, "oedema": -1},
    "flair": {"ring-enhancing": 1, "oedema": -1},
}
"""Modality → the kinds of lesion that show in it, −1 where bright for dark; each shows in two of three."""


def in_modality(head: Head, modality: str) -> Head:
    """Give the same head with a modality's brightness of grey matter, white matter, fluid and fat.

    Of T1 the brightness is the head's own; T2 has bright fluid, FLAIR dark, and in both white matter is
    darker than grey.
    """
    if modality == "t1":
        return head
    white, fluid = head.grey - 0.02, 0.72 if modality == "t2" else 0.08
    return replace(head, grey=head.white - 0.04, white=white, fluid=fluid, fat=0.75 * head.fat)


def seen_in(lesion: Lesion, modality: str) -> Lesion | None:
    """Give a lesion as it shows in a modality, None where it does not."""
    sign = _VISIBLE[modality].get(lesion.kind)
    return None if sign is None else replace(lesion, contrast=sign * lesion.contrast)


def draw_head(patient: Patient, rng: np.random.Generator) -> Head:
    """Draw what all slices of a patient share."""
    atrophy = (patient.age - 20) / 70 + rng.normal(0, 0.2)
    angle, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
    return Head(
        half_length=rng.uniform(0.335, 0.395),
        ratio=rng.uniform(0.77, 0.86),
        egg=rng.uniform(0.04, 0.14),
        turn=rng.normal(0, 0.07),
        centre=(rng.normal(0, 0.012), rng.normal(0, 0.012)),
        gap=0.012 + 0.03 * max(atrophy, 0) * rng.uniform(0.5, 1),
        skull=rng.uniform(0.06, 0.1),
        scalp=rng.uniform(0.045, 0.1),
        sulci=float(np.clip(0.004 + 0.012 * atrophy, 0.003, 0.014)),
        cortex=rng.uniform(0.04, 0.052),
        ventricles=float(np.clip(0.75 + 0.6 * atrophy + rng.normal(0, 0.15), 0.5, 1.7)),
        lean=rng.normal(0, 0.05),
        level=rng.uniform(0, 0.3),
        spacing=rng.uniform(0.12, 0.22),
        fat=rng.uniform(0.6, 0.95),
        grey=rng.uniform(0.38, 0.44),
        white=rng.uniform(0.54, 0.6),
        wish=(far * np.sin(angle), far * np.cos(angle)),
        folds=(draw_coefficients(rng, _SULCI_CELLS), draw_coefficients(rng, _SULCI_CELLS)),
        warp=(draw_coefficients(rng, _WARP_CELLS), draw_coefficients(rng, _WARP_CELLS)),
        bend=(draw_coefficients(rng, _BEND_CELLS), draw_coefficients(rng, _BEND_CELLS)),
        gyri=int(rng.integers(13, 18)),
        phase=rng.uniform(0, 2 * np.pi),
    )


def draw_brain(
    head: Head,
    patient: Patient,
    part: int,
    size: int,
    rng: np.random.Generator,
    scan: np.random.Generator | None = None,
) -> Scene:
    """Draw one slice without noise; `rng` is the slice's own, `scan` that of another acquisition of it."""
    level = min(head.level + part * head.spacing + rng.normal(0, 0.01), 1.05)
    scale = head.half_length * size * (1 - 0.16 * max(level, 0.0) ** 2)
    u, v = _coordinates(head, size, scale, rng)
    across = u / (head.ratio * (1 - head.egg * v))
    # A superellipse: heads are a little squarer than ellipses.
    radius = power(power(np.abs(across), 2.25) + power(np.abs(v), 2.25), 1 / 2.25)
    warp = smooth_field(between(*head.warp, 1.2 * level), size)
    # A skull is never quite a circle; the same slow wave that bends the sulci dents it.
    depth = (1 - radius) * 0.9 + 0.012 * warp
    image = _scalp_and_skull(head, depth, scale, u, v)
    image, tissue = _brain(head, image, depth, across, u, v, warp, level, scale)
    brightest = max(head.white, head.grey)
    return Scene(_acquire(image, brightest, patient, size, rng if scan is None else scan), tissue)


def add_rician_noise(image: Field, patient: Patient, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Take the magnitude of a complex image with Gaussian noise: (h, w) float32 to uint8."""
    spread = np.float32(_SITE_NOISE[patient.site] * rng.uniform(0.75, 1.3))
    real, imaginary = rng.standard_normal((2, *image.shape), dtype=np.float32) * spread
    magnitude = length(image + real, imaginary)
    return (np.minimum(magnitude, 1) * 255 + 0.5).astype(np.uint8)


def _coordinates(head: Head, size: int, scale: float, rng: np.random.Generator) -> tuple[Field, Field]:
    """Image to head coordinates: u to the right, v to the front, which is up."""
    turn = head.turn + rng.normal(0, 0.015)
    axis = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    x = ((axis - head.centre[0] * size - rng.normal(0, 0.004) * size) / scale).astype(np.float32)[None, :]
    y = ((axis - head.centre[1] * size - rng.normal(0, 0.004) * size) / -scale).astype(np.float32)[:, None]
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    # No line in a head is straight: a slow warp bends all that follows, alike on every slice.
    bend_u, bend_v = (np.float32(0.014) * smooth_field(field, size) for field in head.bend)
    return c * x + s * y + bend_u, c * y - s * x + bend_v


def _scalp_and_skull(head: Head, depth: Field, scale: float, u: Field, v: Field) -> Field:
    """Everything outside the brain, from the air inwards: fat, muscle, compact bone, marrow, fluid."""
    inner = head.gap
    outer = inner + head.skull
    thicker_end = 0.25 if head.phase > np.pi else -0.25
    skin = outer + head.scalp * (1 + thicker_end * v + 0.3 * np.maximum(-v - 0.6, 0))
    image = ramp((depth + skin) * scale, 1.3) * np.float32(head.fat * 0.62)
    fat = ramp((depth + skin - 0.012) * scale, 1.5) * (0.85 + 0.15 * np.sin(5 * u + head.phase))
    image = mix(image, np.float32(head.fat), fat)
    # Temporal muscle lies under the fat at both sides.
    muscle = ramp((depth + outer + 0.35 * head.scalp) * scale, 2) * ramp(np.abs(u) - 0.55, 0.2) * ramp(v, 0.3)
    image = mix(image, np.float32(0.33), muscle)
    image = mix(image, np.float32(0.05), ramp((depth + outer) * scale, 1.3))
    marrow = ramp((head.skull * 0.22 - np.abs(depth + (inner + outer) / 2)) * scale, 1.5)
    image = mix(image, np.float32(0.45 * head.fat), marrow * (0.75 + 0.2 * np.sin(3 * v + head.phase)))
    return mix(image, np.float32(head.fluid - 0.02), ramp((depth + inner) * scale, 1.5))


def _brain(
    head: Head,
    image: Field,
    depth: Field,
    across: Field,
    u: Field,
    v: Field,
    warp: Field,
    level: float,
    scale: float,
) -> tuple[Field, NDArray[np.int8]]:
    """Lay white matter, cortex, nuclei and fluid; tell which is which."""
    sulcus = _distance_to_sulci(head, depth, across, u, v, warp, level)
    cortex = ramp((np.minimum(depth, sulcus - head.sulci) * -1 + head.cortex) * scale, 1.6)
    nuclei = _nuclei(u, v, head, level)
    deep = ramp(nuclei * scale, 2.5) * np.float32(0.85)
    fluid = ramp((head.sulci - sulcus) * scale, 1.3)
    ventricle = ramp(_ventricles(u, v, head, level) * scale, 1.4)
    inside = ramp(depth * scale, 1.3)

    brain = mix(np.full_like(depth, head.white), np.float32(head.grey), cortex)
    brain = mix(brain, np.float32(0.65 * head.grey + 0.35 * head.white), deep * (1 - cortex))
    brain = mix(brain, np.float32(head.fluid), np.maximum(fluid * 0.9, ventricle))
    tissue = np.full(depth.shape, WHITE, np.int8)
    tissue[deep > 0.4] = DEEP
    tissue[cortex > 0.5] = GREY
    tissue[(fluid > 0.5) | (ventricle > 0.5)] = CSF
    tissue[depth <= 0] = 0
    return mix(image, brain, inside), tissue


def _distance_to_sulci(
    head: Head, depth: Field, across: Field, u: Field, v: Field, warp: Field, level: float
) -> Field:
    """Distance to the nearest fissure: sulci, the fissure between the hemispheres, the Sylvian fissures."""
    size = depth.shape[0]
    folds = smooth_field(between(*head.folds, 1.5 * level), size)
    # Spokes, bent by noise, run inwards from the surface; the noise by itself closes and branches them.
    spokes = np.sin(head.gyri * np.arctan2(across, v) + 1.6 * warp + head.phase)
    wave = spokes + 0.9 * folds
    down, right = np.gradient(wave)
    slope = length(down, right) * (size * head.half_length)
    sulcus = np.abs(wave) / (slope + 4)
    reach = 0.24 + 0.06 * warp + 0.09 * level
    sulcus = sulcus + np.maximum(depth - reach, 0) * 0.7
    # Below the corpus callosum the fissure parts the frontal and occipital poles only.
    start = 0.46 - 0.75 * max(level - 0.45, 0)
    middle = np.abs(u - 0.012 * warp - 0.01 * np.sin(7 * v)) + np.maximum(start - np.abs(v + 0.03), 0)
    sides = capsule(np.abs(u) / head.ratio, v, (1.05, 0.16), (0.6, 0.04)) - 0.012 + 0.6 * max(level - 0.3, 0)
    distance: Field = np.minimum(np.minimum(sulcus, middle), sides)
    return distance


def _ventricles(u: Field, v: Field, head: Head, level: float) -> Field:
    """Signed distance inside the lateral and third ventricles: a butterfly that closes towards the top."""
    side = np.abs(u) * (1 + head.lean * np.sign(u))
    top = min(max(level - 0.25, 0) / 0.6, 1)
    size = head.ventricles * (1 - 0.85 * max(level - 0.5, 0) / 0.5)
    # Each lateral ventricle is a bent tube: its middle line swings out to the front and, more, to the back.
    from_waist = v - np.float32(0.04)
    ahead, behind = np.maximum(from_waist, 0), np.maximum(-from_waist, 0)
    swing = (0.9 - 0.5 * top) * ahead * ahead + (1.1 - 0.8 * top) * behind * behind
    bend = 0.03 + 0.02 * size + 0.02 * top + swing
    # Thin at the waist, widest in the horns, tapering to their tips.
    reach = ahead / 0.34 + behind / (0.42 - 0.06 * top)
    reach *= reach
    half = 0.04 * size * np.maximum(1 - reach * reach, 0) * (0.7 + 0.9 * reach)
    # Low down the body lies above the plane: horns in front and atria behind stand apart.
    apart = 0.05 * (1 - min(level / 0.3, 1)) * ramp(0.1 - np.abs(v + 0.06), 0.1)
    lateral = half - apart - np.abs(side - bend) * np.float32(0.9)
    # The septum keeps the two apart; beyond the tips there is nothing.
    lateral = np.minimum(np.minimum(lateral, side - 0.007), (1 - reach) * 0.2)
    third = ellipse(u, v, (0, -0.06), (0.016 * head.ventricles, 0.1)) - 0.1 * max(level - 0.15, 0)
    inside: Field = np.maximum(lateral, third)
    return inside


def _nuclei(u: Field, v: Field, head: Head, level: float) -> Field:
    """Signed distance inside the caudate, lentiform and thalamic nuclei, which end below the top."""
    side = np.abs(u)
    shrink = 0.12 * max(level - 0.3, 0)
    out = 0.03 * head.ventricles
    caudate = ellipse(side, v, (0.14 + out, 0.27), (0.045, 0.11), 0.25)
    lentiform = ellipse(side, v, (0.31 + out, 0.1), (0.075, 0.19), -0.25) - shrink
    thalamus = ellipse(side, v, (0.12 + out, -0.1), (0.09, 0.13), 0.45) - shrink
    inside: Field = np.maximum(np.maximum(caudate, lentiform), thalamus) - np.float32(shrink)
    return inside


def _acquire(image: Field, brightest: float, patient: Patient, size: int, rng: np.random.Generator) -> Field:
    """Bias field, contrast and brightness: each slice its own, around its scanner's."""
    bias = smooth_field(draw_coefficients(rng, 2), size) * np.float32(0.07)
    gamma = _SITE_GAMMA[patient.site] * np.exp(rng.normal(0, 0.12))
    # No technician lets brain tissue saturate: there must be room for what is brighter.
    gain = min(np.exp(rng.normal(0, 0.12)), 0.66 / brightest**gamma)
    shown = power(np.minimum(image * np.exp(bias), 1), gamma) * np.float32(gain)
    clean: Field = np.minimum(shown, 1, out=shown)
    return clean
