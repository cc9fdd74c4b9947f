"""How well heatmaps find what is known to be ill, beside maps that know nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt
from sklearn.metrics import average_precision_score

from raresight.errors import DataError
from raresight.evidence.pixels import per_region_overlap
from raresight.explain.outside import anatomy_of
from raresight.explain.own import SIDE, smoothed

TOLERANCE = 7
"""Pixels, of an image of 224, that a map's highest point may lie beside a lesion. The 15 of Zhang et al., on
images of some 500 pixels, are 3 % of a side too."""

STEPS = 200
"""Thresholds at which overlap is tried."""


def pointing_hits(heatmaps: ArrayLike, masks: ArrayLike, tolerance: float = TOLERANCE) -> NDArray[np.float64]:
    """Tell whether each map's highest point lies on a lesion, or so near that it may count.

    Source: Zhang, Bargal, Lin, Brandt, Shen & Sclaroff, "Top-down neural attention by excitation backprop",
    International Journal of Computer Vision 126 (2018): the pointing game.

    Parameters
    ----------
    heatmaps : (n, h, w) array
        Higher = more anomalous.
    masks : (n, h, w) array
        Not 0 on a lesion; each image must have one.
    tolerance : float
        In pixels of an image of 224; grows with the images.

    Returns
    -------
    (n,) float64 array
        1 or 0; where several points are the highest, the share of them that hit. Of a map that is the same
        everywhere, the chance that a random point hits.

    Raises
    ------
    DataError
        If the shapes differ, or an image has no lesion.
    """
    values, truth = np.asarray(heatmaps), np.asarray(masks) != 0
    if values.shape != truth.shape or values.ndim != 3:
        raise DataError(f"heatmaps {values.shape} and masks {truth.shape} must both be (n, height, width)")
    if not truth.any(axis=(1, 2)).all():
        raise DataError("the pointing game needs a lesion in every image; leave out images without one")
    reach = tolerance * values.shape[1] / SIDE
    hits = np.empty(len(values))
    for place, (heat, lesion) in enumerate(zip(values, truth, strict=True)):
        near = distance_transform_edt(~lesion) <= reach
        hits[place] = near[heat == heat.max()].mean()
    return hits


def pixel_average_precision(heatmaps: ArrayLike, masks: ArrayLike) -> float:
    """Average precision of finding lesions' pixels, over all images together (pixel AUPRC).

    Of a map without information it is the share of pixels on lesions.

    Parameters
    ----------
    heatmaps, masks : (n, h, w) arrays
        As for `pointing_hits`.
    """
    truth = np.asarray(masks) != 0
    return float(average_precision_score(truth.ravel(), np.asarray(heatmaps).ravel()))


def best_overlap(heatmaps: ArrayLike, masks: ArrayLike) -> tuple[float, float]:
    """Find the one threshold at which maps and lesions overlap most.

    Source: Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 11 (1912).

    Parameters
    ----------
    heatmaps, masks : (n, h, w) arrays
        As for `pointing_hits`.

    Returns
    -------
    overlap : float
        Intersection over union of all images together, 0 to 1. Chosen on these images, so it flatters.
    threshold : float
    """
    values, truth = np.asarray(heatmaps).ravel(), np.asarray(masks).ravel() != 0
    # Lesions are small, so thresholds crowd where few pixels are above them.
    levels = np.unique(np.quantile(values, 1 - np.geomspace(1e-4, 1, STEPS)))
    edges = np.append(levels, np.inf)
    found = np.histogram(values, edges)[0][::-1].cumsum()[::-1]
    both = np.histogram(values[truth], edges)[0][::-1].cumsum()[::-1]
    overlap = both / (found + truth.sum() - both)
    best = int(overlap.argmax())
    return float(overlap[best]), float(levels[best])


@dataclass(frozen=True, slots=True)
class Measures:
    """How well some maps find lesions.

    Attributes
    ----------
    images : int
    pointing : float
        Share of images whose highest point hits, with `TOLERANCE`.
    pointing_strict : float
        The same without any tolerance.
    aupro : float
        Per-region overlap up to 30 % false positives, 0 to 1; .15 by chance.
    auprc : float
        See `pixel_average_precision`.
    iou : float
        See `best_overlap`.
    """

    images: int
    pointing: float
    pointing_strict: float
    aupro: float
    auprc: float
    iou: float

    def as_dict(self) -> dict[str, Any]:
        """Give the figures by name."""
        return asdict(self)


def measure_heatmaps(heatmaps: ArrayLike, masks: ArrayLike, tolerance: float = TOLERANCE) -> Measures:
    """Measure heatmaps against lesions' masks.

    Parameters
    ----------
    heatmaps, masks, tolerance
        See `pointing_hits`; every image has a lesion.

    Raises
    ------
    DataError
        See `pointing_hits`.
    """
    return Measures(
        len(np.asarray(heatmaps)),
        float(pointing_hits(heatmaps, masks, tolerance).mean()),
        float(pointing_hits(heatmaps, masks, 0).mean()),
        per_region_overlap(heatmaps, masks),
        pixel_average_precision(heatmaps, masks),
        best_overlap(heatmaps, masks)[0],
    )


def null_maps(
    pixels: NDArray[Any], preset: str | None = None, usual: NDArray[Any] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Give maps that know nothing of lesions, to set a heatmap's measures beside.

    Parameters
    ----------
    pixels : (n, h, w, c) array
        The images.
    preset : str, optional
        Modality, as `raresight.images.anatomy.anatomy_mask` takes it.

    usual : (h, w, c) array, optional
        The mean normal training image.

    Returns
    -------
    dict
        Name → (n, h, w) float32: ``"random point"`` (the same everywhere), ``"in the anatomy"`` (a random
        point of it), ``"centre"`` (nearer is higher), ``"brightness"`` (the image itself); with `usual` also
        ``"unusual brightness"`` (how far from it, smoothed by four pixels of 224).
    """
    n, height, width = pixels.shape[:3]
    y, x = np.mgrid[:height, :width]
    near = -np.hypot(y - (height - 1) / 2, x - (width - 1) / 2).astype(np.float32)
    found = {
        "random point": np.zeros((n, height, width), np.float32),
        "in the anatomy": np.stack([anatomy_of(image, preset) for image in pixels]).astype(np.float32),
        "centre": np.repeat(near[None], n, axis=0),
        "brightness": np.asarray(pixels, np.float32).mean(axis=3),
    }
    if usual is not None:
        apart = np.abs(np.asarray(pixels, np.float32) - usual).mean(axis=3)
        found["unusual brightness"] = smoothed(apart, 4 * width / SIDE)
    return found


def pointing_null(
    pixels: NDArray[Any], masks: ArrayLike, preset: str | None = None, usual: NDArray[Any] | None = None
) -> float:
    """Give the best pointing game that a map of `null_maps` plays: what a heatmap must beat."""
    known = null_maps(pixels, preset, usual)
    return max(float(pointing_hits(maps, masks).mean()) for maps in known.values())
