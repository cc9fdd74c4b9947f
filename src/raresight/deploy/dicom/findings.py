"""What is found in a study's images: scores of all, places and pictures of the most anomalous."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raresight.deploy.dicom.region import Region, hottest_region
from raresight.deploy.dicom.settings import NodeSettings
from raresight.deploy.dicom.windows import window_for
from raresight.deploy.heat import overlay
from raresight.deploy.prediction import Prediction
from raresight.deploy.predictor import Predictor
from raresight.errors import ImageError
from raresight.images.placement import place
from raresight.images.readers import read_image

logger = logging.getLogger(__name__)

LONGEST_SIDE = 1024
"""Pixels of a heatmap picture; the heat itself is far coarser."""

BURNED_IN = "patient data are burned into the image and may have led the detector"


@dataclass(frozen=True)
class Finding:
    """What is said of one frame of one object.

    Attributes
    ----------
    head : pydicom Dataset
        The object without its pixels.
    frame : int
        Counted from 0.
    prediction : Prediction
    region : Region or None
        Where it is not normal, and heat says where.
    picture : (h, w, 3) uint8 array or None
        The frame with its heat over it.
    window : (float, float) or None
        Centre and width, where there is a picture and the object has none that is found otherwise.
    """

    head: Any
    frame: int
    prediction: Prediction
    region: Region | None = None
    picture: NDArray[np.uint8] | None = None
    window: tuple[float, float] | None = None

    @property
    def frames(self) -> int:
        """How many frames the object has."""
        return int(self.head.get("NumberOfFrames") or 1)


def find_in_study(
    predictor: Predictor,
    heads: Sequence[tuple[Path, Any]],
    settings: NodeSettings,
    stopping: Callable[[], bool] = lambda: False,
) -> list[Finding]:
    """Score all frames of a study's objects.

    Parameters
    ----------
    predictor : Predictor
    heads : sequence of (Path, Dataset)
        Files, and the same without pixels.
    settings : NodeSettings
    stopping : callable
        Asked after every image; True ends the work.

    Returns
    -------
    list of Finding
        In the order of the objects and their frames.

    Raises
    ------
    InterruptedError
        If it was to stop.
    """
    found = []
    for finding in _scored(predictor, heads, settings):
        if stopping():
            raise InterruptedError
        found.append(finding)
    shown = heapq.nlargest(settings.heatmaps, _scorable(found), key=lambda row: _rank(found[row]))
    files = {str(head.SOPInstanceUID): file for file, head in heads}
    for row in shown if predictor.has_heat else ():
        if stopping():
            raise InterruptedError
        try:
            found[row] = _shown(predictor, found[row], files[str(found[row].head.SOPInstanceUID)], settings)
        except Exception as error:  # an odd header must not cost the study its report
            logger.warning("a heatmap is left out (%s)", type(error).__name__)
    return found


def study_decision(findings: Sequence[Finding]) -> str:
    """Decide about a study: anomalous if an image is, else referred if one is or none could be read."""
    decisions = {finding.prediction.decision for finding in findings}
    if "anomalous" in decisions:
        return "anomalous"
    return "refer" if "refer" in decisions or decisions <= {None} else "normal"


def _scored(
    predictor: Predictor, heads: Sequence[tuple[Path, Any]], settings: NodeSettings
) -> Iterator[Finding]:
    of_file = {str(file): head for file, head in heads}
    for one in predictor.stream([file for file, _ in heads], threshold=settings.threshold):
        name, frame = one.file, 0
        if name not in of_file:  # a frame of several
            name, _, number = one.file.rpartition("#")
            frame = int(number)
        if settings.burned_in == "refer" and burned_in(of_file[name]) and one.error is None:
            one = replace(one, decision="refer", reason=BURNED_IN)
        yield Finding(of_file[name], frame, one)


def burned_in(head: Any) -> bool:
    """Tell whether an object says that patient data are burned into its pixels."""
    return str(head.get("BurnedInAnnotation") or "").upper() == "YES"


def _scorable(findings: Sequence[Finding]) -> list[int]:
    return [row for row, finding in enumerate(findings) if finding.prediction.score is not None]


def _rank(finding: Finding) -> float:
    score = finding.prediction.score
    return -np.inf if score is None else score


def _shown(predictor: Predictor, finding: Finding, file: Path, settings: NodeSettings) -> Finding:
    """Add place and picture; the image is decoded once more, so that not all of a study are held."""
    assert predictor.facts.explain is not None
    low, high = predictor.facts.explain.low, predictor.facts.explain.high
    preprocess = predictor.facts.preprocess
    try:
        image = read_image(file, finding.frame, max_pixels=settings.max_pixels)
    except ImageError:
        return finding
    heat = predictor.heatmaps(predictor.prepare(image)[None])[0]
    height, width = image.shape[:2]
    share = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(height * share)), max(1, round(width * share))
    plane = place(preprocess, image).plane_in_source(heat, preprocess.size, size)
    region = None
    if finding.prediction.decision != "normal":
        region = hottest_region(plane, (height, width), low, high)
    cool = np.where(np.isfinite(plane), plane, low)
    picture = overlay(_small(image, size), cool, low, high)
    window = window_for(file, finding.head, finding.frame)
    return replace(finding, region=region, picture=picture, window=window)


def _small(image: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring an image to 8 bits and (h, w, c) of the picture's size."""
    bytes_ = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image
    if bytes_.shape[:2] != size:
        resized = Image.fromarray(bytes_).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        bytes_ = np.asarray(resized)
    return bytes_[..., None] if bytes_.ndim == 2 else bytes_
