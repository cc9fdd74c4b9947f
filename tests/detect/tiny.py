"""Options that make each detector quick on a few small images, and rows for it to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from raresight.detect import DETECTORS
from raresight.images.masks import reduced_masks
from raresight.images.store import ImageStore
from raresight.represent import REPRESENTATIONS
from raresight.spec import parse_spec

TINY: dict[str, dict[str, Any]] = {
    "rf": {"n_estimators": 20},
    "boosting": {"max_iter": 20},
    "iforest": {"n_estimators": 50},
    "patchcore": {"coreset": 200},
    "padim": {"features": 30},
    "vote": {"members": "svm+logistic+boosting"},
    "unet": {"epochs": 2, "window": 32, "learning_rate": 0.01},
    **{
        name: {"width": 8, "latent": 16, "epochs": 6, "batch_size": 8}
        for name in ("ae", "vae", "ceae", "cevae")
    },
    "perceptual-ae": {"pixels": 56, "latent": 16, "epochs": 4, "batch_size": 8},
    "dae": {"width": 8, "epochs": 4, "batch_size": 8},
    "cnn": {"pixels": 56, "width": 8, "members": 1, "epochs": 5, "learning_rate": 0.01},
    "f-anogan": {"latent": 8, "width": 4, "steps": 5, "encoder_steps": 10},
    "anogan": {"latent": 8, "width": 4, "steps": 5, "search_steps": 4},
    "transfer": {"stages": 1, "epochs": 6, "learning_rate": 1e-3},
    "vit": {"pixels": 56, "patch": 8, "width": 32, "depth": 1, "epochs": 20, "learning_rate": 0.005},
    "swin": {
        "pixels": 56,
        "width": 16,
        "depths": (1, 2),
        "heads": (1, 2),
        "epochs": 15,
        "learning_rate": 0.005,
    },
    "mae": {"patch": 14, "width": 32, "depth": 1, "decoder_width": 32, "epochs": 4, "segments": 4},
    "swin-mae": {"patch": 7, "unit": 14, "width": 16, "depth": 1, "segments": 4, "epochs": 4},
}
"""Detector → options; one that is quick by default needs none."""

SEES: dict[str, str] = dict.fromkeys(
    ("unet", "cnn", "vit", "swin", "mae", "swin-mae", "ae", "vae", "dae", "ceae", "cevae", "perceptual-ae"),
    "pixels[size=56]",
)
"""Detector → representation, where its own would be slow."""

NO_HIGHER: set[str] = {"dae"}
"""One-class detectors that a few steps of training leave too blunt to rank even inverted images: a denoiser
starts by copying whatever it sees, and finds spots rather than another contrast (test_reconstruction.py)."""


@dataclass(frozen=True)
class Rows:
    """What a detector sees of normal and anomalous images, of the same inverted, and of images new to it.

    `masks` are there for detectors that learn from them.
    """

    X: Any
    y: np.ndarray
    inverted: Any
    fresh: Any
    masks: Any = None


def make_detector(name: str, **more: Any) -> Any:
    """Build a quick one."""
    return parse_spec(name).make(DETECTORS, **TINY.get(name, {}) | more)


def rows_for(name: str, store: ImageStore, new: ImageStore) -> Rows:
    """Give the rows that a detector sees, of a store to train on and of another."""
    every, detector = np.arange(len(store)), make_detector(name)
    space = parse_spec(SEES.get(name, detector.sees)).make(REPRESENTATIONS).fit(store, every)
    X = np.array(space.transform(store, every))
    parts = [X, space.of(255 - np.array(store.pixels)), space.of(np.array(new.pixels))]
    if detector.scaled and X.ndim == 2:
        scaler = StandardScaler().fit(X)
        parts = [scaler.transform(part) for part in parts]
    masks = reduced_masks(store, X.shape[1])[every] if detector.masks else None
    return Rows(parts[0], store.manifest.y, parts[1], parts[2], masks)


def fit(name: str, rows: Rows, **more: Any) -> Any:
    """Fit a quick one."""
    detector = make_detector(name, **more)
    if detector.masks:
        held = rows.X[::3], rows.y[::3], rows.masks[::3]
        return detector.fit(rows.X, rows.y, masks=rows.masks, validation=held)
    if detector.network:
        return detector.fit(rows.X, rows.y, validation=(rows.X[::3], rows.y[::3]))
    return detector.fit(rows.X, rows.y)
