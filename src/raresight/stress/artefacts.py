"""Artefacts of a modality: bias field and ghosts of motion in MR, uneven light in a fundus photograph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raresight.stress.corruptions import Corruption, Image

DEGREE = 3
"""Of the polynomial that a bias field's logarithm is."""

CENTRE = 0.02
"""Share of the lines of k-space about its centre that motion spares, lest a ghost outshine the head."""

SPOT = 0.35
"""Radius (deviation) of the spot of light, share of the side."""


def bias_field(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Multiply by e^(`strength` · p), p a smooth polynomial of mean 0 and largest size 1; black stays black.

    Source: Van Leemput, Maes, Vandermeulen & Suetens, "Automated model-based bias field correction of MR
    images of the brain", IEEE Trans. Medical Imaging 18 (1999).
    """
    y, x = _grid(image.shape)
    powers = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i) if i + j]
    weights = random.uniform(-1, 1, len(powers))
    field = sum(w * x**i * y**j for w, (i, j) in zip(weights, powers, strict=True))
    field = field - field.mean()
    gain: NDArray[np.float32] = np.exp(strength * field / np.abs(field).max()).astype(np.float32)
    return image * gain[..., None]


def ghosting(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Weaken every second to fifth line of k-space by `strength`: faint copies appear at even distances.

    Source: Zaitsev, Maclaren & Herbst, "Motion artifacts in MRI: a complex problem with many partial
    solutions", J. Magnetic Resonance Imaging 42 (2015); made as in TorchIO, Pérez-García, Sparks & Ourselin,
    Computer Methods and Programs in Biomedicine 208 (2021).
    """
    axis, ghosts = int(random.integers(2)), int(random.integers(2, 6))
    lines = image.shape[axis]
    weight = np.ones(lines)
    weight[::ghosts] = 1 - strength
    middle = np.abs(np.fft.fftfreq(lines))
    weight[middle <= CENTRE / 2] = 1
    shape = (lines, 1, 1) if axis == 0 else (1, lines, 1)
    found = np.fft.ifft(np.fft.fft(image, axis=axis) * weight.reshape(shape), axis=axis)
    return np.abs(found).astype(np.float32)


def illumination(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Light one spot up by up to `strength` and take as much light from what is far; black stays black.

    Source: the light disturbance of Shen, Fu, Shen & Shao, "Modeling and enhancing low-quality retinal fundus
    images", IEEE Trans. Medical Imaging 40 (2021).
    """
    y, x = _grid(image.shape)
    down, across = random.uniform(-0.6, 0.6, 2)
    spot = np.exp(-((y - down) ** 2 + (x - across) ** 2) / (2 * (2 * SPOT) ** 2))
    gain: NDArray[np.float32] = (1 + strength * (2 * spot - 1)).astype(np.float32)
    return image * gain[..., None]


def _grid(shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give each pixel's place, −1 … 1 downwards and to the right."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    return y, x


BIAS_FIELD = Corruption(bias_field, (0.2, 0.4, 0.65, 0.95, 1.3), "logarithm of the largest gain", "mri")
GHOSTING = Corruption(ghosting, (0.15, 0.3, 0.5, 0.75, 1.0), "share of a line's signal lost", "mri")
ILLUMINATION = Corruption(
    illumination, (0.15, 0.3, 0.45, 0.65, 0.85), "share of light gained or lost", "fundus"
)
