"""Corruptions that take detail away: blur, JPEG, down-sampling.

Source: Hendrycks & Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", ICLR 2019.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pictures
from scipy.ndimage import gaussian_filter

from raresight.stress.corruptions import REFERENCE, Corruption, Image


def blur(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Blur by a Gaussian of deviation `strength`, in pixels of a canvas of 224."""
    width = strength * image.shape[0] / REFERENCE
    found: Image = gaussian_filter(image, (width, width, 0), mode="nearest")
    return found


def jpeg(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Compress at quality 100 − `strength`; deeper images pass through 8 bits, as JPEG has no more."""
    levels = np.rint(image * 255).astype(np.uint8)
    stream = io.BytesIO()
    Pictures.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels).save(
        stream, "JPEG", quality=round(100 - strength)
    )
    with Pictures.open(stream) as picture:
        return np.asarray(picture, np.float32).reshape(image.shape) / np.float32(255)


def down_sampling(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Make the image `strength` times smaller by averaging, and enlarge it again by straight lines."""
    height, width, channels = image.shape
    small = max(1, round(width / strength)), max(1, round(height / strength))
    found = np.empty_like(image)
    for channel in range(channels):
        plane = Pictures.fromarray(np.ascontiguousarray(image[..., channel]))
        reduced = plane.resize(small, Pictures.Resampling.BOX)
        found[..., channel] = np.asarray(reduced.resize((width, height), Pictures.Resampling.BILINEAR))
    return found


BLUR = Corruption(blur, (1.0, 1.7, 2.5, 3.6, 5.0), "deviation in pixels of a canvas of 224")
JPEG = Corruption(jpeg, (40, 65, 80, 90, 95), "100 − quality")
DOWN_SAMPLING = Corruption(down_sampling, (1.5, 2.2, 3.2, 4.5, 7.0), "factor")
