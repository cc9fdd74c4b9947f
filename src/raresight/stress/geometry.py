"""Corruptions that move or hide a part of the image: rotation, cropping, occlusion.

What they hide may be the finding itself; then no detector could find it, and a loss is not its weakness
alone.
"""

from __future__ import annotations

import numpy as np
from PIL import Image as Pictures
from scipy.ndimage import rotate

from raresight.stress.corruptions import Corruption, Image


def rotation(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Turn by `strength` degrees, either way by the toss of a coin; what comes in is black.

    Source: Boone, Biparva, Mojiri Forooshani et al., "ROOD-MRI", NeuroImage 278 (2023).
    """
    angle = strength if random.random() < 0.5 else -strength
    found: Image = rotate(image, angle, reshape=False, order=1, mode="constant", cval=0.0)
    return found


def cropping(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Cut `strength`, a share of the side, away and enlarge what is left; where is drawn."""
    height, width, channels = image.shape
    down, across = random.random(2)
    top, left = down * strength * height, across * strength * width
    box = (left, top, left + (1 - strength) * width, top + (1 - strength) * height)
    found = np.empty_like(image)
    for channel in range(channels):
        plane = Pictures.fromarray(np.ascontiguousarray(image[..., channel]))
        found[..., channel] = np.asarray(plane.resize((width, height), Pictures.Resampling.BILINEAR, box=box))
    return found


def occlusion(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Lay a black square over `strength`, a share of the area, somewhere; a larger one covers a smaller.

    Source: Zeiler & Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.
    """
    height, width, _ = image.shape
    down, across = random.random(2)
    share = strength**0.5
    tall, wide = share * height, share * width
    top, left = down * (height - tall), across * (width - wide)
    found = image.copy()
    found[round(top) : round(top + tall), round(left) : round(left + wide)] = 0
    return found


ROTATION = Corruption(rotation, (3, 7, 12, 20, 30), "± degrees")
CROPPING = Corruption(cropping, (0.05, 0.1, 0.18, 0.27, 0.38), "share of the side cut away")
OCCLUSION = Corruption(occlusion, (0.02, 0.05, 0.1, 0.17, 0.26), "share of the area hidden")
