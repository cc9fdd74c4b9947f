"""Whether features have another distribution than the training images': kernel mean embeddings.

A Gaussian kernel is about the inner product of a few hundred waves of random frequencies. So a whole set's
embedding is the mean of its waves: a class of the training images takes a few hundred numbers in a bundle,
and no feature of any one of them is there. With numpy alone.

Source: Gretton, Borgwardt, Rasch, Schölkopf & Smola, "A kernel two-sample test", JMLR 13 (2012); Rahimi &
Recht, "Random features for large-scale kernel machines", NIPS 2007.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

FREQUENCIES = 128
PAIRED = 400
"""Images whose distances from each other say how wide the kernel is."""

DRAWS = 4000
"""Of the null distribution."""


def bandwidth(features: NDArray[np.floating]) -> float:
    """Choose the kernel's width: the median distance of (n, d) features from each other; 1 for copies."""
    some = features[:: max(1, len(features) // PAIRED)][:PAIRED].astype(np.float64)
    squares = (some**2).sum(axis=1)
    between = squares[:, None] + squares - 2 * some @ some.T
    apart = between[np.triu_indices(len(some), 1)]
    width = float(np.sqrt(max(0.0, float(np.median(apart))))) if len(apart) else 0.0
    return width if width > 0 else 1.0


class Waves:
    """Waves whose inner product is about exp(−‖x − y‖² / 2 width²).

    Parameters
    ----------
    features : int
        How many there are.
    width : float
        See `bandwidth`.
    frequencies : int
        `count`: half as many as there are waves.
    """

    def __init__(self, features: int, width: float, frequencies: int = FREQUENCIES) -> None:
        # RandomState's stream is frozen by NEP 19: the same frequencies wherever a bundle is opened.
        drawn = np.random.RandomState(0).standard_normal((features, frequencies))
        self.count = frequencies
        self._frequencies = (drawn / width).astype(np.float32)

    def __call__(self, features: NDArray[np.floating]) -> Singles:
        """Give (n, 2 · frequencies) waves of (n, features)."""
        phase = np.asarray(features, np.float32) @ self._frequencies
        waves: Singles = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        return waves / np.float32(np.sqrt(phase.shape[1]))


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """How far two sets are apart.

    Attributes
    ----------
    squared : float
        The squared maximum mean discrepancy, without bias: about 0, and as often below, if there is none.
    p : float
        How often it is as large by chance.
    share : float
        The share of anomalies that it was least at.
    """

    squared: float
    p: float
    share: float


def discrepancy(
    waves: Singles,
    normal: Floats,
    anomalous: Floats | None,
    sizes: tuple[float, float],
    crowding: tuple[float, float],
    shares: tuple[float, float],
) -> Discrepancy:
    """Hold new images' waves to those of training, at the share of anomalies that suits best.

    Parameters
    ----------
    waves : (m, w) float32 array
        Of the new images, m at least 2.
    normal, anomalous : (w,) float64 arrays
        The classes' mean waves.
    sizes : (int, int)
        How many independent images either mean is worth.
    crowding : (float, float)
        New images for each independent one, of either class.
    shares : (float, float)
        Between which the new images' share of anomalies lies.

    Returns
    -------
    Discrepancy
        Its p comes from the weighted sum of χ² that the discrepancy is without drift (Gretton et al. 2012,
        theorem 12), the weights being the eigenvalues of the waves' covariance.
    """
    m = len(waves)
    mean = waves.mean(axis=0, dtype=np.float64)
    share = 0.0
    if anomalous is not None:
        across = anomalous - normal
        best = float((mean - normal) @ across / max(float(across @ across), 1e-300))
        share = float(np.clip(best, *shares))
    reference = normal if anomalous is None else (1 - share) * normal + share * anomalous
    own = m / ((1 - share) * crowding[0] + share * crowding[1])
    noise = 1 / own + (1 - share) ** 2 / max(sizes[0], 1) + (share**2 / sizes[1] if share else 0.0)
    centred = waves - mean.astype(np.float32)
    small = centred @ centred.T if m < waves.shape[1] else centred.T @ centred
    weights = np.maximum(np.linalg.eigvalsh(small.astype(np.float64)) / (m - 1), 0) * noise
    apart = float(((mean - reference) ** 2).sum())
    drawn = _chi_squares(len(weights)) @ weights.astype(np.float32)
    p = float((1 + (drawn >= apart).sum()) / (1 + DRAWS))
    return Discrepancy(apart - float(weights.sum()), p, share)


@lru_cache(maxsize=2)
def _chi_squares(count: int) -> Singles:
    return np.random.RandomState(0).chisquare(1, (DRAWS, count)).astype(np.float32)
