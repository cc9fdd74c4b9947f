"""How well a heatmap finds lesions, against their masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from raresight.errors import DataError

EIGHT = np.ones((3, 3), dtype=int)
"""Pixels that touch by a corner belong to one region."""


def dice(heatmap: ArrayLike, masks: ArrayLike, threshold: float = 0.5) -> NDArray[np.float64]:
    """Overlap of each map's pixels at or above a threshold with the image's lesion.

    Source: Dice, "Measures of the amount of ecologic association between species", Ecology 26 (1945).

    Parameters
    ----------
    heatmap : (n, h, w) array
        Higher = more anomalous.
    masks : (n, h, w) array
        Not 0 on a lesion.
    threshold : float

    Returns
    -------
    (n,) float64 array
        0 (disjoint) to 1 (the same); NaN where neither the map nor the mask has a pixel.
    """
    values, truth = _checked(heatmap, masks)
    found = values >= threshold
    both = 2.0 * (found & truth).sum(axis=(1, 2))
    total = found.sum(axis=(1, 2)) + truth.sum(axis=(1, 2))
    shares: NDArray[np.float64] = np.divide(both, total, out=np.full(len(total), np.nan), where=total > 0)
    return shares


def pixel_auroc(heatmap: ArrayLike, masks: ArrayLike) -> float:
    """Chance that a pixel of a lesion has a higher value than one outside, over all images together.

    Parameters
    ----------
    heatmap, masks : (n, h, w) arrays
        As for `dice`.

    Raises
    ------
    DataError
        If no pixel, or every pixel, lies on a lesion.
    """
    values, truth = _checked(heatmap, masks)
    _check_both(truth)
    return float(roc_auc_score(truth.ravel(), values.ravel()))


def per_region_overlap(heatmap: ArrayLike, masks: ArrayLike, fpr_limit: float = 0.3) -> float:
    """Area under the mean share of each lesion that is found, against the share of healthy pixels called ill.

    Every lesion counts the same, however small, where pixel AUROC is a matter of large ones. A lesion is an
    8-connected region of a mask.

    Source: Bergmann, Fauser, Sattlegger & Steger, "Uninformed students: student-teacher anomaly detection
    with discriminative latent embeddings", CVPR 2020 (AUPRO).

    Parameters
    ----------
    heatmap, masks : (n, h, w) arrays
        As for `dice`.
    fpr_limit : float
        The area is taken up to this false-positive rate and divided by it, above 0 to 1.

    Returns
    -------
    float
        0 to 1; of a map without information half the limit.

    Raises
    ------
    DataError
        If no pixel, or every pixel, lies on a lesion, or the limit is out of its range.
    """
    values, truth = _checked(heatmap, masks)
    _check_both(truth)
    if not 0 < fpr_limit <= 1:
        raise DataError(f"the false-positive rate's limit lies above 0 and is at most 1, not {fpr_limit}")
    flat = values.ravel()
    order = np.argsort(-flat, kind="stable")
    healthy = ~truth.ravel()[order]
    fpr = np.cumsum(healthy) / healthy.sum()
    overlap = np.cumsum(_region_shares(truth).ravel()[order])
    # Pixels of one value are called ill together: only the last of them is a point of the curve.
    last = np.append(np.flatnonzero(np.diff(flat[order])), flat.size - 1)
    x, y = np.append(0.0, fpr[last]), np.append(0.0, overlap[last])
    inside = x <= fpr_limit
    x_end, y_end = np.append(x[inside], fpr_limit), np.append(y[inside], np.interp(fpr_limit, x, y))
    return float(np.trapezoid(y_end, x_end) / fpr_limit)


def _region_shares(truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give each pixel of a lesion what it adds to the mean overlap: 1 / (its region's area × regions)."""
    shares = np.zeros(truth.shape)
    regions = 0
    for image, share in zip(truth, shares, strict=True):
        labels, count = ndimage.label(image, structure=EIGHT)
        areas = np.bincount(labels.ravel())
        share[image] = 1 / areas[labels[image]]
        regions += count
    return shares / regions


def _checked(heatmap: Any, masks: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    values, truth = np.asarray(heatmap), np.asarray(masks) != 0
    if values.ndim != 3 or values.shape != truth.shape:
        raise DataError(f"heatmaps {values.shape} and masks {truth.shape} must both be (n, height, width)")
    if not np.isfinite(values).all():
        raise DataError("a heatmap holds NaN or infinite values")
    return values, truth


def _check_both(truth: NDArray[np.bool_]) -> None:
    if truth.all() or not truth.any():
        raise DataError("the masks mark no pixel, or all of them; a ranking needs both kinds")
