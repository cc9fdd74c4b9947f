"""Training images that go with a bundle, only where the user asks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raresight.deploy.reference import feature_blocks
from raresight.experiment.recipe import FittedRecipe
from raresight.images.store import ImageStore

MOST = 48
"""Of each class."""

FOLDER = "examples"


def write_examples(folder: Path, fitted: FittedRecipe, store: ImageStore) -> None:
    """Write preprocessed training images, and ``examples.json``: file, label, and features if there are any.

    They have numbers for names: nothing of the patient's or the file's own name is kept.

    Parameters
    ----------
    folder : Path
        Of the bundle.
    fitted : FittedRecipe
    store : ImageStore
    """
    rows = _drawn(store.manifest.y, fitted.rows)
    parts = list(feature_blocks(fitted, store, rows))
    features = np.concatenate(parts) if parts else None
    (folder / FOLDER).mkdir()
    listed: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        name = f"{FOLDER}/{number:03d}.png"
        _picture(store.pixels[row]).save(folder / name)
        own = None if features is None else [float(f"{value:.5g}") for value in features[number]]
        listed.append({"file": name, "label": str(store.manifest.labels[row]), "features": own})
    (folder / "examples.json").write_text(json.dumps(listed, allow_nan=False))


def _drawn(y: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw up to `MOST` rows of each class, in an order that tells nothing."""
    random = np.random.default_rng(0)
    drawn = [random.permutation(rows[y[rows] == code])[:MOST] for code in np.unique(y[rows])]
    return random.permutation(np.concatenate(drawn))


def _picture(pixels: NDArray[Any]) -> Image.Image:
    """Give (h, w, c) as a picture; Pillow has no 16-bit colour, of which the upper bits are kept."""
    if pixels.shape[2] == 1:
        return Image.fromarray(np.ascontiguousarray(pixels[..., 0]))
    return Image.fromarray(
        (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else np.asarray(pixels)
    )
