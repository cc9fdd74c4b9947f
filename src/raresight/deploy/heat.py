"""Images with their heatmaps over them, as PNG files, with numpy and Pillow alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raresight.deploy.prediction import Prediction
from raresight.images.cache import disk_errors
from raresight.images.resample import resample

Array = NDArray[Any]

REMEDY = "choose another folder with --heatmaps"

STRONGEST = 0.65
"""Opacity of the hottest place."""

RAMP = np.array([[255, 214, 10], [255, 112, 0], [217, 4, 41]], np.float32)
"""Yellow, orange, red: from warm to hot; told apart on grey and without red and green too."""


class HeatFolder:
    """A folder that heatmaps are written into, one file an image, named like it.

    Parameters
    ----------
    folder : Path
        Made where it is not there.
    low, high : float
        Heat that is shown as none and as the most; the same for all images, so that a normal one stays cool.

    Raises
    ------
    RunError
        If it cannot be made.
    """

    def __init__(self, folder: Path, low: float, high: float) -> None:
        self.folder, self.low, self.high = folder, low, high
        self._taken: set[str] = set()
        with disk_errors(folder, REMEDY):
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, one: Prediction) -> None:
        """Write the picture of a prediction that has a heatmap; nothing for one that failed.

        Raises
        ------
        RunError
            If it cannot be written.
        """
        if one.heat is None or one.pixels is None:
            return
        with disk_errors(self.folder, REMEDY):
            Image.fromarray(overlay(one.pixels, one.heat, self.low, self.high)).save(
                self.folder / self._name(one.file), format="PNG"
            )

    def _name(self, file: str) -> str:
        path, _, frame = file.partition("#")
        stem = Path(path).stem + (f"-{frame}" if frame else "")
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name)
        return f"{name}.png"


def overlay(pixels: Array, heat: Array, low: float, high: float) -> NDArray[np.uint8]:
    """Lay a heatmap over an image.

    Parameters
    ----------
    pixels : (s, s, c) uint8 or uint16 array
        Preprocessed; c is 1 or 3.
    heat : (h, w) float array
        Enlarged to the image, bilinearly.
    low, high : float
        Shown as nothing and as the most.

    Returns
    -------
    (s, s, 3) uint8 array
    """
    grey = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    base = np.broadcast_to(grey, (*grey.shape[:2], 3)).astype(np.float32)
    share = np.clip((heat.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
    # In steps of 1/65,535, since that is what resampling keeps.
    large = resample(np.rint(share * 65535).astype(np.uint16), *base.shape[:2]).astype(np.float32) / 65535
    place = large * (len(RAMP) - 1)
    below = np.minimum(place.astype(int), len(RAMP) - 2)
    part = (place - below)[..., None]
    colour = RAMP[below] * (1 - part) + RAMP[below + 1] * part
    alpha = (STRONGEST * large)[..., None]
    shown: NDArray[np.uint8] = np.rint(base * (1 - alpha) + colour * alpha).astype(np.uint8)
    return shown
