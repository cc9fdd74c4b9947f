"""What the training images look like to a detector, as numbers: what new ones are later held against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.experiment.inner import InnerScores
from raresight.experiment.recipe import FittedRecipe
from raresight.images.store import ImageStore

Array = NDArray[Any]

QUANTILES = 101
"""Of the scores: 0, 1, … 100 %."""

COMPONENTS = 32
"""Principal components of the features, at most."""

DIGITS = 5
"""Significant digits of what is kept."""

BLOCK = 256


def reference(fitted: FittedRecipe, store: ImageStore, inner: InnerScores) -> dict[str, Any]:
    """Describe the training images by scores that know them not, and by the representation's features.

    Parameters
    ----------
    fitted : FittedRecipe
    store : ImageStore
    inner : InnerScores

    Returns
    -------
    dict
        ``scores``: ``normal`` and ``anomalous``, each ``n`` and 101 ``quantiles``; ``features``: see
        `feature_statistics`, None where the representation gives images, not features.
    """
    rows = fitted.rows
    parts = list(feature_blocks(fitted, store, rows))
    features = np.concatenate(parts) if parts else None
    normal = store.manifest.y[rows] == 0
    return {
        "scores": {
            name: _quantiles(inner.score[inner.label == code])
            for code, name in enumerate(("normal", "anomalous"))
        },
        "features": None if features is None else feature_statistics(features),
        "normal_features": None if features is None else feature_statistics(features[normal]),
    }


def feature_blocks(fitted: FittedRecipe, store: ImageStore, rows: NDArray[np.int64]) -> Iterator[Array]:
    """Give what a bundle's graph calls ``features``, (≤ 256, d) float32 a time; nothing where it has none."""
    for start in range(0, len(rows), BLOCK):
        seen = fitted.space.transform(store, rows[start : start + BLOCK])
        if seen.dtype.kind != "f":
            return
        if seen.ndim == 5:
            seen = seen[:, 0]
        yield seen.astype(np.float32) if seen.ndim == 2 else seen.mean(axis=(1, 2), dtype=np.float32)


def feature_statistics(features: Array) -> dict[str, Any]:
    """Give mean and covariance of (n, d) features, the latter as its largest axes and what is left.

    Returns
    -------
    dict
        ``n``; ``mean`` (d); ``axes`` (k, d) orthonormal and their ``variances`` (k), largest first; ``rest``,
        the mean variance of a direction outside of these. So the covariance is about
        axesᵀ diag(variances − rest) axes + rest · I. Source: Tipping & Bishop, "Probabilistic principal
        component analysis", JRSS B 61 (1999).
    """
    rows = features.astype(np.float64)
    mean = rows.mean(axis=0)
    rows -= mean
    n, d = rows.shape
    _, size, axes = np.linalg.svd(rows, full_matrices=False)
    variances = size**2 / max(1, n - 1)
    kept = int(min(COMPONENTS, (variances > variances[0] * 1e-9).sum()))
    rest = float(variances[kept:].sum() / max(1, d - kept))
    return {
        "n": n,
        "mean": _short(mean),
        "axes": [_short(axis) for axis in axes[:kept]],
        "variances": _short(variances[:kept]),
        "rest": float(f"{rest:.{DIGITS}g}"),
    }


def _quantiles(score: Array) -> dict[str, Any]:
    if not len(score):
        return {"n": 0, "quantiles": []}
    return {"n": len(score), "quantiles": _short(np.quantile(score, np.linspace(0, 1, QUANTILES)))}


def _short(values: Array) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]
