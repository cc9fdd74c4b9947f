"""Corruptions of levels: noise, contrast, gamma, brightness. No pixel moves.

Source, unless stated otherwise: Hendrycks & Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations", ICLR 2019; milder at the low end, where clinical images differ.
"""

from __future__ import annotations

import numpy as np

from raresight.stress.corruptions import Corruption, Image


def gaussian_noise(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Add independent normal noise to every value; `strength` is its deviation as a share of full scale."""
    return image + np.float32(strength) * random.standard_normal(image.shape, dtype=np.float32)


def contrast(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Draw every level towards the image's mean; `strength` is the share of contrast that is lost."""
    mean = image.mean()
    drawn: Image = mean + np.float32(1 - strength) * (image - mean)
    return drawn


def gamma(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Raise every value to the power e^`strength` or e^−`strength`, by the toss of a coin; black stays black.

    Source: Boone, Biparva, Mojiri Forooshani et al., "ROOD-MRI: benchmarking the robustness of deep learning
    segmentation models to out-of-distribution and corrupted data in MRI", NeuroImage 278 (2023).
    """
    power: Image = image ** np.float32(np.exp(_sign(random) * strength))
    return power


def brightness(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Raise or lower every value by `strength`, a share of full scale, by the toss of a coin."""
    return image + np.float32(_sign(random) * strength)


def _sign(random: np.random.Generator) -> int:
    return 1 if random.random() < 0.5 else -1


GAUSSIAN_NOISE = Corruption(gaussian_noise, (0.02, 0.05, 0.08, 0.12, 0.18), "deviation, share of full scale")
CONTRAST = Corruption(contrast, (0.2, 0.4, 0.55, 0.7, 0.8), "share of contrast lost")
GAMMA = Corruption(gamma, (0.15, 0.3, 0.5, 0.7, 0.95), "± logarithm of the exponent")
BRIGHTNESS = Corruption(brightness, (0.05, 0.1, 0.18, 0.27, 0.38), "± share of full scale")
