"""All that a person is shown of one image: what is said of it, the image, its heat, and cases like it."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


class Explainer:
    """Explains what a bundle says of images; several threads may use it.

    Parameters
    ----------
    predictor : Predictor
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._nearest = Nearest(predictor.files)
        self._scores = json.loads(predictor.files[REFERENCE])["scores"]

    def explain(self, name: str, source: Source, frame: int, cut: float) -> Explained:
        """Score an image and gather what there is to see.

        Parameters
        ----------
        name : str
            What it is called in its prediction.
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
        raw = read_image(source, frame, max_pixels=self.predictor.max_pixels)
        prepared = self.predictor.attempt(name, raw)
        heated = self.predictor.has_heat
        (found,) = self.predictor.decide([prepared], [cut], heat=heated, keep=True)
        score = found.score
        if score is None:
            raise ImageError(found.error or "it has no score")
        found = replace(found, milliseconds=1000 * (time.perf_counter() - start))
        rest = {
            "image": shown(self.predictor, source, frame, raw),
            "heat": self._heat(found.heat),
            "standing": standing(score, self._scores),
            "nearest": [_case(each) for each in self._nearest.find(found.features)],
        }
        return Explained(found, rest)

    def _heat(self, heat: Array | None) -> dict[str, Any] | None:
        told = self.predictor.facts.explain
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
