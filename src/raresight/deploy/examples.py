"""Training cases that go with a bundle: where they lie, and their pictures only where the user asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raresight.deploy.nearest import CASES, Axes
from raresight.deploy.reference import feature_blocks
from raresight.experiment.recipe import FittedRecipe
from raresight.images.store import ImageStore

MOST = 200
"""Of each class."""

FOLDER = "examples"


def write_cases(
    folder: Path,
    fitted: FittedRecipe,
    store: ImageStore,
    features: Mapping[str, Any] | None,
    *,
    pictures: bool,
) -> None:
    """Write ``cases.json``, and the same cases' preprocessed images if they are to be in the bundle.

    Cases are named by numbers: nothing of the patient's or the file's own name is kept. An image's embedding
    is not kept either, only where it lies along the training set's principal axes.

    Parameters
    ----------
    folder : Path
        Of the bundle.
    fitted : FittedRecipe
    store : ImageStore
    features : mapping or None
        See `raresight.deploy.reference.feature_statistics`; without it there is no ``cases.json``.
    pictures : bool
        Whether ``examples/`` and ``examples.json`` are written too.
    """
    rows = _drawn(store.manifest.y, fitted.rows)
    cases = [
        {"id": f"case-{number:03d}", "label": str(store.manifest.labels[row])}
        for number, row in enumerate(rows)
    ]
    if features is not None:
        places = Axes(features).place(np.concatenate(list(feature_blocks(fitted, store, rows))))
        listed = [
            {**case, "at": [float(f"{value:.4g}") for value in place]}
            for case, place in zip(cases, places, strict=True)
        ]
        (folder / CASES).write_text(json.dumps(listed, allow_nan=False))
    if pictures:
        _write_pictures(folder, cases, store, rows)


def _write_pictures(
    folder: Path, cases: list[dict[str, str]], store: ImageStore, rows: NDArray[np.int64]
) -> None:
    (folder / FOLDER).mkdir()
    listed = []
    for number, (case, row) in enumerate(zip(cases, rows, strict=True)):
        name = f"{FOLDER}/{number:03d}.png"
        _picture(store.pixels[row]).save(folder / name)
        listed.append({"file": name, **case})
    (folder / "examples.json").write_text(json.dumps(listed))


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
