"""A set with copies planted in it, and what must be found of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter

PLANTED = {
    "normal/00.png": "normal/again.png",
    "normal/02.png": "tumour/against.png",
    "normal/04.png": "tumour/against.jpg",
    "tumour/00.png": "tumour/again.jpg",
}
"""Image → its copy; a ``.jpg`` is encoded anew, so that its pixels are nearly the same."""


def textured(random: np.random.Generator, anomalous: bool = False, side: int = 64) -> Image.Image:
    """Draw a texture of its own, and for an anomaly a bright spot."""
    image = gaussian_filter(random.normal(0, 1, (side, side)), 1.5)
    image = 90 + 25 * image / image.std()
    if anomalous:
        top, left = random.integers(8, side - 22, 2)
        image[top : top + 14, left : left + 14] += 90
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def save_copy(image: Image.Image, path: Path, quality: int = 92) -> None:
    """Save other bytes of one picture."""
    image.save(path, **({"quality": quality} if path.suffix == ".jpg" else {"compress_level": 1}))


def write_copies(folder: Path, patients: bool = False) -> Path:
    """Write 40 images of two classes, two a patient, and four copies that belong to nobody."""
    random = np.random.default_rng(3)
    rows = []
    for label, count in (("normal", 24), ("tumour", 16)):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            file = f"{label}/{i:02d}.png"
            textured(random, label == "tumour").save(folder / file)
            rows.append((file, label, f"{label[0]}{i // 2}"))
    for original, copy in PLANTED.items():
        save_copy(Image.open(folder / original), folder / copy)
        rows.append((copy, copy.split("/")[0], None))
    table = pd.DataFrame(rows, columns=["file", "label", "patient"])
    (table if patients else table.drop(columns="patient")).to_csv(folder / "labels.csv", index=False)
    return folder


def write_likeness(folder: Path, alike: int = 14) -> Path:
    """Write a set in which one look, never twice the same pixels, fills more than a twentieth."""
    random = np.random.default_rng(4)
    for label, count in (("normal", 30), ("tumour", 16)):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            textured(random, label == "tumour").save(folder / label / f"{i:02d}.png")
    look = textured(random)
    for i in range(alike):
        save_copy(look, folder / "normal" / f"look{i:02d}.jpg", quality=98 - 2 * i)
    return folder
