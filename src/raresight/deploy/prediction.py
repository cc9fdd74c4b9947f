"""What is said of an image, and what images there are to say it of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import ImageError, MissingExtraError
from raresight.images.readers import count_frames

Array = NDArray[Any]
Image = str | Path | bytes | Array
"""A file's path, its content, or decoded pixels (h, w) or (h, w, 3), uint8 or uint16."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is said of one image.

    Attributes
    ----------
    file : str
        As it was named; frame k of several is ``file#k``.
    score : float or None
        Higher = more anomalous. None, as is all else, where `error` says why.
    probability : float or None
        Calibrated, of an anomaly; None also where the detector knows of none.
    decision : {"anomalous", "normal", "refer"} or None
    threshold : float or None
        The score from which an image is anomalous.
    milliseconds : float
        Decoding, preprocessing, and the image's share of its batch.
    reason : str or None
        Why a rule of the bundle decided so, for instance why the image is referred.
    error : str or None
        Why it could not be scored, in one clause.
    heat, pixels : (h, w) float32 array and (s, s, c) array, or None
        Where it is anomalous, and the preprocessed image; only where heatmaps were asked for.
    features : (d,) float32 array or None
        What the representation makes of it; only where asked for, and where the bundle gives it.
    """

    file: str
    score: float | None = None
    probability: float | None = None
    decision: str | None = None
    threshold: float | None = None
    milliseconds: float = 0.0
    reason: str | None = None
    error: str | None = None
    heat: Array | None = None
    pixels: Array | None = None
    features: Array | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give ``file`` and ``error``, or ``file, score, probability, decision, threshold, milliseconds``.

        ``reason`` is there where a rule of the bundle gave one.
        """
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        known = {
            "file": self.file,
            "score": self.score,
            "probability": self.probability,
            "decision": self.decision,
            "threshold": self.threshold,
            "milliseconds": round(self.milliseconds, 3),
        }
        return known if self.reason is None else {**known, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image ready for the graph, or why it is not."""

    file: str
    pixels: Array | None
    seconds: float
    error: str | None = None
    measured: tuple[Any, ...] = ()


def made_up(shape: tuple[int, int, int], dtype: Any) -> Array:
    """Draw the image that a bundle tests itself on: (h, w, c), the same on every machine."""
    height, width, channels = shape
    y, x, c = np.ogrid[:height, :width, :channels]
    wave = (7 * x + 13 * y + 31 * c + (x * y) // 5) % 256
    image: Array = (wave * (257 if np.dtype(dtype) == np.uint16 else 1)).astype(dtype)
    return image


def frames(images: Iterable[Image]) -> Iterator[tuple[str, Image, int, str | None]]:
    """Give each image's name, the image, its frame, and what is wrong with it if that is already known."""
    for number, image in enumerate(images):
        if isinstance(image, np.ndarray):
            yield f"array {number}", image, 0, None
            continue
        name = f"bytes {number}" if isinstance(image, bytes) else str(image)
        try:
            count = count_frames(image if isinstance(image, bytes) else Path(image))
        except (ImageError, MissingExtraError) as error:
            yield name, image, 0, str(error)
            continue
        for frame in range(count):
            yield (name if count == 1 else f"{name}#{frame}"), image, frame, None
