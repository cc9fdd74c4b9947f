"""What the training images look like to a detector, as numbers: what new ones are later held against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.deploy.drift_features import CLASSES, feature_reference
from raresight.deploy.kernel import FREQUENCIES, Waves, bandwidth
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

FOLDS = 10
"""Parts of the patients; the distances of each come from statistics of the others."""


def reference(
    fitted: FittedRecipe, store: ImageStore, inner: InnerScores, groups: Array | None = None
) -> dict[str, Any]:
    """Describe the training images by scores that know them not, and by the representation's features.

    Parameters
    ----------
    fitted : FittedRecipe
    store : ImageStore
    inner : InnerScores
    groups : (n,) array, optional
        Of all rows of the store: patients, who are what is independent; by default each row is one.

    Returns
    -------
    dict
        ``scores``: ``normal`` and ``anomalous``, each ``n``, what `crowded` gives, and 101
        ``quantiles``; ``features``:
        see `feature_statistics`, None where the representation gives images, not features; ``drift``: see
        `drift_statistics`, None where the representation was learned from these very images, which are then
        unlike all others.
    """
    rows = fitted.rows
    groups = np.arange(len(store)) if groups is None else groups
    parts = list(feature_blocks(fitted, store, rows))
    features = np.concatenate(parts) if parts else None
    label = store.manifest.y[rows]
    own = store.manifest.groups()
    named = len(np.unique(own)) < len(own)
    frozen = features is not None and not getattr(fitted.space, "learned", True)
    return {
        "scores": {
            name: score_quantiles(
                inner.score[inner.label == code], groups[inner.rows[inner.label == code]], named
            )
            for code, name in enumerate(CLASSES)
        },
        "features": None if features is None else feature_statistics(features),
        "normal_features": None if features is None else feature_statistics(features[label == 0]),
        "drift": drift_statistics(features, label, groups[rows], named)
        if frozen and features is not None
        else None,
    }


def drift_statistics(
    features: Array, label: Array, groups: Array, named: bool = True
) -> dict[str, Any] | None:
    """Describe each class's features so that drift can be told from another share of anomalies.

    Parameters
    ----------
    features : (n, d) float array
    label, groups : (n,) arrays
        1 = anomalous; patients.
    named : bool
        See `crowded`.

    Returns
    -------
    dict or None
        ``width`` and ``frequencies`` of a Gaussian kernel, see `raresight.deploy.kernel`; and by class
        ``n`` images, what `crowded` gives, ``waves``, the mean kernel embedding, and ``distance``,
        ``mean`` and ``deviation`` of the Mahalanobis distance from statistics (`feature_statistics`) of other
        patients. None for fewer than two patients a part.
    """
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2 * FOLDS:
        return None
    part = np.random.default_rng(0).permutation(len(names))[member] % FOLDS
    distance = np.empty(len(features))
    for fold in range(FOLDS):
        others = feature_reference(feature_statistics(features[part != fold]))
        distance[part == fold] = others.distance(features[part == fold])
    width = bandwidth(features)
    waves = Waves(features.shape[1], width)(features)
    described = {
        name: {
            "n": int((label == code).sum()),
            **crowded(waves[label == code], groups[label == code], named),
            "waves": _short(waves[label == code].mean(axis=0, dtype=np.float64)),
            "distance": {
                "mean": float(distance[label == code].mean()),
                "deviation": float(distance[label == code].std()),
            },
        }
        for code, name in enumerate(CLASSES)
        if (label == code).any()
    }
    return {"width": width, "frequencies": FREQUENCIES, "classes": described}


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
    # The smaller of the two Gram matrices has the same positive eigenvalues.
    values, vectors = np.linalg.eigh((rows @ rows.T if n < d else rows.T @ rows) / max(1, n - 1))
    variances, axes = np.maximum(values[::-1], 0), vectors[:, ::-1].T[:COMPONENTS]
    if n < d:
        axes = axes @ rows
        axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-300)
    kept = int(min(COMPONENTS, (variances > variances[0] * 1e-9).sum()))
    rest = float(variances[kept:].sum() / max(1, d - kept))
    return {
        "n": n,
        "mean": _short(mean),
        "axes": [_short(axis) for axis in axes[:kept]],
        "variances": _short(variances[:kept]),
        "rest": float(f"{rest:.{DIGITS}g}"),
    }


def independent(values: Array, groups: Array) -> float:
    """Give how many independent rows (n,) or (n, k) values of (n,) patients are worth.

    That is n over the design effect, at least 1: by how much the variance of a mean over patients drawn whole
    exceeds that of as many images drawn one by one. Source: Kish, "Survey sampling" (1965).
    """
    rows = values.reshape(len(values), -1) - values.mean(axis=0)
    _, member = np.unique(groups, return_inverse=True)
    sums = np.zeros((member.max() + 1, rows.shape[1]))
    np.add.at(sums, member, rows)
    plain = float((rows**2).sum())
    return len(rows) / max(1.0, float((sums**2).sum()) / plain if plain else 1.0)


def crowded(values: Array, groups: Array, named: bool) -> dict[str, float]:
    """Say what (n,) or (n, k) values of (n,) patients are worth, and what new ones will be.

    Returns
    -------
    dict
        ``independent``, see there; ``crowding``, the design effect of new images: that of these where the set
        names its patients, who will come with as many images again; 1 where groups are near duplicates, which
        are a collection's and not a clinic's.
    """
    worth = independent(values, groups)
    return {"independent": worth, "crowding": len(values) / worth if named else 1.0}


def score_quantiles(score: Array, groups: Array, named: bool = True) -> dict[str, Any]:
    """Describe (n,) scores of (n,) patients: ``n``, what `crowded` gives of ranks, 101 ``quantiles``."""
    if not len(score):
        return {"n": 0, "independent": 0, "crowding": 1.0, "quantiles": []}
    ranks = np.searchsorted(np.sort(score), score) / len(score)
    quantiles = np.quantile(score, np.linspace(0, 1, QUANTILES))
    return {"n": len(score), **crowded(ranks, groups, named), "quantiles": _short(quantiles)}


def _short(values: Array) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]
