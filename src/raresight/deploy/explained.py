"""All that a person is shown of one image: what is said of it, the image, its heat, and cases like it."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.deploy.facts import Explain
from raresight.deploy.nearest import REFERENCE, Case, Nearest
from raresight.deploy.prediction import Prediction
from raresight.deploy.predictor import Predictor
from raresight.deploy.standing import standing
from raresight.errors import ImageError
from raresight.images.readers import View, read_image, read_view
from raresight.images.readers.base import Source

Array = NDArray[Any]

LARGEST = 1024
"""Side in pixels of a shown image, at most; less only where the detector itself sees more."""


@dataclass(frozen=True, slots=True)
class Explained:
    """An image's prediction, and the rest as JSON has it: ``image``, ``heat``, ``standing``, ``nearest``."""

    prediction: Prediction
    rest: dict[str, Any]


class Background:
    """What a bundle keeps of its training images to hold new ones to.

    Parameters
    ----------
    files : mapping of str to bytes
        The bundle's files.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.nearest = Nearest(files)
        self.scores: Mapping[str, Any] = json.loads(files[REFERENCE])["scores"]


def explain_one(
    predictor: Predictor, background: Background, name: str, source: Source, frame: int, cut: float
) -> Explained:
    """Score an image and gather what there is to see.

    Parameters
    ----------
    predictor : Predictor
    background : Background
        Of the same bundle.
    name : str
        What the image is called in its prediction.
    source : Path or bytes
    frame : int
    cut : float
        The score from which it is anomalous.

    Raises
    ------
    ImageError, MissingExtraError
        If it cannot be read or scored.
    """
    start = time.perf_counter()
    raw = read_image(source, frame, max_pixels=predictor.max_pixels)
    prepared = predictor.attempt(name, raw)
    (found,) = predictor.decide([prepared], [cut], heat=predictor.has_heat, keep=True)
    if found.score is None:
        raise ImageError(found.error or "it has no score")
    rest = {
        "image": shown(predictor, source, frame, raw),
        "heat": _heat(found.heat, predictor.facts.explain),
        "standing": standing(found.score, background.scores),
        "nearest": [_case(each) for each in background.nearest.find(found.features)],
    }
    return Explained(replace(found, milliseconds=1000 * (time.perf_counter() - start)), rest)


def _heat(heat: Array | None, told: Explain | None) -> dict[str, Any] | None:
    if heat is None or told is None:
        return None
    share = np.clip((heat.astype(np.float64) - told.low) / max(told.high - told.low, 1e-12), 0, 1)
    height, width = share.shape
    data = _encoded(np.rint(share * 255).astype(np.uint8))
    return {"width": width, "height": height, "data": data, "method": told.method}


def shown(predictor: Predictor, source: Source, frame: int, raw: Array) -> dict[str, Any]:
    """Give the image that is shown: cropped as the detector sees it, so that its heat fits, but finer.

    Parameters
    ----------
    predictor : Predictor
    source : Path or bytes
    frame : int
    raw : (h, w) or (h, w, 3) array
        As it was read; it decides what is cropped.

    Returns
    -------
    dict
        ``width``, ``height``, ``channels``, ``bits``, ``data`` (base64 of row-major little-endian samples),
        ``windowed``; ``window``: the samples ``low`` and ``high`` that are black and white at first,
        None where all samples are shown; ``rescale``: ``slope`` and ``intercept`` from a sample to the
        file's own units.
    """
    view = read_view(source, frame, max_pixels=predictor.max_pixels)
    preprocess = predictor.facts.preprocess
    side = min(max(preprocess.size, *raw.shape[:2]), max(preprocess.size, LARGEST))
    placed = preprocess.place(view.pixels, raw, side)
    low, high = _window(view, placed)
    return {
        "width": placed.shape[1],
        "height": placed.shape[0],
        "channels": 1 if placed.ndim == 2 else placed.shape[2],
        "bits": 8 * placed.dtype.itemsize,
        "data": _encoded(placed.astype(placed.dtype.newbyteorder("<"), copy=False)),
        "windowed": view.windowed,
        "window": None if low is None else {"low": low, "high": high},
        "rescale": {"slope": view.slope, "intercept": view.intercept},
    }


def _window(view: View, placed: Array) -> tuple[float | None, float | None]:
    """Take the file's window; of other 16-bit images, what their values span."""
    if view.low is not None or placed.dtype == np.uint8 or view.windowed:
        return view.low, view.high
    low, high = float(placed.min()), float(placed.max())
    return (low, high) if high > low else (None, None)


def _case(case: Case) -> dict[str, Any]:
    picture = None if case.picture is None else f"data:image/png;base64,{b64encode(case.picture).decode()}"
    distance = float(f"{case.distance:.4g}")
    return {"id": case.id, "label": case.label, "distance": distance, "image": picture}


def _encoded(samples: Array) -> str:
    return b64encode(np.ascontiguousarray(samples).tobytes()).decode()
